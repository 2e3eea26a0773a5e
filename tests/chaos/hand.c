#include "tests/chaos/hand.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/mp.h"

uint64_t
hand_random(struct hand *h, uint64_t n)
{
	uint64_t z = h->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (z ^ (z >> 31)) % n;
}

void
hand_write(struct hand *h, bool sync)
{
	if (h->lines.n == 0)
		return;
	if (h->lines.failed || write(h->fd, h->lines.p, h->lines.n) != (ssize_t)h->lines.n ||
	    (sync && fdatasync(h->fd) != 0))
		die(EXIT_NORESTART, "the ledger %s cannot be written", h->ledger);
	buf_reset(&h->lines);
}

uint32_t
hand_crc(struct span s)
{
	uint32_t crc = ~UINT32_C(0);

	for (size_t i = 0; i < s.n; i++) {
		crc ^= s.p[i];
		for (int k = 0; k < 8; k++)
			crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
	}
	return ~crc;
}

/* The next word of *s, up to a space; *s goes on behind it. */
static struct span
word(struct span *s)
{
	const uint8_t *space = s->n > 0 ? memchr(s->p, ' ', s->n) : NULL;
	size_t n = space ? (size_t)(space - s->p) : s->n, skip = space ? n + 1 : n;
	struct span w = span_of(s->p, n);

	*s = span_of(s->p + skip, s->n - skip);
	return w;
}

bool
hand_text(struct span text, struct span *key, uint64_t *n)
{
	struct span rest = text, number;
	char crc[9];

	if (text.n < 10)
		return false;
	snprintf(crc, sizeof(crc), "%08x", hand_crc(span_of(text.p, text.n - 9)));
	if (memcmp(text.p + text.n - 8, crc, 8) != 0)
		return false;
	word(&rest);
	number = word(&rest);
	*key = word(&rest);
	return str_u64(number, UINT64_MAX / 2, n) == 0;
}

struct span
hand_body(struct span body)
{
	struct mp_r r;

	if (mp_scan(body, 1, 1) != body.n)
		return (struct span){NULL, 0};
	mp_r_init(&r, body);
	return mp_str(&r, HAND_TEXT);
}

static int
open_ledger(void *state, struct svc *s)
{
	struct hand *h = state;

	h->svc = s;
	h->spec->api_json = strcmp(h->role, "gate") == 0 ? hand_gate_api : NULL;
	h->random = (uint64_t)h->seed;
	buf_init(&h->lines, 16 * 1024 * 1024);
	h->fd = *h->ledger ? open(h->ledger, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644) : -1;
	return *h->ledger && h->fd < 0 ? EXIT_NORESTART : 0;
}

static int
start(void *state, struct svc *s)
{
	struct hand *h = state;

	(void)s;
	if (strcmp(h->role, "gate") == 0)
		return hand_gate(h);
	return strcmp(h->role, "work") == 0 ? hand_work(h) : hand_publish(h);
}

static void
close_ledger(void *state)
{
	struct hand *h = state;

	buf_fini(&h->lines);
	if (h->fd >= 0)
		(void)close(h->fd);
}

int
main(int argc, char **argv)
{
	static struct svc_spec spec;
	static struct hand h = {.fd = -1, .spec = &spec};
	const struct opt rows[] = {
	    {"role", OPT_STR, &h.role, "publish", 0, 0, 0, "publish, work or gate"},
	    {"name", OPT_STR, &h.name, "p", 0, 0, 0, "of the publisher; its topic is t.NAME"},
	    {"ledger", OPT_STR, &h.ledger, "", 0, 0, 0, "file to append to"},
	    {"group", OPT_STR, &h.group, "g", 0, 0, 0, "of the worker"},
	    {"seed", OPT_INT, &h.seed, "1", 0, INT64_MAX, 0, "of its random choices"},
	    {"window", OPT_INT, &h.window, "32", 1, 1024, 0, "PUBs under way"},
	    {"rate", OPT_INT, &h.rate, "4", 1, 1024, 0, "PUBs each 10 ms, at most"},
	    {"nak", OPT_INT, &h.nak, "5", 0, 1000, 0, "of a thousand"},
	    {"reject", OPT_INT, &h.reject, "1", 0, 1000, 0, "of a thousand"},
	    {"expire", OPT_INT, &h.expire, "5", 0, 1000, 0, "of a thousand"},
	};
	const struct opt_table table = {
	    "HAND_", "This process", rows, sizeof(rows) / sizeof(rows[0])};

	spec = (struct svc_spec){.name = "hand",
	    .about = "Publishes, works or stands behind the edge, to be killed",
	    .options = &table,
	    .noptions = 1,
	    .open = open_ledger,
	    .start = start,
	    .close = close_ledger};
	return svc_main(argc, argv, &spec, &h);
}
