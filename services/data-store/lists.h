#ifndef DATA_STORE_LISTS_H
#define DATA_STORE_LISTS_H
/* The lists: files the registry knows, and datasets that can be read.  Request handlers, arg is the
 * answer_house. */
#include "services/data-store/answer.h"

void lists_on_datafiles(void *arg, struct worker_msg *m);
void lists_on_datasets(void *arg, struct worker_msg *m);

#endif
