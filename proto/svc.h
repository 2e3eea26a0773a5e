#ifndef PROTO_SVC_H
#define PROTO_SVC_H
/* main() of every process on the bus: options (flags = TAXI_* environment), logs, signals, the loop, the
 * link, ready fd, drain, and sys.ping|info|stats.<name> served for nothing.
 *
 *	int main(int argc, char **argv) { return svc_main(argc, argv, &spec, &my_state); }
 *
 * Life: options -> 100 when wrong; open(); loop; on the first `up` of the link, start(); when every
 * subscription is live, a newline goes to --ready-fd.  SIGTERM: drain() once, BYE, then exit 0 when nothing is in
 * hand and idle() says so, or after --drain-ms; a second signal exits at once. */
#include "base/opt.h"
#include "proto/worker.h"

struct svc;

struct svc_spec {
	const char *name;    /* "control-tower", "pusher-postgres" */
	const char *about;   /* one sentence, for --help and the registry */
	const struct opt_table *options; /* beside the harness's own */
	size_t noptions;
	const char *api_json; /* OpenAPI 3.1 fragment (PROTOCOL.md, Announcements); NULL for none */
	/* 0, or an exit code.  After the options are read; before the link exists. */
	int (*open)(void *state, struct svc *s);
	/* The link is up for the first time: subscribe.  0, or an exit code. */
	int (*start)(void *state, struct svc *s);
	void (*drain)(void *state);   /* SIGTERM: take no more; may be NULL */
	bool (*idle)(void *state);    /* nothing under way; may be NULL */
	void (*close)(void *state);   /* frees; called on every way out after open() */
	/* Appends n key-value pairs to the STATS map and returns n; may be NULL. */
	unsigned (*stats)(void *state, struct buf *out);
	bool (*ready)(void *state);   /* further condition for --ready-fd; may be NULL */
};

int svc_main(int argc, char **argv, const struct svc_spec *spec, void *state);

struct loop *svc_loop(struct svc *s);
struct client *svc_client(struct svc *s);
struct worker *svc_worker(struct svc *s);
const char *svc_name(const struct svc *s);
const char *svc_endpoint(const struct svc *s); /* --bus */
/* Ask for the end from inside: as SIGTERM, with this exit code. */
void svc_stop(struct svc *s, int code);
/* Look again whether we are ready (after `ready` may have changed). */
void svc_check_ready(struct svc *s);

#endif
