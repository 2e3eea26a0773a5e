#include "cli/ask.h"

int
ask(struct cli *c, const char *topic, struct map *body, struct cli_reply *r)
{
	cli_ask(c, topic, body ? map_span(body) : (struct span){NULL, 0}, r);
	if (body != NULL)
		map_fini(body);
	return cli_reply_say(c, r);
}

int
ask_print(struct cli *c, const char *topic, struct map *body, ask_print_fn *print)
{
	struct cli_reply r;
	int code = ask(c, topic, body, &r);

	if (code == 0 && cli_is_json(c)) {
		cli_print_answer(c, &r.env);
	} else if (code == 0) {
		print(&r);
	}
	cli_reply_fini(&r);
	return code;
}

int
ask_print_of(
    struct cli *c, const char *topic, const char *key, const char *name, ask_print_fn *print)
{
	struct map m;

	map_init(&m);
	map_str(&m, key, name);
	return ask_print(c, topic, &m, print);
}
