/* Mosquitto by libmosquitto: pub: QoS 1 to topic NAME, `window` unacknowledged. */
#include <mosquitto.h>
#include <stdio.h>

#include "base/die.h"
#include "bench/lib/load.h"

struct peer {
	struct lane *l;
	struct mosquitto *m;
	uint8_t *body;
	unsigned answered;
};

static void
must(int rc, const char *what)
{
	if (rc != MOSQ_ERR_SUCCESS)
		die(1, "mosquitto %s: %s", what, mosquitto_strerror(rc));
}

static void
on_stored(struct mosquitto *m, void *arg, int mid)
{
	struct peer *p = arg;

	(void)m, (void)mid;
	p->answered++;
}

static void *
open_pub(struct lane *l)
{
	struct peer *p = xcalloc(1, sizeof *p);
	int port;
	const char *host = load_host(l->conf, &port);
	char id[32];

	p->l = l;
	p->body = xcalloc(1, l->conf->size);
	snprintf(id, sizeof id, "bench-%u", l->n);
	mosquitto_lib_init();
	p->m = mosquitto_new(id, true, p);
	INVARIANT(p->m != NULL);
	mosquitto_publish_callback_set(p->m, on_stored);
	must(mosquitto_int_option(p->m, MOSQ_OPT_SEND_MAXIMUM, 0), "option");
	must(mosquitto_int_option(p->m, MOSQ_OPT_TCP_NODELAY, 1), "option");
	must(mosquitto_connect(p->m, host, port, 60), "connect");
	/* CONNACK comes before anything may be published. */
	for (int i = 0; i < 100 && mosquitto_want_write(p->m); i++)
		must(mosquitto_loop(p->m, 10, 1), "loop");
	must(mosquitto_loop(p->m, 1000, 1), "loop");
	return p;
}

static void
send_pub(void *x, unsigned n)
{
	struct peer *p = x;

	for (; n > 0; n--) {
		load_payload(p->l, p->body);
		must(mosquitto_publish(
			 p->m, NULL, p->l->conf->name, (int)p->l->conf->size, p->body, 1, false),
		    "publish");
	}
}

static unsigned
take(void *x)
{
	struct peer *p = x;

	p->answered = 0;
	must(mosquitto_loop(p->m, 100, 1), "loop");
	return p->answered;
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "pub", .open = open_pub, .send = send_pub, .take = take}};

	return load_main(argc, argv, modes, 1);
}
