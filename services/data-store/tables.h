#ifndef DATA_STORE_TABLES_H
#define DATA_STORE_TABLES_H
/* table-structure and table-data: request handlers, arg is the answer_house. */
#include "services/data-store/answer.h"

void tables_on_structure(void *arg, struct worker_msg *m);
void tables_on_data(void *arg, struct worker_msg *m);

#endif
