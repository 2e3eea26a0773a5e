#include "edge-http/notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"

void
notes_init(struct notes *ns)
{
	ns->kept = ns->n = 0;
}

void
notes_fini(struct notes *ns)
{
	for (size_t i = 0; i < ns->kept; i++) {
		free(ns->v[i].service);
		free(ns->v[i].path);
		free(ns->v[i].why);
	}
	notes_init(ns);
}

void
notes_add(struct notes *ns, const char *service, const char *path, const char *why)
{
	ns->n++;
	if (ns->kept == NOTES_MAX)
		return;
	ns->v[ns->kept++] = (struct note){xstrdup(service), xstrdup(path), xstrdup(why)};
}

bool
notes_has(const struct notes *ns, const struct note *n)
{
	for (size_t i = 0; i < ns->kept; i++) {
		if (strcmp(ns->v[i].service, n->service) == 0 &&
		    strcmp(ns->v[i].path, n->path) == 0 && strcmp(ns->v[i].why, n->why) == 0)
			return true;
	}
	return false;
}
