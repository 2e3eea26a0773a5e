#ifndef PROTO_SVC_PRIV_H
#define PROTO_SVC_PRIV_H
/* What svc.c (life) and svc_sys.c (sys.ping|info|stats, descriptions) share.  Nobody else includes
 * this. */
#include "proto/svc.h"

enum svc_phase { SVC_STARTING, SVC_RUNNING, SVC_DRAINING, SVC_FLUSHING };

struct svc {
	const struct svc_spec *spec;
	void *state;
	struct opt_table *tables;
	size_t ntables;
	char *log_name;

	const char *bus, *log_level, *instance, *key, *broker_key;
	int64_t ready_fd, drain_ms, max_pending;

	struct loop *loop;
	struct link *link;
	struct client *client;
	struct worker *worker;
	int signal_fd;
	struct loop_fd *signal_watch;
	struct timer waiting, drain_poll;
	int64_t drain_by_ms, started_ms;
	enum svc_phase phase;
	bool told_waiting;
	int code;
};

void svc_sys_describe(struct svc *s); /* before start(): the description every SUB carries */
void svc_sys_subscribe(struct svc *s);

#endif
