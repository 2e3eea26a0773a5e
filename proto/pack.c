#include "proto/pack.h"

#include "base/die.h"
#include "proto/mp.h"

#define PACK_ONE (64u * 1024) /* a larger frame gains nothing from being packed */
#define HEAD 64u              /* more than the header of a PACK and the array's count take */
#define BIN_HEAD 5u

void
pack_init(struct pack *p)
{
	buf_init(&p->b, LIMIT_PACK);
	p->n = 0;
	p->first = 0;
}

void
pack_fini(struct pack *p)
{
	buf_fini(&p->b);
	p->n = 0;
}

void
pack_reset(struct pack *p)
{
	buf_reset(&p->b);
	p->n = 0;
}

bool
pack_takes(size_t frame_bytes)
{
	return frame_bytes <= PACK_ONE;
}

bool
pack_has_room(const struct pack *p, size_t frame_bytes)
{
	return (p->n > 0 ? p->b.n : HEAD) + frame_bytes + BIN_HEAD <= LIMIT_PACK;
}

static void
begin(struct pack *p)
{
	static const uint8_t room[HEAD];

	if (p->n == 0)
		buf_put(&p->b, room, sizeof room);
}

void
pack_add(struct pack *p, struct span frame)
{
	begin(p);
	mp_put_bin(&p->b, frame);
	if (p->n++ == 0)
		p->first = p->b.n - frame.n;
	if (p->b.failed)
		die(EXIT_AGAIN, "out of memory for %zu bytes to send", frame.n);
}

enum err
pack_encode(struct pack *p, const struct env *e)
{
	uint8_t head[BIN_HEAD] = {0xc6};
	enum err err;
	size_t at, n;

	begin(p);
	at = p->b.n;
	buf_put(&p->b, head, sizeof head);
	if (p->b.failed)
		die(EXIT_AGAIN, "out of memory for what is to be sent");
	err = env_encode(e, &p->b);
	if (err != ERR_OK) {
		p->b.n = p->n > 0 ? at : 0;
		return err;
	}
	n = p->b.n - at - sizeof head;
	for (unsigned i = 0; i < 4; i++)
		p->b.p[at + 1 + i] = (uint8_t)(n >> (24 - 8 * i));
	if (p->n++ == 0)
		p->first = p->b.n - n;
	return ERR_OK;
}

size_t
pack_count(const struct pack *p)
{
	return p->n;
}

struct span
pack_frame(struct pack *p)
{
	struct buf head;
	struct env e;
	size_t n;

	if (p->n == 1)
		return span_of(p->b.p + p->first, p->b.n - p->first);
	buf_init(&head, HEAD);
	env_init(&e, ENV_PACK, span_str(""), NULL);
	INVARIANT(env_encode(&e, &head) == ERR_OK);
	mp_put_array(&head, p->n);
	INVARIANT(!head.failed);
	n = head.n;
	memcpy(p->b.p + HEAD - n, head.p, n);
	buf_fini(&head);
	return span_of(p->b.p + HEAD - n, p->b.n - HEAD + n);
}
