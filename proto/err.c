#include "proto/err.h"

struct row {
	const char *name;
	enum err_retry retry;
	int http;
	const char *title;
};

static const struct row rows[ERR_COUNT] = {[ERR_OK] = {"OK", ERR_NEVER, 200, "OK"},
#define X(name, retry, http, title) [ERR_##name] = {#name, retry, http, title},
    ERR_TABLE(X)
#undef X
};

static const struct row *
row_of(enum err e)
{
	return &rows[(unsigned)e < ERR_COUNT ? e : ERR_INTERNAL];
}

const char *
err_name(enum err e)
{
	return row_of(e)->name;
}

const char *
err_title(enum err e)
{
	return row_of(e)->title;
}

enum err_retry
err_retry(enum err e)
{
	return row_of(e)->retry;
}

const char *
err_retry_name(enum err e)
{
	static const char *const names[] = {"never", "later", "uncertain"};

	return names[err_retry(e)];
}

int
err_http(enum err e)
{
	return row_of(e)->http;
}

enum err
err_of(struct span name)
{
	for (unsigned i = 0; i < ERR_COUNT; i++) {
		if (span_is(name, rows[i].name))
			return (enum err)i;
	}
	return ERR_INTERNAL;
}
