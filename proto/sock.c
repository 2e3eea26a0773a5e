#include "proto/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/str.h"
#include "proto/limits.h"

/* In every libzmq since 4.3, named only in the headers of drafts: without a ZAP handler nobody is
 * let in, rather than everybody. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

/* Counts of messages, so only the last resort: what really bounds are credit and bytes pending. */
#define HWM_ROUTER 20000
#define HWM_ROUTER_IN 32 /* one may be 16 MiB, and libzmq reads ahead of us */
#define HWM_FEED 10000
#define HWM_FEED_IN 16  /* all that is there is taken at once, by libzmq */
#define FEED_MAXMSG 512 /* what a reader sends: its handshake, and topics */
#define HEARTBEAT_MS 2000
#define HWM_DEALER_OUT 1000 /* one may be a PACK of 1 MiB */
#define HWM_DEALER_IN 100000

/* Keys of this process: written once, before any socket or thread. */
static struct {
	char public_key[41], secret_key[41], server_key[41], serve[41];
} keys;

void
sock_process_init(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	/* Before zsys_init: else czmq's handler stops every zloop at the first SIGTERM. */
	zsys_handler_set(NULL);
	(void)zsys_init();
	zsys_set_logstream(stderr);
}

static int
set_int(void *s, int option, int value)
{
	return zmq_setsockopt(s, option, &value, sizeof value);
}

/* What every socket has. */
static int
set_common(void *s)
{
	const int64_t maxmsg = LIMIT_MAXMSG;

	if (set_int(s, ZMQ_LINGER, 0) != 0 || set_int(s, ZMQ_HANDSHAKE_IVL, 5000) != 0 ||
	    set_int(s, ZMQ_TCP_KEEPALIVE, 1) != 0 || set_int(s, ZMQ_TCP_KEEPALIVE_IDLE, 30) != 0 ||
	    set_int(s, ZMQ_TCP_KEEPALIVE_INTVL, 10) != 0 ||
	    set_int(s, ZMQ_TCP_KEEPALIVE_CNT, 3) != 0 || set_int(s, ZMQ_IPV6, 1) != 0)
		return -1;
	return zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &maxmsg, sizeof maxmsg);
}

static int
set_hwm(void *s, int out, int in)
{
	return set_int(s, ZMQ_SNDHWM, out) != 0 || set_int(s, ZMQ_RCVHWM, in) != 0 ? -1 : 0;
}

static zsock_t *
make(int type, int hwm_out, int hwm_in)
{
	zsock_t *s = zsock_new(type);

	if (s && set_common(zsock_resolve(s)) == 0 &&
	    set_hwm(zsock_resolve(s), hwm_out, hwm_in) == 0)
		return s;
	log_error("socket_failed", LOG_I("type", type), LOG_S("reason", zmq_strerror(zmq_errno())));
	zsock_destroy(&s);
	return NULL;
}

static bool
path_fits(const char *endpoint)
{
	const struct sockaddr_un *const un = NULL;
	const size_t most = sizeof un->sun_path - 1;

	if (strncmp(endpoint, "ipc://", 6) != 0 || strlen(endpoint + 6) <= most)
		return true;
	log_error("endpoint_too_long", LOG_S("endpoint", endpoint),
	    LOG_U("path_bytes", strlen(endpoint + 6)), LOG_U("limit", most));
	errno = ENAMETOOLONG;
	return false;
}

static int
set_text(void *s, int option, const char *text)
{
	return zmq_setsockopt(s, option, text, strlen(text));
}

static int
take_key(char out[41], const char *key)
{
	uint8_t raw[32];

	if (zmq_has("curve") && strlen(key) == 40 && zmq_z85_decode(raw, key) != NULL) {
		memcpy(out, key, 41);
		return 0;
	}
	log_error("key_unusable",
	    LOG_S("reason", zmq_has("curve") ? "not 40 characters of Z85" : "libzmq has no CURVE"));
	return -1;
}

int
sock_use_key(const char *public_key, const char *secret_key, const char *server_key)
{
	return take_key(keys.public_key, public_key) != 0 ||
		       take_key(keys.secret_key, secret_key) != 0 ||
		       take_key(keys.server_key, server_key) != 0
		   ? -1
		   : 0;
}

int
sock_serve_key(const char *secret_key)
{
	return take_key(keys.serve, secret_key);
}

bool
sock_has_key(void)
{
	return keys.server_key[0] != '\0';
}

static bool
is_tcp(const char *endpoint)
{
	return strncmp(endpoint, "tcp://", 6) == 0;
}

/* libzmq copies the options of a socket into each listener at its bind: what is bound after this
 * asks for keys, what was bound before does not. */
static int
set_server(void *s, const char *domain)
{
	if (keys.serve[0] == '\0')
		return 0;
	if (set_int(s, ZMQ_CURVE_SERVER, 1) == 0 &&
	    set_text(s, ZMQ_CURVE_SECRETKEY, keys.serve) == 0 &&
	    set_text(s, ZMQ_ZAP_DOMAIN, domain) == 0 && set_int(s, ZMQ_ZAP_ENFORCE_DOMAIN, 1) == 0)
		return 0;
	log_error("keys_refused", LOG_S("reason", zmq_strerror(zmq_errno())));
	return -1;
}

static int
set_client(void *s, const char *endpoint)
{
	if (!sock_has_key() || !is_tcp(endpoint))
		return 0;
	if (set_text(s, ZMQ_CURVE_PUBLICKEY, keys.public_key) == 0 &&
	    set_text(s, ZMQ_CURVE_SECRETKEY, keys.secret_key) == 0 &&
	    set_text(s, ZMQ_CURVE_SERVERKEY, keys.server_key) == 0)
		return 0;
	log_error("keys_refused", LOG_S("reason", zmq_strerror(zmq_errno())));
	return -1;
}

static int
bind_to(zsock_t *s, const char *endpoint)
{
	if (!sock_is_endpoint(endpoint)) {
		/* libzmq would take port 99999 for 34463 */
		log_error("bind_failed", LOG_S("endpoint", endpoint),
		    LOG_S("reason", "expected tcp://host:port, ipc://path or inproc://name"));
		return -1;
	}
	if (zmq_bind(zsock_resolve(s), endpoint) == 0)
		return 0;
	log_error(
	    "bind_failed", LOG_S("endpoint", endpoint), LOG_S("reason", zmq_strerror(zmq_errno())));
	return -1;
}

static int
connect_to(zsock_t *s, const char *endpoint)
{
	if (!path_fits(endpoint) || set_client(zsock_resolve(s), endpoint) != 0)
		return -1;
	if (zmq_connect(zsock_resolve(s), endpoint) == 0)
		return 0;
	log_error("connect_failed", LOG_S("endpoint", endpoint),
	    LOG_S("reason", zmq_strerror(zmq_errno())));
	return -1;
}

zsock_t *
sock_router(const char *const *endpoints, size_t n)
{
	zsock_t *s = make(ZMQ_ROUTER, HWM_ROUTER, HWM_ROUTER_IN);

	if (s == NULL)
		return NULL;
	if (set_int(zsock_resolve(s), ZMQ_ROUTER_MANDATORY, 1) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_ROUTER_HANDOVER, 0) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_BACKLOG, 1024) != 0)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		if (!is_tcp(endpoints[i]) && bind_to(s, endpoints[i]) != 0)
			goto fail;
	}
	if (set_server(zsock_resolve(s), "bus") != 0)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		if (is_tcp(endpoints[i]) && bind_to(s, endpoints[i]) != 0)
			goto fail;
	}
	return s;
fail:
	zsock_destroy(&s);
	return NULL;
}

zsock_t *
sock_xpub(const char *endpoint)
{
	zsock_t *s = make(ZMQ_XPUB, HWM_FEED, HWM_FEED_IN);
	const int64_t maxmsg = FEED_MAXMSG;

	if (s == NULL)
		return NULL;
	/* A reader that stopped reading is let go, and what is kept for it with it. */
	if (zmq_setsockopt(zsock_resolve(s), ZMQ_MAXMSGSIZE, &maxmsg, sizeof maxmsg) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_XPUB_NODROP, 0) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS) != 0 ||
	    set_int(zsock_resolve(s), ZMQ_BACKLOG, 1024) != 0 ||
	    (is_tcp(endpoint) && set_server(zsock_resolve(s), "feed") != 0) ||
	    bind_to(s, endpoint) != 0)
		zsock_destroy(&s);
	return s;
}

zsock_t *
sock_zap(void)
{
	zsock_t *s = make(ZMQ_ROUTER, 0, 0);

	if (s != NULL && bind_to(s, "inproc://zeromq.zap.01") != 0)
		zsock_destroy(&s);
	return s;
}

zsock_t *
sock_dealer(const char *endpoint, zsock_t **monitor)
{
	zsock_t *s = make(ZMQ_DEALER, HWM_DEALER_OUT, HWM_DEALER_IN), *none = NULL;

	if (s == NULL)
		return NULL;
	if (monitor != NULL)
		*monitor = sock_monitor(s);
	if (set_int(zsock_resolve(s), ZMQ_IMMEDIATE, 1) == 0 &&
	    set_int(zsock_resolve(s), ZMQ_CONNECT_TIMEOUT, 5000) == 0 &&
	    set_int(zsock_resolve(s), ZMQ_RECONNECT_IVL, 50) == 0 &&
	    set_int(zsock_resolve(s), ZMQ_RECONNECT_IVL_MAX, 250) == 0 &&
	    connect_to(s, endpoint) == 0)
		return s;
	sock_destroy_pair(&s, monitor != NULL ? monitor : &none);
	return NULL;
}

zsock_t *
sock_sub(const char *endpoint, const char *prefix)
{
	zsock_t *s = make(ZMQ_SUB, HWM_FEED, HWM_FEED);

	if (s == NULL)
		return NULL;
	if (zmq_setsockopt(zsock_resolve(s), ZMQ_SUBSCRIBE, prefix, strlen(prefix)) != 0 ||
	    connect_to(s, endpoint) != 0)
		zsock_destroy(&s);
	return s;
}

zsock_t *
sock_monitor(zsock_t *s)
{
	static atomic_uint last; /* a name is not free again at once when its socket is closed */
	char name[64];
	zsock_t *m;

	(void)snprintf(name, sizeof name, "inproc://taxi-monitor-%u", atomic_fetch_add(&last, 1));
	/* No limit: libzmq's own thread would wait at one.  What comes is one event a
	 * (dis)connection. */
	m = make(ZMQ_PAIR, 0, 0);
	if (m == NULL)
		return NULL;
	if (zmq_socket_monitor(zsock_resolve(s), name,
		ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
		    ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
		    ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) == 0 &&
	    connect_to(m, name) == 0)
		return m;
	log_warn("monitor_failed", LOG_S("reason", zmq_strerror(zmq_errno())));
	zsock_destroy(&m);
	return NULL;
}

static void
say_refused(struct sock_event *e, uint16_t event, uint32_t value)
{
	e->news = SOCK_REFUSED;
	if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
		e->why = value == 400 ? "key_not_known" : "not_let_in";
		e->final = value == 400;
	} else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
		e->why = value == ETIMEDOUT ? "timed_out" : "closed_by_peer";
	} else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
		e->why = "one_side_has_keys";
		e->final = true;
	} else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC) {
		e->why = "wrong_key";
	} else {
		e->why = "not_zmtp";
	}
}

bool
sock_event(zsock_t *monitor, struct sock_event *e)
{
	void *z = zsock_resolve(monitor);
	uint8_t event[6];
	char address[256] = "";
	uint16_t number;
	uint32_t value;

	/* Two frames: event and value, then the address. */
	if (zmq_recv(z, event, sizeof event, ZMQ_DONTWAIT) == -1 ||
	    zmq_recv(z, address, sizeof address, ZMQ_DONTWAIT) == -1)
		return false;
	memcpy(&number, event, 2);
	memcpy(&value, event + 2, 4);
	*e = (struct sock_event){.fd = (int)value, .tcp = is_tcp(address)};
	if (number == ZMQ_EVENT_ACCEPTED) {
		e->news = SOCK_ACCEPTED;
	} else if (number == ZMQ_EVENT_DISCONNECTED) {
		e->news = SOCK_GONE;
	} else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		e->news = SOCK_READY;
	} else {
		say_refused(e, number, value);
	}
	return true;
}

void
sock_destroy_pair(zsock_t **s, zsock_t **monitor)
{
	if (*s && *monitor)
		(void)zmq_socket_monitor(zsock_resolve(*s), NULL, 0);
	zsock_destroy(monitor);
	zsock_destroy(s);
}

int
sock_send(zsock_t *s, struct span peer, struct span frame)
{
	void *z = zsock_resolve(s);

	if (peer.p && zmq_send(z, peer.p, peer.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1)
		return -1;
	return zmq_send(z, frame.p, frame.n, ZMQ_DONTWAIT) == -1 ? -1 : 0;
}

/* The host of "tcp://host:port", without brackets. */
static bool
tcp_host(const char *endpoint, char *host, size_t size)
{
	const char *from = endpoint + strlen("tcp://"), *to = strrchr(from, ':');

	if (to && *from == '[' && to[-1] == ']') {
		from++;
		to--;
	}
	if (to == NULL || to < from || (size_t)(to - from) >= size)
		return false;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	return true;
}

bool
sock_is_endpoint(const char *endpoint)
{
	const char *port;
	int64_t n;

	if (strncmp(endpoint, "ipc://", 6) == 0)
		return endpoint[6] != '\0' && path_fits(endpoint);
	if (strncmp(endpoint, "inproc://", 9) == 0)
		return endpoint[9] != '\0';
	if (strncmp(endpoint, "tcp://", 6) != 0)
		return false;
	port = strrchr(endpoint + 6, ':');
	return port && port > endpoint + 6 &&
	       (strcmp(port, ":*") == 0 || str_i64(span_str(port + 1), 0, 65535, &n) == 0);
}

bool
sock_is_local(const char *endpoint)
{
	char host[128];
	struct in_addr v4;
	struct in6_addr v6;

	if (strncmp(endpoint, "ipc://", 6) == 0 || strncmp(endpoint, "inproc://", 9) == 0)
		return true;
	if (strncmp(endpoint, "tcp://", 6) != 0 || !tcp_host(endpoint, host, sizeof host))
		return false;
	if (strcmp(host, "localhost") == 0 || strcmp(host, "lo") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
