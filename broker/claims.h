#ifndef BROKER_CLAIMS_H
#define BROKER_CLAIMS_H
/* Whose path is whose, as the journal has it or is about to: for bounds that need no reading. */
#include "base/span.h"

struct journal;
struct claims;

struct claims *claims_load(struct journal *j); /* NULL: the journal cannot be read */
void claims_free(struct claims *c);            /* NULL is harmless */
const char *claims_name(const struct claims *c, struct span path);     /* whose; NULL: nobody's */
unsigned claims_of(const struct claims *c, struct span name);          /* how many a name has */
void claims_set(struct claims *c, struct span path, struct span name); /* adds or replaces */
void claims_del(struct claims *c, struct span path);

#endif
