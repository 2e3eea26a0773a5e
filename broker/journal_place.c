#include "broker/journal_place.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/die.h"
#include "broker/journal_schema.h"

void
journal_place_open(struct journal_place *p, const char *dir)
{
	p->file[0].path = xasprintf("%s/" JOURNAL_FILE, dir);
	p->file[1].path = xasprintf("%s/" JOURNAL_FILE "-wal", dir);
	p->file[0].ino = p->file[1].ino = 0;
	(void)journal_place_lost(p);
}

void
journal_place_close(struct journal_place *p)
{
	free(p->file[0].path);
	free(p->file[1].path);
	*p = (struct journal_place){0};
}

const char *
journal_place_lost(struct journal_place *p)
{
	for (int i = 0; i < 2; i++) {
		struct stat st = {0};
		bool there = stat(p->file[i].path, &st) == 0;

		if (there && p->file[i].ino == 0) {
			p->file[i].dev = st.st_dev;
			p->file[i].ino = st.st_ino;
		} else if (p->file[i].ino != 0 &&
			   (!there || p->file[i].ino != st.st_ino || p->file[i].dev != st.st_dev)) {
			return p->file[i].path;
		}
	}
	return NULL;
}
