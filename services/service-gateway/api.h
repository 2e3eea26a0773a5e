#ifndef SERVICE_GATEWAY_API_H
#define SERVICE_GATEWAY_API_H
/* What the gateway tells about its catalogue: the OpenAPI fragment it announces, and
 * /services/_schema.  Pure. */
#include "services/service-gateway/catalogue.h"

/* Appends the OpenAPI 3.1 fragment (msgpack) with one path for each method, each service, and the
 * list. */
void api_put_openapi(const struct catalogue_service *first, struct buf *out);
/* Appends the list of services with methods, schemas and providers. */
void api_put_schema(const struct catalogue_service *first, struct buf *out);
/* Appends one of them. */
void api_put_service(const struct catalogue_service *s, struct buf *out);

#endif
