/* pusher-csv-file: rows into one CSV file a trigger, each exactly once. */
#include "services/data-gateway/pusher.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/die.h"
#include "base/log.h"
#include "services/data-gateway/plugins/csv-file/writer.h"

static struct {
	const char *dir;
	bool with_trigger;
} conf;

struct dest {
	struct pusher *p;
	struct writer *writer;
	struct loop_fd *fd;
	struct pusher_batch batch;
};

static void
on_written(void *arg, short revents)
{
	struct dest *d = arg;
	const struct writer_end *ends = writer_take(d->writer);
	/* The last pusher_done may let the next batch begin. */
	struct pusher_batch b = d->batch;

	(void)revents;
	for (size_t i = 0; ends != NULL && i < b.n; i++)
		pusher_done(b.items[i], ends[i].end, 0, ends[i].why);
}

static void
on_push(void *state, const struct pusher_batch *b)
{
	struct dest *d = state;

	d->batch = *b;
	writer_start(d->writer, b);
}

static int
on_open(void *state, struct pusher *p)
{
	struct dest *d = state;

	d->p = p;
	if (mkdir(conf.dir, 0755) == -1 && errno != EEXIST) {
		log_error(
		    "bad_option", LOG_S("option", "dir"), LOG_S("dir", conf.dir), LOG_ERRNO());
		return EXIT_NORESTART;
	}
	d->writer = writer_new(conf.dir, conf.with_trigger);
	if (d->writer == NULL) {
		log_error("dir_unusable", LOG_S("dir", conf.dir), LOG_ERRNO());
		return EXIT_AGAIN;
	}
	d->fd = loop_fd(pusher_loop(p), writer_fd(d->writer), ZMQ_POLLIN, on_written, d);
	return 0;
}

static bool
needs_trigger(void *state)
{
	(void)state;
	return conf.with_trigger;
}

static void
on_close(void *state)
{
	struct dest *d = state;

	if (d->fd != NULL)
		loop_fd_end(d->fd);
	writer_free(d->writer);
}

static const struct opt options[] = {
    {"dir", OPT_STR, &conf.dir, NULL, 0, 0, OPT_REQUIRED,
	"directory of the files; made when absent"},
    {"with-trigger", OPT_BOOL, &conf.with_trigger, "false", 0, 0, 0,
	"also write <uuid>.json, what the trigger says"},
};

static const struct pusher_ops ops = {
    .name = "csv-file",
    .about = "Writes rows into one CSV file per trigger, each exactly once.",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .open = on_open,
    .needs_trigger = needs_trigger,
    .push = on_push,
    .close = on_close,
};

int
main(int argc, char **argv)
{
	static struct dest dest;

	return pusher_main(argc, argv, &ops, &dest);
}
