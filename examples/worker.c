/* A worker for OT-2 triggers.  cc worker.c $(pkg-config --cflags --libs taxiway); put your robot
 * where `work` is.  Its ids depend on the trigger alone: the broker knows a repeat. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <taxiway.h>

static struct taxi *bus;

static void
on_signal(int signo)
{
	(void)signo;
	taxi_stop(bus);
}

static void
stored(void *m, const struct taxi_answer *a)
{
	taxi_answer_code(a) == TAXI_OK ? taxi_ack(m) : taxi_nak(m, -1, taxi_answer_text(a));
}

static void
work(void *arg, struct taxi_msg *m)
{
	char uuid[40], topic[64], rows[256], done[256];
	const uint8_t *id = taxi_msg_id(m);
	uint8_t ids[2][16];

	(void)arg;
	for (int i = 0, at = 0; i < 16; i++)
		at += snprintf(
		    uuid + at, 4, "%s%02x", i >= 4 && i <= 10 && i % 2 == 0 ? "-" : "", id[i]);
	for (int i = 0; i < 2; i++) {
		memcpy(ids[i], id, 16);
		ids[i][15] ^= (uint8_t)(i + 1);
	}
	snprintf(topic, sizeof topic, "status.%s", uuid);
	snprintf(rows, sizeof rows, "{\"uuid\":\"%s\",\"rows\":[{\"data\":{\"od\":0.42}}]}", uuid);
	snprintf(done, sizeof done,
	    "{\"uuid\":\"%s\",\"status\":\"succeeded\",\"by\":\"example-c\"}", uuid);
	const struct taxi_pub batch[] = {
	    {.topic = "rows.in", .json = rows, .id = ids[0], .because = m},
	    {.topic = topic, .json = done, .id = ids[1], .because = m},
	};
	if (taxi_batch_async(bus, &(struct taxi_items){.v = batch, .n = 2}, 20000, stored, m) !=
	    TAXI_OK)
		taxi_nak(m, -1, "the results could not be sent");
}

int
main(void)
{
	bus = taxi_open(&(struct taxi_options){.name = "example-c", .log = "info"});
	if (bus == NULL)
		return 100;
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
	taxi_subscribe(bus, &(struct taxi_sub_options){.pattern = "trigger.OT-2.v1alpha1.>",
				.group = "example-c",
				.cancels = true,
				.msg = work});
	taxi_run(bus);
	taxi_drain(bus, 10000);
	taxi_close(bus);
	return 0;
}
