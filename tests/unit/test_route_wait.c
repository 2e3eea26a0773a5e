/* Requests that wait for workers who are on their way: after a restart, and after a loss. */
#include "broker/route.h"
#include "tests/unit/check.h"

static struct match *m;
static struct route *r;
static struct route_peer client, a, b;
static unsigned sent, failed;
static bool again;
static enum err code;
static uint8_t own[16];
static int64_t left;

static void
on_send(void *arg, struct route_peer *worker, const struct route_send *s)
{
	(void)arg;
	(void)worker;
	sent++;
	again = s->again;
	left = s->left;
	memcpy(own, s->id, 16);
}

static void
on_more(void *arg, struct route_peer *worker, const uint8_t id[16], uint64_t n)
{
	(void)arg;
	(void)worker;
	(void)id;
	(void)n;
}

static void
on_cancel(void *arg, struct route_peer *worker, const uint8_t id[16])
{
	(void)arg;
	(void)worker;
	(void)id;
}

static void
on_fail(void *arg, struct route_peer *peer, const uint8_t id[16], enum err err, const char *why)
{
	(void)arg;
	(void)peer;
	(void)id;
	(void)why;
	failed++;
	code = err;
}

static void
begin(int64_t until)
{
	static const struct route_ops ops = {on_send, on_more, on_cancel, on_fail, NULL};

	m = match_new();
	r = route_new(m, &ops, 1, 1 << 20, 1 << 20);
	route_be_patient(r, until);
	route_peer_init(&client, 1);
	route_peer_init(&a, 2);
	route_peer_init(&b, 3);
	sent = failed = 0;
}

static void
end(void)
{
	route_check(r);
	route_free(r);
	match_free(m);
}

static enum err
ask(uint8_t id, const char *topic, bool twice, int64_t now)
{
	struct route_req q = {.client = &client,
	    .topic = span_str(topic),
	    .frame = span_str(topic),
	    .ttl = 5000,
	    .again = twice};

	q.id[0] = id;
	return route_request(r, &q, now);
}

static void
join(struct route_peer *p, const char *pattern, int64_t now)
{
	route_join(r, p, span_str(pattern), 10, 1 << 20, now);
}

static void
workers_of_before_are_waited_for(void)
{
	begin(1000);
	CHECK(ask(1, "svc.a", false, 10) == ERR_OK && ask(2, "svc.b", false, 10) == ERR_OK);
	CHECK(ask(3, "other.x", false, 10) == ERR_OK && sent == 0);
	join(&a, "svc.*", 300);
	CHECK(sent == 2 && !again && left == 4710);
	CHECK(route_next(r) == 1000);
	route_run(r, 999);
	CHECK(failed == 0);
	route_run(r, 1000);
	CHECK(failed == 1 && code == ERR_NO_WORKERS);
	CHECK(ask(4, "other.x", false, 1000) == ERR_NO_WORKERS);
	CHECK(route_next(r) == 5010);
	end();
}

static void
a_cancelled_one_waits_no_more(void)
{
	uint8_t id[16] = {1};

	begin(1000);
	CHECK(ask(1, "svc.a", false, 10) == ERR_OK);
	route_cancel(r, &client, id, 20);
	CHECK(ask(2, "svc.a", false, 10) == ERR_OK);
	route_peer_gone(r, &client, 30);
	join(&a, "svc.*", 300);
	CHECK(sent == 0 && failed == 0);
	end();
}

static void
one_that_may_run_twice_waits_for_another_worker(void)
{
	begin(0);
	join(&a, "svc.*", 10);
	CHECK(ask(1, "svc.a", true, 10) == ERR_OK && ask(2, "svc.a", false, 10) == ERR_OK &&
	      sent == 2);
	route_peer_gone(r, &a, 100);
	CHECK(failed == 1 && code == ERR_WORKER_LOST); /* the one that may not */
	route_check(r);
	join(&b, "svc.a", 2000);
	CHECK(sent == 3 && again && left == 3010 && failed == 1);
	route_peer_gone(r, &b, 2100);
	CHECK(failed == 1);
	route_run(r, 5009);
	CHECK(failed == 1);
	route_run(r, 5010);
	CHECK(failed == 2 && code == ERR_WORKER_LOST); /* uncertain: it was handed over */
	CHECK(ask(3, "svc.a", true, 5020) == ERR_NO_WORKERS);
	end();
}

static void
not_for_ever(void)
{
	begin(0);
	join(&a, "svc.*", 10);
	CHECK(ask(1, "svc.a", true, 10) == ERR_OK);
	for (int i = 0; i < 20; i++) {
		route_peer_gone(r, &a, 20);
		route_peer_init(&a, 2);
		join(&a, "svc.*", 20);
	}
	CHECK(failed == 1 && code == ERR_WORKER_LOST && sent == 9);
	end();
}

int
main(void)
{
	workers_of_before_are_waited_for();
	a_cancelled_one_waits_no_more();
	one_that_may_run_twice_waits_for_another_worker();
	not_for_ever();
	return check_done();
}
