#include "broker/journal_place.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

/* The number alone: who asks for a file's times as well (stat does) makes the kernel give the next
 * write a time of its own, to the nanosecond, and the next fdatasync may have to write the inode.
 */
static bool
look(const char *path, dev_t *dev, ino_t *ino)
{
	struct statx st;

	if (statx(AT_FDCWD, path, 0, STATX_INO, &st) == -1)
		return false;
	*dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	*ino = st.stx_ino;
	return true;
}

const char *
journal_place_lost(struct journal_place *p)
{
	for (int i = 0; i < 2; i++) {
		dev_t dev = 0;
		ino_t ino = 0;
		bool there = look(p->file[i].path, &dev, &ino);

		if (there && p->file[i].ino == 0) {
			p->file[i].dev = dev;
			p->file[i].ino = ino;
		} else if (p->file[i].ino != 0 &&
			   (!there || p->file[i].ino != ino || p->file[i].dev != dev)) {
			return p->file[i].path;
		}
	}
	return NULL;
}
