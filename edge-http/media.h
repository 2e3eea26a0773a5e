#ifndef EDGE_HTTP_MEDIA_H
#define EDGE_HTTP_MEDIA_H
/* Media types and content codings as headers name them (RFC 9110, 8.3 and 12.5).  Pure. */
#include "base/span.h"

/* The type of a Content-Type without its parameters, trimmed; {NULL, 0} when it is no type/subtype.
 */
struct span media_type(struct span ct);

/* `declared` may be "a/b", or a range of RFC 9110, 12.5.1; `type` comes from media_type. */
bool media_match(const char *declared, struct span type);

/* application/json or anything that ends in +json. */
bool media_is_json(struct span type);

/* charset is absent, utf-8 or us-ascii. */
bool media_charset_ok(struct span ct);

/* Does Accept-Encoding allow gzip (named or by "*", with a q above 0)? */
bool media_accepts_gzip(struct span ae);

/* Worth compressing: text, JSON, XML, CSV and their like. */
bool media_is_text(struct span type);

#endif
