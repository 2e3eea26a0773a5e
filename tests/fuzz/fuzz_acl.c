/* The acl file: read whole or refused with a reason; what is read never allows more than its text
 * says. */
#include <stdlib.h>

#include "base/die.h"
#include "broker/acl.h"
#include "cli/acl_text.c"
#include "proto/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* `sys` is allowed only where the text has it. */
static void
check_entry(const struct acl_entry *e, struct span text)
{
	static const char *const topics[] = {"sys.drain", "a", "a.b", "live.x"};

	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		bool may = acl_allows(e, ACL_REQUEST, span_str(topics[i]));

		if (may && i == 0)
			INVARIANT(memmem(text.p, text.n, "sys", 3) != NULL);
		INVARIANT(!may || e->list[ACL_REQUEST].n > 0);
	}
	INVARIANT((e->key[0] == '\0') == (strcmp(e->name, ACL_LOCAL) == 0));
	INVARIANT(!acl_allows_feed(e) || acl_allows(e, ACL_SUBSCRIBE, span_str("a.b.c")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct acl_walk w = {.text = text};
	struct acl_section s;
	struct acl_fault f;
	struct acl *a = acl_parse(text, &f);
	unsigned sections = 0;

	while (acl_text_next(&w, &s))
		sections++;
	if (a == NULL) {
		INVARIANT(f.why != NULL);
		return 0;
	}
	INVARIANT(w.why == NULL && sections == a->n);
	for (const struct acl_entry *e = a->first; e != NULL; e = e->next)
		check_entry(e, text);
	acl_free(a);
	return 0;
}
