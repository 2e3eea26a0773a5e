/* JSON that is read is written and read back to the same msgpack; msgpack that is written as JSON
 * is JSON.  The quick reader takes nothing that the thorough one does not take, to the same end. */
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/json_impl.h"
#include "proto/limits.h"
#include "proto/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct span text)
{
	struct json_error err = {0};
	struct buf mp, json, again;

	buf_init(&mp, 1 << 20);
	buf_init(&json, 1 << 24);
	buf_init(&again, 1 << 20);
	if (json_to_mp(text, &mp, &err) != 0) {
		INVARIANT(mp.n == 0 && err.text[0] && str_is_utf8(span_str(err.text)));
		INVARIANT(err.line >= 1 && err.column >= 1);
	} else {
		INVARIANT(mp_scan(buf_span(&mp), LIMIT_NEST, LIMIT_BODY_ELEMENTS) == mp.n);
		for (int indent = 0; indent <= 2; indent += 2) {
			buf_reset(&json);
			buf_reset(&again);
			INVARIANT(json_from_mp(buf_span(&mp), &json, indent) == 0);
			INVARIANT(json_to_mp(buf_span(&json), &again, NULL) == 0);
			INVARIANT(span_eq(buf_span(&mp), buf_span(&again)));
		}
	}
	buf_fini(&mp);
	buf_fini(&json);
	buf_fini(&again);
}

static void
check_plain(struct span text)
{
	struct buf quick, judge;

	buf_init(&quick, 1 << 20);
	buf_init(&judge, 1 << 20);
	if (json_plain(text, &quick) == 0) {
		INVARIANT(json_thorough(text, &judge, NULL) == 0);
		INVARIANT(span_eq(buf_span(&quick), buf_span(&judge)));
	} else {
		INVARIANT(quick.n == 0);
	}
	buf_fini(&quick);
	buf_fini(&judge);
}

static void
check_mp(struct span body)
{
	struct json_error err = {0};
	struct buf mp, json;

	buf_init(&mp, 1 << 20);
	buf_init(&json, 1 << 24);
	if (json_from_mp(body, &json, 0) == 0) {
		INVARIANT(str_is_utf8(buf_span(&json)));
		/* msgpack maps may hold a key twice or with a NUL, which a reader of JSON refuses
		 */
		if (json_to_mp(buf_span(&json), &mp, &err) != 0)
			INVARIANT(strstr(err.text, "duplicate") || strstr(err.text, "NUL"));
	} else {
		INVARIANT(json.n == 0);
	}
	buf_fini(&mp);
	buf_fini(&json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text(span_of(data, size));
	check_plain(span_of(data, size));
	check_mp(span_of(data, size));
	return 0;
}
