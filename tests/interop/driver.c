/* Commands in as JSON lines, what libtaxiway makes of them out as JSON lines (see drive.py).  Built
 * outside of the tree by test_install.py and drive.py with what pkg-config says about taxiway. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taxiway.h>
#include <unistd.h>

#define MAX 4096

struct part {
	struct part *next;
	int64_t n;
	size_t size;
	uint8_t body[];
};

struct in_hand {
	struct taxi_msg *m;
	struct part *parts; /* that wait for room */
};

/* A call under way: whose n, and for requests the id. */
struct under_way {
	int64_t n;
	uint8_t id[16];
};

struct many {
	int64_t n, left;
	uint64_t seqs[MAX];
	size_t nseqs;
};

/* One command line, as msgpack. */
struct cmd {
	const void *p;
	size_t size;
	int64_t n;
};

static struct taxi *bus;
static struct in_hand hands[MAX];
static int64_t nhands;
static struct under_way *requests[MAX];
static struct {
	char name[32];
	struct taxi_sub *sub;
	int64_t n; /* of the command that made it; 0: answered */
} subs[64];
static char input[1 << 20];
static size_t ninput;
static int64_t drain_n = -1;

static char *
text(const struct cmd *c, const char *key)
{
	size_t n;
	const char *s = taxi_body_str(c->p, c->size, key, &n);

	return s ? strndup(s, n) : NULL;
}

static int64_t
number(const struct cmd *c, const char *key, int64_t absent)
{
	return taxi_body_int(c->p, c->size, key, absent);
}

static int64_t
millis(const struct cmd *c, const char *key, int64_t absent)
{
	double s = taxi_body_double(c->p, c->size, key, -1);

	return s < 0 ? absent : (int64_t)(s * 1000);
}

static uint8_t *
id_of(const struct cmd *c, uint8_t id[16])
{
	char *hex = text(c, "id");
	unsigned v;

	if (hex == NULL)
		return NULL;
	for (int i = 0; i < 16 && sscanf(hex + 2 * i, "%2x", &v) == 1; i++)
		id[i] = (uint8_t)v;
	free(hex);
	return id;
}

static void
put_hex(const uint8_t id[16])
{
	for (int i = 0; i < 16; i++)
		printf("%02x", id[i]);
}

/* A msgpack value as JSON. */
static void
put_value(const void *body, size_t n)
{
	char *json = taxi_body_to_json(body, n);

	fputs(json ? json : "\"unprintable\"", stdout);
	taxi_free(json);
}

__attribute__((format(printf, 2, 3))) static void
say_ok(int64_t n, const char *fmt, ...)
{
	va_list ap;

	printf("{\"n\":%lld,\"ok\":{", (long long)n);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("}}");
}

static void
say_err(int64_t n, enum taxi_code code, const void *detail, size_t size)
{
	static const char *const retry[] = {"never", "later", "uncertain"};

	printf("{\"n\":%lld,\"err\":{\"code\":\"%s\",\"retry\":\"%s\",\"detail\":", (long long)n,
	    taxi_code_name(code), retry[taxi_code_retry(code)]);
	put_value(detail, size);
	puts("}}");
}

static bool
failed(int64_t n, const struct taxi_answer *a)
{
	size_t size;
	const void *detail = taxi_answer_detail(a, &size);

	if (taxi_answer_code(a) == TAXI_OK)
		return false;
	say_err(n, taxi_answer_code(a), detail, size);
	return true;
}

/* ---- publish ---- */
static struct under_way *
way(const struct cmd *c)
{
	struct under_way *u = calloc(1, sizeof *u);

	u->n = c->n;
	return u;
}

static void
published(void *arg, const struct taxi_answer *a)
{
	struct under_way *u = arg;

	if (!failed(u->n, a)) {
		printf("{\"n\":%lld,\"ok\":{\"id\":\"", (long long)u->n);
		put_hex(taxi_answer_id(a));
		if (taxi_answer_seq(a)) {
			printf("\",\"seq\":%llu,\"groups\":%llu}}\n",
			    (unsigned long long)taxi_answer_seq(a),
			    (unsigned long long)taxi_answer_groups(a));
		} else {
			puts("\",\"seq\":null}}");
		}
	}
	free(u);
}

static void
accepted(struct under_way *u, enum taxi_code code)
{
	if (code == TAXI_OK)
		return;
	say_err(u->n, code, NULL, 0);
	free(u);
}

/* Its texts are freed by free_pub. */
static struct taxi_pub
pub_of(const struct cmd *c, uint8_t id[16])
{
	struct taxi_pub p = {
	    .topic = text(c, "topic"), .key = text(c, "key"), .src = text(c, "src")};

	p.id = id_of(c, id);
	p.body = taxi_body_get(c->p, c->size, "body", &p.body_n);
	p.exp = number(c, "exp", 0);
	p.retain = taxi_body_bool(c->p, c->size, "retain", false);
	p.cur = taxi_body_str(c->p, c->size, "cur", &p.cur_n);
	p.was = taxi_body_str(c->p, c->size, "was", &p.was_n);
	return p;
}

static void
free_pub(struct taxi_pub *p)
{
	free((char *)p->topic);
	free((char *)p->key);
	free((char *)p->src);
}

static void
do_publish(const struct cmd *c)
{
	struct under_way *u = way(c);
	uint8_t id[16];
	struct taxi_pub p = pub_of(c, id);

	accepted(u, taxi_publish_async(bus, &p, millis(c, "timeout", 0), published, u));
	free_pub(&p);
}

static void
do_big(const struct cmd *c)
{
	struct under_way *u = way(c);
	struct taxi_pub p = {.topic = text(c, "topic")};
	size_t n = (size_t)number(c, "bytes", 0);
	uint8_t *body = calloc(1, n + 5);

	body[0] = 0xc6; /* msgpack: bin 32 */
	for (int i = 0; i < 4; i++)
		body[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	p.body = body;
	p.body_n = n + 5;
	accepted(u, taxi_publish_async(bus, &p, 0, published, u));
	free_pub(&p);
	free(body);
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static void
put_seqs(int64_t n, const uint64_t *seqs, size_t count)
{
	printf("{\"n\":%lld,\"ok\":{\"seqs\":[", (long long)n);
	for (size_t i = 0; i < count; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)seqs[i]);
	puts("]}}");
}

static void
one_of_many(void *arg, const struct taxi_answer *a)
{
	struct many *m = arg;

	if (taxi_answer_code(a) == TAXI_OK)
		m->seqs[m->nseqs++] = taxi_answer_seq(a);
	if (--m->left > 0)
		return;
	qsort(m->seqs, m->nseqs, sizeof *m->seqs, by_number);
	put_seqs(m->n, m->seqs, m->nseqs);
	free(m);
}

static void
do_many(const struct cmd *c)
{
	struct many *m = calloc(1, sizeof *m);
	char *topic = text(c, "topic");
	char json[32];

	m->n = c->n;
	m->left = number(c, "count", 0);
	for (int64_t i = 0, n = m->left; i < n && i < MAX; i++) {
		snprintf(json, sizeof json, "%lld", (long long)i);
		(void)taxi_publish_async(
		    bus, &(struct taxi_pub){.topic = topic, .json = json}, 0, one_of_many, m);
	}
	free(topic);
}

static void
batched(void *arg, const struct taxi_answer *a)
{
	static uint64_t seqs[1024];
	struct under_way *u = arg;

	if (!failed(u->n, a))
		put_seqs(u->n, seqs, taxi_answer_seqs(a, seqs, 1024));
	free(u);
}

static void
do_batch(const struct cmd *c)
{
	static uint8_t ids[1100][16];
	static struct taxi_pub v[1100];
	struct under_way *u = way(c);
	uint8_t id[16];
	struct taxi_pub cursor = pub_of(c, id);
	size_t list_n, n = 0;
	const void *list = taxi_body_get(c->p, c->size, "items", &list_n);
	struct cmd item = {0};

	while (n < 1100 && (item.p = taxi_body_at(list, list_n, n, &item.size)) != NULL) {
		v[n] = pub_of(&item, ids[n]);
		n++;
	}
	accepted(u, taxi_batch_async(bus,
			&(struct taxi_items){.v = v,
			    .n = n,
			    .src = cursor.src,
			    .cur = cursor.cur,
			    .cur_n = cursor.cur_n,
			    .was = cursor.was,
			    .was_n = cursor.was_n},
			0, batched, u));
	for (size_t i = 0; i < n; i++)
		free_pub(&v[i]);
	free_pub(&cursor);
}

/* ---- request ---- */
static void
requested(void *arg, const struct taxi_answer *a)
{
	struct under_way *u = arg;
	size_t n;
	const void *body = taxi_answer_body(a, &n);

	if (!failed(u->n, a)) {
		printf("{\"n\":%lld,\"ok\":{\"body\":", (long long)u->n);
		put_value(body, n);
		puts("}}");
	}
	requests[u->n % MAX] = NULL;
	free(u);
}

static void
on_part(void *arg, const struct taxi_answer *a)
{
	struct under_way *u = arg;
	size_t n;
	const void *body = taxi_answer_body(a, &n);

	printf("{\"part\":%lld,\"body\":", (long long)u->n);
	put_value(body, n);
	puts("}");
}

static void
do_request(const struct cmd *c)
{
	struct under_way *u = way(c);
	char *topic = text(c, "topic");
	struct taxi_req r = {.topic = topic, .arg = u, .ttl_ms = millis(c, "ttl", 20000)};
	enum taxi_code code;
	uint8_t id[16];

	r.id = id_of(c, id);
	r.body = taxi_body_get(c->p, c->size, "body", &r.body_n);
	r.again = taxi_body_bool(c->p, c->size, "again", false);
	r.part = taxi_body_bool(c->p, c->size, "parts", false) ? on_part : NULL;
	r.hold = taxi_body_bool(c->p, c->size, "hold", false);
	r.window = (unsigned)number(c, "window", 0);
	requests[u->n % MAX] = u;
	code = taxi_request_async(bus, &r, requested, u->id);
	if (code != TAXI_OK)
		requests[u->n % MAX] = NULL;
	accepted(u, code);
	free(topic);
}

static void
do_more_or_cancel(const struct cmd *c, bool more)
{
	struct under_way *u = requests[number(c, "of", 0) % MAX];

	if (u && more) {
		taxi_more(bus, u->id, (unsigned)number(c, "count", 1));
	} else if (u) {
		taxi_cancel(bus, u->id);
	}
	say_ok(c->n, "%s", "");
}

/* ---- deliveries ---- */
static void
on_msg(void *arg, struct taxi_msg *m)
{
	int64_t h = ++nhands;
	size_t n, at = (size_t)(uintptr_t)arg;
	const void *body = taxi_msg_body(m, &n);

	hands[h % MAX] = (struct in_hand){.m = m};
	printf("{\"msg\":%lld,\"sub\":\"%s\",\"topic\":\"%s\",\"id\":\"", (long long)h,
	    subs[at].name, taxi_msg_topic(m));
	put_hex(taxi_msg_id(m));
	printf("\",\"seq\":%llu,\"try\":%llu,\"again\":%s,\"retained\":%s,\"request\":%s",
	    (unsigned long long)taxi_msg_seq(m), (unsigned long long)taxi_msg_try(m),
	    taxi_msg_is_again(m) ? "true" : "false", taxi_msg_is_retained(m) ? "true" : "false",
	    taxi_msg_is_request(m) ? "true" : "false");
	if (taxi_msg_key(m))
		printf(",\"key\":\"%s\"", taxi_msg_key(m));
	fputs(",\"body\":", stdout);
	put_value(body, n);
	puts("}");
	if (taxi_msg_group(m) == NULL && !taxi_msg_is_request(m))
		taxi_ack(m);
}

static int64_t
handle_of(const struct taxi_msg *m)
{
	for (int64_t h = nhands; h > 0 && h > nhands - MAX; h--) {
		if (hands[h % MAX].m == m)
			return h;
	}
	return 0;
}

/* Parts wait here for room, so that the command is answered when its part is on its way. */
static void
send_parts(struct in_hand *h, bool gone)
{
	struct part *p;

	while ((p = h->parts) != NULL && (gone || taxi_room(h->m) > 0)) {
		h->parts = p->next;
		if (gone) {
			say_err(p->n, TAXI_GONE, NULL, 0);
		} else {
			taxi_part(h->m, p->body, p->size);
			say_ok(p->n, "%s", "");
		}
		free(p);
	}
}

static void
on_cancel(void *arg, struct taxi_msg *m)
{
	int64_t h = handle_of(m);

	(void)arg;
	if (!taxi_msg_is_void(m))
		printf("{\"cancel\":%lld}\n", (long long)h);
	if (!taxi_msg_is_request(m))
		return;
	send_parts(&hands[h % MAX], true);
}

static void
on_more(void *arg, struct taxi_msg *m)
{
	(void)arg;
	send_parts(&hands[handle_of(m) % MAX], false);
}

static void
on_state(void *arg, bool live, const struct taxi_answer *why)
{
	size_t at = (size_t)(uintptr_t)arg;

	if (subs[at].n == 0)
		return;
	if (live) {
		say_ok(subs[at].n, "%s", "");
	} else if (why) {
		(void)failed(subs[at].n, why);
	}
	subs[at].n = 0;
}

static void
do_sub(const struct cmd *c)
{
	char *name = text(c, "name"), *pattern = text(c, "pattern"), *group = text(c, "group");
	char *from = text(c, "from");
	size_t from_n, at = 0;
	const void *from_map = taxi_body_get(c->p, c->size, "from", &from_n);

	while (subs[at].sub)
		at++;
	snprintf(subs[at].name, sizeof subs[at].name, "%s", name);
	subs[at].n = c->n;
	subs[at].sub =
	    taxi_subscribe(bus, &(struct taxi_sub_options){
				    .pattern = pattern,
				    .group = group,
				    .from = from,
				    .from_seq = (uint64_t)taxi_body_int(from_map, from_n, "seq", 0),
				    .from_time = taxi_body_int(from_map, from_n, "time", 0),
				    .serve = taxi_body_bool(c->p, c->size, "serve", false),
				    .cancels = taxi_body_bool(c->p, c->size, "cancels", false),
				    .credit = (unsigned)number(c, "credit", 0),
				    .tries = number(c, "tries", 0),
				    .ack_ms = millis(c, "ack", 0),
				    .msg = on_msg,
				    .cancel = on_cancel,
				    .more = on_more,
				    .state = on_state,
				    .arg = (void *)(uintptr_t)at,
				});
	if (subs[at].sub == NULL)
		say_err(c->n, TAXI_BAD_TOPIC, NULL, 0);
	free(name);
	free(pattern);
	free(group);
	free(from);
}

static void
do_unsub(const struct cmd *c)
{
	char *name = text(c, "name");

	for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
		if (subs[i].sub && strcmp(subs[i].name, name) == 0) {
			taxi_unsubscribe(subs[i].sub);
			subs[i].name[0] = '\0';
			break;
		}
	}
	free(name);
	say_ok(c->n, "%s", "");
}

static void
do_part(const struct cmd *c, struct in_hand *h)
{
	size_t n;
	const void *body = taxi_body_get(c->p, c->size, "body", &n);
	struct part *p = calloc(1, sizeof *p + n), **end = &h->parts;

	p->n = c->n;
	p->size = n;
	memcpy(p->body, body, n);
	while (*end)
		end = &(*end)->next;
	*end = p;
	send_parts(h, false);
}

/* True: the command was one of these. */
static bool
finish(const struct cmd *c, const char *what, struct taxi_msg *m)
{
	char *reason = text(c, "reason"), *code = text(c, "code"), *why = text(c, "text");
	bool known = true;
	size_t n;
	const void *body = taxi_body_get(c->p, c->size, "body", &n);

	if (strcmp(what, "ack") == 0) {
		taxi_ack(m);
	} else if (strcmp(what, "nak") == 0) {
		taxi_nak(m, millis(c, "delay", -1), reason);
	} else if (strcmp(what, "reject") == 0) {
		taxi_reject(m, reason);
	} else if (strcmp(what, "extend") == 0) {
		taxi_extend(m, millis(c, "seconds", 0));
	} else if (strcmp(what, "reply") == 0) {
		taxi_reply(m, body, n, 0);
	} else if (strcmp(what, "fail") == 0) {
		taxi_fail(m, taxi_code_of(code), why);
	} else {
		known = false;
	}
	if (known)
		say_ok(c->n, "%s", "");
	free(reason);
	free(code);
	free(why);
	return known;
}

static void
do_command(const struct cmd *c)
{
	char *what = text(c, "do");
	struct in_hand *h = &hands[number(c, "m", 0) % MAX];

	if (strcmp(what, "publish") == 0) {
		do_publish(c);
	} else if (strcmp(what, "many") == 0) {
		do_many(c);
	} else if (strcmp(what, "big") == 0) {
		do_big(c);
	} else if (strcmp(what, "batch") == 0) {
		do_batch(c);
	} else if (strcmp(what, "request") == 0) {
		do_request(c);
	} else if (strcmp(what, "more") == 0 || strcmp(what, "cancel") == 0) {
		do_more_or_cancel(c, *what == 'm');
	} else if (strcmp(what, "sub") == 0) {
		do_sub(c);
	} else if (strcmp(what, "unsub") == 0) {
		do_unsub(c);
	} else if (strcmp(what, "drain") == 0) {
		drain_n = c->n;
	} else if (strcmp(what, "part") == 0) {
		do_part(c, h);
	} else if (strcmp(what, "void") == 0) {
		say_ok(c->n, "\"void\":%s", taxi_msg_is_void(h->m) ? "true" : "false");
	} else if (!finish(c, what, h->m)) {
		say_err(c->n, TAXI_INVALID, NULL, 0);
	}
	free(what);
}

static void
do_line(char *line)
{
	struct cmd c;
	void *body = taxi_body_of_json(line, &c.size);

	c.p = body;
	c.n = number(&c, "n", 0);
	do_command(&c);
	taxi_free(body);
}

static void
on_input(void *arg)
{
	ssize_t got = read(0, input + ninput, sizeof input - ninput - 1);
	char *end;

	(void)arg;
	if (got <= 0) {
		taxi_stop(bus);
		return;
	}
	ninput += (size_t)got;
	input[ninput] = '\0';
	while ((end = strchr(input, '\n')) != NULL) {
		*end = '\0';
		do_line(input);
		ninput -= (size_t)(end + 1 - input);
		memmove(input, end + 1, ninput + 1);
	}
	if (drain_n >= 0)
		taxi_stop(bus); /* not from a callback: main does it */
}

int
main(void)
{
	struct taxi_watch *w;
	int64_t n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	bus = taxi_open(&(struct taxi_options){.name = "driver",
	    .key = getenv("TAXI_KEY"), /* $TAXI_BROKER_KEY the library reads itself */
	    .log = getenv("DRIVER_LOG")});
	if (bus == NULL)
		return 100;
	w = taxi_watch(bus, 0, on_input, NULL);
	for (taxi_run(bus); drain_n >= 0; taxi_run(bus)) {
		n = drain_n;
		drain_n = -1;
		say_ok(n, "\"idle\":%s", taxi_drain(bus, 10000) == 0 ? "true" : "false");
	}
	taxi_unwatch(w);
	(void)taxi_drain(bus, 0);
	taxi_close(bus);
	return 0;
}
