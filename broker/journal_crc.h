#ifndef BROKER_JOURNAL_CRC_H
#define BROKER_JOURNAL_CRC_H
/* CRC-32C (Castagnoli), eight bytes a step.  Pure but for its tables. */
#include <stddef.h>
#include <stdint.h>
#include "broker/journal.h"

void journal_crc_init(void); /* before the first use; any number of times, from any thread */

/* Continues `crc`, which starts as 0. */
uint32_t journal_crc(uint32_t crc, const void *bytes, size_t n);

/* Over everything of a record that is stored.  Lengths are part of it, so bytes cannot move between
 * topic, key and frame unseen. */
uint32_t journal_crc_row(const struct journal_row *r);
uint32_t journal_crc_cursor(struct span src, struct span owner, struct span cur);
uint32_t journal_crc_dead(const struct journal_dead *d);

/* What any other row is checked by: its columns one after the other, a number as eight bytes, bytes
 * after their length.  Absent bytes differ from empty ones. */
uint32_t journal_crc_num(uint32_t crc, uint64_t v);
uint32_t journal_crc_span(uint32_t crc, struct span s);

#endif
