#include "services/data-gateway/report.h"

#include <stdio.h>

#include "base/clock.h"
#include "proto/mp.h"

const char *
report_state_name(enum report_state s)
{
	static const char *const names[] = {
	    [REPORT_DELIVERED] = "delivered", [REPORT_PENDING] = "pending", [REPORT_DEAD] = "dead"};

	return names[s];
}

static void
put_text(struct buf *out, const char *key, const char *value)
{
	mp_put_cstr(out, key);
	mp_put_cstr(out, value);
}

static void
put_time(struct buf *out, const char *key, int64_t unix_ms)
{
	char text[25];

	put_text(out, key, clock_rfc3339(unix_ms, text));
}

void
report_put(const struct report *r, struct buf *out)
{
	char receipt[UUID_TEXT + 1];

	mp_put_map(
	    out, 6u + (r->uuid != NULL) + (r->last_error != NULL) + (r->next_attempt_ms != 0));
	put_text(out, "receipt", uuid_text(r->receipt, receipt));
	if (r->uuid != NULL)
		put_text(out, "uuid", r->uuid);
	put_text(out, "destination", r->destination);
	put_text(out, "state", report_state_name(r->state));
	mp_put_cstr(out, "rows");
	mp_put_u64(out, r->rows);
	mp_put_cstr(out, "attempts");
	mp_put_u64(out, r->attempts);
	if (r->last_error != NULL)
		put_text(out, "lastError", r->last_error);
	if (r->next_attempt_ms != 0)
		put_time(out, "nextAttemptAt", r->next_attempt_ms);
	put_time(out, "at", r->at_ms);
}

void
report_id(uint8_t id[16], uint8_t dig[DIGEST_BYTES], const char *group, uint64_t seq,
    uint64_t attempt, enum report_state s)
{
	char numbers[2][24];
	struct span parts[4];

	(void)snprintf(numbers[0], sizeof numbers[0], "%llu", (unsigned long long)seq);
	(void)snprintf(numbers[1], sizeof numbers[1], "%llu", (unsigned long long)attempt);
	parts[0] = span_str(group);
	parts[1] = span_str(numbers[0]);
	parts[2] = span_str(numbers[1]);
	parts[3] = span_str(report_state_name(s));
	digest_parts(dig, parts, 4);
	uuid_v8(id, dig);
}

int64_t
report_backoff_ms(uint64_t attempt)
{
	if (attempt > 100)
		return 300000;
	if (attempt > 6)
		return 60000;
	return INT64_C(1000) << (attempt > 0 ? attempt - 1 : 0);
}
