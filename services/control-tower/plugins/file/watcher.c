/* watcher-file: files dropped into a folder become triggers, each exactly once. */
#include <signal.h>

#include "base/die.h"
#include "services/control-tower/plugins/file/inbox.h"

static struct {
	struct inbox_settings set;
	struct inbox *inbox;
} state;

static const struct opt options[] = {
    {"dir", OPT_STR, &state.set.dir, NULL, 0, 0, OPT_REQUIRED,
	"folder to watch; made when missing"},
    {"settle-ms", OPT_INT, &state.set.settle_ms, "1000", 0, 3600000, 0,
	"how long a file that is not whole may still be on its way"},
    {"rescan-ms", OPT_INT, &state.set.rescan_ms, "5000", 10, 3600000, 0,
	"look through the folder at least this often"},
    {"quiet-ms", OPT_INT, &state.set.quiet_ms, "60000", 0, 86400000, 0,
	"move an .ndjson file that has not grown for so long to done; 0: never"},
    {"keep", OPT_BOOL, &state.set.keep, "true", 0, 0, 0, "keep what is done, in done/"},
};

static int
open_inbox(struct watcher *w, void *arg)
{
	sigset_t io;

	(void)w;
	(void)arg;
	/* Sent when a lease is broken (place_is_released), and deadly by default. */
	(void)sigemptyset(&io);
	(void)sigaddset(&io, SIGIO);
	(void)pthread_sigmask(SIG_BLOCK, &io, NULL);
	state.inbox = inbox_new(&state.set);
	return state.inbox ? 0 : EXIT_NORESTART;
}

static int
start(struct watcher *w, void *arg)
{
	(void)arg;
	inbox_start(state.inbox, w);
	return 0;
}

static void
stop(void *arg)
{
	(void)arg;
	inbox_stop(state.inbox);
}

static bool
idle(void *arg)
{
	(void)arg;
	return inbox_is_idle(state.inbox);
}

static void
close_inbox(void *arg)
{
	(void)arg;
	inbox_free(state.inbox);
}

static unsigned
stats(void *arg, struct buf *out)
{
	(void)arg;
	return inbox_stats(state.inbox, out);
}

int
main(int argc, char **argv)
{
	static const struct watcher_ops ops = {
	    .name = "file",
	    .about = "Turns files dropped into a folder into triggers",
	    .options = options,
	    .noptions = sizeof options / sizeof *options,
	    .open = open_inbox,
	    .start = start,
	    .stop = stop,
	    .idle = idle,
	    .close = close_inbox,
	    .stats = stats,
	};

	return watcher_main(argc, argv, &ops, &state);
}
