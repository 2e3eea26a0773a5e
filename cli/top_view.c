/* taxi top as text and as JSON. */
#include <inttypes.h>

#include "cli/fmt.h"
#include "cli/top.h"
#include "proto/json.h"

enum { HEAD_LINES = 4, WIDE = 100 };

static uint64_t
all_dead(const struct top *t)
{
	uint64_t n = 0;

	for (size_t i = 0; i < t->ngroups; i++)
		n += t->groups[i].dead;
	return n;
}

static void
put_line(struct buf *out, struct buf *line, unsigned width)
{
	table_put_cut(out, buf_span(line), width ? width : line->n + 1);
	buf_putc(out, '\n');
	buf_reset(line);
}

static void
put_head(const struct top *t, unsigned width, struct buf *out)
{
	const struct top_broker *b = &t->broker;
	struct buf line;

	buf_init(&line, 1024);
	buf_printf(&line, "broker %s  up %s  %zu peers  %zu groups  dead %s  drops %s", b->version,
	    fmt_age(b->uptime_ms).s, t->npeers, t->ngroups, fmt_count(all_dead(t)).s,
	    fmt_count(b->drops).s);
	put_line(out, &line, width);
	buf_printf(&line, "head %" PRIu64 "  stored %s/s  in %s/s  out %s/s  requests %s/s",
	    b->head, fmt_rate(b->stored).s, fmt_rate(b->in).s, fmt_rate(b->out).s,
	    fmt_rate(b->asked).s);
	put_line(out, &line, width);
	buf_printf(&line, "commits %s/s p50 %s p99 %s  journal %s  memory %s of %s",
	    fmt_rate(b->commit).s, fmt_us(b->commit_p50_us).s, fmt_us(b->commit_p99_us).s,
	    fmt_bytes(b->journal).s, fmt_bytes(b->memory).s, fmt_bytes(b->memory_limit).s);
	put_line(out, &line, width);
	buf_putc(out, '\n');
	buf_fini(&line);
}

static void
put_groups(const struct top *t, size_t most, unsigned width, struct buf *out)
{
	bool wide = width == 0 || width >= WIDE;
	struct table tab;

	table_init(
	    &tab, wide ? "~GROUP ~PATTERN >OWED >LAG >IN/S >OUT/S >FLIGHT >WORK >AGAIN >DEAD STATE"
		       : "~GROUP >OWED >LAG >IN/S >OUT/S >FLIGHT >WORK >AGAIN >DEAD STATE");
	for (size_t i = 0; i < t->ngroups && i < most; i++) {
		const struct top_group *g = &t->groups[i];

		table_cell(&tab, "%s", g->name);
		if (wide)
			table_cell(&tab, "%s", g->pattern);
		table_cell(&tab, "%s", fmt_count(g->owed).s);
		table_cell(&tab, "%s", g->oldest_ms > 0 ? fmt_age(g->oldest_ms).s : "-");
		table_cell(&tab, "%s", fmt_rate(g->in).s);
		table_cell(&tab, "%s", fmt_rate(g->out).s);
		table_cell(&tab, "%s", fmt_count(g->in_flight).s);
		table_cell(&tab, "%s", fmt_count(g->workers).s);
		table_cell(&tab, "%s", fmt_count(g->redelivered).s);
		table_cell(&tab, "%s", fmt_count(g->dead).s);
		table_cell(&tab, "%s", g->state);
	}
	table_render(&tab, width, out);
	table_fini(&tab);
	if (t->ngroups > most)
		buf_printf(out, "… and %zu more groups\n", t->ngroups - most);
}

static void
put_peers(const struct top *t, size_t most, unsigned width, struct buf *out)
{
	struct table tab;

	table_init(&tab, ">PEER ~IDENTITY >SUBS >FLIGHT >BYTES >CONNECTED >SILENT");
	for (size_t i = 0; i < t->npeers && i < most; i++) {
		const struct top_peer *p = &t->peers[i];

		table_cell(&tab, "%" PRIu64, p->session);
		table_cell(&tab, "%s%s%s", p->identity, p->name[0] ? " " : "", p->name);
		table_cell(&tab, "%s", fmt_count(p->subs).s);
		table_cell(&tab, "%s", fmt_count(p->in_flight).s);
		table_cell(&tab, "%s", fmt_bytes(p->bytes).s);
		table_cell(&tab, "%s", fmt_age(p->since_ms).s);
		table_cell(&tab, "%s", fmt_age(p->silent_ms).s);
	}
	table_render(&tab, width, out);
	table_fini(&tab);
	if (t->npeers > most)
		buf_printf(out, "… and %zu more peers\n", t->npeers - most);
}

void
top_render(const struct top *t, unsigned width, unsigned height, struct buf *out)
{
	/* What is left of the window: groups first, but a third of it for the peers. */
	size_t room = height > HEAD_LINES + 8 ? height - HEAD_LINES - 6 : 2;
	size_t groups = t->ngroups, peers = t->npeers;

	if (height > 0) {
		size_t least = room / 3 > 0 ? room / 3 : 1;
		size_t want = peers < least ? peers : least;

		groups = groups < room - want ? groups : room - want;
		peers = peers < room - groups ? peers : room - groups;
	}
	put_head(t, width, out);
	put_groups(t, groups, width, out);
	buf_putc(out, '\n');
	put_peers(t, peers, width, out);
}

/* ---- JSON ---- */

static void
json_str(struct buf *out, const char *key, const char *s)
{
	buf_printf(out, "\"%s\":", key);
	json_put_str(out, span_str(s));
	buf_putc(out, ',');
}

static void
json_u64(struct buf *out, const char *key, uint64_t n)
{
	buf_printf(out, "\"%s\":%" PRIu64 ",", key, n);
}

static void
json_rate(struct buf *out, const char *key, double n)
{
	buf_printf(out, "\"%s\":%.1f,", key, n);
}

/* The comma after the last member becomes what ends the map or list. */
static void
json_end(struct buf *out, char end)
{
	if (out->n > 0 && out->p[out->n - 1] == ',')
		out->n--;
	buf_putc(out, end);
}

static void
json_broker(const struct top_broker *b, struct buf *out)
{
	buf_puts(out, "{\"broker\":{");
	json_str(out, "version", b->version);
	json_u64(out, "uptimeMs", (uint64_t)b->uptime_ms);
	json_u64(out, "head", b->head);
	json_rate(out, "storedPerS", b->stored);
	json_rate(out, "inPerS", b->in);
	json_rate(out, "outPerS", b->out);
	json_rate(out, "requestsPerS", b->asked);
	json_rate(out, "commitsPerS", b->commit);
	json_u64(out, "commitP50Us", (uint64_t)b->commit_p50_us);
	json_u64(out, "commitP99Us", (uint64_t)b->commit_p99_us);
	json_u64(out, "journalBytes", b->journal);
	json_u64(out, "memoryBytes", b->memory);
	json_u64(out, "memoryLimit", b->memory_limit);
	json_u64(out, "drops", b->drops);
	json_end(out, '}');
}

static void
json_group(const struct top_group *g, struct buf *out)
{
	buf_putc(out, '{');
	json_str(out, "group", g->name);
	json_str(out, "pattern", g->pattern);
	json_str(out, "state", g->state);
	json_u64(out, "owed", g->owed);
	json_u64(out, "lagMs", (uint64_t)(g->oldest_ms > 0 ? g->oldest_ms : 0));
	json_rate(out, "inPerS", g->in);
	json_rate(out, "outPerS", g->out);
	json_rate(out, "redeliveredPerS", g->again);
	json_u64(out, "inFlight", g->in_flight);
	json_u64(out, "workers", g->workers);
	json_u64(out, "acked", g->acked);
	json_u64(out, "redelivered", g->redelivered);
	json_u64(out, "dead", g->dead);
	json_u64(out, "dropped", g->dropped);
	json_end(out, '}');
	buf_putc(out, ',');
}

void
top_json(const struct top *t, struct buf *out)
{
	json_broker(&t->broker, out);
	buf_puts(out, ",\"groups\":[");
	for (size_t i = 0; i < t->ngroups; i++)
		json_group(&t->groups[i], out);
	json_end(out, ']');
	buf_puts(out, ",\"peers\":[");
	for (size_t i = 0; i < t->npeers; i++) {
		const struct top_peer *p = &t->peers[i];

		buf_putc(out, '{');
		json_u64(out, "session", p->session);
		json_str(out, "identity", p->identity);
		json_u64(out, "subs", p->subs);
		json_u64(out, "inFlight", p->in_flight);
		json_u64(out, "bytes", p->bytes);
		json_u64(out, "connectedMs", (uint64_t)(p->since_ms > 0 ? p->since_ms : 0));
		json_u64(out, "silentMs", (uint64_t)(p->silent_ms > 0 ? p->silent_ms : 0));
		json_end(out, '}');
		buf_putc(out, ',');
	}
	json_end(out, ']');
	buf_puts(out, "}\n");
}
