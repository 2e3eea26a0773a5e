#include "fetch/url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

static CURLU *
parse(const char *url)
{
	CURLU *u = curl_url();

	if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK) {
		curl_url_cleanup(u);
		u = NULL;
	}
	return u;
}

static bool
is_web(CURLU *u)
{
	char *scheme = NULL;
	bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		  (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

	curl_free(scheme);
	return ok;
}

int
url_join(const char *base, struct span rel, struct buf *out)
{
	CURLU *u = parse(base);
	char *text = span_dup(rel);
	char *whole = NULL;
	int r = -1;

	/* An embedded NUL would hide what follows it. */
	if (u == NULL || text == NULL || strlen(text) != rel.n)
		goto out;
	if (rel.n > 0 && curl_url_set(u, CURLUPART_URL, text, CURLU_URLENCODE) != CURLUE_OK)
		goto out;
	if (!is_web(u) || curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
		goto out;
	if (curl_url_get(u, CURLUPART_URL, &whole, 0) != CURLUE_OK)
		goto out;
	buf_puts(out, whole);
	r = 0;
out:
	curl_free(whole);
	free(text);
	curl_url_cleanup(u);
	return r;
}

static bool
same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return same;
}

bool
url_same_server(const char *a, const char *b)
{
	CURLU *x = parse(a), *y = parse(b);
	bool same = x != NULL && y != NULL && same_part(x, y, CURLUPART_SCHEME) &&
		    same_part(x, y, CURLUPART_HOST) && same_part(x, y, CURLUPART_PORT);

	curl_url_cleanup(x);
	curl_url_cleanup(y);
	return same;
}
