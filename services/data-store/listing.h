#ifndef DATA_STORE_LISTING_H
#define DATA_STORE_LISTING_H
/* The files a source offers, out of the page that lists them: the links of an HTML index, the lines
 * of plain text, or a JSON array of names or of {name, url?}.  Names are what follows the last
 * slash; folders, other servers and what does not match the pattern are left out.  Pure. */
#include "base/buf.h"

#define LISTING_FILES 10000
#define LISTING_NAME 255

struct listing_file {
	char *name; /* no slash, no control character, UTF-8 */
	char *url;  /* absolute */
};

/* Zero it and it is empty.  Sorted by name, each name once. */
struct listing {
	struct listing_file *v;
	size_t n;
};

void listing_fini(struct listing *l);
struct listing_page {
	const char *type; /* Content-Type */
	struct span body;
	const char *base; /* the page's absolute URL */
};

/* The files of a page whose names match; 0, or -1 with a sentence in why. */
int listing_read(struct listing *l, const struct listing_page *p, const char *pattern, char *why,
    size_t size) __attribute__((warn_unused_result));
/* The file a URL names, as the only one. */
int listing_one(struct listing *l, const char *url, char *why, size_t size)
    __attribute__((warn_unused_result));

/* `*` any bytes, `?` one, everything else itself; the whole name. */
bool listing_match(const char *pattern, struct span name);

#endif
