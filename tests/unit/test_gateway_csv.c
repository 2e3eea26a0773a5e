/* pusher-csv-file: the format, the columns, and files that are cut anywhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/json.h"
#include "tests/unit/check.h"

#include "services/data-gateway/plugins/csv-file/columns.h"
#include "services/data-gateway/plugins/csv-file/csv.h"
#include "services/data-gateway/plugins/csv-file/seen.h"
#include "services/data-gateway/plugins/csv-file/writer.h"

#define UUID "01890a5d-ac96-774b-bcce-b302099a8057"
#define R(n) "0000000" #n "-0000-7000-8000-000000000000"

/* --- format --- */

static const char *
field(const char *s)
{
	static char out[200];
	struct buf b;

	buf_init(&b, 1000);
	csv_put_field(&b, s ? span_str(s) : (struct span){NULL, 0}, true);
	snprintf(out, sizeof out, "%s", buf_cstr(&b));
	buf_fini(&b);
	return out;
}

static const char *
value(const char *json)
{
	static char out[200];
	struct buf mp, b;

	buf_init(&mp, 1000);
	buf_init(&b, 1000);
	CHECK(json_to_mp(span_str(json), &mp, NULL) == 0);
	CHECK(csv_put_value(&b, buf_span(&mp), false) == 0);
	snprintf(out, sizeof out, "%s", buf_cstr(&b));
	buf_fini(&mp);
	buf_fini(&b);
	return out;
}

static void
format(void)
{
	struct span rest = span_str("a,\"b,\"\"c\",,\"\"\r\n");
	struct buf b;

	CHECK_STR(field("plain text"), "plain text");
	CHECK_STR(field("a,b"), "\"a,b\"");
	CHECK_STR(field("say \"a\""), "\"say \"\"a\"\"\"");
	CHECK_STR(field("two\nlines"), "\"two\nlines\"");
	CHECK_STR(field("\r"), "\"\r\"");
	CHECK_STR(field(""), "\"\"");
	CHECK_STR(field(NULL), "");
	CHECK_STR(value("null"), ",");
	CHECK_STR(value("\"1\""), ",1");
	CHECK_STR(value("true"), ",true");
	CHECK_STR(value("9007199254740993"), ",9007199254740993");
	CHECK_STR(value("18446744073709551615"), ",18446744073709551615");
	CHECK_STR(value("-3"), ",-3");
	CHECK_STR(value("1.0"), ",1.0");
	CHECK_STR(value("0.1"), ",0.1");
	CHECK_STR(value("[1,\"a\"]"), ",\"[1,\"\"a\"\"]\"");
	CHECK_STR(value("{\"b\":1}"), ",\"{\"\"b\"\":1}\"");
	buf_init(&b, 1000);
	CHECK(csv_put_value(&b,
		  span_of("\xc4\x03"
			  "abc",
		      5),
		  true) == 0);
	CHECK_STR(buf_cstr(&b), "YWJj");
	CHECK(csv_put_value(&b, span_of("\xd4\x01z", 3), true) == -1);

	CHECK(csv_next_field(&rest, &b) && span_is(buf_span(&b), "a"));
	CHECK(csv_next_field(&rest, &b) && span_is(buf_span(&b), "b,\"c"));
	CHECK(csv_next_field(&rest, &b) && b.n == 0);
	CHECK(csv_next_field(&rest, &b) && b.n == 0);
	CHECK(!csv_next_field(&rest, &b));
	buf_fini(&b);

	CHECK(csv_record(span_str("a,b\nc\n")).n == 4);
	CHECK(csv_record(span_str("a,\"b\n\"\"c\n\"\nd")).n == 11);
	CHECK(csv_record(span_str("a,b")).p == NULL);
	CHECK(csv_record(span_str("a,\"b\n")).p == NULL);
	CHECK(csv_record(span_str("")).p == NULL);
	CHECK(csv_record((struct span){NULL, 0}).p == NULL);
}

static void
columns(void)
{
	struct columns c = {.n = 0}, d = {.n = 0};
	struct buf b;

	buf_init(&b, 1000);
	columns_add(&c, span_str("b"));
	columns_add(&c, span_str("index"));
	columns_add(&c, span_str("a"));
	columns_add(&c, span_str("b"));
	columns_put(&c, &b);
	CHECK_STR(buf_cstr(&b), "receipt,position,index,b,data.index,a\n");
	CHECK(columns_find(&c, span_str("index")) == 1 && columns_find(&c, span_str("a")) == 2);
	CHECK(columns_find(&c, span_str("receipt")) == -1);
	CHECK(columns_read(&d, buf_span(&b)) == 0 && d.n == 3 &&
	      columns_find(&d, span_str("index")) == 1);
	columns_cut(&c, 1);
	CHECK(c.n == 1 && columns_find(&c, span_str("a")) == -1);
	columns_fini(&c);
	columns_fini(&d);
	CHECK(columns_read(&d, span_str("receipt,position\n")) == -1);
	CHECK(columns_read(&d, span_str("a,b,c\n")) == -1);
	columns_fini(&d);
	CHECK(columns_read(&d, span_str("receipt,position,index,a,a\n")) == -1);
	columns_fini(&d);
	buf_fini(&b);
}

static void
fingerprints(void)
{
	struct seen s = {.n = 0};
	uint8_t id[16] = {0};
	unsigned wrong = 0;

	CHECK(!seen_maybe(&s, id));
	for (unsigned i = 0; i < 20000; i++) {
		memcpy(id + (i % 2 ? 0 : 12), &i, 4);
		wrong += seen_maybe(&s, id);
		seen_add(&s, id);
		wrong += !seen_maybe(&s, id);
	}
	CHECK(wrong == 0 && s.n == 20000);
	seen_fini(&s);
}

/* --- files --- */

static char dir[64];
static struct buf bodies[64];
static struct pusher_item items[64];
static unsigned nitems;

static struct pusher_item *
item(const char *receipt, const char *rows)
{
	struct pusher_item *it = &items[nitems];
	struct faults f;
	struct buf json;

	buf_init(&json, 10000);
	buf_init(&bodies[nitems], 10000);
	buf_printf(&json, "{\"uuid\":\"" UUID "\",\"rows\":%s}", rows);
	*it = (struct pusher_item){.seq = nitems};
	CHECK(json_to_mp(buf_span(&json), &bodies[nitems], NULL) == 0);
	faults_init(&f);
	CHECK(rows_read(&it->rows, ROWS_IN, buf_span(&bodies[nitems]), (struct span){NULL, 0}, &f));
	CHECK(uuid_parse(span_str(receipt), it->receipt) == 0);
	(void)uuid_text(it->receipt, it->receipt_text);
	buf_fini(&json);
	faults_fini(&f);
	nitems++;
	return it;
}

static void
drop_items(void)
{
	while (nitems > 0)
		buf_fini(&bodies[--nitems]);
}

static const char *
path(const char *name)
{
	static char out[400];

	snprintf(out, sizeof out, "%s/%s", dir, name);
	return out;
}

static void
put_file(const char *name, const char *text, size_t n)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd != -1 && write(fd, text, n) == (ssize_t)n);
	close(fd);
}

static size_t
get_file(const char *name, char *out, size_t size)
{
	int fd = open(path(name), O_RDONLY);
	ssize_t n = fd == -1 ? 0 : read(fd, out, size - 1);

	if (fd != -1)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void
empty_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlink(path(e->d_name));
	closedir(d);
}

static enum pusher_end
push(struct tables *t, struct pusher_item *a, struct pusher_item *b, const char **why)
{
	struct table_row_set sets[2] = {{.item = a}, {.item = b}};

	tables_write(t, sets, b != NULL ? 2 : 1);
	if (why != NULL)
		*why = sets[0].why;
	return b == NULL || sets[0].end == sets[1].end ? sets[0].end : 99;
}

#define ONE "[{\"index\":3,\"data\":{\"b\":1.0,\"a\":\"x,y\"}},{\"data\":{\"a\":null,\"b\":2}}]"
#define TWO "[{\"data\":{\"b\":7,\"note\":\"two\\nlines\",\"index\":9}}]"
#define BEFORE "receipt,position,index,b,a\n" R(1) ",0,3,1.0,\"x,y\"\n" R(1) ",1,,2,\n"
#define AFTER                                                                         \
	"receipt,position,index,b,a,note,data.index\n" R(1) ",0,3,1.0,\"x,y\",,\n" R( \
	    1) ",1,,2,,,\n" R(2) ",0,,7,,\"two\nlines\",9\n"

static void
written(void)
{
	struct tables *t = tables_new(dir);
	char text[2000];

	CHECK(t != NULL);
	CHECK(push(t, item(R(1), ONE), NULL, NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, BEFORE);
	/* again: nothing more */
	CHECK(push(t, &items[0], &items[0], NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, BEFORE);
	/* new keys: a wider header */
	CHECK(push(t, &items[0], item(R(2), TWO), NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, AFTER);
	tables_free(t);
	/* another process knows what is there from the file */
	t = tables_new(dir);
	CHECK(push(t, &items[1], &items[0], NULL) == PUSHER_OK);
	CHECK(push(t, item(R(3), "[{\"data\":{\"a\":\"\"}}]"), NULL, NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, AFTER R(3) ",0,,,\"\",,\n");
	tables_free(t);
	drop_items();
	empty_dir();
}

/* Killed at any byte of a write: the same deliveries again make the file whole, each row in it
 * once. */
static void
torn_anywhere(void)
{
	size_t n = strlen(AFTER);
	unsigned wrong = 0;

	item(R(1), ONE);
	item(R(2), TWO);
	for (size_t cut = 0; cut <= n; cut++) {
		struct tables *t = tables_new(dir);
		char text[2000], torn[2000];
		size_t whole = 0;

		put_file(UUID ".csv", AFTER, cut);
		wrong += push(t, &items[0], &items[1], NULL) != PUSHER_OK;
		get_file(UUID ".csv", text, sizeof text);
		/* a cut header is made anew, with the columns in the order of what comes */
		wrong += strcmp(text, AFTER) != 0;
		/* and what was torn off is kept */
		for (struct span s = span_of(AFTER, cut), rec; (rec = csv_record(s)).p != NULL;
		     s = span_of(s.p + rec.n, s.n - rec.n))
			whole += rec.n;
		wrong += get_file(UUID ".csv.torn", torn, sizeof torn) != cut - whole;
		if (wrong) {
			printf("# cut at %zu: %s\n", cut, text);
			break;
		}
		tables_free(t);
		empty_dir();
	}
	CHECK(wrong == 0);
	drop_items();
	empty_dir();
}

/* While it was remembered, somebody else wrote, or replaced it. */
static void
somebody_else(void)
{
	struct tables *a = tables_new(dir), *b = tables_new(dir);
	char text[2000];

	CHECK(push(a, item(R(1), ONE), NULL, NULL) == PUSHER_OK);
	CHECK(push(b, item(R(2), TWO), &items[0], NULL) == PUSHER_OK);
	CHECK(push(a, &items[1], item(R(3), "[{\"data\":{\"c\":true}}]"), NULL) == PUSHER_OK);
	CHECK(push(b, &items[2], NULL, NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(
	    text, "receipt,position,index,b,a,note,data.index,c\n" R(1) ",0,3,1.0,\"x,y\",,,\n" R(
		      1) ",1,,2,,,,\n" R(2) ",0,,7,,\"two\nlines\",9,\n" R(3) ",0,,,,,,true\n");
	CHECK(unlink(path(UUID ".csv")) == 0);
	CHECK(push(a, &items[0], NULL, NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, BEFORE);
	tables_free(a);
	tables_free(b);
	drop_items();
	empty_dir();
}

static void
in_the_way(void)
{
	struct tables *t = tables_new(dir);
	const char *why;
	char text[100];

	put_file(UUID ".csv", "my,own\n1,2\n", 11);
	CHECK(push(t, item(R(1), ONE), NULL, &why) == PUSHER_RETRY);
	CHECK_STR(why, UUID ".csv: its first line is not a header of ours; move the file away");
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, "my,own\n1,2\n");
	CHECK(unlink(path(UUID ".csv")) == 0);
	CHECK(push(t, &items[0], NULL, &why) == PUSHER_OK);
	CHECK(unlink(path(UUID ".csv")) == 0 && mkdir(path(UUID ".csv"), 0755) == 0);
	CHECK(push(t, &items[0], NULL, &why) == PUSHER_RETRY);
	CHECK_STR(why, UUID ".csv: Is a directory");
	CHECK(rmdir(path(UUID ".csv")) == 0);
	tables_free(t);
	drop_items();
	empty_dir();
	CHECK(tables_new("/nonexistent/dir") == NULL && errno == ENOENT);
}

/* Two processes, the same deliveries at the same time, each with keys of its own to widen the file.
 */
static void
at_once(void)
{
	enum { EACH = 8 };
	char text[20000];
	unsigned lines = 0;
	int status, bad = 0;

	for (int i = 0; i < 2 * EACH; i++) {
		char receipt[64], rows[100];

		snprintf(receipt, sizeof receipt, "000000%02d-0000-7000-8000-000000000000", i);
		snprintf(rows, sizeof rows, "[{\"data\":{\"k%d\":%d}},{\"data\":{\"a\":%d}}]",
		    i / 2, i, i);
		item(receipt, rows);
	}
	fflush(stdout);
	for (int p = 0; p < 2; p++) {
		if (fork() == 0) {
			struct tables *t = tables_new(dir);
			int failed = 0;

			for (int round = 0; round < 3; round++)
				for (int i = 0; i < 2 * EACH; i++)
					failed += push(t, &items[p ? i : 2 * EACH - 1 - i], NULL,
						      NULL) != PUSHER_OK;
			_exit(failed != 0);
		}
	}
	while (wait(&status) > 0)
		bad += status != 0;
	CHECK(bad == 0);
	get_file(UUID ".csv", text, sizeof text);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	CHECK(lines == 1 + 4 * EACH);
	for (int i = 0; i < 2 * EACH; i++) {
		char want[100];
		const char *at;

		snprintf(want, sizeof want, "\n000000%02d-0000-7000-8000-000000000000,1,,", i);
		at = strstr(text, want);
		bad += at == NULL || strstr(at + 1, want) != NULL;
	}
	CHECK(bad == 0);
	drop_items();
	empty_dir();
}

/* The disk takes a part of what is written: the part is taken back, and all of it goes in once
 * there is room. */
static void
no_room(void)
{
	struct rlimit was, low = {.rlim_cur = sizeof BEFORE + 5};
	struct tables *t = tables_new(dir);
	const char *why;
	char text[2000];

	(void)signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
	low.rlim_max = was.rlim_max;
	CHECK(push(t, item(R(1), ONE), NULL, NULL) == PUSHER_OK);
	CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
	CHECK(push(t, item(R(3), ONE), NULL, &why) == PUSHER_RETRY);
	CHECK_STR(why, UUID ".csv: File too large");
	CHECK(push(t, item(R(2), TWO), NULL, NULL) == PUSHER_RETRY); /* while it is made wider */
	CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, BEFORE);
	CHECK(push(t, &items[2], &items[0], NULL) == PUSHER_OK);
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, AFTER);
	tables_free(t);
	drop_items();
	empty_dir();
}

static void
too_wide(void)
{
	struct tables *t = tables_new(dir);
	struct columns none = {.n = 0};
	struct buf b;
	char text[200];

	buf_init(&b, 1 << 20);
	for (int i = 0; i < COLUMNS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof name, "c%d", i);
		columns_add(&none, span_str(name));
	}
	columns_put(&none, &b);
	put_file(UUID ".csv", (const char *)b.p, b.n);
	CHECK(push(t, item(R(1), "[{\"data\":{\"c5\":1}}]"), NULL, NULL) == PUSHER_OK);
	CHECK(push(t, item(R(2), "[{\"data\":{\"one\":1}}]"), NULL, NULL) == PUSHER_DEAD);
	/* what comes with it is not held up */
	CHECK(push(t, &items[1], item(R(3), "[{\"data\":{\"c6\":1}}]"), NULL) == 99);
	tables_free(t);
	t = tables_new(dir);
	CHECK(push(t, &items[2], NULL, NULL) == PUSHER_OK);
	tables_free(t);
	columns_fini(&none);
	buf_fini(&b);
	(void)get_file(UUID ".csv", text, sizeof text);
	drop_items();
	empty_dir();
}

static void
trigger_file(void)
{
	struct tables *t = tables_new(dir);
	struct buf mp;
	char text[500];

	buf_init(&mp, 1000);
	CHECK(
	    json_to_mp(
		span_str(
		    "{\"uuid\":\"u\",\"spec\":{\"v\":1.0},\"status\":\"running\",\"events\":[1]}"),
		&mp, NULL) == 0);
	CHECK(tables_write_trigger(t, UUID, buf_span(&mp)) == 0);
	get_file(UUID ".json", text, sizeof text);
	CHECK_STR(text, "{\n  \"uuid\": \"u\",\n  \"spec\": {\n    \"v\": 1.0\n  }\n}\n");
	CHECK(tables_write_trigger(t, UUID, span_of("\x80", 1)) == 0); /* it is there: left */
	CHECK(get_file(UUID ".json", text, sizeof text) > 5);
	buf_fini(&mp);
	tables_free(t);
	empty_dir();
}

static void
in_a_thread(void)
{
	struct writer *w = writer_new(dir, false);
	struct pusher_item *v[2] = {item(R(1), ONE), item(R(2), TWO)};
	struct pusher_batch b = {.items = v, .n = 2};
	const struct writer_end *ends = NULL;
	char text[2000];

	CHECK(w != NULL && writer_take(w) == NULL);
	for (int round = 0; round < 3; round++) {
		struct pollfd p = {.fd = writer_fd(w), .events = POLLIN};

		writer_start(w, &b);
		while (poll(&p, 1, 20000) == 1 && (ends = writer_take(w)) == NULL)
			;
		CHECK(ends != NULL && ends[0].end == PUSHER_OK && ends[1].end == PUSHER_OK);
		ends = NULL;
	}
	get_file(UUID ".csv", text, sizeof text);
	CHECK_STR(text, AFTER);
	writer_start(w, &b);
	writer_free(w); /* with a batch under way */
	CHECK(writer_new("/nonexistent", false) == NULL);
	drop_items();
	empty_dir();
}

int
main(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_gateway_csv.XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	log_init("test", LOG_ERROR);
	format();
	columns();
	fingerprints();
	written();
	torn_anywhere();
	somebody_else();
	in_the_way();
	at_once();
	no_room();
	too_wide();
	trigger_file();
	in_a_thread();
	rmdir(dir);
	return check_done();
}
