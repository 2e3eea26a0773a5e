#ifndef FETCH_URL_H
#define FETCH_URL_H
/* Addresses, as libcurl reads them.  Pure. */
#include "base/buf.h"

/* `rel` as seen from the absolute `base`, without its fragment, appended to out.  0; -1: one of
 * them is no URL, or it leads to something that is not http or https. */
int url_join(const char *base, struct span rel, struct buf *out)
    __attribute__((warn_unused_result));
/* Same scheme, host and port. */
bool url_same_server(const char *a, const char *b);

#endif
