#ifndef SERVICE_GATEWAY_PROVIDER_H
#define SERVICE_GATEWAY_PROVIDER_H
/* main() of a provider plugin: one process that answers provider.<service>.<name>.<method>.
 *
 *	static const struct provider_ops ops = {.name = "fixed-rates", .service = …, .call = …};
 *	int main(int argc, char **argv) { return provider_main(argc, argv, &ops); }
 *
 * Any other program that serves such a topic is a provider too.  Settings are
 * PLUGIN_<NAME>_*. */
#include "proto/doc.h"
#include "proto/svc.h"

struct provider;

/* One call.  Answered exactly once by provider_answer or provider_fail, now or later. */
struct provider_call {
	struct provider *p;
	struct worker_msg *m;
	struct span method;         /* "rates" */
	const msgpack_object *args; /* as the gateway checked them; lives until answered */
	struct doc doc;
	void *user;
};

struct provider_ops {
	const char *name; /* default of --name: what it is called on the bus */
	const char *service;
	const char *about;
	const struct opt *options; /* rows; their environment prefix is env_prefix */
	size_t noptions;
	const char *env_prefix;          /* "PLUGIN_FIXED_RATES_" */
	int (*open)(struct provider *p); /* 0, or an exit code */
	void (*close)(struct provider *p);
	void (*call)(struct provider *p, struct provider_call *c);
	void (*cancel)(struct provider *p,
	    struct provider_call *c); /* may be NULL; c must still be answered */
};

int provider_main(int argc, char **argv, const struct provider_ops *ops);

struct loop *provider_loop(struct provider *p);
void provider_answer(struct provider_call *c, struct span body);
/* code says what the gateway may do: BUSY, it was certainly not executed; UPSTREAM, the service
 * behind failed or it is unknown whether it did; INVALID, the service refuses these arguments and
 * another would too; NOT_FOUND, no such method here. */
void provider_fail(struct provider_call *c, enum err code, const char *text);
/* ms until the caller gives up. */
int64_t provider_left_ms(const struct provider_call *c);

#endif
