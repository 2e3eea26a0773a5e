#!/bin/bash
# Breaks the scheduling core on purpose, one way at a time, in a scratch copy: the simulation must see each.
# shellcheck disable=SC2016  # the substitutions are Perl's
# The ways that were once real bugs are marked.   tests/sim/mutants.sh [NAME…]
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d /tmp/taximutants.XXXXXX)
trap 'rm -rf "$dir"' EXIT
read -ra inc < <(pkg-config --cflags msgpack libczmq)
flags=(-I. -D_GNU_SOURCE '-DTAXI_VERSION=""' -std=c11 -O1 "${inc[@]}")
cores=$(ls broker/group.c broker/group_*.c broker/route*.c broker/match.c)
seen=0 unseen=0
for f in tests/sim/*.c $cores base/*.c proto/mp*.c proto/err.c proto/topic.c; do
	gcc "${flags[@]}" -c "$f" -o "$dir/$(echo "$f" | tr / -).o"
done

run() { gcc -o "$dir/sim" "$dir"/*.o -lmsgpackc -lm -lpthread && "$dir/sim" --seeds "${SEEDS:-10000}" >"$dir/out" 2>&1; }

mutant() { # mutant <name> <file> <perl substitution> [<perl substitution>]
	local name=$1 file=$2 obj
	case " ${only:-$name} " in *" $name "*) ;; *) return 0 ;; esac
	mkdir -p "$dir/src/$(dirname "$file")"
	cp "$file" "$dir/src/$file"
	for s in "${@:3}"; do perl -0pi -e "$s" "$dir/src/$file"; done
	if cmp -s "$file" "$dir/src/$file"; then
		echo "DOES NOT APPLY  $name"
		unseen=$((unseen + 1))
		return 0
	fi
	obj="$dir/$(echo "$file" | tr / -).o"
	cp "$obj" "$dir/good"
	gcc "${flags[@]}" -w -c "$dir/src/$file" -o "$obj"
	if run; then
		echo "NOT SEEN        $name"
		unseen=$((unseen + 1))
	else
		printf 'seen  %-34s %s\n' "$name" "$(grep -m1 -E '^seed|invariant' "$dir/out" | cut -c1-110 || tail -n1 "$dir/out")"
		seen=$((seen + 1))
	fi
	mv "$dir/good" "$obj"
}

only=${*:-}
run || { cat "$dir/out"; echo 'the core as it is fails already'; exit 1; }
W=broker/group_work.c V=broker/group_verbs.c O=broker/group_order.c S=broker/group_state.c G=broker/group.c
mutant leave-keeps $V 's/while \(\(e = LIST_FIRST\(&w->flight/while (0 && (e = LIST_FIRST(&w->flight/' 's/\tINVARIANT\(w->n == 0[^;]*;//'
mutant leave-counts-no-try $V 's/group_fail\(g, e, -1, span_str\("WORKER_LOST"\), now\);/{ group_work_lift(g, e); group_work_delay(g, e, now); group_order_back(g, e); }/'
mutant delay-not-watched $G 's/return timer_next\(&g->delay\) < at \? timer_next\(&g->delay\) : at;/return at;/'
mutant extended-not-watched $G 's/if \(timer_next\(&g->late\) < at\)\n\s*at = timer_next\(&g->late\);//'
mutant deadline-late $G 's/e->deadline > now\)/e->deadline >= now)/'
mutant credit-one-more $W 's/w->n < w->credit/w->n <= w->credit/'
mutant bytes-not-kept $W 's/\(e->bytes <= w->max_bytes && w->bytes <= w->max_bytes - e->bytes\)/true/'
mutant ack-of-anybody $V 's/\|\| !was_handed\(e, session\)//'
mutant ack-of-the-dying $V 's/e->state == ENTRY_DYING \|\| !was_handed/!was_handed/'
mutant nak-of-an-old-try $V 's/\|\|\s*e->fails \+ UINT64_C\(1\) != try_no//'
mutant nak-leaves-the-later $O 's/(for \(struct list \*n = e->kin\.next;)( n != &k->entries; n = n->next\) \{\n\s*if \(KIN\(n\)->state == ENTRY_FLIGHT\)\n\s*group_work_lift)/$1 0 \&\&$2/'
mutant nak-forgets-its-turn $O 's/k->next->seq > e->seq\)\n\t\tk->next = e;/k->next->seq > e->seq)\n\t\t;/'
mutant try-not-counted $V 's/\te->fails\+\+;\n\tif/\tif/'
mutant one-try-more $V 's/e->fails >= g->conf\.tries/e->fails > g->conf.tries/'
mutant backoff-too-long $V 's/BACKOFF_FACTOR 3/BACKOFF_FACTOR 4/'
mutant backoff-too-short $V 's/return ms - ms \/ 4/return ms - ms \/ 2/'
mutant extend-does-nothing $V 's/group_work_extend\(g, e, now \+ v->ms\);//'
mutant reject-is-a-try $V 's/group_work_die\(g, e, v->reason\.p \? v->reason : span_str\("REJECTED"\)\);/group_work_delay(g, e, 0); group_order_back(g, e);/'
mutant key-at-two-workers $W 's/struct group_worker \*w = e->key \? e->key->holder : NULL;/struct group_worker *w = NULL;/' 's/$/\n/'
mutant expired-delivered $W 's/e->exp_ms <= real/e->exp_ms < real/'
mutant tries-not-looked-at $W 's/\} else if \(e->fails >= g->conf\.tries\) \{/} else if (false) {/'
mutant busiest-worker $W 's/w->n < best->n/w->n > best->n/'
mutant back-where-it-failed $W 's/e->fails > 0 && w->session == e->handed\[0\]/false/'
mutant closing-gets-more $W 's/return !w->closing && w->n/return w->n/' 's/w->closing \? &g->closing : //'
mutant again-not-marked $W 's/\.again = e->delivered \|\| e->seq <= g->suspect/.again = e->delivered/'
mutant owed-not-counted $W 's/\tg->owed--;\n//'
mutant landing-lets-nobody-go $W 's/group_order_landed\(g, e\);\n\tgroup_work_unstall\(g, w\);/group_order_landed(g, e);/'
mutant was-real:stalled-for-another $W 's/group_order_landed\(g, e\);\n\tgroup_work_unstall\(g, w\);/group_work_unstall(g, w);\n\tgroup_order_landed(g, e);/' 's/if \(was_ready && /if (false \&\& /'
mutant was-real:first-state-lost $S 's/g->suspect = head;\n\t\treturn 0;/return 0;/'
mutant crash-not-suspected $S 's/g->suspect = clean \? suspect : head;/g->suspect = suspect;/'
mutant tries-not-remembered $S 's/fails \* 2 \+ \(delivered/0 * fails + (delivered/'
mutant floor-one-too-high $S 's/return next - 1;/return next;/'
mutant done-comes-again $G 's/r->seq < g->known_high\)/r->seq + 1 < g->known_high)/'
mutant dropped-not-counted $G 's/\t\tg->owed--;\n\t\tg->dropped\+\+;/\t\tg->owed--;/'
mutant let-go-and-forgotten $G 's/g->read = e->seq;/g->read = e->seq + 1;/'
mutant expired-takes-only-itself $G 's/e = group_order_first_late\(e, now\);//'
R=broker/route.c P=broker/route_pool.c F=broker/route_flight.c M=broker/match.c
mutant request-credit $P 's/m->n < m->credit/m->n <= m->credit/'
mutant request-bytes $P 's/\(m->n == 0 \|\| \(bytes <= m->max_bytes && m->bytes <= m->max_bytes - bytes\)\)/true/'
mutant request-busiest $P 's/m->n < best->n/m->n > best->n/'
mutant request-any-pool $P 's/\*found = LIST_ITEM\(e, struct route_pool, match\);\n\treturn false;/*found = LIST_ITEM(e, struct route_pool, match);\n\treturn true;/'
mutant answer-of-anybody $R 's/ \|\| f->member->peer != worker//'
mutant answered-twice $R 's/\troute_flight_free\(r, f\);\n\troute_flight_pump\(r, m->pool, now\);\n\tretire\(r, m\);\n\treturn ghost/\troute_flight_ghost(r, f);\n\treturn ghost/'
mutant second-try-not-marked $R 's/\tf->resent \|= may_have_run;\n//'
mutant second-try-too-late $R 's/ \|\| f->deadline <= now//'
mutant lost-worker-unsaid $R 's/if \(f->state == FLIGHT_SENT\)\n\t\t\troute_flight_fail\(r, f, ERR_WORKER_LOST, "the worker was lost"\);//'
mutant timeout-frees-credit $F 's/if \(f->state == FLIGHT_SENT\) \{\n\t\troute_flight_ghost\(r, f\);\n\t\} else \{\n\t\troute_flight_free\(r, f\);\n\t\}/route_flight_free(r, f);/'
mutant gap-not-bounded $R 's/now \+ \(f->window > 0 \? f->ttl : LIMIT_TTL_MS\)/now + LIMIT_TTL_MS/'
mutant waits-for-ever $F 's/\troute_flight_arm\(r, f, now \+ q->ttl\);\n/\tf->deadline = now + q->ttl;\n/'
mutant out-of-turn $F 's/list_push_back\(&p->waiting, &f->place\);/list_push_front(\&p->waiting, \&f->place);/'
mutant was-real:nobody-looks-behind $R 's/\t\t\tclose_ranks\(r, p, now\);\n//'
mutant client-bytes $R 's/ \|\| q->client->bytes \+ bytes > r->max_peer_bytes//'
mutant hopes-too-long $F 's/if \(!f->resent && r->patient_until < until\)\n\t\tuntil = r->patient_until;//'
mutant nobody-takes-home $R 's/\ttake_home\(r, m->pool, now\);/\troute_flight_pump(r, m->pool, now);/'
mutant lost-and-not-parked $R 's/!\(may_have_run && r->patient\)/true/'
mutant forever-patient $R 's/p == NULL && now >= r->patient_until/p == NULL \&\& !r->patient/'
mutant star-before-literal $M 's/(\tif \(kid != NULL && !walk_from\(kid, w, i \+ 1\)\)\n\t\treturn false;\n)(\tif \(n->star != NULL && wild[^;]*;\n)/$2$1/'
mutant wild-sees-sys $M 's/bool wild = i > 0 \|\| [^;]*;/bool wild = true;/'
mutant rest-needs-nothing $M 's/if \(i == w->n\)\n\t\treturn visit\(n, w\);/if (i == w->n)\n\t\treturn visit(n, w) \&\& (n->rest == NULL || visit(n->rest, w));/'
echo "$seen seen, $unseen not"
[ $unseen = 0 ]
