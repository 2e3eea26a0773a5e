#include "edge-http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/span.h"
#include "base/str.h"
#include "edge-http/guard.h"

enum { BACKLOG = 1024 };

/* Both kinds of address, and where the port is in them. */
union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

static socklen_t
length_of(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

static int
parse(const char *text, union address *a)
{
	struct addrinfo hints = {
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct span all = span_str(text), host = guard_name(all), port;
	char name[128], service[8];
	uint64_t number;
	int rc;

	if (host.n + 1 >= all.n || all.p[host.n] != ':')
		return -1;
	port = span_of(all.p + host.n + 1, all.n - host.n - 1);
	if (str_u64(port, 65535, &number) != 0) /* getaddrinfo would wrap a greater one */
		return -1;
	if (host.n > 2 && host.p[0] == '[')
		host = span_of(host.p + 1, host.n - 2);
	if (span_is(host, "localhost"))
		host = span_str("127.0.0.1");
	if (!str_copy(name, sizeof name, host) || !str_copy(service, sizeof service, port))
		return -1;
	if (getaddrinfo(name, service, &hints, &found) != 0)
		return -1;
	rc = found->ai_addrlen <= sizeof *a ? 0 : -1;
	if (rc == 0)
		memcpy(a, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return rc;
}

static bool
is_loopback(const union address *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
	return (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
}

int
listen_check(const char *text, bool *local)
{
	union address a;

	if (parse(text, &a) != 0)
		return -1;
	*local = is_loopback(&a);
	return 0;
}

/* `shared`: others of ours bind it too. */
static int
open_one(union address *a, bool shared)
{
	const int on = 1;
	socklen_t n = sizeof *a;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
	    bind(fd, &a->sa, length_of(a)) != 0 || getsockname(fd, &a->sa, &n) != 0) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* SO_REUSEPORT would let a second edge slip in beside the first: only a socket without it tells. */
static int
check_free(union address a)
{
	int fd = open_one(&a, false);

	if (fd == -1)
		return -1;
	(void)close(fd);
	return 0;
}

int
listen_open(const char *text, int *fds, size_t n, unsigned *port)
{
	union address a;
	size_t i = 0;
	int saved;

	errno = EINVAL;
	if (parse(text, &a) != 0 || check_free(a) != 0)
		return -1;
	for (; i < n; i++) { /* the first gives a free port its number */
		fds[i] = open_one(&a, n > 1);
		if (fds[i] == -1)
			goto fail;
		if (listen(fds[i], BACKLOG) != 0) {
			i++;
			goto fail;
		}
	}
	*port = ntohs(a.sa.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
	return 0;
fail:
	saved = errno;
	while (i-- > 0)
		(void)close(fds[i]);
	errno = saved;
	return -1;
}
