#include "edge-http/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

#define RELAXED memory_order_relaxed

/* Upper bounds of the buckets in µs; the last has none. */
static const int64_t BOUNDS[METRICS_BUCKETS - 1] = {
    500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

static const struct {
	const char *name, *type, *help;
} COUNTS[METRICS_COUNT_N] = {
#define X(id, name, type, help) {#name, type, help},
    METRICS_COUNTS(X)
#undef X
};

struct metrics *
metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

void
metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; i < m->nslots; i++)
		free(m->slot[i].route);
	free(m);
}

/* One writer: a load and a store are enough, and cheaper than a locked addition. */
static void
bump(_Atomic uint64_t *v, uint64_t by)
{
	atomic_store_explicit(v, atomic_load_explicit(v, RELAXED) + by, RELAXED);
}

struct metrics_slot *
metrics_slot(struct metrics *m, const char *method, const char *route)
{
	unsigned n = atomic_load_explicit(&m->nslots, RELAXED);
	struct metrics_slot *s;

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(m->slot[i].route, route) == 0 && strcmp(m->slot[i].method, method) == 0)
			return &m->slot[i];
	}
	if (n == METRICS_SLOTS)
		return &m->slot[n - 1];
	s = &m->slot[n];
	s->route = xstrdup(n == METRICS_SLOTS - 1 ? "(other)" : route);
	s->method = method;
	/* readers look at a slot only once it is counted */
	atomic_store_explicit(&m->nslots, n + 1, memory_order_release);
	return s;
}

void
metrics_done(struct metrics_slot *s, int status, int64_t us)
{
	int b = 0, i = 0;

	while (b < METRICS_BUCKETS - 1 && us > BOUNDS[b])
		b++;
	bump(&s->bucket[b], 1);
	bump(&s->sum_us, us > 0 ? (uint64_t)us : 0);
	for (; i < METRICS_STATUS - 1; i++) {
		int have = atomic_load_explicit(&s->st[i].status, RELAXED);

		if (have == 0)
			atomic_store_explicit(&s->st[i].status, status, RELAXED);
		if (have == 0 || have == status)
			break;
	}
	if (i == METRICS_STATUS - 1)
		atomic_store_explicit(&s->st[i].status, 999, RELAXED);
	bump(&s->st[i].n, 1);
}

void
metrics_add(struct metrics *m, enum metrics_count c, int64_t delta)
{
	bump(&m->count[c], (uint64_t)delta);
}

void
metrics_set(struct metrics *m, enum metrics_count c, uint64_t value)
{
	atomic_store_explicit(&m->count[c], value, RELAXED);
}

uint64_t
metrics_get(const struct metrics *m, enum metrics_count c)
{
	return atomic_load_explicit(&m->count[c], RELAXED);
}

const char *
metrics_name(enum metrics_count c)
{
	return COUNTS[c].name;
}

void
metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
metrics_label(struct buf *out, const char *key, struct span value)
{
	buf_printf(out, "%s=\"", key);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			buf_putc(out, '\\');
		if (value.p[i] == '\n') {
			buf_puts(out, "\\n");
		} else {
			buf_putc(out, (char)value.p[i]);
		}
	}
	buf_putc(out, '"');
}

/* A plain copy of one operation, summed over the shards. */
struct sum {
	const char *route, *method;
	int status[METRICS_STATUS];
	uint64_t n[METRICS_STATUS];
	uint64_t bucket[METRICS_BUCKETS], sum_us;
};

static void
sum_status(struct sum *to, int status, uint64_t n)
{
	for (int i = 0; i < METRICS_STATUS; i++) {
		if (to->status[i] != 0 && to->status[i] != status && i < METRICS_STATUS - 1)
			continue;
		to->status[i] = status;
		to->n[i] += n;
		return;
	}
}

static void
sum_slot(struct sum *to, const struct metrics_slot *s)
{
	for (int i = 0; i < METRICS_STATUS; i++) {
		int status = atomic_load_explicit(&s->st[i].status, RELAXED);

		if (status != 0)
			sum_status(to, status, atomic_load_explicit(&s->st[i].n, RELAXED));
	}
	for (int b = 0; b < METRICS_BUCKETS; b++)
		to->bucket[b] += atomic_load_explicit(&s->bucket[b], RELAXED);
	to->sum_us += atomic_load_explicit(&s->sum_us, RELAXED);
}

static struct sum *
sum_find(struct sum *v, size_t *n, const struct metrics_slot *s)
{
	for (size_t i = 0; i < *n; i++) {
		if (strcmp(v[i].route, s->route) == 0 && strcmp(v[i].method, s->method) == 0)
			return &v[i];
	}
	v[*n].route = s->route;
	v[*n].method = s->method;
	return &v[(*n)++];
}

static int
by_route(const void *pa, const void *pb)
{
	const struct sum *a = pa, *b = pb;
	int d = strcmp(a->route, b->route);

	return d ? d : strcmp(a->method, b->method);
}

static void
put_op_labels(struct buf *out, const struct sum *s)
{
	metrics_label(out, "method", span_str(s->method));
	buf_putc(out, ',');
	metrics_label(out, "route", span_str(s->route));
}

static void
put_requests(struct buf *out, const struct sum *v, size_t n)
{
	metrics_head(out, "taxiway_http_requests_total", "counter", "requests answered");
	for (size_t i = 0; i < n; i++) {
		for (int k = 0; k < METRICS_STATUS && v[i].status[k] != 0; k++) {
			buf_puts(out, "taxiway_http_requests_total{");
			put_op_labels(out, &v[i]);
			buf_printf(out, ",status=\"%d\"} %" PRIu64 "\n", v[i].status[k], v[i].n[k]);
		}
	}
}

static void
put_histogram(struct buf *out, const struct sum *s)
{
	uint64_t below = 0;

	for (int b = 0; b < METRICS_BUCKETS; b++) {
		below += s->bucket[b];
		buf_puts(out, "taxiway_http_request_seconds_bucket{");
		put_op_labels(out, s);
		if (b < METRICS_BUCKETS - 1) {
			buf_printf(
			    out, ",le=\"%g\"} %" PRIu64 "\n", (double)BOUNDS[b] / 1e6, below);
		} else {
			buf_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", below);
		}
	}
	buf_puts(out, "taxiway_http_request_seconds_sum{");
	put_op_labels(out, s);
	buf_printf(out, "} %.6f\ntaxiway_http_request_seconds_count{", (double)s->sum_us / 1e6);
	put_op_labels(out, s);
	buf_printf(out, "} %" PRIu64 "\n", below);
}

static void
put_counts(const struct metrics *const *all, size_t n, struct buf *out)
{
	for (int c = 0; c < METRICS_COUNT_N; c++) {
		bool total = strcmp(COUNTS[c].type, "counter") == 0;
		struct buf b;
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += metrics_get(all[i], (enum metrics_count)c);
		buf_init(&b, 96);
		buf_printf(&b, "taxiway_http_%s%s", COUNTS[c].name, total ? "_total" : "");
		metrics_head(out, buf_cstr(&b), COUNTS[c].type, COUNTS[c].help);
		buf_printf(out, "%s %" PRIu64 "\n", buf_cstr(&b), sum);
		buf_fini(&b);
	}
}

void
metrics_write(const struct metrics *const *all, size_t n, struct buf *out)
{
	size_t cap = n * METRICS_SLOTS, have = 0;
	struct sum *v = xcalloc(cap + 1, sizeof *v);

	for (size_t i = 0; i < n; i++) {
		unsigned slots = atomic_load_explicit(&all[i]->nslots, memory_order_acquire);

		for (unsigned k = 0; k < slots; k++)
			sum_slot(sum_find(v, &have, &all[i]->slot[k]), &all[i]->slot[k]);
	}
	qsort(v, have, sizeof *v, by_route);
	put_requests(out, v, have);
	metrics_head(out, "taxiway_http_request_seconds", "histogram",
	    "from the first byte of the header to the last of the answer");
	for (size_t i = 0; i < have; i++) {
		if (v[i].status[0] != 0)
			put_histogram(out, &v[i]);
	}
	put_counts(all, n, out);
	free(v);
}
