/* `taxi help TOPIC`, and the same as sections of the manual. */
#include "cli/help.h"

const char *const help_sections[CLI_SECTIONS] = {
    [CLI_TALK] = "Talk on the bus",
    [CLI_LOOK] = "Look",
    [CLI_MEND] = "Mend and steer",
    [CLI_HOUSE] = "The house",
};

const struct help_topic help_topics[] = {
    {"exit-codes", "what the exit code means; these stay",
	"  0    done\n"
	"  1    the bus said no, and would again: INVALID, CONFLICT, TOO_BIG, BAD_TOPIC\n"
	"  2    wrong use: nothing was sent\n"
	"  3    not there, or nobody serves it: NOT_FOUND, GONE, NO_WORKERS\n"
	"  4    no broker answers\n"
	"  5    certainly not done, try again later: BUSY, DRAINING, QUOTA\n"
	"  6    it may have been done: TIMEOUT, WORKER_LOST, UPSTREAM, STORE_FAILED, INTERNAL\n"
	"  7    not allowed: DENIED, UNAUTHENTICATED\n"
	"  130  ended by Ctrl-C (143: by SIGTERM); a live tail that is ended so is done: 0\n\n"
	"`taxi doctor` speaks as monitoring plugins do: 0 all is well, 1 a warning, 2 critical.\n"},
    {"json", "what -o json prints, command by command; members are only ever added", NULL},
    {"times", "how a place in the journal is named (--from, --to, --since)",
	"  1200                        a seq\n"
	"  -90s  -1h30m  -2d           so long ago (units ms s m h d w)\n"
	"  2026-11-21T10:00:00+01:00   RFC 3339; without an offset, or a day alone, it is local\n"
	"  all                         from the oldest record that is kept\n"
	"  new                         what comes from now on\n\n"
	"Times are printed as RFC 3339 with the offset of $TZ.\n"},
    {"filters", "what --where takes",
	"Terms joined by commas, all of which must hold for the body:\n\n"
	"  status=failed          equal (text, a number, true, false or null); != is not\n"
	"  spec.plate.rows>=8     > >= < <= for numbers, and for text byte by byte\n"
	"  items.0.ok=true        arrays by number, from 0\n"
	"  name~\"a, b\"            contains (text), or has as an element (array); quotes hold "
	"commas\n"
	"  metadata               there, and neither null nor false\n"
	"  !detail                not so\n"},
    {"topics", "what a topic and a pattern may be",
	"A topic is tokens of [A-Za-z0-9_-] joined by dots, at most 16 tokens and 255 bytes.\n"
	"In a pattern * is any one token, > at the end the rest (one or more).\n"
	"In first place neither matches sys or live.\n\n"
	"Every topic is durable except those whose first token is live (never stored), or sys.\n"
	"Services of the house speak of docs/topics.md.\n"},
    {"limits", "what fits into one envelope",
	"An envelope 16 MiB, its header 8 KiB, a topic 255 bytes, an order key 255 bytes,\n"
	"a group's name 64 bytes, a part of an answer 256 KiB.  `taxi req sys.info.broker` has\n"
	"the broker's own.\n"},
    {"drops", "what the broker did not take or hand over, by reason",
	"Of connections that come and go; `taxi doctor` says nothing of these:\n"
	"  peer_gone             for, or still from, a peer that had left\n"
	"  late_answer           an answer after its request had ended\n"
	"  stale, stale_answer   an ACK, NAK, CANCEL or answer of what is no (longer) theirs\n"
	"  tail_credit           a live tail did not keep up\n\n"
	"Of a sender; the broker's log has its session:\n"
	"  bad_envelope, bad_topic, too_big, multipart, unexpected   it does not keep the "
	"protocol\n"
	"  denied                the acl does not allow it (evt=denied)\n"
	"  handshake, key_refused   no keys or wrong ones (evt=handshake_failed)\n"
	"  too_many_peers, too_many_connections   a limit, or ulimit -n\n\n"
	"Of a receiver, or the broker itself:\n"
	"  peer_slow             it did not read, and its bytes were at the limit\n"
	"  feed_topics           a reader of the feed asked for over 128 KiB of topics\n"
	"  feed_full             a reader of the feed was too slow, and sees a gap in n\n"
	"  group_dropped         a paused group lost what retention took\n"
	"  no_memory             memory was gone; what is stored is tried again\n"
	"  dead_unannounced      a dead letter was kept, its event came later or not\n"},
    {"environment", "variables that stand for options",
	"Every option of every command is a variable too: --bus is $TAXI_BUS, --output\n"
	"$TAXI_OUTPUT, --timeout $TAXI_TIMEOUT; a command's own begin with TAXI_CLI_: --group of\n"
	"`taxi sub` is $TAXI_CLI_GROUP.  A flag wins over its variable.\n"
	"$TZ is the time zone, $EDITOR (or $VISUAL) what `taxi dead edit` opens.\n"},
};
const size_t help_ntopics = sizeof help_topics / sizeof *help_topics;
