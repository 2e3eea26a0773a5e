#ifndef CLI_IDS_H
#define CLI_IDS_H
/* Answers of the broker for people: 16 bytes under id, root or epoch become the text of a UUID,
 * where JSON would have base64.  Pure. */
#include "base/buf.h"
#include "proto/doc.h"

void ids_put(
    struct buf *out, const msgpack_object *o); /* as msgpack; as deep as doc_parse lets in */

#endif
