#include "services/control-tower/split.h"

enum { BEGIN, FIRST, ELEMENT, VALUE, NEXT, TAIL };

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void
split_init(struct split *s)
{
	*s = (struct split){.stage = BEGIN};
}

void
split_resume(struct split *s, bool array)
{
	*s = (struct split){.stage = array ? NEXT : TAIL, .array = array};
}

static enum split_say
bad(struct split *s, const char *why)
{
	s->why = why;
	return SPLIT_BAD;
}

static void
begin_value(struct split *s)
{
	s->stage = VALUE;
	s->start = s->at;
	s->depth = 0;
	s->in_string = s->escaped = false;
}

/* One byte of a value; true: the value ends before it. */
static bool
in_value(struct split *s, uint8_t c)
{
	if (s->in_string) {
		if (s->escaped) {
			s->escaped = false;
		} else if (c == '\\') {
			s->escaped = true;
		} else if (c == '"') {
			s->in_string = false;
		}
		return false;
	}
	if (s->depth == 0 && s->at > s->start && (is_space(c) || c == ',' || c == ']' || c == '}'))
		return true;
	if (c == '"') {
		s->in_string = true;
	} else if (c == '{' || c == '[') {
		s->depth++;
	} else if ((c == '}' || c == ']') && s->depth > 0) {
		s->depth--;
	}
	return false;
}

static enum split_say
end_value(struct split *s, struct span window, struct span *record)
{
	*record = span_of(window.p + s->start, s->at - s->start);
	s->stage = s->array ? NEXT : TAIL;
	return SPLIT_RECORD;
}

/* One byte between values: SPLIT_MORE to go on. */
static enum split_say
between(struct split *s, uint8_t c)
{
	switch (s->stage) {
	case BEGIN:
		if (c == '[') {
			s->array = true;
			s->stage = FIRST;
			s->at++;
			return SPLIT_MORE;
		}
		break;
	case FIRST:
		if (c == ']') {
			s->stage = TAIL;
			s->at++;
			return SPLIT_MORE;
		}
		break;
	case NEXT:
		if (c != ',' && c != ']')
			return bad(s, "expected a comma or the end of the array");
		s->stage = c == ',' ? ELEMENT : TAIL;
		s->at++;
		return SPLIT_MORE;
	case TAIL: return bad(s, "there is something behind the end");
	default: break;
	}
	if (c == ',' || c == ']' || c == '}' || c == ':')
		return bad(s, "expected a value");
	begin_value(s);
	return SPLIT_MORE;
}

static enum split_say
at_end(struct split *s, struct span window, struct span *record)
{
	if (s->stage == TAIL)
		return SPLIT_END;
	if (s->stage == VALUE && !s->array && s->depth == 0 && !s->in_string)
		return end_value(s, window, record);
	return bad(s, s->stage == BEGIN ? "is empty" : "ends too early");
}

/* Windows editors put a mark before the text. */
static void
skip_mark(struct split *s, struct span window)
{
	if (s->stage == BEGIN && s->at == 0 && window.n >= 3 &&
	    memcmp(window.p, "\xef\xbb\xbf", 3) == 0)
		s->at = 3;
}

enum split_say
split_json(struct split *s, struct span window, bool last, struct span *record)
{
	skip_mark(s, window);
	while (s->at < window.n) {
		uint8_t c = window.p[s->at];

		if (s->stage == VALUE) {
			if (in_value(s, c))
				return end_value(s, window, record);
			s->at++;
			/* What is bracketed ends with its bracket. */
			if (s->depth == 0 && !s->in_string && (c == '}' || c == ']'))
				return end_value(s, window, record);
		} else if (is_space(c)) {
			s->at++;
		} else if (between(s, c) == SPLIT_BAD) {
			return SPLIT_BAD;
		}
	}
	return last ? at_end(s, window, record) : SPLIT_MORE;
}

size_t
split_drop(struct split *s)
{
	size_t n = s->stage == VALUE ? s->start : s->at;

	s->at -= n;
	s->start -= s->stage == VALUE ? n : s->start;
	return n;
}

bool
split_line(struct span window, bool last, struct span *line, size_t *used)
{
	const uint8_t *lf = window.n > 0 ? memchr(window.p, '\n', window.n) : NULL;
	size_t n = lf ? (size_t)(lf - window.p) : window.n;

	if (lf == NULL && (!last || n == 0))
		return false;
	*used = lf ? n + 1 : n;
	if (n > 0 && window.p[n - 1] == '\r')
		n--;
	*line = span_of(window.p, n);
	return true;
}
