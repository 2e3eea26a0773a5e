#ifndef EDGE_HTTP_INTAKE_H
#define EDGE_HTTP_INTAKE_H
/* The header of a request is there: who is it, may they, what do they mean, and how will the body
 * be read? Either the answer is filled (a refusal), or op and body are set. */
#include "edge-http/http.h"

void intake(struct http_req *r);
/* Request id and trace; before intake, of a header that will never be whole, new ones.  Harmless
 * twice. */
void intake_identify(struct http_req *r);
void intake_refuse_query(struct http_req *r); /* target_is_long: fill the answer */
/* A body follows, as far as the header tells. */
bool intake_has_body(const struct http_req *r);

#endif
