/* The bus. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "base/opt.h"
#include "broker/auth.h"
#include "broker/broker.h"
#include "broker/journal_tool.h"
#include "proto/sock.h"

enum { DESCRIPTORS = 65536, KEPT_BACK = 128, FEW_PEERS = 4096, MAPPED = 2 << 20 };

static struct broker_conf conf;
static const char *journal_dir, *log_level;
static bool in_memory;
static int64_t max_bytes, peer_bytes, ready_fd;

static const struct opt rows[] = {
    {"bind", OPT_STR, &conf.bind, "tcp://127.0.0.1:5570", 0, 0, 0,
	"where clients and workers connect, a comma list"},
    {"feed", OPT_STR, &conf.feed, "tcp://127.0.0.1:5571", 0, 0, 0,
	"where watchers connect; empty: nowhere"},
    {"keys", OPT_STR, &conf.keys, "", 0, 0, 0,
	"directory with broker.key (taxi keys new) and acl: tcp asks for keys"},
    {"journal", OPT_STR, &journal_dir, "", 0, 0, 0,
	"directory of the journal; made with mode 0700 when absent"},
    {"memory", OPT_BOOL, &in_memory, "false", 0, 0, 0,
	"keep the journal in memory only: for trying things out"},
    {"max-bytes", OPT_INT, &max_bytes, "256m", 1 << 20, INT64_MAX / 2, 0,
	"what all peers together may keep waiting"},
    {"peer-bytes", OPT_INT, &peer_bytes, "64m", 1 << 17, INT64_MAX / 2, 0,
	"what one peer may keep waiting"},
    {"retain-ms", OPT_INT, &conf.retain_ms, "604800000", 0, INT64_MAX / 2, 0,
	"how long a record is kept once every group has it done"},
    {"retain-bytes", OPT_INT, &conf.retain_bytes, "10g", 0, INT64_MAX / 2, 0,
	"how many bytes of such records are kept"},
    {"idle-ms", OPT_INT, &conf.idle_ms, "0", 0, INT64_MAX / 2, 0,
	"a new group without workers is paused after this; 0: never"},
    {"idle-warn-ms", OPT_INT, &conf.idle_warn_ms, "3600000", 0, INT64_MAX / 2, 0,
	"one that is not paused is warned of after this; 0: never"},
    {"drain-ms", OPT_INT, &conf.drain_ms, "5000", 0, 600000, 0,
	"how long requests under way may take at the end"},
    {"trace-hops", OPT_INT, &conf.trace_hops, "65536", 0, 1 << 24, 0,
	"latest hops of envelopes that sys.trace knows (128 bytes each); 0: only what is on disk"},
    {"log-level", OPT_STR, &log_level, "info", 0, 0, 0, "debug, info, warn or error"},
    {"ready-fd", OPT_INT, &ready_fd, "-1", -1, 1 << 20, 0,
	"where a newline is written once everybody may connect"},
};

static void
check_endpoints(const char *list, const char *flag)
{
	char *copy = xstrdup(list), *save = NULL;

	for (char *s = strtok_r(copy, ",", &save); s != NULL; s = strtok_r(NULL, ",", &save)) {
		if (conf.keys[0] == '\0' && !sock_is_local(s)) {
			die(EXIT_NORESTART,
			    "--%s %s: only loopback and ipc addresses are served without --keys",
			    flag, s);
		}
	}
	free(copy);
}

static struct journal *
open_journal(void)
{
	if (in_memory)
		return journal_open_mem();
	if (journal_dir[0] == '\0')
		die(EXIT_NORESTART, "--journal: expected a directory");
	if (mkdir(journal_dir, 0700) == -1 && errno != EEXIST)
		die(EXIT_NORESTART, "--journal %s: %s", journal_dir, strerror(errno));
	return journal_open_sqlite(journal_dir);
}

static void
on_signal(void *arg, short revents)
{
	struct broker *b = arg;
	struct signalfd_siginfo si;

	(void)revents;
	if (read(b->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo != SIGHUP) {
		broker_drain(b);
	} else if (b->auth != NULL) {
		char text[1024];

		(void)auth_reload(b, text, sizeof(text)); /* it logs what came of it */
	}
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void
say_ready(void)
{
	if (ready_fd < 0)
		return;
	if (write((int)ready_fd, "\n", 1) != 1)
		log_warn("ready_fd", LOG_ERRNO());
	close((int)ready_fd);
}

static void
serve(struct broker *b, struct loop *l)
{
	struct loop_fd *watch;

	b->signal_fd = open_signals();
	watch = loop_fd(l, b->signal_fd, ZMQ_POLLIN, on_signal, b);
	say_ready();
	loop_run(l);
	loop_fd_end(watch);
	close(b->signal_fd);
}

static int
run(void)
{
	struct loop *l = loop_new();
	struct journal *j = open_journal();
	struct broker *b;

	if (j == NULL) {
		die(errno == EUCLEAN ? EXIT_NORESTART : EXIT_AGAIN,
		    "the journal in %s cannot be opened", journal_dir);
	}
	b = broker_new(l, j, &conf);
	if (b == NULL) {
		int code = errno == EINVAL ? EXIT_NORESTART : EXIT_AGAIN;

		log_error("broker_cannot_start");
		loop_free(l);
		zsys_shutdown();
		return code;
	}
	serve(b, l);
	broker_free(b);
	loop_free(l);
	log_info("broker_down");
	zsys_shutdown();
	return 0;
}

/* A connection is a descriptor.  Some are kept back for the journal, and of the rest a part is for
 * those who only watch. */
static void
share_descriptors(void)
{
	struct rlimit rl = {.rlim_cur = 1024};
	rlim_t room;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < DESCRIPTORS) {
		rl.rlim_cur = rl.rlim_max < DESCRIPTORS ? rl.rlim_max : DESCRIPTORS;
		if (setrlimit(RLIMIT_NOFILE, &rl) != 0)
			log_warn("descriptors_not_raised", LOG_ERRNO());
		(void)getrlimit(RLIMIT_NOFILE, &rl);
	}
	room = rl.rlim_cur > 2 * KEPT_BACK ? rl.rlim_cur - KEPT_BACK : KEPT_BACK;
	conf.peers_most = room / 4 * 3 < REGISTRY_PEERS ? (unsigned)(room / 4 * 3) : REGISTRY_PEERS;
	conf.feed_most = room / 4 < REGISTRY_PEERS ? (unsigned)(room / 4) : REGISTRY_PEERS;
	if (conf.peers_most < FEW_PEERS) {
		log_warn("few_descriptors", LOG_U("limit", rl.rlim_cur),
		    LOG_U("peers", conf.peers_most), LOG_U("watchers", conf.feed_most));
	}
}

int
main(int argc, char **argv)
{
	const struct opt_table table = {"TAXI_", "broker", rows, sizeof(rows) / sizeof(*rows)};
	int rest, level, rc;

	log_init("broker", LOG_INFO);
	if (argc > 1 && strcmp(argv[1], "journal") == 0)
		return journal_tool(argc - 1, argv + 1);
	rc = opt_parse(&table, 1,
	    "broker --journal DIR [options]\n       broker journal verify|dump|compact|backup …",
	    argc, argv, &rest);
	if (rc != 0)
		return rc > 0 ? 0 : EXIT_NORESTART;
	level = log_level_of(log_level);
	if (level < 0) {
		die(EXIT_NORESTART, "--log-level %s: expected debug, info, warn or error",
		    log_level);
	}
	if (rest < argc)
		die(EXIT_NORESTART, "%s: the broker takes options only", argv[rest]);
	log_set_level((enum log_level)level);
	conf.max_bytes = (size_t)max_bytes;
	conf.journal = journal_dir;
	conf.peer_bytes = (size_t)peer_bytes;
	check_endpoints(conf.bind, "bind");
	check_endpoints(conf.feed, "feed");
	if (sodium_init() < 0)
		die(EXIT_AGAIN, "libsodium cannot start");
	/* Frames larger than a PACK go back to the system when they are done with: glibc would keep
	 * what the largest flood needed. */
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED);
	sock_process_init();
	share_descriptors();
	return run();
}
