#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/die.h"
#include "proto/json.h"
#include "proto/sock.h"

bool
cli_is_json(const struct cli *c)
{
	return strcmp(c->output, "json") == 0;
}

void
cli_connect(struct cli *c)
{
	sock_process_init();
	c->loop = loop_new();
	c->link = link_new(c->loop, c->bus);
	c->client = client_new(c->link, LIMIT_MAXMSG);
	c->worker = worker_new(c->client);
}

int
cli_wait(struct cli *c)
{
	loop_run(c->loop);
	return c->exit_code;
}

void
cli_end(struct cli *c, int exit_code)
{
	c->exit_code = exit_code;
	loop_stop(c->loop);
}

int
cli_error(const struct env *err)
{
	enum err code = env_err_code(err);
	struct span text = env_err_text(err), detail = env_s(err, ENV_M_DETAIL);

	fprintf(stderr, "taxi: %s (retry: %s)", err_name(code), err_retry_name(code));
	if (text.n > 0)
		fprintf(stderr, ": %.*s", (int)text.n, (const char *)text.p);
	fputc('\n', stderr);
	if (code == ERR_INVALID && detail.n > 0) {
		struct buf b;

		buf_init(&b, LIMIT_FRAME);
		if (json_from_mp(detail, &b, 2) == 0)
			fprintf(stderr, "%s\n", buf_cstr(&b));
		buf_fini(&b);
	}
	return code == ERR_NOT_FOUND || code == ERR_NO_WORKERS || code == ERR_GONE ? CLI_NOT_FOUND
										   : CLI_FAILED;
}

void
cli_print_json(struct span body)
{
	struct buf b;

	buf_init(&b, 4 * LIMIT_FRAME);
	if (json_from_mp(body, &b, 0) == 0) {
		puts(buf_cstr(&b));
	} else {
		fputs("taxi: the body is not msgpack that JSON can say\n", stderr);
	}
	fflush(stdout);
	buf_fini(&b);
}

struct pending {
	struct cli *c;
	cli_print_fn *print;
};

static void
answered(void *arg, const struct env *e)
{
	struct pending *p = arg;
	int code = 0;

	if (e->verb == ENV_ERR && !link_is_up(p->c->link)) {
		fprintf(stderr, "taxi: no broker answers at %s\n", p->c->bus);
		code = CLI_UNREACHABLE;
	} else if (e->verb == ENV_ERR) {
		code = cli_error(e);
	} else if (p->print != NULL) {
		p->print(p->c, e);
	} else {
		cli_print_json(e->body);
	}
	cli_end(p->c, code);
}

int
cli_call(struct cli *c, struct env *e, cli_print_fn *print)
{
	struct pending p = {c, print};
	enum err refused;

	cli_connect(c);
	refused = client_call(c->client, e, c->timeout_ms, answered, &p);
	if (refused != ERR_OK) {
		fprintf(stderr, "taxi: %s\n", err_title(refused));
		return CLI_FAILED;
	}
	return cli_wait(c);
}

static int
read_all(FILE *f, struct buf *out)
{
	uint8_t *room;
	size_t n;

	do {
		room = buf_room(out, 65536);
		if (room == NULL) {
			fprintf(stderr, "taxi: the body is over %u bytes\n", LIMIT_FRAME);
			return -1;
		}
		n = fread(room, 1, 65536, f);
		out->n += n;
	} while (n > 0);
	return 0;
}

static int
read_operand(const char *operand, struct buf *text)
{
	FILE *f = stdin;
	int rc;

	if (operand[0] != '@' && strcmp(operand, "-") != 0) {
		buf_puts(text, operand);
		return 0;
	}
	if (operand[0] == '@' && (f = fopen(operand + 1, "rb")) == NULL) {
		fprintf(stderr, "taxi: %s: %s\n", operand + 1, strerror(errno));
		return -1;
	}
	rc = read_all(f, text);
	if (f != stdin)
		fclose(f);
	return rc;
}

int
cli_body(const char *operand, struct buf *out)
{
	struct json_error err;
	struct buf text;
	int rc;

	if (operand == NULL)
		return 0;
	buf_init(&text, LIMIT_FRAME);
	rc = read_operand(operand, &text);
	if (rc == 0) {
		rc = json_to_mp(buf_span(&text), out, &err);
		if (rc != 0) {
			fprintf(stderr, "taxi: the body is not JSON: line %d, column %d: %s\n",
			    err.line, err.column, err.text);
		}
	}
	buf_fini(&text);
	return rc;
}

void
cli_table_init(struct cli_table *t, unsigned columns)
{
	buf_init(&t->text, LIMIT_MAXMSG);
	t->columns = columns;
	t->cells = 0;
}

void
cli_table_cell(struct cli_table *t, const char *fmt, ...)
{
	char cell[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cell, sizeof cell, fmt, ap);
	va_end(ap);
	/* What a peer named must not move the cursor or colour the terminal. */
	for (char *p = cell; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	buf_put(&t->text, cell, strlen(cell) + 1);
	t->cells++;
}

void
cli_table_print(struct cli_table *t)
{
	size_t *width = xcalloc(t->columns, sizeof *width);
	const char *p = (const char *)t->text.p;

	if (t->text.failed)
		t->cells = 0;
	for (unsigned i = 0; i < t->cells; i++, p += strlen(p) + 1) {
		if (strlen(p) > width[i % t->columns])
			width[i % t->columns] = strlen(p);
	}
	p = (const char *)t->text.p;
	for (unsigned i = 0; i < t->cells; i++, p += strlen(p) + 1) {
		if (i % t->columns == t->columns - 1) {
			puts(p);
		} else {
			printf("%-*s  ", (int)width[i % t->columns], p);
		}
	}
	free(width);
	buf_fini(&t->text);
}
