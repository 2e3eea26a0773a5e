/* Redis by hiredis, pipelined.
 *   serve   workers of list NAME: BLMPOP up to 64 requests, RPUSH each answer to the list it names
 *   req     RPUSH of [time, list of mine, body] to NAME, BLMPOP of my list
 *   pub     XADD to stream NAME, `window` outstanding
 *   consume XREADGROUP of group g, in batches of a quarter of `window`; XACK of a batch and the
 *           next read travel together
 *   group   make stream NAME and its group g
 *   wipe    FLUSHALL */
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/die.h"
#include "bench/lib/load.h"

#define MINE 24 /* bytes of the name of a client's own list, after the time */

struct peer {
	struct lane *l;
	redisContext *c, *pop; /* one that pushes, one that blocks */
	char mine[MINE];
	uint8_t *body;
	unsigned pushed; /* RPUSHes whose replies are still to be read */
	unsigned batch;
	const char **argv; /* of an XACK */
	size_t *argn;
	redisReply *got;
};

static redisContext *
dial(struct lane *l)
{
	int port;
	const char *host = load_host(l->conf, &port);
	redisContext *c = redisConnect(host, port);

	if (c == NULL || c->err != 0)
		die(1, "redis %s: %s", l->conf->endpoint, c ? c->errstr : "no memory");
	redisEnableKeepAlive(c);
	return c;
}

static void
write_all(redisContext *c)
{
	int done = 0;

	while (!done) {
		if (redisBufferWrite(c, &done) != REDIS_OK)
			die(1, "redis: %s", c->errstr);
	}
}

/* The next reply; NULL when none has come and `block` is false. */
static redisReply *
reply(redisContext *c, bool block)
{
	void *r = NULL;
	int rc = block ? redisGetReply(c, &r) : redisGetReplyFromReader(c, &r);

	if (rc != REDIS_OK)
		die(1, "redis: %s", c->errstr);
	if (r != NULL && ((redisReply *)r)->type == REDIS_REPLY_ERROR)
		die(1, "redis: %s", ((redisReply *)r)->str);
	return r;
}

static void
command(redisContext *c, const char *text)
{
	freeReplyObject(redisCommand(c, text));
}

/* The pushes' replies, which are only counts. */
static void
skip_replies(redisContext *c, unsigned n)
{
	for (; n > 0; n--)
		freeReplyObject(reply(c, true));
}

static void
serve(struct lane *l)
{
	redisContext *c = dial(l);

	redisAppendCommand(c, "BLMPOP 0 1 %s LEFT COUNT 64", l->conf->name);
	for (;;) {
		redisReply *r = reply(c, true), *items;

		items = r->element[1];
		for (size_t i = 0; i < items->elements; i++) {
			redisReply *m = items->element[i];

			redisAppendCommand(
			    c, "RPUSH %s %b", m->str + sizeof(int64_t), m->str, m->len);
		}
		/* The next read travels with the answers. */
		redisAppendCommand(c, "BLMPOP 0 1 %s LEFT COUNT 64", l->conf->name);
		write_all(c);
		skip_replies(c, (unsigned)items->elements);
		freeReplyObject(r);
	}
}

static struct peer *
peer_new(struct lane *l)
{
	struct peer *p = xcalloc(1, sizeof *p);

	p->l = l;
	p->c = dial(l);
	p->body = xcalloc(1, l->conf->size + MINE);
	return p;
}

static void *
open_req(struct lane *l)
{
	struct peer *p = peer_new(l);

	p->pop = dial(l);
	snprintf(p->mine, sizeof p->mine, "%.10s-%u", l->conf->name, l->n);
	redisAppendCommand(p->pop, "DEL %s", p->mine);
	freeReplyObject(reply(p->pop, true));
	redisAppendCommand(p->pop, "BLMPOP 0.1 1 %s LEFT COUNT 64", p->mine);
	write_all(p->pop);
	return p;
}

static void
send_req(void *x, unsigned n)
{
	struct peer *p = x;
	size_t size = p->l->conf->size;

	for (unsigned i = 0; i < n; i++) {
		load_payload(p->l, p->body);
		/* Time, the list to answer to (NUL-terminated), filler: `size` bytes in all. */
		memcpy(p->body + sizeof(int64_t), p->mine, MINE);
		redisAppendCommand(p->c, "RPUSH %s %b", p->l->conf->name, p->body, size);
	}
	write_all(p->c);
	/* Those of the time before have long come: nobody waits for them. */
	skip_replies(p->c, p->pushed);
	p->pushed = n;
}

static unsigned
take_req(void *x)
{
	struct peer *p = x;
	redisReply *r = reply(p->pop, true);
	unsigned n = 0;

	redisAppendCommand(p->pop, "BLMPOP 0.1 1 %s LEFT COUNT 64", p->mine);
	write_all(p->pop);
	if (r->type == REDIS_REPLY_ARRAY) {
		for (; n < r->element[1]->elements; n++)
			load_note(p->l, load_payload_us(r->element[1]->element[n]->str));
	}
	freeReplyObject(r);
	return n;
}

static void *
open_pub(struct lane *l)
{
	return peer_new(l);
}

static void
send_pub(void *x, unsigned n)
{
	struct peer *p = x;

	for (; n > 0; n--) {
		load_payload(p->l, p->body);
		redisAppendCommand(
		    p->c, "XADD %s * b %b", p->l->conf->name, p->body, p->l->conf->size);
	}
	write_all(p->c);
}

static unsigned
take_pub(void *x)
{
	struct peer *p = x;
	redisReply *r = reply(p->c, true);
	unsigned n = 0;

	for (; r != NULL; r = reply(p->c, false), n++)
		freeReplyObject(r);
	return n;
}

static void *
open_consume(struct lane *l)
{
	struct peer *p = peer_new(l);

	p->batch = l->conf->window / 4 > 0 ? l->conf->window / 4 : 1;
	p->argv = xcalloc(p->batch + 3, sizeof *p->argv);
	p->argn = xcalloc(p->batch + 3, sizeof *p->argn);
	for (int i = 0; i < 4; i++) {
		redisAppendCommand(p->c, "XREADGROUP GROUP g c COUNT %u BLOCK 100 STREAMS %s >",
		    p->batch, l->conf->name);
	}
	write_all(p->c);
	return p;
}

static unsigned
take_batch(void *x)
{
	struct peer *p = x;

	/* XACKs answer with a number, reads with an array or nil. */
	do {
		freeReplyObject(p->got);
		p->got = reply(p->c, true);
	} while (p->got->type == REDIS_REPLY_INTEGER);
	if (p->got->type != REDIS_REPLY_ARRAY) {
		redisAppendCommand(p->c, "XREADGROUP GROUP g c COUNT %u BLOCK 100 STREAMS %s >",
		    p->batch, p->l->conf->name);
		write_all(p->c);
		return 0;
	}
	return (unsigned)p->got->element[0]->element[1]->elements;
}

static void
ack_batch(void *x, unsigned n)
{
	struct peer *p = x;
	redisReply *rows = p->got->element[0]->element[1];
	static const char *const head[] = {"XACK", NULL, "g"};

	for (unsigned i = 0; i < 3; i++) {
		p->argv[i] = i == 1 ? p->l->conf->name : head[i];
		p->argn[i] = strlen(p->argv[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		p->argv[3 + i] = rows->element[i]->element[0]->str;
		p->argn[3 + i] = (size_t)rows->element[i]->element[0]->len;
	}
	redisAppendCommandArgv(p->c, (int)n + 3, p->argv, p->argn);
	redisAppendCommand(p->c, "XREADGROUP GROUP g c COUNT %u BLOCK 100 STREAMS %s >", p->batch,
	    p->l->conf->name);
	write_all(p->c);
}

static void
make_group(struct lane *l)
{
	redisContext *c = dial(l);

	freeReplyObject(redisCommand(c, "XGROUP CREATE %s g $ MKSTREAM", l->conf->name));
}

static void
wipe(struct lane *l)
{
	command(dial(l), "FLUSHALL");
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "serve", .run = serve},
	    {.name = "req",
		.open = open_req,
		.send = send_req,
		.take = take_req,
		.own_times = true},
	    {.name = "pub", .open = open_pub, .send = send_pub, .take = take_pub},
	    {.name = "consume",
		.open = open_consume,
		.send = ack_batch,
		.take = take_batch,
		.is_receiver = true},
	    {.name = "group", .run = make_group},
	    {.name = "wipe", .run = wipe},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
