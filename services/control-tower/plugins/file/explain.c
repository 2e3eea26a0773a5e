#include "services/control-tower/plugins/file/explain.h"

#include "proto/mp.h"

void
explain_faults(const struct faults *f, struct buf *text)
{
	struct mp_r r;

	mp_r_init(&r, buf_span(&f->items));
	for (unsigned i = 0; i < f->kept; i++) {
		(void)mp_map(&r);
		(void)mp_str(&r, SIZE_MAX);
		struct span pointer = mp_str(&r, SIZE_MAX);

		(void)mp_str(&r, SIZE_MAX);
		struct span detail = mp_str(&r, SIZE_MAX);

		buf_printf(text, "  %.*s: %.*s\n", pointer.n ? (int)pointer.n : 8,
		    pointer.n ? (const char *)pointer.p : "(itself)", (int)detail.n,
		    (const char *)detail.p);
	}
	if (f->n > f->kept)
		buf_printf(text, "  and %u more\n", f->n - f->kept);
}
