/* NATS and JetStream by nats.c.
 *   serve   workers: queue group of subject NAME, answers with what it was asked
 *   req     requests to NAME; answers come to one wildcard inbox a client
 *   stream  make stream NAME (file, one replica) of subject NAME, anew
 *   pub     js_PublishAsync to NAME, `window` acknowledgements outstanding
 *   consume js_Subscribe (push, explicit ack), max ack pending `window`
 *   drop    delete stream NAME */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/die.h"
#include "bench/lib/load.h"

struct peer {
	struct lane *l;
	natsConnection *nc;
	natsSubscription *sub;
	jsCtx *js;
	char inbox[64];
	uint8_t *body;
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned answered;
};

static void
must(natsStatus s, const char *what)
{
	if (s != NATS_OK)
		die(1, "nats %s: %s", what, natsStatus_GetText(s));
}

static struct peer *
peer_new(struct lane *l)
{
	struct peer *p = xcalloc(1, sizeof *p);
	natsOptions *o = NULL;
	char url[160];

	snprintf(url, sizeof url, "nats://%s",
	    strstr(l->conf->endpoint, "://") ? strstr(l->conf->endpoint, "://") + 3
					     : l->conf->endpoint);
	must(natsOptions_Create(&o), "options");
	must(natsOptions_SetURL(o, url), "url");
	/* One outstanding waits for latency alone: write at once, not by the flusher's thread. */
	must(natsOptions_SetSendAsap(o, l->conf->window == 1), "send asap");
	must(natsOptions_SetMaxPendingMsgs(o, 1 << 20), "max pending");
	must(natsConnection_Connect(&p->nc, o), url);
	natsOptions_Destroy(o);
	p->l = l;
	p->body = xcalloc(1, l->conf->size);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->came, NULL);
	return p;
}

static void
wake(struct peer *p)
{
	pthread_mutex_lock(&p->lock);
	if (p->answered++ == 0)
		pthread_cond_signal(&p->came);
	pthread_mutex_unlock(&p->lock);
}

static unsigned
take(void *x)
{
	struct peer *p = x;
	struct timespec end;
	unsigned n;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 100000000;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&p->lock);
	while (p->answered == 0 && pthread_cond_timedwait(&p->came, &p->lock, &end) == 0)
		;
	n = p->answered;
	p->answered = 0;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void
on_request(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *arg)
{
	(void)sub, (void)arg;
	must(natsConnection_Publish(
		 nc, natsMsg_GetReply(m), natsMsg_GetData(m), natsMsg_GetDataLength(m)),
	    "answer");
	natsMsg_Destroy(m);
}

static void
serve(struct lane *l)
{
	struct peer *p = peer_new(l);

	must(natsConnection_QueueSubscribe(&p->sub, p->nc, l->conf->name, "bench", on_request, p),
	    "subscribe");
	for (;;)
		nats_Sleep(1000);
}

static void
on_answer(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *arg)
{
	struct peer *p = arg;

	(void)nc, (void)sub;
	load_note(p->l, load_payload_us(natsMsg_GetData(m)));
	natsMsg_Destroy(m);
	wake(p);
}

static void *
open_req(struct lane *l)
{
	struct peer *p = peer_new(l);

	snprintf(p->inbox, sizeof p->inbox, "_INBOX.%.20s.%u", l->conf->name, l->n);
	must(natsConnection_Subscribe(&p->sub, p->nc, p->inbox, on_answer, p), "subscribe");
	must(natsConnection_Flush(p->nc), "flush");
	return p;
}

static void
send_req(void *x, unsigned n)
{
	struct peer *p = x;

	for (; n > 0; n--) {
		load_payload(p->l, p->body);
		must(natsConnection_PublishRequest(
			 p->nc, p->l->conf->name, p->inbox, p->body, (int)p->l->conf->size),
		    "request");
	}
}

static void
on_stored(jsCtx *js, natsMsg *m, jsPubAck *ack, jsPubAckErr *err, void *arg)
{
	struct peer *p = arg;

	(void)js, (void)ack;
	if (err != NULL)
		die(1, "jetstream: %s", err->ErrText);
	load_note(p->l, load_payload_us(natsMsg_GetData(m)));
	natsMsg_Destroy(m);
	wake(p);
}

static void *
open_pub(struct lane *l)
{
	struct peer *p = peer_new(l);
	jsOptions o;

	must(jsOptions_Init(&o), "options");
	o.PublishAsync.AckHandler = on_stored;
	o.PublishAsync.AckHandlerClosure = p;
	must(natsConnection_JetStream(&p->js, p->nc, &o), "jetstream");
	return p;
}

static void
send_pub(void *x, unsigned n)
{
	struct peer *p = x;

	for (; n > 0; n--) {
		load_payload(p->l, p->body);
		must(js_PublishAsync(p->js, p->l->conf->name, p->body, (int)p->l->conf->size, NULL),
		    "publish");
	}
}

static void
on_event(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *arg)
{
	struct peer *p = arg;

	(void)nc, (void)sub;
	must(natsMsg_Ack(m, NULL), "ack");
	natsMsg_Destroy(m);
	wake(p);
}

static void *
open_consume(struct lane *l)
{
	struct peer *p = open_pub(l);
	jsSubOptions so;
	jsErrCode code = 0;

	must(jsSubOptions_Init(&so), "options");
	so.ManualAck = true;
	so.Config.Durable = "bench";
	so.Config.AckPolicy = js_AckExplicit;
	so.Config.MaxAckPending = l->conf->window;
	must(js_Subscribe(&p->sub, p->js, l->conf->name, on_event, p, NULL, &so, &code),
	    "subscribe");
	return p;
}

/* The callback has acked. */
static void
acked(void *x, unsigned n)
{
	(void)x, (void)n;
}

static void
drop(struct lane *l)
{
	struct peer *p = open_pub(l);

	(void)js_DeleteStream(p->js, l->conf->name, NULL, NULL);
}

static void
make_stream(struct lane *l)
{
	struct peer *p = open_pub(l);
	jsStreamConfig c;
	const char *subjects[] = {l->conf->name};

	(void)js_DeleteStream(p->js, l->conf->name, NULL, NULL);
	must(jsStreamConfig_Init(&c), "stream");
	c.Name = l->conf->name;
	c.Subjects = subjects;
	c.SubjectsLen = 1;
	c.Storage = js_FileStorage;
	must(js_AddStream(NULL, p->js, &c, NULL, NULL), "add stream");
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "serve", .run = serve},
	    {.name = "stream", .run = make_stream},
	    {.name = "drop", .run = drop},
	    {.name = "req", .open = open_req, .send = send_req, .take = take, .own_times = true},
	    {.name = "pub", .open = open_pub, .send = send_pub, .take = take, .own_times = true},
	    {.name = "consume",
		.open = open_consume,
		.send = acked,
		.take = take,
		.is_receiver = true},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
