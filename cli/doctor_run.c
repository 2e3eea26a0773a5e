/* taxi doctor: looks at everything, lets the judges judge, and remembers the look. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/doctor.h"
#include "cli/fmt.h"
#include "cli/say.h"
#include "proto/digest.h"
#include "proto/keys.h"
#include "proto/sock.h"

enum { ROUNDS = 5, FEED_TRIES = 20, FEED_MS = 100, STATE_MAX = 1 << 20 };

/* ---- the last look, in a file ---- */

struct memory {
	char path[512];
	struct buf bytes;
	struct doc doc;
	struct doctor_before before;
};

static void
memory_path(struct memory *m, const char *bus)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct span part = span_str(bus);
	uint8_t digest[32];
	char dir[400];

	if (state != NULL && *state) {
		snprintf(dir, sizeof dir, "%s", state);
	} else {
		snprintf(dir, sizeof dir, "%s/.local", home ? home : "/tmp");
		(void)mkdir(dir, 0700);
		snprintf(dir, sizeof dir, "%s/.local/state", home ? home : "/tmp");
	}
	(void)mkdir(dir, 0700);
	digest_parts(digest, &part, 1);
	snprintf(m->path, sizeof m->path, "%s/taxi", dir);
	(void)mkdir(m->path, 0700); /* if it fails, there is no last look: no more than that */
	snprintf(m->path, sizeof m->path, "%s/taxi/doctor-%02x%02x%02x%02x", dir, digest[0],
	    digest[1], digest[2], digest[3]);
}

static void
memory_load(struct memory *m, const char *bus)
{
	char why[KEYS_WHY];

	*m = (struct memory){.path = ""};
	buf_init(&m->bytes, STATE_MAX);
	memory_path(m, bus);
	if (keys_read(m->path, &m->bytes, why) != 0 || doc_parse(&m->doc, buf_span(&m->bytes)) != 0)
		return;
	m->before.stats = doc_get(&m->doc.root, "stats");
	m->before.ago_ms = clock_real_ms() - doc_i64(&m->doc.root, "at", 0);
	if (m->before.ago_ms < 0)
		m->before.stats = NULL;
}

static void
memory_store(const struct memory *m, struct span stats)
{
	char why[KEYS_WHY];
	struct map now;

	map_init(&now);
	map_i64(&now, "at", clock_real_ms());
	map_raw(&now, "stats", stats);
	if (keys_write(m->path, map_span(&now), why) != 0)
		fprintf(stderr, "taxi: this look cannot be remembered: %s\n", why);
	map_fini(&now);
}

/* ---- the feed ---- */

struct feed {
	struct cli *c;
	zsock_t *sock;
	bool seen;
};

static void
on_feed(void *arg)
{
	struct feed *f = arg;
	zmsg_t *m = zmsg_recv(f->sock);

	f->seen = f->seen || m != NULL;
	zmsg_destroy(&m);
	loop_stop(f->c->loop);
}

/* The first endpoint of the list; an address of every interface is the one we reach the bus by. */
static void
feed_endpoint(struct span feeds, const char *bus, char out[256])
{
	const uint8_t *comma = memchr(feeds.p, ',', feeds.n), *colon;
	char first[256] = "";

	(void)str_copy(
	    first, sizeof first, comma ? span_of(feeds.p, (size_t)(comma - feeds.p)) : feeds);
	colon = (const uint8_t *)strrchr(first, ':');
	if (colon != NULL && strncmp(bus, "tcp://", 6) == 0 &&
	    (strncmp(first, "tcp://0.0.0.0:", 14) == 0 || strncmp(first, "tcp://*:", 8) == 0)) {
		snprintf(
		    out, 256, "%.*s%s", (int)(strrchr(bus, ':') - bus), bus, (const char *)colon);
	} else {
		snprintf(out, 256, "%s", first);
	}
}

/* What is published here must come by there: more than once, since a subscription takes a moment.
 * The error that kept it from being published. */
static enum err
wait_for_feed(struct cli *c, struct feed *f)
{
	enum err err = ERR_OK;

	for (int i = 0; i < FEED_TRIES && !f->seen && err == ERR_OK && c->signal == 0; i++) {
		struct cli_reply r;
		struct env e;

		env_init(&e, ENV_PUB, span_str("live.doctor"), NULL);
		cli_send(c, &e, &r);
		err = r.err;
		cli_reply_fini(&r);
		if (!f->seen && err == ERR_OK)
			cli_pause(c, FEED_MS);
	}
	return err;
}

static void
look_at_feed(struct cli *c, struct doctor *d, struct span feeds, bool has_keys)
{
	struct feed f = {.c = c};
	char endpoint[256];
	enum err err;

	if (feeds.n == 0) {
		doctor_add(d, DOCTOR_OK, "feed", "", "the broker has none");
		return;
	}
	feed_endpoint(feeds, c->bus, endpoint);
	if (has_keys && c->key[0] == '\0' && strncmp(endpoint, "tcp:", 4) == 0) {
		doctor_add(d, DOCTOR_OK, "feed", "",
		    "not checked: %s asks for a key, and none is given (--key, --broker-key)",
		    endpoint);
		return;
	}
	f.sock = sock_sub(endpoint, "live.doctor");
	if (f.sock == NULL) {
		doctor_add(d, DOCTOR_WARNING, "feed", "look at --feed of the broker",
		    "%s is no endpoint", endpoint);
		return;
	}
	loop_sock(c->loop, f.sock, on_feed, &f);
	err = wait_for_feed(c, &f);
	loop_sock_end(c->loop, f.sock);
	zsock_destroy(&f.sock);
	if (err != ERR_OK) {
		doctor_add(d, DOCTOR_OK, "feed", "",
		    "not looked at: live.doctor may not be published (%s)", err_name(err));
	} else {
		doctor_add(d, f.seen ? DOCTOR_OK : DOCTOR_WARNING, "feed",
		    "only keys whose acl has `subscribe = \">\"` may read it; else look whether "
		    "its "
		    "port is reachable",
		    f.seen ? "readable at %s" : "nothing can be read at %s", endpoint);
	}
}

/* ---- the broker's process, when it is on this machine ---- */

static uint64_t
count_files(int64_t pid)
{
	char path[64];
	uint64_t n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%lld/fd", (long long)pid);
	dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n > 2 ? n - 2 : 0;
}

static uint64_t
file_limit(int64_t pid)
{
	char path[64], line[256];
	uint64_t n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%lld/limits", (long long)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		const char *p = line + strcspn(line, "0123456789");

		if (strncmp(line, "Max open files", 14) == 0 &&
		    str_u64(span_of(p, strspn(p, "0123456789")), UINT64_MAX, &n) != 0)
			n = UINT64_MAX; /* unlimited */
	}
	if (f != NULL)
		fclose(f);
	return n;
}

static void
look_at_process(struct doctor *d, int64_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%lld/comm", (long long)pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(name, sizeof name, f) == NULL)
			name[0] = '\0';
		fclose(f);
	}
	if (strcmp(name, "broker\n") != 0 || file_limit(pid) == 0) {
		doctor_add(d, DOCTOR_OK, "limits", "",
		    "the broker is on another machine, or not ours to look at");
		return;
	}
	doctor_judge_files(d, count_files(pid), file_limit(pid));
}

/* ---- the round ---- */

static int
by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Median round trip in us; -1: nobody answers, and that is a finding. */
static int64_t
round_trip(struct cli *c, struct doctor *d)
{
	int64_t us[ROUNDS];

	for (int i = 0; i <= ROUNDS; i++) {
		struct cli_reply r;
		enum err err;
		bool unreached;

		cli_ask(c, "sys.ping.broker", (struct span){NULL, 0}, &r);
		if (i > 0) /* the first one also connects */
			us[i - 1] = r.took_us;
		err = r.err;
		unreached = r.unreached;
		cli_reply_fini(&r);
		if (err == ERR_OK)
			continue;
		doctor_add(d, DOCTOR_CRITICAL, "broker",
		    unreached
			? "start it with scripts/up.sh, or name another with --bus or $TAXI_BUS"
			: say_next(err),
		    "%s at %s", unreached ? "nobody answers" : err_title(err), c->bus);
		return -1;
	}
	qsort(us, ROUNDS, sizeof *us, by_size);
	return us[ROUNDS / 2];
}

/* Ours is the latest to have come: by the broker's clock so long ago. */
static int64_t
clock_ahead(const struct cli_reply *peers, int64_t connected_ms)
{
	const msgpack_object_array *p = cli_list(peers, "peers");
	int64_t latest = 0;

	for (uint32_t i = 0; i < p->size; i++) {
		int64_t since = doc_i64(&p->ptr[i], "sinceMs", 0);

		latest = since > latest ? since : latest;
	}
	return latest > 0 ? connected_ms - latest : 0;
}

enum { STATS, GROUPS, PEERS, SERVICES, DEAD, DRAIN, ACL, INFO, LOOKS };

static void
judge(struct cli *c, struct doctor *d, const struct cli_reply *r, int64_t connected_ms)
{
	const msgpack_object *stats = &r[STATS].doc.root;
	struct memory m;

	memory_load(&m, c->bus);
	doctor_judge_versions(d, TAXI_VERSION, stats, &r[SERVICES].doc.root);
	doctor_judge_drain(d, &r[DRAIN].doc.root);
	doctor_judge_store(d, stats);
	doctor_judge_commits(d, stats);
	doctor_judge_disk(d, stats, &m.before);
	doctor_judge_memory(d, stats);
	doctor_judge_drops(d, stats, &m.before);
	doctor_judge_groups(d, &r[GROUPS].doc.root);
	doctor_judge_dead(d, &r[DEAD].doc.root);
	doctor_judge_peers(d, &r[PEERS].doc.root);
	doctor_judge_keys(d, &r[ACL].doc.root, c->bus);
	doctor_judge_clock(d, clock_ahead(&r[PEERS], connected_ms));
	look_at_process(d, doc_i64(&r[INFO].doc.root, "pid", 0));
	look_at_feed(c, d, doc_str(doc_get(&r[INFO].doc.root, "settings"), "feed"),
	    doc_bool(&r[ACL].doc.root, "on", false));
	if (r[STATS].err == ERR_OK)
		memory_store(&m, r[STATS].env.body);
	doc_fini(&m.doc);
	buf_fini(&m.bytes);
}

static void
examine(struct cli *c, struct doctor *d)
{
	static const char *const topics[LOOKS] = {[STATS] = "sys.stats",
	    [GROUPS] = "sys.groups",
	    [PEERS] = "sys.peers",
	    [SERVICES] = "sys.services",
	    [DEAD] = "sys.dead.ls",
	    [DRAIN] = "sys.drain",
	    [ACL] = "sys.acl",
	    [INFO] = "sys.info.broker"};
	struct cli_reply r[LOOKS];
	int64_t us = round_trip(c, d), connected_ms = clock_real_ms();
	bool denied = false;

	if (us < 0)
		return;
	doctor_judge_answer(d, us);
	for (int i = 0; i < LOOKS; i++) {
		cli_ask(c, topics[i], (struct span){NULL, 0}, &r[i]);
		denied |= r[i].err == ERR_DENIED;
	}
	if (denied) {
		doctor_add(d, DOCTOR_WARNING, "rights",
		    "add `request = \"sys.>\"` to its acl entry",
		    "this identity may not ask for everything, so not everything was looked at");
	}
	judge(c, d, r, connected_ms);
	for (int i = 0; i < LOOKS; i++)
		cli_reply_fini(&r[i]);
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct doctor d = {NULL, 0};
	struct buf out;
	int code;

	(void)argc;
	(void)argv;
	examine(c, &d);
	buf_init(&out, 1u << 22);
	if (cli_is_json(c)) {
		doctor_json(&d, fmt_time(clock_real_ms()).s, c->bus, &out);
	} else {
		doctor_text(&d, &out);
	}
	fwrite(buf_cstr(&out), 1, out.n, stdout);
	fflush(stdout);
	buf_fini(&out);
	code = c->signal != 0 ? 128 + c->signal : (int)doctor_worst(&d);
	doctor_fini(&d);
	return code;
}

const struct cli_command cli_doctor = {
    .name = "doctor",
    .operands = "",
    .about = "Is all well?  Checks with a verdict and what to do",
    .help =
	"  taxi doctor\n"
	"  taxi doctor -o json | jq -r '.checks[] | select(.verdict != \"ok\") | .text'\n\n"
	"Looks at: whether the broker answers and how fast, versions, drain, journal, fsync "
	"latency, disk and how the\njournal grew since the last look, memory, drops since then, "
	"groups (nobody works, paused, blocked, behind),\ndead letters, peers that do not read, "
	"keys and acl, clocks, open files, the feed.\n"
	"The last look is kept below $XDG_STATE_HOME/taxi (~/.local/state/taxi).\n"
	"Exit code as monitoring plugins have it: 0 all is well, 1 a warning, 2 critical (no "
	"broker answers, too).\n",
    .run = run,
    .section = CLI_LOOK,
    .json =
	"{verdict, at, bus, checks: [{check, verdict, text, advice?}]}; a verdict is ok, warning "
	"or critical.\n",
};
