#ifndef BROKER_GROUPS_H
#define BROKER_GROUPS_H
/* The durable groups of this broker: the shell round group.h.  Makes and changes them through the
 * journal, feeds them what is committed, reads for those that are behind, writes their state, hands
 * out deliveries. */
#include <uthash.h>

#include "base/timer.h"
#include "broker/group.h"
#include "broker/journal.h"
#include "broker/match.h"
#include "broker/policy.h"
#include "broker/rec.h"
#include "proto/env.h"
#include "proto/limits.h"

#define GROUPS_MOST 10000u

struct broker;
struct journal_row;
struct peer;
struct sub;
struct job;

enum group_pause { GROUP_RUNS, GROUP_PAUSED, GROUP_PAUSED_IDLE, GROUP_PAUSED_OWED };

struct group_settings {
	char pattern[LIMIT_TOPIC + 1];
	uint32_t tries;
	int64_t ack_ms, idle_ms, max_owed; /* 0: no limit */
	int64_t backoff_ms, backoff_max_ms;
	bool refuses; /* over max_owed: publishers are told BUSY, and it is not paused */
	enum group_pause paused;
};

struct owed_group {
	UT_hash_handle hh;
	struct broker *b;
	struct match_entry match;
	char name[LIMIT_GROUP + 1];
	struct group_settings set;
	struct group_settings asked; /* `set` once all that was submitted is committed */
	unsigned setting;            /* changes under way */
	struct group *core;          /* NULL while it is being created */
	struct list joins;           /* SUBs that wait for the creation */
	struct list busy;            /* groups->busy: has something to do at the end of this turn */
	struct list unsaved;         /* groups->unsaved: its state is to be written */
	struct timer timer;          /* group_next */
	bool deleting, saving;
	bool sealed;    /* the state last submitted says that nobody has anything in hand */
	bool unsealing; /* until another one is on disk nothing is handed out */
	uint64_t
	    *dead; /* seqs whose letters are newer than the state that was recovered, ascending */
	size_t ndead;
	uint64_t from;        /* every seq >= from is owed, or was */
	uint64_t saved_head;  /* head of the state last submitted */
	uint64_t saved_floor; /* floor on disk: what retention goes by */
	int64_t saved_ms;
	uint64_t count_at, count_to; /* owed is being counted from here up to there; equal: done */
	int64_t idle_since_ms;       /* monotonic; 0: it has workers */
	bool idle_warned;
	unsigned subs;
	uint16_t trace; /* trace_name */
	int64_t
	    oldest_at; /* ctl: unix ms of the oldest owed record when the floor was oldest_floor */
	uint64_t oldest_floor;
};

struct groups {
	struct owed_group *all;
	struct list busy, unsaved;
	struct timer save_timer;
	unsigned counting, pages; /* pages: that may still be read this turn */
	bool may_refuse;          /* some group may tell publishers BUSY */
	uint64_t dead_retries;
	uint64_t dead_no;       /* highest number of a letter that was reaped */
	struct list dead_again; /* dead letters the disk had no room for */
};

int groups_open(struct broker *b); /* what the journal knows; 0, or -1 (logged) */
void groups_free(struct broker *b);
struct owed_group *groups_find(const struct broker *b, struct span name);

/* A pattern of durable topics? */
bool groups_can_be_owed(struct span pattern);
bool groups_is_name(struct span s);
/* `from` of a SUB: "new" (or {NULL,0}), "all", {seq} or {time} (unix ms).  False: none of them. */
bool groups_from(struct span raw, enum journal_from *from, int64_t *arg);
/* A SUB with `group`: answers it, at once or after the commit. */
void groups_sub(struct broker *b, struct peer *p, const struct env *e);
void groups_unsub(struct broker *b,
    struct sub *s); /* the sub stays until its peer is gone, unless it holds nothing */
void groups_leave(struct broker *b, struct sub *s); /* its peer is gone */
void groups_ack(struct broker *b, struct peer *p, const struct env *e);
void groups_verdict(
    struct broker *b, struct peer *p, const struct env *e); /* NAK, REJECT, EXTEND */

/* A record was committed that this group matches. */
void groups_offer(struct broker *b, struct owed_group *g, struct rec *r);
/* Likewise, of one put again for r->only. */
void groups_offer_only(struct broker *b, struct rec *r);
/* Is a record of this topic and `only` owed to g? */
bool groups_concerns(const struct owed_group *g, struct span topic, struct span only);
/* A group that is owed this topic and takes no more now; NULL: none. */
const struct owed_group *groups_full(const struct broker *b, struct span topic);
void groups_busy(struct owed_group *g);
void groups_turn(struct broker *b); /* end of a turn, before the journal is flushed */
void groups_tick(struct broker *b); /* each second: limits, lagging states */
/* Submit every state as the last word before a clean end: nothing may be delivered after it. */
void groups_close(struct broker *b);

/* What can be said of a group, by field. */
void groups_settings_get_fields(const struct group_settings *s, int64_t v[POLICY_FIELDS]);
void groups_settings_set_fields(struct group_settings *s, const int64_t v[POLICY_FIELDS]);

/* sys.groups.set and .delete: `done` runs once with what came of it; g is NULL after a deletion. */
typedef void groups_done_fn(struct broker *b, void *arg, enum err err, struct owed_group *g);
void groups_set(struct broker *b, struct owed_group *g, const struct group_settings *set,
    groups_done_fn *done, void *arg);
void groups_delete(struct broker *b, struct owed_group *g, groups_done_fn *done, void *arg);

/* The highest seq that every group which is not paused has done, on disk. */
uint64_t groups_floor(const struct broker *b);
/* The record is about to be deleted, though a paused group may be owed it: counted as dropped.  A
 * row without topic: all below its seq are gone. */
void groups_drop(struct broker *b, const struct journal_row *row);

#endif
