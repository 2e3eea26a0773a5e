/* taxi dead edit: a dead letter as JSON in an editor, checked, and stored as it then is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "cli/dead.h"
#include "cli/fields.h"
#include "cli/fmt.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "proto/topic.h"

static struct {
	const char *body, *topic, *key;
} opt;

static const struct opt rows[] = {
    {"body", OPT_STR, &opt.body, "", 0, 0, 0, "no editor: this body (JSON, @FILE or -)"},
    {"topic", OPT_STR, &opt.topic, "", 0, 0, 0, "no editor: this topic"},
    {"key", OPT_STR, &opt.key, "", 0, 0, 0, "no editor: this order key"},
};

/* JSON has no bytes: what holds some would come back as text. */
static bool
holds_bytes(const msgpack_object *o)
{
	if (o->type == MSGPACK_OBJECT_BIN || o->type == MSGPACK_OBJECT_EXT)
		return true;
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_ARRAY && i < o->via.array.size; i++) {
		if (holds_bytes(&o->via.array.ptr[i]))
			return true;
	}
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
		if (o->via.map.ptr[i].key.type != MSGPACK_OBJECT_STR ||
		    holds_bytes(&o->via.map.ptr[i].val))
			return true;
	}
	return false;
}

/* {topic, key?, body} as people edit it. */
static int
write_text(const struct env *e, struct buf *out)
{
	struct doc d;
	bool bytes = doc_parse(&d, e->body) != 0 || holds_bytes(&d.root);

	doc_fini(&d);
	if (bytes) {
		fputs("taxi: the body holds bytes, which JSON cannot keep: only --topic and --key "
		      "can "
		      "be changed, and --body replaces it\n",
		    stderr);
		return CLI_FAILED;
	}
	buf_puts(out, "{\n  \"topic\": ");
	json_put_str(out, e->topic);
	if (env_has(e, ENV_M_KEY)) {
		buf_puts(out, ",\n  \"key\": ");
		json_put_str(out, env_s(e, ENV_M_KEY));
	}
	buf_puts(out, ",\n  \"body\": ");
	if (json_from_mp(e->body, out, 2) != 0)
		return CLI_FAILED;
	buf_puts(out, "\n}\n");
	return 0;
}

/* ---- the file and the editor ---- */

static int
write_file(const char *path, int fd, const struct buf *text)
{
	size_t done = 0;

	while (done < text->n) {
		ssize_t n = write(fd, text->p + done, text->n - done);

		if (n <= 0) {
			fprintf(stderr, "taxi: %s: %s; $TMPDIR names another place\n", path,
			    strerror(errno));
			return CLI_FAILED;
		}
		done += (size_t)n;
	}
	return 0;
}

static int
read_file(const char *path, struct buf *text)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		fprintf(stderr, "taxi: %s: %s; nothing was changed\n", path, strerror(errno));
		return CLI_FAILED;
	}
	do {
		uint8_t *room = buf_room(text, 65536);

		n = room ? fread(room, 1, 65536, f) : 0;
		text->n += n;
	} while (n > 0);
	fclose(f);
	return 0;
}

/* $VISUAL or $EDITOR may be a command with options: the shell knows how to read it. */
static int
run_editor(const char *path)
{
	const char *editor = getenv("VISUAL");
	char *command, *file = xstrdup(path);
	char sh[] = "sh", dash_c[] = "-c";
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int status = -1, err;

	if (editor == NULL || *editor == '\0')
		editor = getenv("EDITOR");
	command = xasprintf("%s \"$0\"", editor && *editor ? editor : "vi");
	/* Signals are blocked here, for the loop; they are not the editor's. */
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(
	    &pid, "/bin/sh", NULL, &attr, (char *[]){sh, dash_c, command, file, NULL}, environ);
	while (err == 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	posix_spawnattr_destroy(&attr);
	free(command);
	free(file);
	if (err == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "taxi: the editor failed; $EDITOR names another; nothing was changed\n");
	return CLI_FAILED;
}

static int
edit_text(const struct buf *text, struct buf *edited)
{
	const char *dir = getenv("TMPDIR");
	char *path = xasprintf("%s/taxi-dead-XXXXXX.json", dir && *dir ? dir : "/tmp");
	int fd = mkstemps(path, 5), code;

	if (fd == -1) {
		fprintf(
		    stderr, "taxi: %s: %s; $TMPDIR names another place\n", path, strerror(errno));
		free(path);
		return CLI_FAILED;
	}
	code = write_file(path, fd, text);
	(void)close(fd);
	if (code == 0)
		code = run_editor(path);
	if (code == 0)
		code = read_file(path, edited);
	(void)unlink(path);
	free(path);
	return code;
}

/* ---- what comes back ---- */

/* Edited text -> the members of sys.dead.edit that differ from what is stored. */
static int
read_text(const struct cli *c, const struct buf *edited, const struct env *e, struct map *m)
{
	struct json_error err;
	struct buf mp, body;
	struct doc d;
	struct span topic, key;
	char text[LIMIT_KEY + LIMIT_TOPIC + 1];
	int code = 0;

	buf_init(&mp, LIMIT_FRAME);
	buf_init(&body, LIMIT_FRAME);
	if (json_to_mp(buf_span(edited), &mp, &err) != 0) {
		fprintf(stderr,
		    "taxi: what was written is not JSON: line %d, column %d: %s; nothing was "
		    "changed, "
		    "and it was:\n%.*s",
		    err.line, err.column, err.text, (int)edited->n, (const char *)edited->p);
		buf_fini(&mp);
		return CLI_USAGE;
	}
	if (doc_parse(&d, buf_span(&mp)) != 0 || d.root.type != MSGPACK_OBJECT_MAP)
		code = cli_usage(c, "expected {topic, key?, body}; nothing was changed");
	topic = doc_str(&d.root, "topic");
	key = doc_str(&d.root, "key");
	if (code == 0 && !topic_is_valid(topic)) {
		code = cli_usage(
		    c, "the topic is not valid (`taxi help topics`); nothing was changed");
	}
	if (code == 0 && !span_eq(topic, e->topic)) {
		snprintf(text, sizeof text, "%.*s", (int)topic.n, (const char *)topic.p);
		map_str(m, "topic", text);
	}
	if (code == 0 && key.p != NULL && key.n <= LIMIT_KEY &&
	    !span_eq(key, env_s(e, ENV_M_KEY))) {
		snprintf(text, sizeof text, "%.*s", (int)key.n, (const char *)key.p);
		map_str(m, "key", text);
	}
	if (code == 0 && doc_get(&d.root, "body") != NULL) {
		mp_put_object(&body, doc_get(&d.root, "body"));
		if (!span_eq(buf_span(&body), e->body))
			map_raw(m, "body", buf_span(&body));
	}
	doc_fini(&d);
	buf_fini(&body);
	buf_fini(&mp);
	return code;
}

static int
from_editor(struct cli *c, const struct env *e, struct map *m)
{
	struct buf text, edited;
	int code;

	buf_init(&text, 8 * LIMIT_FRAME);
	buf_init(&edited, 8 * LIMIT_FRAME);
	cli_close(c); /* nobody would answer the broker while somebody thinks */
	code = write_text(e, &text);
	if (code == 0)
		code = edit_text(&text, &edited);
	if (code == 0)
		code = read_text(c, &edited, e, m);
	buf_fini(&text);
	buf_fini(&edited);
	return code;
}

static int
from_options(struct cli *c, struct map *m)
{
	struct buf body;
	int code = 0;

	buf_init(&body, LIMIT_FRAME);
	if (opt.topic[0] && !topic_is_valid(span_str(opt.topic)))
		code = cli_usage(c, "'%s' is no topic (`taxi help topics`)", opt.topic);
	if (opt.body[0] && cli_body(opt.body, &body) != 0)
		code = CLI_USAGE;
	if (body.n > 0)
		map_raw(m, "body", buf_span(&body));
	if (opt.topic[0])
		map_str(m, "topic", opt.topic);
	if (opt.key[0])
		map_str(m, "key", opt.key);
	buf_fini(&body);
	return code;
}

static int
store(struct cli *c, int64_t no, struct map *m)
{
	struct cli_reply r;
	int code = ask(c, "sys.dead.edit", m, &r);

	if (code == 0 && cli_is_json(c)) {
		printf("{\"dead\":%lld,\"changed\":true}\n", (long long)no);
	} else if (code == 0) {
		printf("dead letter %lld is changed; `taxi dead retry %lld` owes it again\n",
		    (long long)no, (long long)no);
	}
	cli_reply_fini(&r);
	return code;
}

static int
run(struct cli *c, int argc, char **argv)
{
	int64_t no = dead_number(c, argv[0]);
	struct cli_reply r;
	struct env e;
	struct map m;
	int code;

	(void)argc;
	if (no < 0)
		return CLI_USAGE;
	code = dead_show(c, no, &r);
	if (code == 0 && dead_envelope(&r.doc.root, &e) != 0)
		code = CLI_FAILED;
	map_init(&m);
	map_i64(&m, "dead", no);
	if (code == 0) {
		code = opt.body[0] || opt.topic[0] || opt.key[0] ? from_options(c, &m)
								 : from_editor(c, &e, &m);
	}
	if (code == 0 && m.n > 1) {
		code = store(c, no, &m);
	} else {
		map_fini(&m);
		if (code == 0)
			puts(cli_is_json(c) ? "{\"changed\":false}" : "unchanged");
	}
	cli_reply_fini(&r);
	return code;
}

const struct cli_command cli_dead_edit = {
    .name = "dead edit",
    .operands = "NUMBER",
    .about = "Change the body, topic or key of a dead letter",
    .help = "  taxi dead edit 12 && taxi dead retry 12\n"
	    "  taxi dead edit 12 --body @mended.json\n\n"
	    "Opens {topic, key, body} as JSON in $VISUAL, $EDITOR or vi; what cannot be read is "
	    "refused and changes nothing.\n"
	    "It stays a dead letter until it is retried.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_MEND,
    .json = "{dead, changed}.\n",
};
