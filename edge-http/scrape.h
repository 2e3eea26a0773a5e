#ifndef EDGE_HTTP_SCRAPE_H
#define EDGE_HTTP_SCRAPE_H
/* GET /metrics: the shards' own counters, and what the broker and every process that is announced
 * say of themselves within one second. */
#include "edge-http/http.h"

void scrape(struct http_req *r);

#endif
