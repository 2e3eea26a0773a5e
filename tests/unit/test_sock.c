#include <errno.h>
#include <signal.h>

#include "proto/sock.h"
#include "tests/unit/check.h"

static void
test_local(void)
{
	CHECK(sock_is_local("tcp://127.0.0.1:5570"));
	CHECK(sock_is_local("tcp://127.3.2.1:*"));
	CHECK(sock_is_local("tcp://localhost:5570"));
	CHECK(sock_is_local("tcp://[::1]:5570"));
	CHECK(sock_is_local("ipc:///run/taxi/bus.sock"));
	CHECK(sock_is_local("inproc://x"));
	CHECK(!sock_is_local("tcp://127.evil.example:5570"));
	CHECK(!sock_is_local("tcp://0.0.0.0:5570"));
	CHECK(!sock_is_local("tcp://*:5570"));
	CHECK(!sock_is_local("tcp://[::]:5570"));
	CHECK(!sock_is_local("tcp://eth0:5570"));
	CHECK(!sock_is_local("tcp://127.0.0.1"));
	CHECK(!sock_is_local("tcp://"));
	CHECK(!sock_is_local("udp://127.0.0.1:1"));
	CHECK(!sock_is_local(""));
}

static void
test_form(void)
{
	CHECK(sock_is_endpoint("tcp://127.0.0.1:5570"));
	CHECK(sock_is_endpoint("tcp://*:*"));
	CHECK(sock_is_endpoint("tcp://[::1]:5570"));
	CHECK(sock_is_endpoint("ipc:///run/bus.sock"));
	CHECK(sock_is_endpoint("ipc://@abstract"));
	CHECK(!sock_is_endpoint("ipc://"));
	CHECK(!sock_is_endpoint("tcp://host"));
	CHECK(!sock_is_endpoint("tcp://:5570"));
	CHECK(!sock_is_endpoint("tcp://host:65536"));
	CHECK(!sock_is_endpoint("tcp://host:http"));
	CHECK(!sock_is_endpoint("127.0.0.1:5570"));
	CHECK(!sock_is_endpoint(""));
}

static void
test_ipc_path_length(void)
{
	const char *const too_long[] = {
	    "ipc:///tmp/0123456789012345678901234567890123456789012345678901234567890123456789"
	    "012345678901234567890123456789012345678901234567890123456789"};
	zsock_t *s;

	CHECK(sock_router(too_long, 1) == NULL);
	s = sock_dealer(too_long[0], NULL);
	CHECK(!sock_is_endpoint(too_long[0]));
	CHECK(s == NULL);
}

static void
test_refusals(void)
{
	const char *const nonsense[] = {"nonsense"};
	const char *const one[] = {"tcp://127.0.0.1:*"};
	zsock_t *s, *second;
	char *taken;

	CHECK(sock_router(nonsense, 1) == NULL);
	CHECK(sock_dealer("tcp://no-port", NULL) == NULL);
	CHECK(sock_xpub("tcp://127.0.0.1:99999") == NULL);
	s = sock_router(one, 1);
	CHECK(s != NULL);
	taken = zsock_last_endpoint(s);
	second = sock_router((const char *const[]){taken}, 1);
	CHECK(second == NULL);
	CHECK(sock_send(s, span_str("nobody"), span_str("x")) == -1 && zmq_errno() == EHOSTUNREACH);
	zstr_free(&taken);
	zsock_destroy(&s);
}

static void
test_nothing_waits_for_a_connection(void)
{
	/* Nobody listens: with ZMQ_IMMEDIATE a send says so, and nothing stale waits inside. */
	zsock_t *s = sock_dealer("ipc://@taxi-test-sock-nobody", NULL);

	CHECK(s != NULL);
	CHECK(sock_send(s, (struct span){NULL, 0}, span_str("x")) == -1 && zmq_errno() == EAGAIN);
	zsock_destroy(&s);
}

static void
test_options(void)
{
	const char *const one[] = {"tcp://127.0.0.1:*"};
	zsock_t *s = sock_router(one, 1), *x = sock_xpub("tcp://127.0.0.1:*"), *sub;
	char *feed;

	CHECK(zsock_linger(s) == 0);
	CHECK(zsock_maxmsgsize(s) == 32 * 1024 * 1024);
	CHECK(x != NULL);
	feed = zsock_last_endpoint(x);
	sub = sock_sub(feed, "status.");
	CHECK(sub != NULL);
	CHECK(zsock_linger(sub) == 0);
	zstr_free(&feed);
	zsock_destroy(&sub);
	zsock_destroy(&x);
	zsock_destroy(&s);
}

static void
test_signals(void)
{
	sigset_t set;

	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
	CHECK(sigismember(&set, SIGTERM) == 1);
	CHECK(sigismember(&set, SIGINT) == 1);
	CHECK(raise(SIGPIPE) == 0);
	CHECK(raise(SIGTERM) == 0); /* pending, not delivered */
	CHECK(!zsys_interrupted);
}

int
main(void)
{
	sock_process_init();
	test_local();
	test_form();
	test_ipc_path_length();
	test_refusals();
	test_nothing_waits_for_a_connection();
	test_options();
	test_signals();
	return check_done();
}
