/* edge-http: HTTP in, envelopes out.  The harness's thread is the first shard; the others have
 * threads of their own. */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/die.h"
#include "edge-http/listen.h"
#include "edge-http/thread.h"
#include "proto/mp.h"
#include "proto/svc.h"

struct state {
	struct edge edge;
	struct svc *svc;
	struct shard *first;
	struct thread *others[EDGE_SHARDS_MAX];
	struct loop_fd *loaded_watch;
	bool draining;
};

static struct state st = {.edge = {.loaded_fd = -1}};

#define CONF st.edge.conf

static const struct opt ROWS[] = {
    {"listen", OPT_STR, &CONF.listen, "127.0.0.1:8080", 0, 0, 0,
	"address to serve HTTP on; port 0 takes a free one"},
    {"shards", OPT_INT, &CONF.nshards, "1", 1, EDGE_SHARDS_MAX, 0,
	"threads that serve; more than one pays where cores are idle"},
    {"max-body", OPT_INT, &CONF.max_body, "15m", 1024, 15 * 1024 * 1024 + 512 * 1024, 0,
	"largest request body, in bytes, after inflating; it has to fit a frame of the bus"},
    {"max-connections", OPT_INT, &CONF.max_connections, "4096", 1, 1000000, 0,
	"open connections, over all shards"},
    {"header-timeout-ms", OPT_INT, &CONF.header_timeout_ms, "10000", 10, 3600000, 0,
	"how long the header of a request may take"},
    {"body-timeout-ms", OPT_INT, &CONF.body_timeout_ms, "30000", 10, 3600000, 0,
	"how long a body may take, beyond what 4 KiB a second need"},
    {"hosts", OPT_STR, &CONF.hosts, "localhost,127.0.0.1,[::1]", 0, 0, 0,
	"names this server answers to, by commas; the port does not count"},
    {"behind-proxy", OPT_BOOL, &CONF.behind_proxy, "false", 0, 0, 0,
	"a proxy in front ends TLS: accept its headers, trust no caller"},
    {"access-log", OPT_BOOL, &CONF.access_log, "false", 0, 0, 0, "a line for every request"},
};

static const struct opt_table OPTIONS[] = {
    {"TAXI_", "HTTP", ROWS, sizeof ROWS / sizeof ROWS[0]},
};

static int
wrong(const char *option, const char *value, const char *expected)
{
	log_error("bad_option", LOG_S("option", option), LOG_S("value", value),
	    LOG_S("expected", expected));
	return EXIT_NORESTART;
}

static int
check_options(void)
{
	bool local = false;

	if (listen_check(CONF.listen, &local) != 0)
		return wrong("--listen", CONF.listen, "host:port with a numeric address");
	if (!local && !CONF.behind_proxy)
		return wrong("--listen", CONF.listen, "a loopback address, or --behind-proxy");
	if (guard_hosts(&CONF.guard, CONF.hosts) != 0)
		return wrong("--hosts", CONF.hosts, "1 to 16 names, separated by commas");
	CONF.guard.behind_proxy = CONF.behind_proxy;
	return 0;
}

/* Every connection is a descriptor, and the usual soft limit is 1024. */
static void
raise_descriptors(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) != 0) {
		log_warn("descriptors_not_raised", LOG_ERRNO());
	} else if (rl.rlim_cur < (rlim_t)CONF.max_connections + 64) {
		log_warn("few_descriptors", LOG_U("limit", rl.rlim_cur),
		    LOG_I("max_connections", CONF.max_connections));
	}
}

static void
on_loaded(void *arg, short revents)
{
	uint64_t n;

	(void)arg;
	(void)revents;
	if (read(st.edge.loaded_fd, &n, sizeof n) == (ssize_t)sizeof n)
		svc_check_ready(st.svc);
}

/* The first turn of the loop: by now the harness has a link. */
static void
attach(void *arg)
{
	(void)arg;
	shard_attach(st.first, svc_client(st.svc), svc_worker(st.svc));
}

static int
start_shards(const int *fds)
{
	struct edge *e = &st.edge;

	for (unsigned i = 0; i < e->nshards; i++)
		e->metrics[i] = metrics_new();
	st.first = shard_new(e, 0, svc_loop(st.svc), fds[0]);
	if (st.first == NULL)
		return EXIT_AGAIN;
	for (unsigned i = 1; i < e->nshards; i++) {
		st.others[i] = thread_start(e, i, fds[i]);
		if (st.others[i] == NULL)
			return EXIT_AGAIN;
	}
	loop_later(svc_loop(st.svc), attach, &st);
	return 0;
}

static int
edge_open(void *state, struct svc *s)
{
	int fds[EDGE_SHARDS_MAX], code = check_options();
	struct edge *e = &st.edge;
	unsigned port;

	(void)state;
	if (code != 0)
		return code;
	st.svc = s;
	CONF.bus = svc_endpoint(s);
	e->nshards = (unsigned)CONF.nshards;
	raise_descriptors();
	e->loaded_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->loaded_fd == -1)
		die(EXIT_AGAIN, "eventfd: %s", strerror(errno));
	st.loaded_watch = loop_fd(svc_loop(s), e->loaded_fd, ZMQ_POLLIN, on_loaded, &st);
	if (listen_open(CONF.listen, fds, e->nshards, &port) != 0) {
		log_error("listen_failed", LOG_S("address", CONF.listen), LOG_ERRNO());
		return EXIT_AGAIN;
	}
	log_info("listening", LOG_S("address", CONF.listen), LOG_U("port", port),
	    LOG_U("shards", e->nshards));
	return start_shards(fds);
}

static bool
edge_ready(void *state)
{
	(void)state;
	return atomic_load(&st.edge.loaded) == st.edge.nshards;
}

static void
edge_drain(void *state)
{
	(void)state;
	if (st.draining)
		return;
	st.draining = true;
	shard_drain(st.first);
	for (unsigned i = 1; i < st.edge.nshards; i++)
		thread_drain(st.others[i]);
}

static bool
edge_idle(void *state)
{
	edge_drain(state); /* the harness drains only what was connected */
	return shard_is_idle(st.first) && atomic_load(&st.edge.idle) == st.edge.nshards - 1;
}

static void
edge_close(void *state)
{
	(void)state;
	for (unsigned i = 1; i < st.edge.nshards; i++)
		thread_stop(st.others[i]);
	shard_free(st.first);
	for (unsigned i = 0; i < st.edge.nshards; i++)
		metrics_free(st.edge.metrics[i]);
	loop_fd_end(st.loaded_watch);
	if (st.edge.loaded_fd != -1)
		(void)close(st.edge.loaded_fd);
}

static unsigned
edge_stats(void *state, struct buf *out)
{
	(void)state;
	for (int c = 0; c < METRICS_COUNT_N; c++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < st.edge.nshards; i++)
			sum += metrics_get(st.edge.metrics[i], (enum metrics_count)c);
		mp_put_cstr(out, metrics_name((enum metrics_count)c));
		mp_put_u64(out, sum);
	}
	return METRICS_COUNT_N;
}

int
main(int argc, char **argv)
{
	static const struct svc_spec spec = {
	    .name = "edge-http",
	    .about = "HTTP in, envelopes out: serves what the services announce",
	    .options = OPTIONS,
	    .noptions = sizeof OPTIONS / sizeof OPTIONS[0],
	    .open = edge_open,
	    .drain = edge_drain,
	    .idle = edge_idle,
	    .close = edge_close,
	    .stats = edge_stats,
	    .ready = edge_ready,
	};

	return svc_main(argc, argv, &spec, &st);
}
