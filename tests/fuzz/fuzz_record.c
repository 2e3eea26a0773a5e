/* A journal's file with some of its bytes changed, read back: records, dead letters, last values,
 * groups, cursors, ids.  Four bytes of input are one change: where (three bytes, from the front of
 * the file) and what is xored.  Whatever comes out of it is safe to look at, in order, and taken
 * apart as the broker does. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/journal_crc.h"
#include "broker/journal_reader.h"
#include "broker/rec.h"
#include "proto/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 60, PAGES = 200, STEPS = 20000 };

static uint8_t *image;
static size_t image_n;

static void
put_record(struct journal *j, unsigned i)
{
	struct env e = {
	    .verb = ENV_PUB, .topic = span_str(i % 2 ? "a.b" : "a.c"), .id = {(uint8_t)i}};
	struct journal_rec r = {.topic = e.topic, .id = {(uint8_t)i}, .dig = {1}, .groups = 1};
	struct journal_op op = {.kind = JOURNAL_PUT, .u.put = {.recs = &r, .n = 1}};
	struct buf b;

	buf_init(&b, 1 << 20);
	e.body = span_of("\xa4"
			 "body",
	    5);
	INVARIANT(env_encode(&e, &b) == ERR_OK);
	for (unsigned k = 0; k < (i % 7 == 0 ? 9000u : 0u); k++)
		buf_putc(&b, '\xc0'); /* over several pages */
	r.frame = buf_span(&b);
	r.key = span_str(i % 3 ? "key" : "");
	r.from = i % 5 ? (struct span){NULL, 0} : span_str("lab-7");
	r.retain = i % 11 ? JOURNAL_RETAIN_NO : JOURNAL_RETAIN_SET;
	op.u.put.src = span_str("src");
	op.u.put.cur = span_str("cur");
	journal_submit(j, &op);
	journal_flush(j);
	while (journal_reap(j) == NULL)
		continue;
	buf_fini(&b);
}

static void
run(struct journal *j, struct journal_op op)
{
	journal_submit(j, &op);
	journal_flush(j);
	while (journal_reap(j) == NULL)
		continue;
}

static void
load(const char *dir)
{
	char *path = xasprintf("%s/journal.db", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	INVARIANT(fd != -1 && fstat(fd, &st) == 0);
	image_n = (size_t)st.st_size;
	image = xcalloc(1, image_n);
	INVARIANT(read(fd, image, image_n) == (ssize_t)image_n);
	close(fd);
	free(path);
	/* In memory there is no WAL. */
	image[18] = image[19] = 1;
}

static void
sweep(const char *dir)
{
	static const char *const names[] = {"journal.db", "journal.lock", "journal.reserve"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);

		(void)unlink(path);
		free(path);
	}
	(void)rmdir(dir);
}

static void
make_image(void)
{
	char dir[] = "/tmp/taxi-fuzz-XXXXXX";
	struct journal *j;

	INVARIANT(mkdtemp(dir) != NULL);
	log_set_level(LOG_NOTHING);
	j = journal_open_sqlite(dir);
	INVARIANT(j != NULL);
	for (unsigned i = 1; i <= RECORDS; i++)
		put_record(j, i);
	run(j, (struct journal_op){.kind = JOURNAL_GROUP,
		   .u.group = {span_str("g"), span_str("set"), JOURNAL_FROM_ALL, 0, 0}});
	run(j, (struct journal_op){
		   .kind = JOURNAL_GROUP_STATE, .u.state = {span_str("g"), span_str("state")}});
	for (unsigned i = 0; i < 5; i++) {
		run(j, (struct journal_op){.kind = JOURNAL_DEAD,
			   .u.dead = {.group = span_str("g"),
			       .topic = span_str("a.b"),
			       .frame = span_str("frame"),
			       .seq = i}});
	}
	run(j, (struct journal_op){.kind = JOURNAL_CLAIM,
		   .u.claim = {.path = span_str("/p"), .name = span_str("n")}});
	run(j, (struct journal_op){.kind = JOURNAL_POLICY,
		   .u.policy = {.pattern = span_str("a.>"), .settings = span_str("s")}});
	journal_close(j);
	load(dir);
	sweep(dir);
}

/* ---- what is read ---- */

struct seen {
	uint64_t last, n;
	uint32_t sum;
	struct rec_pool pool;
};

static bool
on_row(void *arg, const struct journal_row *r)
{
	struct seen *s = arg;
	struct rec *rec = rec_of_row(&s->pool, r);

	INVARIANT(r->seq > s->last);
	s->last = r->seq;
	s->sum ^= journal_crc_row(r);
	rec_drop(rec);
	return ++s->n < STEPS;
}

static bool
on_retained(void *arg, const struct journal_row *r)
{
	struct seen *s = arg;

	s->sum ^= journal_crc_row(r);
	return ++s->n < STEPS;
}

static bool
on_dead(void *arg, const struct journal_dead *d)
{
	struct seen *s = arg;

	s->sum ^= journal_crc_dead(d);
	return ++s->n < STEPS;
}

static void
on_group(void *arg, const struct journal_group *g)
{
	struct seen *s = arg;

	s->sum ^=
	    journal_crc_span(journal_crc_span(journal_crc_span(0, g->name), g->settings), g->state);
}

static void
on_pair(void *arg, struct span a, struct span b)
{
	struct seen *s = arg;

	s->sum ^= journal_crc_span(journal_crc_span(0, a), b);
}

static void
look(struct journal_reader *r)
{
	static const struct span none = {NULL, 0};
	struct seen s = {0};
	uint64_t next = 1;
	uint8_t *cur = NULL;
	size_t n = 0;

	for (unsigned i = 0; i < PAGES && next != 0 && next <= RECORDS + 10; i++)
		next = journal_reader_page(r, next, RECORDS + 10, on_row, &s);
	INVARIANT(s.pool.n == 0);
	s.n = 0;
	(void)journal_reader_retained(r, none, INT64_MAX, on_retained, &s);
	s.n = 0;
	(void)journal_reader_dead(r, none, 0, on_dead, &s);
	(void)journal_reader_dead(r, span_str("g"), 1, on_dead, &s);
	(void)journal_reader_groups(r, on_group, &s);
	(void)journal_reader_claims(r, on_pair, &s);
	(void)journal_reader_policies(r, on_pair, &s);
	(void)journal_reader_cursor(r, span_str("src"), &cur, &n);
	free(cur);
	for (uint8_t i = 0; i < RECORDS; i++)
		(void)journal_reader_find(r, (uint8_t[16]){i});
	(void)journal_reader_seek(r, INT64_MAX / 2, 1, RECORDS);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_reader r = {0};
	unsigned char *copy;

	if (image == NULL) {
		log_set_level(LOG_NOTHING);
		journal_crc_init();
		make_image();
	}
	copy = sqlite3_malloc64(image_n);
	INVARIANT(copy != NULL);
	memcpy(copy, image, image_n);
	for (size_t i = 0; i + 4 <= size; i += 4) {
		size_t at = (size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2];

		copy[at % image_n] ^= data[i + 3];
	}
	copy[18] = copy[19] = 1;
	INVARIANT(journal_db_open(&r.db, ":memory:", NULL) == SQLITE_OK);
	if (sqlite3_deserialize(r.db.db, "main", copy, (sqlite3_int64)image_n,
		(sqlite3_int64)image_n, SQLITE_DESERIALIZE_FREEONCLOSE) == SQLITE_OK &&
	    journal_db_exec(&r.db, "PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF") ==
		SQLITE_OK &&
	    journal_reader_prepare(&r) == SQLITE_OK)
		look(&r);
	journal_reader_close(&r, true);
	return 0;
}
