#ifndef DATA_STORE_RUN_H
#define DATA_STORE_RUN_H
/* One Ingest trigger on its way: lease the dataset, list the source, pull what is new, load it into
 * a new version, swap, say so, ack.  Each step starts the next when its answer comes, so at most
 * one is under way, beside the beat that keeps lease and delivery.  A run may be killed anywhere:
 * whoever gets the trigger next does what is left.
 *
 * run.c is the life of a run, run_files.c the way to the files, run_load.c from the files to the
 * version, run_tell.c what is published. */
#include "base/list.h"
#include "proto/svc.h"
#include "services/data-store/listing.h"
#include "services/data-store/load.h"
#include "services/data-store/pull.h"

#define RUN_ACK_MS 60000 /* of a delivery, and the lease with it */

struct run;

/* What all runs of a process share; ingest.c owns it. */
struct run_house {
	struct loop *loop;
	struct client *client;
	struct fetch *fetch;
	struct pg *pg;
	const char *by; /* our name */
	const char *database, *objects;
	int64_t max_file, pull_ms, load_ms;
	struct list runs;
	uint64_t succeeded, failed, again, files, rows; /* counters */
	void (*ended)(void *arg);                       /* a run is over and gone */
	void *arg;
};

/* The next step; `res` is the kept result of what was asked, or NULL. */
typedef void run_next_fn(struct run *r, const PGresult *res);

/* A file as the registry last saw it. */
struct run_known {
	char *name, *etag, *last_modified;
	char sha256[OBJECTS_HEX + 1];
	bool loaded; /* a file of this name is in the current version */
};

struct run {
	struct list link;
	struct run_house *h;
	struct worker_msg *msg;
	uint8_t uuid[16];
	char uuid_text[37], owner[37];
	unsigned turn;  /* answers to what was asked in an earlier turn are not heard */
	unsigned asked; /* answers still to come */
	bool ending, over;
	bool swapping; /* too late to cancel */
	struct timer beat;
	int64_t lease_ends; /* monotonic ms */

	struct spec spec;
	char format[2 * SPEC_DIGEST + 1];
	int64_t dataset, version; /* as the catalogue has them */
	bool leased, same_format;
	struct columns have; /* of the current version */
	struct run_known *known;
	size_t nknown; /* by name */

	struct listing listing;
	size_t at; /* the file that is being pulled */
	struct fetch_call *list_call;
	struct pull *pull;

	struct load_file *files; /* to be loaded */
	size_t nfiles;
	struct columns columns;
	struct load_spec load_spec;
	struct load *load;

	char why[700]; /* of a file that could not be had */
	uint64_t unchanged, ignored, rows;
	run_next_fn *after_announce;
	struct buf detail; /* of the last status */
	const char *status;
};

/* The spec is checked, and what is wrong with it published.  Takes the delivery. */
void run_start(struct run_house *h, struct worker_msg *m, const uint8_t uuid[16]);
/* The same trigger came again, as the session it came in first has ended. */
void run_adopt(struct run *r, struct worker_msg *m);
/* Without a word: the process ends. */
void run_free(struct run *r);
/* Gone, if it is over and the last answer has come. */
void run_leave(struct run *r);

/* Ends; each takes effect once. */
void run_failed(struct run *r, int64_t bad_file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void run_cancelled(struct run *r);
void run_again(
    struct run *r, int64_t delay_ms, const char *why); /* hand it back; < 0: the broker's backoff */
void run_done(struct run *r);

/* Ask the database; `next` hears of success alone, everything else ends the run. */
void run_sql(struct run *r, const char *sql, const struct pg_param *p, int n, run_next_fn *next);
void run_steps(struct run *r, const struct pg_step *steps, size_t n, run_next_fn *next);

/* run_files.c: from the lease to the last file registered. */
void run_list(struct run *r, const PGresult *res);
/* run_load.c: what is registered becomes the new version. */
void run_load(struct run *r, const PGresult *res);
/* run_tell.c */
void run_tell_running(struct run *r);
void run_tell_end(struct run *r, run_next_fn *next); /* r->status, r->detail */
void run_announce(struct run *r, run_next_fn *next); /* dataset.loaded, unless it was */

/* Parameters out of numbers and texts; the text lives in `room`. */
struct pg_param run_int(int64_t v, char room[24]);

#endif
