#ifndef PROTO_SVC_H
#define PROTO_SVC_H
/* main() of every process on the bus: options (flags = TAXI_* environment), logs, signals, the
 * loop, the link, ready fd, drain, and sys.ping|info|stats.<name> served for nothing.
 *
 *	int main(int argc, char **argv) { return svc_main(argc, argv, &spec, &my_state); }
 *
 * Life: options -> 100 when wrong; open(); loop; on the first `up` of the link, start(); when every
 * subscription is live, a newline goes to --ready-fd.  SIGTERM: drain() once, BYE, then exit 0 when
 * nothing is in hand, no call is pending and idle() says so, or after --drain-ms; a second signal
 * exits at once.  A broker that is away is waited for (evt=waiting_for_broker), also in the middle;
 * svc_main never ends for that. One svc_main a process. */
#include "base/opt.h"
#include "proto/worker.h"

struct svc;

struct svc_spec {
	const char *name;                /* "control-tower", "pusher-postgres" */
	const char *about;               /* one sentence, for --help and the registry */
	const struct opt_table *options; /* beside the harness's own */
	size_t noptions;
	const char *api_json; /* OpenAPI 3.1 fragment (PROTOCOL.md, Announcements); NULL for none */
	/* 0, or an exit code.  After the options are read; the loop exists, link, client and worker
	 * do not. */
	int (*open)(void *state, struct svc *s);
	/* The link is up for the first time: subscribe.  0, or an exit code. */
	int (*start)(void *state, struct svc *s);
	void (*drain)(void *state); /* SIGTERM: take no more; may be NULL */
	bool (*idle)(void *state);  /* nothing under way; may be NULL */
	/* Frees; called on every way out after open(), a failed one too, when every call has ended.
	 */
	void (*close)(void *state);
	/* Appends n key-value pairs to the `counters` map of STATS and returns n; may be NULL. */
	unsigned (*stats)(void *state, struct buf *out);
	bool (*ready)(void *state); /* further condition for --ready-fd; may be NULL */
};

int svc_main(int argc, char **argv, const struct svc_spec *spec, void *state);

struct loop *svc_loop(struct svc *s);
struct client *svc_client(struct svc *s);
struct worker *svc_worker(struct svc *s);
const char *svc_name(const struct svc *s);
const char *svc_instance(const struct svc *s); /* --instance, "" when not given */
bool svc_is_draining(const struct svc *s);
const char *svc_endpoint(const struct svc *s); /* --bus */
/* Ask for the end from inside: as SIGTERM, with this exit code. */
void svc_stop(struct svc *s, int code);
/* Look again whether we are ready (after `ready` may have changed). */
void svc_check_ready(struct svc *s);

#endif
