/* taxi keys: pairs of keys in files, and who may do what. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/die.h"
#include "base/str.h"
#include "cli/acl_text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "proto/keys.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { RELOAD_MS = 2000, NAME_MOST = 64 };

static struct {
	const char *name, *dir;
	const char *publish, *subscribe, *request, *serve, *groups, *route, *service;
	bool act_as;
} opt;

static int
fail(const char *why)
{
	fprintf(stderr, "taxi keys: %s\n", why);
	return CLI_FAILED;
}

/* ---- new ---- */

/* Every directory above the file that is not there yet, for us alone. */
static int
make_parents(const char *path)
{
	char *copy = xstrdup(path);
	int rc = 0;

	for (char *p = copy + 1; copy[0] != '\0' && *p != '\0' && rc == 0; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			rc = -1;
		*p = '/';
	}
	free(copy);
	return rc;
}

static int
run_new(struct cli *c, int argc, char **argv)
{
	char why[KEYS_WHY];
	struct keys k;

	(void)argc;
	if (opt.name[0] && !str_is_name(span_str(opt.name), NAME_MOST)) {
		return cli_usage(
		    c, "--name must be 1 to 64 of A-Z a-z 0-9 _ -, not '%s'", opt.name);
	}
	if (make_parents(argv[0]) != 0) {
		fprintf(stderr, "taxi keys: %s: its directory: %s\n", argv[0], strerror(errno));
		return CLI_FAILED;
	}
	if (keys_new(argv[0], opt.name, &k, why) != 0)
		return fail(why);
	if (cli_is_json(c)) {
		struct buf b;

		buf_init(&b, 65536);
		mp_put_map(&b, 2);
		mp_put_cstr(&b, "file");
		mp_put_cstr(&b, argv[0]);
		mp_put_cstr(&b, "key");
		mp_put_cstr(&b, k.public_key);
		cli_print_json(buf_span(&b));
		buf_fini(&b);
	} else {
		printf("%s_secret  keep it: it is who you are\n%s  may be shown to everybody\n%s\n",
		    argv[0], argv[0], k.public_key);
	}
	return 0;
}

static const struct opt new_rows[] = {
    {"name", OPT_STR, &opt.name, "", 0, 0, 0, "whose it is, as a note in the file"},
};

const struct cli_command cli_keys_new = {
    .name = "keys new",
    .operands = "FILE",
    .about = "Make a pair of keys",
    .help = "  taxi keys new keys/broker.key          the broker's own, below its --keys\n"
	    "  taxi keys new ~/.config/taxi/lab-7.key --name lab-7\n\n"
	    "Writes FILE (the public key) and FILE_secret (both, for you alone).  What exists is "
	    "never overwritten.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = new_rows,
    .nrows = sizeof new_rows / sizeof new_rows[0],
    .run = run_new,
    .section = CLI_HOUSE,
    .json = "{file, key}: the public key.\n",
};

/* ---- the acl ---- */

static char *
acl_path(void)
{
	return xasprintf("%s/acl", opt.dir);
}

/* A file that is not there is an empty one. */
static int
read_acl(struct buf *text)
{
	char *path = acl_path(), why[KEYS_WHY];
	int rc = 0;

	if (access(path, F_OK) == 0 || errno != ENOENT)
		rc = keys_read(path, text, why);
	if (rc != 0)
		(void)fail(why);
	free(path);
	return rc;
}

static int
write_acl(const struct buf *text)
{
	char *path = acl_path(), why[KEYS_WHY];
	int rc = -1;

	if (text->failed || text->n > ACL_TEXT_MOST) {
		fprintf(stderr, "taxi keys: %s would be over 1 MiB\n", path);
	} else if ((rc = keys_write(path, buf_span(text), why)) != 0) {
		(void)fail(why);
	}
	free(path);
	return rc;
}

/* What is broken already is not made worse. */
static int
check_acl(struct span text)
{
	struct acl_walk w = {.text = text};
	struct acl_section s;

	while (acl_text_next(&w, &s))
		continue;
	if (w.why == NULL)
		return 0;
	fprintf(stderr, "taxi keys: %s/acl:%u: %s\n", opt.dir, w.line, w.why);
	return -1;
}

/* Tell the broker that runs, if one does.  The file is written whatever it says. */
static int
reload(struct cli *c)
{
	struct cli_reply r;
	int code = 0;

	if (c->timeout_ms > RELOAD_MS)
		c->timeout_ms = RELOAD_MS;
	cli_ask(c, "sys.acl.reload", (struct span){NULL, 0}, &r);
	if (r.err == ERR_OK) {
		fprintf(stderr, "The broker at %s has read it.\n", c->bus);
	} else if (r.unreached) {
		fprintf(stderr,
		    "No broker answered at %s: one that runs goes by the old file until SIGHUP or "
		    "`taxi req sys.acl.reload`.\n",
		    c->bus);
	} else if (r.err == ERR_CONFLICT) {
		fprintf(stderr, "The broker at %s runs without --keys.\n", c->bus);
	} else {
		fprintf(stderr, "The broker at %s goes by the old file:\n", c->bus);
		code = cli_reply_say(c, &r);
	}
	cli_reply_fini(&r);
	return code;
}

/* ---- allow ---- */

static bool
are_patterns(const struct cli *c, const char *flag, const char *list)
{
	char *copy = xstrdup(list), *save = NULL;
	bool good = true;

	for (char *s = strtok_r(copy, " ,", &save); s != NULL; s = strtok_r(NULL, " ,", &save)) {
		bool ok = strcmp(flag, "route") == 0
			      ? strcmp(s, "*") == 0 || str_is_name(span_str(s), NAME_MOST)
			      : topic_is_pattern(span_str(s));

		if (!ok && good) {
			(void)cli_usage(c, "--%s: '%s' is no %s", flag, s,
			    strcmp(flag, "route") == 0 ? "name of a service" : "pattern of topics");
		}
		good &= ok;
	}
	free(copy);
	return good;
}

/* One field; commas are taken as spaces. */
static void
put_list(struct buf *out, const char *field, const char *list, const char *more)
{
	if (list[0] == '\0' && more[0] == '\0')
		return;
	buf_printf(out, "    %s = \"", field);
	for (const char *p = list; *p; p++) {
		char c = *p;

		if (c == ',')
			c = ' ';
		buf_putc(out, c);
	}
	buf_printf(out, "%s%s\"\n", list[0] && more[0] ? " " : "", more);
}

/* What every process of the harness serves of itself. */
static void
put_entry(struct buf *out, const char *name, const char *key)
{
	const char *s = opt.service;
	char *sys =
	    s[0] ? xasprintf("sys.ping.%s sys.info.%s sys.stats.%s sys.stats.%s.*", s, s, s, s)
		 : xstrdup("");

	buf_printf(out, "%s\n", name);
	if (key[0])
		buf_printf(out, "    key = \"%s\"\n", key);
	put_list(out, "publish", opt.publish, "");
	put_list(out, "subscribe", opt.subscribe, "");
	put_list(out, "request", opt.request, "");
	put_list(out, "serve", opt.serve, sys);
	put_list(out, "groups", opt.groups, "");
	put_list(out, "route", opt.route, s);
	buf_printf(out, "    act-as = %d\n", opt.act_as);
	free(sys);
}

static int
check_allow(const struct cli *c, int argc, char **argv)
{
	const struct {
		const char *flag, *list;
	} lists[] = {{"publish", opt.publish}, {"subscribe", opt.subscribe},
	    {"request", opt.request}, {"serve", opt.serve}, {"groups", opt.groups},
	    {"route", opt.route}};
	bool local = strcmp(argv[0], "local") == 0, any = opt.service[0] != '\0';

	if (!str_is_name(span_str(argv[0]), NAME_MOST))
		return cli_usage(c, "NAME must be 1 to 64 of A-Z a-z 0-9 _ -, not '%s'", argv[0]);
	if (local == (argc == 2)) {
		return cli_usage(c, local ? "`local` is who comes over ipc: it has no key"
					  : "expected NAME and its public key, or a file with it");
	}
	if (opt.service[0] && !str_is_name(span_str(opt.service), NAME_MOST))
		return cli_usage(c, "--service: '%s' is no name of a service", opt.service);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		any |= lists[i].list[0] != '\0';
		if (!are_patterns(c, lists[i].flag, lists[i].list))
			return CLI_USAGE;
	}
	return any ? 0
		   : cli_usage(c, "allowed to do what? --publish, --subscribe, --request, --serve "
				  "or --service");
}

static int
run_allow(struct cli *c, int argc, char **argv)
{
	char key[KEYS_TEXT + 1] = "", why[KEYS_WHY];
	struct buf text, entry, out;
	struct span other;
	int code = check_allow(c, argc, argv);

	if (code != 0)
		return code;
	if (argc == 2 && keys_public(argv[1], key, why) != 0)
		return fail(why);
	buf_init(&text, ACL_TEXT_MOST + 8192);
	buf_init(&entry, 65536);
	buf_init(&out, ACL_TEXT_MOST);
	put_entry(&entry, argv[0], key);
	code = CLI_FAILED;
	if (read_acl(&text) != 0 || check_acl(buf_span(&text)) != 0)
		goto out;
	if (!acl_text_set(buf_span(&text), span_str(argv[0]), span_str(key), buf_span(&entry), &out,
		&other)) {
		fprintf(stderr,
		    "taxi keys: this key is listed as %.*s; `taxi keys revoke` it first\n",
		    (int)other.n, (const char *)other.p);
		goto out;
	}
	if (write_acl(&out) == 0) {
		fwrite(entry.p, 1, entry.n, stdout);
		fflush(stdout);
		code = reload(c);
	}
out:
	buf_fini(&text);
	buf_fini(&entry);
	buf_fini(&out);
	return code;
}

#define KEYS_DIR_ROW                                                 \
	{                                                            \
		"keys", OPT_STR, &opt.dir, NULL, 0, 0, OPT_REQUIRED, \
		    "the broker's --keys: where acl is"              \
	}

static const struct opt allow_rows[] = {
    KEYS_DIR_ROW,
    {"publish", OPT_STR, &opt.publish, "", 0, 0, 0, "topics it may publish: patterns, by spaces"},
    {"subscribe", OPT_STR, &opt.subscribe, "", 0, 0, 0,
	"topics it may hear, alone or in groups; with > the feed too"},
    {"request", OPT_STR, &opt.request, "", 0, 0, 0, "topics it may ask; sys.… must be named"},
    {"serve", OPT_STR, &opt.serve, "", 0, 0, 0, "topics it may answer"},
    {"groups", OPT_STR, &opt.groups, "", 0, 0, 0, "groups it may join; none given: every one"},
    {"route", OPT_STR, &opt.route, "", 0, 0, 0,
	"names of services for which it may announce HTTP paths; * any"},
    {"service", OPT_STR, &opt.service, "", 0, 0, 0,
	"it is this service: its own sys.ping, sys.info, sys.stats and route"},
    {"act-as", OPT_BOOL, &opt.act_as, "false", 0, 0, 0,
	"it may speak for others (`as`): for an edge"},
};

const struct cli_command cli_keys_allow = {
    .name = "keys allow",
    .operands = "NAME [KEY|FILE]",
    .about = "Let a key in, and say what it may do",
    .help = "  taxi keys allow --keys keys lab-7 lab-7.key --subscribe 'trigger.OT-2.>' --publish "
	    "'rows.in status.*'\n"
	    "  taxi keys allow --keys keys mail 'Yne@…' --service provider-email --serve "
	    "'provider.email.>'\n"
	    "  taxi keys allow --keys keys local --request 'sys.>'     what ipc may do\n\n"
	    "Writes the entry into DIR/acl (another of the same key is replaced) and tells the "
	    "broker.  What is not listed is denied.\n",
    .min_operands = 1,
    .max_operands = 2,
    .rows = allow_rows,
    .nrows = sizeof allow_rows / sizeof allow_rows[0],
    .run = run_allow,
    .section = CLI_HOUSE,
};

/* ---- revoke ---- */

static int
run_revoke(struct cli *c, int argc, char **argv)
{
	char key[KEYS_TEXT + 1], why[KEYS_WHY];
	const char *which = argv[0];
	struct buf text, out;
	int code = CLI_FAILED;
	unsigned n;

	(void)argc;
	if (access(which, F_OK) == 0 && keys_public(which, key, why) == 0)
		which = key;
	buf_init(&text, ACL_TEXT_MOST + 8192);
	buf_init(&out, ACL_TEXT_MOST + 8192);
	if (read_acl(&text) != 0 || check_acl(buf_span(&text)) != 0)
		goto out;
	n = acl_text_remove(buf_span(&text), span_str(which), &out);
	if (n == 0) {
		fprintf(stderr, "taxi keys: %s/acl has no entry %s\n", opt.dir, which);
		code = CLI_NOT_FOUND;
	} else if (write_acl(&out) == 0) {
		printf("%u %s of %s removed\n", n, n == 1 ? "entry" : "entries", which);
		fflush(stdout);
		code = reload(c);
	}
out:
	buf_fini(&text);
	buf_fini(&out);
	return code;
}

static const struct opt dir_rows[] = {KEYS_DIR_ROW};

const struct cli_command cli_keys_revoke = {
    .name = "keys revoke",
    .operands = "NAME|KEY|FILE",
    .about = "Let a key in no more",
    .help = "  taxi keys revoke --keys keys lab-7\n\n"
	    "Takes every entry of that name, or the one of that key, out of DIR/acl and tells the "
	    "broker, which closes its connections.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = dir_rows,
    .nrows = sizeof dir_rows / sizeof dir_rows[0],
    .run = run_revoke,
    .section = CLI_HOUSE,
};

/* ---- show ---- */

static int
show_file(const struct cli *c, const char *path)
{
	char why[KEYS_WHY];
	struct keys k;

	if (keys_load(path, &k, why) != 0)
		return fail(why);
	if (cli_is_json(c)) {
		struct buf b;

		buf_init(&b, 65536);
		mp_put_map(&b, 3);
		mp_put_cstr(&b, "file");
		mp_put_cstr(&b, path);
		mp_put_cstr(&b, "key");
		mp_put_cstr(&b, k.public_key);
		mp_put_cstr(&b, "secret");
		mp_put_bool(&b, k.secret_key[0] != '\0');
		cli_print_json(buf_span(&b));
		buf_fini(&b);
	} else {
		printf("%s\n", k.public_key);
		fprintf(stderr, "%s\n",
		    k.secret_key[0] ? "its secret key is here too" : "the public key alone");
	}
	return 0;
}

static int
show_acl(const struct cli *c)
{
	struct acl_walk w = {0};
	struct acl_section s;
	struct buf text, json;
	struct table t;
	unsigned n = 0;

	buf_init(&text, ACL_TEXT_MOST + 8192);
	if (read_acl(&text) != 0 || check_acl(buf_span(&text)) != 0) {
		buf_fini(&text);
		return CLI_FAILED;
	}
	buf_init(&json, 4 * ACL_TEXT_MOST);
	table_init(&t, "NAME KEY");
	for (w.text = buf_span(&text); acl_text_next(&w, &s); n++) {
		table_span(&t, s.name);
		table_span(&t, s.key);
		mp_put_map(&json, 2);
		mp_put_cstr(&json, "name");
		mp_put_str(&json, s.name);
		mp_put_cstr(&json, "key");
		mp_put_str(&json, s.key);
	}
	if (cli_is_json(c)) {
		struct buf all;

		buf_init(&all, 4 * ACL_TEXT_MOST + 16);
		mp_put_array(&all, n);
		buf_put(&all, json.p, json.n);
		cli_print_json(buf_span(&all));
		buf_fini(&all);
		table_fini(&t);
	} else {
		table_print(&t, "nobody is let in");
	}
	buf_fini(&text);
	buf_fini(&json);
	return 0;
}

static int
run_show(struct cli *c, int argc, char **argv)
{
	if ((argc == 1) == (opt.dir[0] != '\0'))
		return cli_usage(c, "expected FILE, or --keys DIR");
	return argc == 1 ? show_file(c, argv[0]) : show_acl(c);
}

static const struct opt show_rows[] = {
    {"keys", OPT_STR, &opt.dir, "", 0, 0, 0, "the broker's --keys: list who is let in"},
};

const struct cli_command cli_keys_show = {
    .name = "keys show",
    .operands = "[FILE]",
    .about = "Print a public key, or who is let in",
    .help = "  taxi keys show keys/broker.key     what clients give as --broker-key\n"
	    "  taxi keys show --keys keys\n",
    .min_operands = 0,
    .max_operands = 1,
    .rows = show_rows,
    .nrows = sizeof show_rows / sizeof show_rows[0],
    .run = run_show,
    .section = CLI_HOUSE,
    .json = "Of FILE: {file, key, secret}.  With --keys: [{name, key}].\n",
};
