/* Plain libmicrohttpd: what HTTP costs with nothing behind it.  hello PORT */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static enum MHD_Result
answer(void *cls, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *data, size_t *size, void **state)
{
	static char body[] = "{}\n";
	static int seen;
	struct MHD_Response *r;
	enum MHD_Result rc;

	(void)cls, (void)url, (void)method, (void)version, (void)data, (void)size;
	/* The first call has the headers alone; an answer to that one would end the connection. */
	if (*state == NULL) {
		*state = &seen;
		return MHD_YES;
	}
	r = MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
	rc = MHD_queue_response(c, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return rc;
}

int
main(int argc, char **argv)
{
	struct MHD_Daemon *d;
	int64_t port;

	if (argc != 2 || str_i64(span_str(argv[1]), 1, 65535, &port) != 0) {
		fputs("usage: hello PORT\n", stderr);
		return 2;
	}
	d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t)port, NULL, NULL, answer,
	    NULL, MHD_OPTION_THREAD_POOL_SIZE, 2u, MHD_OPTION_END);
	if (d == NULL)
		return 1;
	pause();
	MHD_stop_daemon(d);
	return 0;
}
