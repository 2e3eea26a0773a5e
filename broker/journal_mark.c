#include "broker/journal_mark.h"

#include <unistd.h>

#include "broker/journal_crc.h"

#define MARK "TAXIMARK"

struct mark {
	char magic[8];
	uint64_t head;
	uint32_t crc, zero;
};

static uint32_t
mark_crc(const struct mark *m)
{
	return journal_crc(0, m, offsetof(struct mark, crc));
}

bool
journal_mark_read(int fd, uint64_t *head)
{
	struct mark m;

	if (pread(fd, &m, sizeof m, 0) != (ssize_t)sizeof m ||
	    memcmp(m.magic, MARK, sizeof m.magic) != 0 || m.crc != mark_crc(&m))
		return false;
	*head = m.head;
	return true;
}

bool
journal_mark_write(int fd, uint64_t head)
{
	struct mark m = {.magic = MARK, .head = head};

	m.crc = mark_crc(&m);
	return pwrite(fd, &m, sizeof m, 0) == (ssize_t)sizeof m;
}
