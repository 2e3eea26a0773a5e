#ifndef EDGE_HTTP_NOTES_H
#define EDGE_HTTP_NOTES_H
/* What of the announcements was refused, and why: logged once when it is new, and shown in /readyz.
 */
#include <stdbool.h>
#include <stddef.h>

#define NOTES_MAX 100 /* kept; all are counted */

struct note {
	char *service, *path, *why;
};

struct notes {
	struct note v[NOTES_MAX];
	size_t kept, n;
};

void notes_init(struct notes *ns);
void notes_fini(struct notes *ns);
/* Copies. `path` may carry the method before it. */
void notes_add(struct notes *ns, const char *service, const char *path, const char *why);
bool notes_has(const struct notes *ns, const struct note *n);

#endif
