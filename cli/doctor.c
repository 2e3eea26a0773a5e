#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "cli/table.h"
#include "proto/json.h"

void
doctor_add(struct doctor *d, enum doctor_verdict verdict, const char *check, const char *advice,
    const char *fmt, ...)
{
	struct doctor_finding *f;
	va_list ap;

	if ((d->n & (d->n + 1)) == 0)
		d->v = xrealloc(d->v, (d->n + 1) * 2 * sizeof *d->v);
	f = &d->v[d->n++];
	f->verdict = verdict;
	snprintf(f->check, sizeof f->check, "%s", check);
	snprintf(f->advice, sizeof f->advice, "%s", verdict == DOCTOR_OK ? "" : advice);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
}

void
doctor_fini(struct doctor *d)
{
	free(d->v);
	*d = (struct doctor){NULL, 0};
}

enum doctor_verdict
doctor_worst(const struct doctor *d)
{
	enum doctor_verdict worst = DOCTOR_OK;

	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].verdict > worst)
			worst = d->v[i].verdict;
	}
	return worst;
}

const char *
doctor_verdict_name(enum doctor_verdict v)
{
	return v == DOCTOR_OK ? "ok" : v == DOCTOR_WARNING ? "warning" : "critical";
}

void
doctor_text(const struct doctor *d, struct buf *out)
{
	size_t count[3] = {0};
	struct table t;

	table_init(&t, "");
	t.columns = 3;
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->v[i];

		count[f->verdict]++;
		table_cell(&t, "%s",
		    f->verdict == DOCTOR_OK        ? "ok"
		    : f->verdict == DOCTOR_WARNING ? "WARNING"
						   : "CRITICAL");
		table_cell(&t, "%s", f->check);
		table_cell(&t, "%s", f->text);
		if (f->advice[0] == '\0')
			continue;
		table_cell(&t, "%s", "");
		table_cell(&t, "%s", "");
		table_cell(&t, "-> %s", f->advice);
	}
	table_render(&t, 0, out);
	table_fini(&t);
	buf_printf(out, "\n%s: %zu ok, %zu warning%s, %zu critical\n",
	    doctor_verdict_name(doctor_worst(d)), count[0], count[1], count[1] == 1 ? "" : "s",
	    count[2]);
}

static void
put(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\":", name);
	json_put_str(out, span_str(value));
}

void
doctor_json(const struct doctor *d, const char *at, const char *bus, struct buf *out)
{
	buf_putc(out, '{');
	put(out, "verdict", doctor_verdict_name(doctor_worst(d)));
	buf_putc(out, ',');
	put(out, "at", at);
	buf_putc(out, ',');
	put(out, "bus", bus);
	buf_puts(out, ",\"checks\":[");
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->v[i];

		buf_puts(out, i ? ",{" : "{");
		put(out, "check", f->check);
		buf_putc(out, ',');
		put(out, "verdict", doctor_verdict_name(f->verdict));
		buf_putc(out, ',');
		put(out, "text", f->text);
		if (f->advice[0] != '\0') {
			buf_putc(out, ',');
			put(out, "advice", f->advice);
		}
		buf_putc(out, '}');
	}
	buf_puts(out, "]}\n");
}
