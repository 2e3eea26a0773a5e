#ifndef BROKER_AUTH_IMPL_H
#define BROKER_AUTH_IMPL_H
/* What auth.c (keys, peers, the file) and judge.c (what they may do) share.  Nobody else includes
 * this. */
#include <sys/socket.h>

#include "base/log.h"
#include "broker/auth.h"
#include "broker/zap.h"
#include "proto/sock.h"

enum { WORD = 32, MEMOS = 4 };

struct auth {
	char *path;
	char word[WORD + 1]; /* what makes a User-Id ours */
	struct acl *acl;
	struct acl_entry nobody; /* of those whose key is gone: may nothing */
	struct zap *zap;
	int64_t loaded_ms;
	char text[512]; /* of the last refusal */
	struct log_limit key_lines, denied_lines;
};

/* Topics it was allowed lately. */
struct auth_memo {
	unsigned next;
	struct {
		enum acl_verb verb;
		size_t n;
		uint8_t topic[LIMIT_TOPIC];
	} v[MEMOS];
};

/* A peer while there are keys. */
struct auth_peer {
	const struct acl_entry *entry; /* NULL: over ipc, with nothing said of `local` */
	struct auth_memo *memo;        /* NULL until it is needed */
	int fd;
	socklen_t naddr; /* 0: not known */
	struct sockaddr_storage addr;
	char key[ACL_KEY + 1]; /* "": over ipc */
};

/* What is wrong with a description; NULL: nothing. */
const char *auth_desc_fault(const struct acl_entry *e, struct span body);

#endif
