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

#endif
