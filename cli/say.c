#include "cli/say.h"

#include <stdio.h>

#include "cli/table.h"
#include "proto/json.h"

int
say_exit_code(enum err code)
{
	switch (code) {
	case ERR_OK: return 0;
	case ERR_NOT_FOUND:
	case ERR_NO_WORKERS:
	case ERR_GONE: return CLI_NOT_FOUND;
	case ERR_UNAUTHENTICATED:
	case ERR_DENIED: return CLI_DENIED;
	case ERR_QUOTA:
	case ERR_BUSY:
	case ERR_DRAINING: return CLI_LATER;
	case ERR_UPSTREAM:
	case ERR_WORKER_LOST:
	case ERR_TIMEOUT:
	case ERR_STORE_FAILED:
	case ERR_INTERNAL: return CLI_UNCERTAIN;
	case ERR_BAD_ENVELOPE:
	case ERR_BAD_TOPIC:
	case ERR_INVALID:
	case ERR_CONFLICT:
	case ERR_TOO_BIG:
	case ERR_COUNT: break;
	}
	return CLI_FAILED;
}

const char *
say_next(enum err code)
{
	switch (code) {
	case ERR_BAD_ENVELOPE:
		return "the two sides may differ in version: `taxi doctor` compares them";
	case ERR_BAD_TOPIC: return "`taxi help topics` says what a topic may be";
	case ERR_INVALID: return "correct what is listed and send it again";
	case ERR_UNAUTHENTICATED: return "connect with --key FILE; `taxi keys new` makes one";
	case ERR_DENIED:
		return "the acl does not allow it to this identity (`taxi keys allow` changes it), "
		       "or it is nobody's to do";
	case ERR_NOT_FOUND:
		return "check the name: `taxi groups`, `taxi services`, `taxi dead ls` list what "
		       "is "
		       "there; `taxi doctor` compares versions";
	case ERR_CONFLICT: return "look at what is stored, then use another id or change it there";
	case ERR_GONE: return "it was there and is no more; there is nothing to repeat";
	case ERR_TOO_BIG: return "send less at once; `taxi help limits` lists what fits";
	case ERR_QUOTA: return "nothing was done: wait and send it again, or make room";
	case ERR_BUSY:
		return "nothing was done: wait and send it again; `taxi doctor` says what is full";
	case ERR_DRAINING:
		return "nothing was done: whoever serves this is going down; `taxi drain "
		       "--status` asks the broker, `taxi drain --off` ends it";
	case ERR_NO_WORKERS: return "nothing was done: `taxi services` lists who serves what";
	case ERR_UPSTREAM:
	case ERR_WORKER_LOST:
		return "it may have been done: look before you repeat it, or mark it "
		       "--again where twice is harmless";
	case ERR_TIMEOUT:
		return "it may still be done: look before you repeat it; --timeout MS waits longer";
	case ERR_STORE_FAILED:
		return "the broker's disk failed and nothing is stored until it is restarted: "
		       "`taxi "
		       "doctor`";
	case ERR_INTERNAL:
		return "it may have been done: the service's log has the reason under this id";
	case ERR_OK:
	case ERR_COUNT: break;
	}
	return "";
}

/* A problem (RFC 9457) with our own members; the service's `detail` map is kept whole. */
static void
error_json(const struct env *err)
{
	enum err code = env_err_code(err);
	struct span detail = env_s(err, ENV_M_DETAIL);
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	buf_printf(&b,
	    "{\"error\":\"%s\",\"status\":%d,\"title\":\"%s\",\"retry\":\"%s\",\"detail\":",
	    err_name(code), err_http(code), err_title(code), err_retry_name(code));
	if (json_from_mp(detail, &b, 0) != 0)
		buf_puts(&b, "null");
	buf_puts(&b, ",\"next\":");
	json_put_str(&b, span_str(say_next(code)));
	buf_printf(&b, ",\"exit\":%d}", say_exit_code(code));
	fprintf(stderr, "%s\n", buf_cstr(&b));
	buf_fini(&b);
}

static void
error_text(const struct env *err)
{
	enum err code = env_err_code(err);
	struct span text = env_err_text(err), detail = env_s(err, ENV_M_DETAIL);
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	buf_printf(&b, "taxi: %s (retry: %s): ", err_name(code), err_retry_name(code));
	if (text.n > 0) {
		buf_put(&b, text.p, text.n);
	} else {
		buf_puts(&b, err_title(code));
	}
	table_make_safe(b.p, b.n);
	buf_putc(&b, '\n');
	/* Member by member only where there is more than the sentence above. */
	if (detail.n > 0 && (code == ERR_INVALID || text.n == 0) &&
	    json_from_mp(detail, &b, 2) == 0)
		buf_putc(&b, '\n');
	fprintf(stderr, "%s      %s\n", buf_cstr(&b), say_next(code));
	buf_fini(&b);
}

int
say_error(bool json, const struct env *err)
{
	(json ? error_json : error_text)(err);
	return say_exit_code(env_err_code(err));
}

int
say_unreached(bool json, const char *bus, const char *why)
{
	const char *next =
	    why ? "--key FILE and --broker-key KEY name the keys; `taxi keys allow` lets one in"
		: "start one with scripts/up.sh, or name another with --bus or $TAXI_BUS";
	const char *title = why ? why : "no broker answers";
	int code = why ? CLI_DENIED : CLI_UNREACHABLE;

	if (json) {
		fprintf(stderr,
		    "{\"error\":\"%s\",\"title\":\"%s\",\"bus\":\"%s\",\"retry\":\"%s\",\"next\":"
		    "\"%s\","
		    "\"exit\":%d}\n",
		    why ? "UNAUTHENTICATED" : "UNREACHABLE", title, bus, why ? "never" : "later",
		    next, code);
	} else if (why != NULL) { /* a sentence of its own */
		fprintf(stderr, "taxi: %s: %s\n      %s\n", bus, title, next);
	} else {
		fprintf(stderr, "taxi: %s at %s\n      %s\n", title, bus, next);
	}
	return code;
}
