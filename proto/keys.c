#include "proto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/fs.h"
#include "base/str.h"
#include "proto/sock.h"
#include "proto/zpl.h"

enum { CERT_MAX = 65536 };

static int __attribute__((format(printf, 2, 3))) say(char why[KEYS_WHY], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, KEYS_WHY, fmt, ap);
	va_end(ap);
	return -1;
}

bool
keys_is(struct span s)
{
	static const char z85[] = ".-:+=^!/*?&<>()[]{}@%$#";

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == 0 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
				  (c >= 'A' && c <= 'Z') || strchr(z85, c)))
			return false;
	}
	return s.n == KEYS_TEXT;
}

/* ---- files ---- */

static int
read_fd(int fd, const char *path, struct buf *out, char why[KEYS_WHY])
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return say(why, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return say(why, "%s: not a file", path);
	do {
		uint8_t *room = buf_room(out, 4096);

		if (room == NULL)
			return say(why, "%s: over %zu bytes", path, out->max);
		n = read(fd, room, 4096);
		out->n += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return n == 0 ? 0 : say(why, "%s: %s", path, strerror(errno));
}

int
keys_read(const char *path, struct buf *out, char why[KEYS_WHY])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

	if (fd == -1)
		return say(why, "%s: %s", path, strerror(errno));
	rc = read_fd(fd, path, out, why);
	(void)close(fd);
	return rc;
}

static int
write_fd(int fd, struct span text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			text = span_of(text.p + n, text.n - (size_t)n);
	}
	return fsync(fd);
}

static int
sync_dir_of(const char *path)
{
	char *copy = xstrdup(path);
	int rc = fs_sync_dir(dirname(copy));

	free(copy);
	return rc;
}

int
keys_write(const char *path, struct span text, char why[KEYS_WHY])
{
	char *tmp = xasprintf("%s.XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC), rc = -1;

	if (fd == -1) {
		(void)say(why, "%s: %s", tmp, strerror(errno));
		free(tmp);
		return -1;
	}
	if (write_fd(fd, text) == 0 && fchmod(fd, 0640) == 0 && rename(tmp, path) == 0 &&
	    sync_dir_of(path) == 0) {
		rc = 0;
	} else {
		(void)say(why, "%s: %s", path, strerror(errno));
		(void)unlink(tmp);
	}
	(void)close(fd);
	free(tmp);
	return rc;
}

/* ---- certificates ---- */

static int
take_key(const char *path, struct span value, char out[KEYS_TEXT + 1], char why[KEYS_WHY])
{
	if (!keys_is(value))
		return say(why, "%s: expected a key of 40 characters (Z85)", path);
	(void)str_copy(out, KEYS_TEXT + 1, value);
	return 0;
}

static int
parse(const char *path, struct span text, struct keys *k, char why[KEYS_WHY])
{
	struct zpl_item it;
	bool curve = false;
	struct zpl z;

	zpl_init(&z, text);
	while (zpl_next(&z, &it)) {
		if (it.level == 0)
			curve = span_is(it.name, "curve");
		if (!curve || it.level != 1)
			continue;
		if (span_is(it.name, "public-key") && take_key(path, it.value, k->public_key, why))
			return -1;
		if (span_is(it.name, "secret-key") && take_key(path, it.value, k->secret_key, why))
			return -1;
	}
	if (z.why != NULL)
		return say(why, "%s:%u: %s", path, z.line, z.why);
	if (k->public_key[0] == '\0')
		return say(why, "%s: no curve/public-key in it", path);
	return 0;
}

static int
check_pair(const char *path, const struct keys *k, char why[KEYS_WHY])
{
	char of_secret[KEYS_TEXT + 1];

	if (k->secret_key[0] == '\0')
		return 0;
	if (zmq_curve_public(of_secret, k->secret_key) != 0)
		return say(why, "%s: this libzmq has no CURVE", path);
	if (strcmp(of_secret, k->public_key) != 0)
		return say(why, "%s: the public key is not that of the secret key", path);
	return 0;
}

static int
check_mode(const char *path, const struct keys *k, char why[KEYS_WHY])
{
	struct stat st;

	if (k->secret_key[0] == '\0' || stat(path, &st) != 0 || (st.st_mode & 07) == 0)
		return 0;
	return say(why, "%s: everybody may read the secret key: chmod 600 it", path);
}

static int
load_file(const char *path, struct keys *k, char why[KEYS_WHY])
{
	struct buf text;
	int rc;

	*k = (struct keys){0};
	buf_init(&text, CERT_MAX);
	rc = keys_read(path, &text, why);
	if (rc == 0)
		rc = parse(path, buf_span(&text), k, why);
	if (rc == 0)
		rc = check_pair(path, k, why);
	if (rc == 0)
		rc = check_mode(path, k, why);
	buf_fini(&text);
	return rc;
}

int
keys_load(const char *path, struct keys *k, char why[KEYS_WHY])
{
	char *secret = xasprintf("%s_secret", path);
	int rc = load_file(access(secret, F_OK) == 0 ? secret : path, k, why);

	free(secret);
	return rc;
}

int
keys_public(const char *key_or_file, char out[KEYS_TEXT + 1], char why[KEYS_WHY])
{
	struct keys k;

	if (keys_is(span_str(key_or_file))) {
		(void)str_copy(out, KEYS_TEXT + 1, span_str(key_or_file));
		return 0;
	}
	if (load_file(key_or_file, &k, why) != 0)
		return -1;
	(void)str_copy(out, KEYS_TEXT + 1, span_str(k.public_key));
	return 0;
}

int
keys_use(const char *key_file, const char *broker_key, char why[KEYS_WHY])
{
	char server[KEYS_TEXT + 1];
	struct keys k;

	if (key_file[0] == '\0' && broker_key[0] == '\0')
		return 0;
	if (key_file[0] == '\0' || broker_key[0] == '\0') {
		return say(why, "--key and --broker-key go together: %s is missing",
		    key_file[0] ? "--broker-key" : "--key");
	}
	if (keys_load(key_file, &k, why) != 0 || keys_public(broker_key, server, why) != 0)
		return -1;
	if (k.secret_key[0] == '\0')
		return say(why, "%s: no curve/secret-key in it: this is a public file", key_file);
	if (sock_use_key(k.public_key, k.secret_key, server) != 0)
		return say(why, "%s: the keys cannot be used", key_file);
	return 0;
}

/* ---- a new pair ---- */

static void
put_cert(struct buf *out, const char *name, const struct keys *k, bool secret)
{
	buf_printf(out,
	    secret ? "#   ZeroMQ CURVE **Secret** Certificate\n"
		     "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n"
		   : "#   ZeroMQ CURVE Public Certificate\n");
	buf_printf(out, "\nmetadata\n");
	if (name[0] != '\0')
		buf_printf(out, "    name = \"%s\"\n", name);
	buf_printf(out, "curve\n    public-key = \"%s\"\n", k->public_key);
	if (secret)
		buf_printf(out, "    secret-key = \"%s\"\n", k->secret_key);
}

static int
create(const char *path, mode_t mode, struct span text, char why[KEYS_WHY])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd == -1)
		return say(why, "%s: %s", path, strerror(errno));
	if (write_fd(fd, text) != 0 || sync_dir_of(path) != 0) {
		(void)say(why, "%s: %s", path, strerror(errno));
		(void)close(fd);
		(void)unlink(path);
		return -1;
	}
	(void)close(fd);
	return 0;
}

/* The secret first: a public key whose secret was never written is of no use to anybody. */
static int
create_both(const char *path, const char *name, const struct keys *k, char why[KEYS_WHY])
{
	char *secret = xasprintf("%s_secret", path);
	struct buf text;
	int rc = -1;

	buf_init(&text, CERT_MAX);
	if (access(path, F_OK) == 0) {
		(void)say(why, "%s: File exists", path);
		goto out;
	}
	put_cert(&text, name, k, true);
	rc = create(secret, 0600, buf_span(&text), why);
	if (rc != 0)
		goto out;
	buf_reset(&text);
	put_cert(&text, name, k, false);
	rc = create(path, 0644, buf_span(&text), why);
	if (rc != 0)
		(void)unlink(secret);
out:
	buf_fini(&text);
	free(secret);
	return rc;
}

int
keys_new(const char *path, const char *name, struct keys *k, char why[KEYS_WHY])
{
	if (zmq_curve_keypair(k->public_key, k->secret_key) != 0)
		return say(why, "this libzmq has no CURVE");
	return create_both(path, name, k, why);
}
