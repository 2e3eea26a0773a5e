#include "services/control-tower/plugins/file/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"

void
place_init(struct place *p)
{
	*p = (struct place){.inbox = -1, .work = -1, .done = -1, .failed = -1, .lock = -1};
}

static int
open_folder(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0770) == -1 && errno != EEXIST) {
		log_error("folder_failed", LOG_S("folder", name), LOG_ERRNO());
		return -1;
	}
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		log_error("folder_failed", LOG_S("folder", name), LOG_ERRNO());
	return fd;
}

int
place_open(struct place *p)
{
	p->inbox = open_folder(AT_FDCWD, p->dir);
	if (p->inbox == -1)
		return -1;
	p->work = open_folder(p->inbox, ".work");
	p->done = open_folder(p->inbox, "done");
	p->failed = open_folder(p->inbox, "failed");
	p->lock = openat(p->work, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (p->work == -1 || p->done == -1 || p->failed == -1 || p->lock == -1) {
		log_error("folder_failed", LOG_S("folder", p->dir), LOG_ERRNO());
		place_close(p);
		return -1;
	}
	return 0;
}

void
place_close(struct place *p)
{
	int *const fds[] = {&p->inbox, &p->work, &p->done, &p->failed, &p->lock};

	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
		if (*fds[i] != -1)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
}

int
place_lock(struct place *p)
{
	if (flock(p->lock, LOCK_EX | LOCK_NB) == 0)
		return 1;
	if (errno == EWOULDBLOCK)
		return 0;
	log_error("lock_failed", LOG_S("folder", p->dir), LOG_ERRNO());
	return -1;
}

int
place_is_released(int fd)
{
	/* The kernel grants a read lease only while no writer has the file open. */
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == -1)
		return errno == EAGAIN ? 0 : -1;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return 1;
}

static int
write_text(int fd, const char *name, struct span text)
{
	char path[PLACE_NAME + 16];
	int out;
	ssize_t n;

	(void)snprintf(path, sizeof path, "%.*s.error", PLACE_NAME - 8, name);
	out = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0660);
	if (out == -1)
		return -1;
	n = write(out, text.p, text.n);
	if (close(out) == -1)
		return -1;
	return n == (ssize_t)text.n ? 0 : -1;
}

/* `name`, or name.tag when that is taken. */
static int
move(int from_fd, const char *from, int to_fd, char name[PLACE_NAME], const char *tag)
{
	char tagged[PLACE_NAME];

	if (renameat2(from_fd, from, to_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	(void)snprintf(tagged, sizeof tagged, "%.*s.%.16s", PLACE_NAME - 18, name, tag);
	(void)snprintf(name, PLACE_NAME, "%s", tagged);
	return renameat(from_fd, from, to_fd, name);
}

int
place_finish(const struct place *p, const struct place_move *m)
{
	int to = m->end == PLACE_DONE ? p->done : p->failed, rc;
	char final[PLACE_NAME];

	(void)snprintf(final, sizeof final, "%s", m->name);
	if (m->end == PLACE_DONE && p->remove) {
		rc = unlinkat(p->work, m->from, 0);
	} else {
		rc = move(p->work, m->from, to, final, m->tag);
	}
	/* A crash may have come between the move and the cursor that knows of it. */
	if (rc == -1 && errno == ENOENT)
		rc = 0;
	if (rc == 0 && m->text.n > 0)
		rc = write_text(to, final, m->text);
	if (rc == 0)
		rc = fsync(to) | fsync(p->work);
	if (rc == 0) {
		log_info(m->end == PLACE_DONE ? "file_done" : "file_failed", LOG_S("name", final));
		return 0;
	}
	log_error("file_move_failed", LOG_S("name", m->name), LOG_ERRNO());
	return -1;
}

int
place_take(const struct place *p, int fd, const char *name, const char *work)
{
	struct stat have, took;

	if (renameat(p->inbox, name, p->work, work) == -1) {
		if (errno == ENOENT)
			return 0;
		log_warn("file_take_failed", LOG_S("name", name), LOG_ERRNO());
		return -1;
	}
	if (fstat(fd, &have) == 0 && fstatat(p->work, work, &took, AT_SYMLINK_NOFOLLOW) == 0 &&
	    have.st_ino == took.st_ino)
		return 1;
	/* Another file has got the name since this one was opened. */
	place_give_back(p, work, name, "new");
	return 0;
}

void
place_give_back(const struct place *p, const char *work, const char *name, const char *tag)
{
	char other[PLACE_NAME];

	if (renameat2(p->work, work, p->inbox, name, RENAME_NOREPLACE) == 0)
		return;
	(void)snprintf(other, sizeof other, "%.16s-%.*s", tag, PLACE_NAME - 18, name);
	if (renameat(p->work, work, p->inbox, other) == -1)
		log_error("file_give_back_failed", LOG_S("name", name), LOG_ERRNO());
}

void
place_complain(const struct place *p, const char *name, struct span text)
{
	char path[PLACE_NAME + 16];
	int out;

	(void)snprintf(path, sizeof path, "%.*s.error", PLACE_NAME - 8, name);
	out = openat(p->failed, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0660);
	if (out == -1 || write(out, text.p, text.n) == -1)
		log_warn("file_complaint_failed", LOG_S("name", path), LOG_ERRNO());
	if (out != -1)
		(void)close(out);
}
