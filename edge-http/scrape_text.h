#ifndef EDGE_HTTP_SCRAPE_TEXT_H
#define EDGE_HTTP_SCRAPE_TEXT_H
/* From the answers of sys.stats, sys.groups and sys.stats.<name>.<pid> to Prometheus text.  Pure.
 */
#include "base/buf.h"
#include "proto/doc.h"

/* Of the broker: counters, drops and bytes get metrics of their own; everything else that is a
 * number follows as scrape_text_process does it. */
void scrape_text_broker(const msgpack_object *stats, struct buf *out);
void scrape_text_groups(const msgpack_object *answer, struct buf *out);

/* One line for each number, its place in the map as label, for the topic sys.stats.x.17:
 * taxiway_stat{process="x",pid="17",stat="loop.slow"} 0. */
void scrape_text_process_head(struct buf *out);
void scrape_text_process(struct span topic, const msgpack_object *stats, struct buf *out);

#endif
