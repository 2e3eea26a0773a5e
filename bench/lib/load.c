#include "bench/lib/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/str.h"

#define COUNT_MAX_US 1800000000 /* a count that is not reached ends all the same */
#define QUIET_US 3000000        /* and so does one that nothing more comes for */

static struct load_conf conf;
static const struct load_mode *mode;
static pthread_barrier_t all_open;

void
load_note(struct lane *l, int64_t sent_us)
{
	int64_t now = clock_mono_us();

	l->last_us = now;
	if (now < l->from_us || now >= l->end_us)
		return;
	l->done++;
	hist_add(&l->hist, now > sent_us ? (uint64_t)(now - sent_us) : 0, 1);
}

void
load_payload(const struct lane *l, uint8_t *out)
{
	int64_t now = clock_mono_us();

	memset(out, 'x', l->conf->size);
	memcpy(out, &now, sizeof now);
}

int64_t
load_payload_us(const void *payload)
{
	int64_t t;

	memcpy(&t, payload, sizeof t);
	return t;
}

const char *
load_host(const struct load_conf *c, int *port)
{
	static char host[128];
	const char *s = strstr(c->endpoint, "://") ? strstr(c->endpoint, "://") + 3 : c->endpoint;
	const char *colon = strrchr(s, ':');
	int64_t n;

	if (colon == NULL || str_i64(span_str(colon + 1), 1, 65535, &n) != 0 ||
	    !str_copy(host, sizeof host, span_of(s, (size_t)(colon - s))))
		die(2, "expected host:port, not '%s'", c->endpoint);
	*port = (int)n;
	return host;
}

static void
push(struct lane *l, unsigned n)
{
	int64_t now = clock_mono_us();

	for (; n > 0; n--, l->outstanding++)
		l->sent[(l->head + l->outstanding) % conf.window] = now;
}

static void
pop(struct lane *l, unsigned n)
{
	for (; n > 0 && l->outstanding > 0; n--, l->outstanding--) {
		load_note(l, l->sent[l->head]);
		l->head = (l->head + 1) % conf.window;
	}
}

static bool
is_over(const struct lane *l, int64_t begun_us)
{
	if (conf.count == 0)
		return l->now_us >= l->end_us;
	return l->done >= conf.count / conf.clients || l->now_us - begun_us > COUNT_MAX_US ||
	       l->now_us - l->last_us > QUIET_US;
}

static void
begin(struct lane *l)
{
	pthread_barrier_wait(&all_open);
	l->now_us = l->last_us = clock_mono_us();
	l->from_us = l->now_us + (conf.count == 0 ? conf.us / 10 : 0);
	l->end_us = conf.count == 0 ? l->from_us + conf.us : INT64_MAX;
}

static void
keep_window(struct lane *l)
{
	void *x = mode->open(l);
	int64_t begun_us;
	unsigned n;

	begin(l);
	begun_us = l->now_us;
	if (!mode->is_receiver) {
		push(l, conf.window);
		mode->send(x, conf.window);
	}
	while (!is_over(l, begun_us)) {
		n = mode->take(x);
		l->now_us = clock_mono_us();
		if (mode->is_receiver) {
			for (unsigned i = 0; i < n; i++)
				load_note(l, l->now_us);
		} else if (!mode->own_times) {
			pop(l, n);
			push(l, n);
		}
		if (n > 0)
			mode->send(x, n);
	}
	if (mode->close != NULL)
		mode->close(x);
}

static void *
lane_main(void *arg)
{
	struct lane *l = arg;

	if (mode->run != NULL) {
		mode->run(l);
	} else {
		keep_window(l);
	}
	return NULL;
}

static void
report(const struct lane *lanes)
{
	static struct hist all;
	struct rusage u;
	/* A consumer sees no beginning. */
	const bool timed = !mode->is_receiver;
	int64_t from = lanes[0].from_us, end = lanes[0].end_us;
	double secs;

	for (unsigned i = 0; i < conf.clients; i++)
		hist_merge(&all, &lanes[i].hist);
	if (conf.count > 0) {
		end = 0;
		for (unsigned i = 0; i < conf.clients; i++)
			end = lanes[i].last_us > end ? lanes[i].last_us : end;
	}
	getrusage(RUSAGE_SELF, &u);
	secs = end > from ? (double)(end - from) / 1e6 : 1e-6;
	printf("{\"rate\":%.1f,\"done\":%llu,\"secs\":%.3f,\"p50\":%llu,\"p99\":%llu,\"max\":%llu,"
	       "\"cpuUs\":%lld}\n",
	    (double)all.n / secs, (unsigned long long)all.n, secs,
	    timed ? (unsigned long long)hist_at(&all, 500) : 0,
	    timed ? (unsigned long long)hist_at(&all, 990) : 0,
	    timed ? (unsigned long long)all.max : 0,
	    (long long)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
		u.ru_stime.tv_usec);
	fflush(stdout);
}

static const struct load_mode *
find(const char *name, const struct load_mode *modes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	fprintf(stderr, "no mode '%s'; there are:", name);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, " %s", modes[i].name);
	fputc('\n', stderr);
	exit(2);
}

static void
parse(int argc, char **argv)
{
	static int64_t clients, window, ms, size, count, peers;
	static const struct opt rows[] = {
	    {"clients", OPT_INT, &clients, "1", 1, 1000, 0, "lanes, a thread each"},
	    {"window", OPT_INT, &window, "1", 1, 65536, 0, "outstanding, each lane"},
	    {"ms", OPT_INT, &ms, "1000", 10, 600000, 0, "how long to measure"},
	    {"size", OPT_INT, &size, "128", 16, 1 << 20, 0, "bytes of a body"},
	    {"count", OPT_INT, &count, "0", 0, INT64_MAX / 2, 0, "instead of a time"},
	    {"peers", OPT_INT, &peers, "1000", 1, 100000, 0, "subscribers, or idle peers"},
	    {"name", OPT_STR, &conf.name, "bench", 0, 0, 0, "topic, queue, key or stream"},
	    {"ids", OPT_STR, &conf.ids, "clock", 0, 0, 0, "peer_taxi: clock, uuid7 or random"},
	};
	static const struct opt_table table = {
	    "BENCH_", "load", rows, sizeof rows / sizeof rows[0]};

	int got = opt_parse(&table, 1, "MODE ENDPOINT [OPTIONS]\n", argc, argv, NULL);

	if (got != 0)
		exit(got > 0 ? 0 : 2);
	conf.clients = (unsigned)clients;
	conf.window = (unsigned)window;
	conf.peers = (unsigned)peers;
	conf.us = ms * 1000;
	conf.size = (size_t)size;
	conf.count = (uint64_t)count;
}

int
load_main(int argc, char **argv, const struct load_mode *modes, size_t n)
{
	struct lane *lanes;

	log_init("bench", LOG_WARN);
	if (argc < 3) {
		fprintf(stderr, "usage: %s MODE ENDPOINT [OPTIONS]\n", argv[0]);
		return 2;
	}
	mode = find(argv[1], modes, n);
	conf.mode = argv[1];
	conf.endpoint = argv[2];
	argv[2] = argv[0];
	parse(argc - 2, argv + 2);
	lanes = xcalloc(conf.clients, sizeof *lanes);
	pthread_barrier_init(&all_open, NULL, conf.clients);
	for (unsigned i = 0; i < conf.clients; i++) {
		lanes[i].conf = &conf;
		lanes[i].n = i;
		lanes[i].sent = xcalloc(conf.window, sizeof *lanes[i].sent);
		INVARIANT(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) == 0);
	}
	for (unsigned i = 0; i < conf.clients; i++)
		pthread_join(lanes[i].thread, NULL);
	report(lanes);
	_Exit(0); /* some libraries' threads do not end; the process does */
}
