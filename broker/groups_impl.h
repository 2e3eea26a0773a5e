#ifndef BROKER_GROUPS_IMPL_H
#define BROKER_GROUPS_IMPL_H
/* What the files of the groups' shell share.  Nobody else includes this. */
#include "broker/broker.h"

/* groups.c */
struct group *groups_core_new(struct owed_group *g, uint64_t next);
void groups_remove(struct owed_group *g);                                    /* frees it */
struct sub *groups_sub_of(const struct peer *p, const struct owed_group *g); /* NULL: none */
/* groups_verbs.c */
void groups_end(struct broker *b, struct owed_group *g); /* with its subscriptions */

/* groups_feed.c */
void groups_feed_deliver(void *arg, void *user, const struct group_item *it);
void groups_feed_drop(void *arg, void *frame);
void groups_feed_note(void *arg, enum group_event what, const struct group_item *it,
    uint64_t session, struct span reason);
/* Start counting what g is owed in (from, to]. */
void groups_feed_count(struct owed_group *g, uint64_t from, uint64_t to);

/* groups_save.c */
void groups_save_soon(struct owed_group *g);
/* Somebody is there again: before anything is handed out, a state that does not deny it is on disk.
 */
void groups_save_unseal(struct owed_group *g);
void groups_save_turn(struct broker *b);
void groups_save_tick(struct broker *b);

/* groups_dead.c */
void groups_dead_save(
    void *arg, const struct group_item *it, enum group_death why, struct span reason);
void groups_dead_tick(struct broker *b); /* what the disk had no room for */
int groups_dead_open(struct broker *b);  /* after the groups; 0, or -1 (logged) */
bool groups_dead_has(const struct owed_group *g, uint64_t seq);
/* The group has come by all of those: its state tells of them itself. */
bool groups_dead_read(struct owed_group *g);
void groups_dead_free(struct broker *b);

/* groups_settings.c */
enum { DEFAULT_BACKOFF_MS = 250, DEFAULT_BACKOFF_MAX_MS = 300000 };
void groups_settings_put(const struct group_settings *s, struct buf *out);
int groups_settings_get(struct group_settings *s, struct span raw);
struct group_conf groups_settings_conf(const struct owed_group *g);

#endif
