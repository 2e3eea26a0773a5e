/* RabbitMQ by librabbitmq: quorum queue NAME.
 *   pub     confirms, `window` outstanding
 *   consume prefetch `window`, one ack (multiple) for every 64
 *   queue   declare NAME, empty
 *   drop    delete it */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <string.h>
#include <sys/time.h>

#include "base/die.h"
#include "bench/lib/load.h"

#define ACK_EVERY 64

struct peer {
	struct lane *l;
	amqp_connection_state_t c;
	uint8_t *body;
	uint64_t confirmed, tag, unacked;
};

static void
must(amqp_rpc_reply_t r, const char *what)
{
	if (r.reply_type != AMQP_RESPONSE_NORMAL)
		die(1, "rabbitmq %s: %s", what,
		    r.library_error ? amqp_error_string2(r.library_error) : "the server refused");
}

static struct peer *
peer_new(struct lane *l)
{
	struct peer *p = xcalloc(1, sizeof *p);
	amqp_socket_t *s;
	int port;
	const char *host = load_host(l->conf, &port);

	p->l = l;
	p->c = amqp_new_connection();
	s = amqp_tcp_socket_new(p->c);
	if (s == NULL || amqp_socket_open(s, host, port) != 0)
		die(1, "rabbitmq %s: no connection", l->conf->endpoint);
	must(
	    amqp_login(p->c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
	amqp_channel_open(p->c, 1);
	must(amqp_get_rpc_reply(p->c), "channel");
	p->body = xcalloc(1, l->conf->size);
	return p;
}

static void
queue(struct lane *l)
{
	struct peer *p = peer_new(l);
	amqp_table_entry_t e = {.key = amqp_cstring_bytes("x-queue-type")};
	amqp_table_t args = {1, &e};

	e.value.kind = AMQP_FIELD_KIND_UTF8;
	e.value.value.bytes = amqp_cstring_bytes("quorum");
	amqp_queue_declare(p->c, 1, amqp_cstring_bytes(l->conf->name), 0, 1, 0, 0, args);
	must(amqp_get_rpc_reply(p->c), "declare");
}

static void
drop(struct lane *l)
{
	struct peer *p = peer_new(l);

	amqp_queue_delete(p->c, 1, amqp_cstring_bytes(l->conf->name), 0, 0);
	must(amqp_get_rpc_reply(p->c), "delete");
}

static void *
open_pub(struct lane *l)
{
	struct peer *p = peer_new(l);

	amqp_confirm_select(p->c, 1);
	must(amqp_get_rpc_reply(p->c), "confirm");
	return p;
}

static void
send_pub(void *x, unsigned n)
{
	struct peer *p = x;
	amqp_basic_properties_t props = {
	    ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
	amqp_bytes_t body = {p->l->conf->size, p->body};

	for (; n > 0; n--) {
		load_payload(p->l, p->body);
		if (amqp_basic_publish(p->c, 1, amqp_empty_bytes,
			amqp_cstring_bytes(p->l->conf->name), 0, 0, &props, body) != 0)
			die(1, "rabbitmq: publish");
	}
}

/* One frame, if it comes within `wait_us`: a confirm. */
static unsigned
confirm(struct peer *p, int64_t wait_us)
{
	struct timeval tv = {0, wait_us};
	amqp_frame_t f;
	amqp_basic_ack_t *a;
	unsigned n;
	int rc = amqp_simple_wait_frame_noblock(p->c, &f, &tv);

	if (rc == AMQP_STATUS_TIMEOUT)
		return 0;
	if (rc != AMQP_STATUS_OK || f.frame_type != AMQP_FRAME_METHOD ||
	    f.payload.method.id != AMQP_BASIC_ACK_METHOD)
		die(1, "rabbitmq: no confirm came, but frame %d", f.frame_type);
	a = f.payload.method.decoded;
	/* Confirms come in order, or as one that stands for all before it. */
	n = a->multiple ? (unsigned)(a->delivery_tag - p->confirmed) : 1;
	p->confirmed += n;
	return n;
}

static unsigned
take_confirms(void *x)
{
	struct peer *p = x;
	unsigned n = confirm(p, 100000), more;

	while (n > 0 && n < 4096 && (amqp_frames_enqueued(p->c) || amqp_data_in_buffer(p->c)) &&
	       (more = confirm(p, 0)) > 0)
		n += more;
	amqp_maybe_release_buffers(p->c);
	return n;
}

static void *
open_consume(struct lane *l)
{
	struct peer *p = peer_new(l);

	amqp_basic_qos(p->c, 1, 0, (uint16_t)l->conf->window, 0);
	must(amqp_get_rpc_reply(p->c), "qos");
	amqp_basic_consume(p->c, 1, amqp_cstring_bytes(l->conf->name), amqp_empty_bytes, 0, 0, 0,
	    amqp_empty_table);
	must(amqp_get_rpc_reply(p->c), "consume");
	return p;
}

static unsigned
take_one(void *x)
{
	struct peer *p = x;
	struct timeval tv = {0, 100000};
	amqp_envelope_t e;
	amqp_rpc_reply_t r;

	amqp_maybe_release_buffers(p->c);
	r = amqp_consume_message(p->c, &e, &tv, 0);
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
	    r.library_error == AMQP_STATUS_TIMEOUT)
		return 0;
	must(r, "consume");
	p->tag = e.delivery_tag;
	amqp_destroy_envelope(&e);
	return 1;
}

static void
ack(void *x, unsigned n)
{
	struct peer *p = x;

	p->unacked += n;
	if (p->unacked < ACK_EVERY)
		return;
	p->unacked = 0;
	if (amqp_basic_ack(p->c, 1, p->tag, 1) != 0)
		die(1, "rabbitmq: ack");
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "queue", .run = queue},
	    {.name = "drop", .run = drop},
	    {.name = "pub", .open = open_pub, .send = send_pub, .take = take_confirms},
	    {.name = "consume",
		.open = open_consume,
		.send = ack,
		.take = take_one,
		.is_receiver = true},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
