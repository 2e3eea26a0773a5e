#ifndef BROKER_CTL_IMPL_H
#define BROKER_CTL_IMPL_H
/* What the files of ctl share.  Nobody else includes this. */
#include <stdlib.h>

#include "broker/ctl.h"
#include "proto/doc.h"
#include "proto/faults.h"
#include "proto/mp.h"

#define CTL_BODY_MAX (LIMIT_FRAME - LIMIT_HEADER)

/* `o` is the decoded body: a map or nil. */
typedef void ctl_fn(struct broker *b, const struct ctl_call *c, const msgpack_object *o);

ctl_fn ctl_services, ctl_peers, ctl_stats;                  /* ctl_look.c, ctl_stats.c */
ctl_fn ctl_groups, ctl_groups_set, ctl_groups_delete;       /* ctl_groups.c */
ctl_fn ctl_dead_ls, ctl_dead_show, ctl_dead_drop;           /* ctl_dead.c */
ctl_fn ctl_dead_retry, ctl_dead_edit;                       /* ctl_letter.c */
ctl_fn ctl_policies, ctl_policies_set, ctl_policies_delete; /* ctl_policy.c */
ctl_fn ctl_retained;                                        /* ctl_look.c */
ctl_fn ctl_trace;                                           /* ctl_trace.c */
ctl_fn ctl_replay;                                          /* ctl_replay.c */
ctl_fn ctl_claim, ctl_claim_forget;                         /* ctl_claim.c */
ctl_fn ctl_backup;                                          /* ctl_backup.c */
ctl_fn ctl_acl, ctl_acl_reload;                             /* ctl_acl.c */

/* NOT_FOUND, with the name where it could be one. */
void ctl_no_group(struct broker *b, const struct ctl_call *c, struct span name);
/* What the journal did not do.  `what`: should it be NOT_FOUND or QUOTA. */
void ctl_refuse_op(struct broker *b, const struct ctl_call *c, enum err code, const char *what);
void ctl_invalid(struct broker *b, const struct ctl_call *c, struct faults *f);
/* INVALID with one fault. */
void ctl_missing(struct broker *b, const struct ctl_call *c, const char *pointer, const char *what);

/* A fault for every key of the map that is not one of the `n` names. */
void ctl_only_keys(const msgpack_object *o, const char *const *names, size_t n, struct faults *f);

/* The number of a dead letter; 0: there is none in the call, which was answered. */
uint64_t ctl_dead_no(struct broker *b, const struct ctl_call *c, const msgpack_object *o);
/* One dead letter: fn runs with it and true is returned, else the call was answered.  The letter
 * lives until fn returns, which may submit, not read. */
typedef void ctl_dead_fn(void *arg, const struct journal_dead *d);
bool ctl_dead_get(
    struct broker *b, const struct ctl_call *c, uint64_t no, ctl_dead_fn *fn, void *arg);
void ctl_dead_answer(struct broker *b, const struct ctl_call *c, uint64_t no); /* as .show does */

/* Settings of a group or a policy: those that are in the map go into v, wrong ones into f. */
void ctl_take_fields(const msgpack_object *o, int64_t v[POLICY_FIELDS], struct faults *f);
void ctl_put_field(struct buf *out, enum policy_field field, int64_t v);

void ctl_put_str(struct buf *out, const char *key, const char *v);
void ctl_put_span(struct buf *out, const char *key, struct span v);
void ctl_put_u(struct buf *out, const char *key, uint64_t v);
void ctl_put_i(struct buf *out, const char *key, int64_t v);

#endif
