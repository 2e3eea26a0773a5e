#!/bin/sh
# From nothing to a running Taxiway: dependencies, build, a private Postgres, migrations, broker, services, edge.
# A second run is harmless: it builds and migrates what changed and restarts only what was rebuilt.
#
#   scripts/up.sh [--no-build]
#
# TAXI_DATABASE_URL  use this database instead of a private one
# TAXI_HTTP_PORT, TAXI_BUS_PORT, TAXI_FEED_PORT  (8080, 5570, 5571; all on 127.0.0.1; kept for the next run)
# TAXI_PREFIX, TAXI_STATE_DIR, TAXI_RUN_DIR  other places for programs (as root), state and sockets
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

case ${1-} in
'' | --no-build) ;;
*) fail "unknown argument '$1'; usage: scripts/up.sh [--no-build]" ;;
esac

"$root/scripts/deps.sh" --run
pgbin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
[ -x "$pgbin/postgres" ] || fail 'no Postgres server found under /usr/lib/postgresql'

if [ "${1-}" != --no-build ]; then
	built=', which takes a minute or two'
	[ ! -x "$root/build/release/bin/broker" ] || built=
	say "building (build/release)$built"
	make -s -C "$root" -j"$(nproc)" BUILD=release
fi
[ -x "$root/build/release/bin/broker" ] || fail "build/release/bin/broker is not there: run without --no-build"

# --- places -----------------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ]; then
	id "$run_user" >/dev/null 2>&1 ||
		useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin "$run_user"
	install -d -m 755 "$prefix"
	install -d -m 700 -o "$run_user" -g "$run_user" "$state" "$sockets"
	# A new file under a new inode, so that a running program is never written over.
	install -d "$prefix/bin" "$prefix/migrations"
	for b in "$root"/build/release/bin/*; do
		cmp -s "$b" "$prefix/bin/$(basename "$b")" || install -m 755 "$b" "$prefix/bin/"
	done
	for b in "$prefix"/bin/*; do
		[ -e "$root/build/release/bin/$(basename "$b")" ] || rm -f "$b"
	done
	for m in "$root"/services/*/migrations; do
		s=$(basename "$(dirname "$m")")
		rm -rf "${prefix:?}/migrations/$s" && cp -r "$m" "$prefix/migrations/$s"
	done
	rm -rf "$prefix/catalogue" && cp -r "$root/services/service-gateway/catalogue" "$prefix/catalogue"
	chmod -R go+rX "$prefix"
	catalogue=$prefix/catalogue
else
	install -d -m 700 "$state" "$sockets"
	catalogue=$root/services/service-gateway/catalogue
fi
as_user mkdir -p "$scan" "$logdir" "$state/conf" "$state/journal" "$state/inbox" "$state/csv" "$state/objects"
# A copy that root put there, which the broker could not open.
other=$(find "$state/journal" ! -user "$run_user" | head -n 1)
[ -z "$other" ] || fail "$other does not belong to $run_user: chown -R $run_user: $state/journal"
as_user chmod 700 "$state/journal"
[ "$(stat -c %U:%a "$sockets")" = "$run_user:700" ] || fail "$sockets must belong to $run_user with mode 700"

# --- settings: written once, then the user's ----------------------------------------------------------------
if [ -n "${TAXI_DATABASE_URL-}" ]; then
	database=$TAXI_DATABASE_URL
else
	database="postgresql:///taxiway?host=$sockets&user=$run_user"
fi
{
	echo "# Written by up.sh at each run.  Put your own settings into conf/<process>.env beside this file."
	echo "TAXI_DATABASE_URL='$database'"
	echo "TAXI_CATALOGUE='$catalogue'"
	echo "TAXI_OBJECTS='$state/objects'"
	echo "PLUGIN_FILE_DIR='$state/inbox'"
	echo "PLUGIN_CSV_FILE_DIR='$state/csv'"
} | as_user tee "$state/conf/common.env" >/dev/null
printf 'http_port=%s\nbus_port=%s\nfeed_port=%s\n' "$http_port" "$bus_port" "$feed_port" |
	as_user tee "$state/conf/ports" >/dev/null

# --- supervision --------------------------------------------------------------------------------------------
restart_if_new() { # restart_if_new NAME PROGRAM: when the program or its settings differ from what it was started with
	new=$(cat "$prefix/bin/$2" "$scan/$1/run" "$state/conf/common.env" "$state/conf/$2.env" 2>/dev/null | cksum)
	old=$(cat "$scan/$1/stamp" 2>/dev/null || true)
	echo "$new" | as_user tee "$scan/$1/stamp" >/dev/null
	if [ -n "$old" ] && [ "$old" != "$new" ]; then
		say "restarting $1 (rebuilt, or other settings)"
		for i in "$scan/$1" "$scan/$1@"*; do # those of scale.sh too
			[ ! -d "$i" ] || as_user s6-svc -r "$i"
		done
	fi
}
rescan() { as_user s6-svscanctl -a "$scan"; }
ready() { # ready NAME…: wait until each says so
	for n in "$@"; do
		w=0
		until [ -d "$scan/$n/supervise" ] && [ -e "$scan/$n/supervise/control" ] && as_user s6-svstat "$scan/$n" >/dev/null 2>&1; do
			w=$((w + 1))
			[ $w -lt 200 ] || fail "s6 did not take up $n; see $logdir/current"
			sleep 0.05
		done
		as_user s6-svc -u "$scan/$n" # one that gave up (exit 100) or was put down by hand is tried again
		w=0
		until as_user s6-svwait -U -t 500 "$scan/$n" 2>/dev/null; do
			w=$((w + 1))
			gave_up=$(as_user s6-svstat -o up,wantedup "$scan/$n")
			[ $w -lt 120 ] && [ "$gave_up" != 'false false' ] && continue
			grep "svc=$n" "$logdir/current" | tail -n 10 >&2
			tail -n 5 "$logdir/current" | grep -v "svc=" >&2
			fail "$n did not become ready; its last words are above, all of the log in $logdir/current"
		done
	done
}

if ! is_up; then
	say "starting s6-svscan on $scan"
	# Nothing old must start before what it needs has been migrated and its settings written.
	as_user rm -rf "$scan"
	as_user mkdir "$scan"
	# shellcheck disable=SC2016
	as_user setsid --fork sh -c 'exec </dev/null >/dev/null 2>&1; s6-svscan -t0 "$1" 2>&1 | s6-log n20 s5000000 "$2"' \
		sh "$scan" "$logdir"
	w=0
	until is_up; do
		w=$((w + 1))
		[ $w -lt 200 ] || fail "s6-svscan did not start on $scan"
		sleep 0.05
	done
fi

if [ -z "${TAXI_DATABASE_URL-}" ]; then
	if [ ! -f "$state/postgres/PG_VERSION" ]; then
		say "making a private Postgres under $state/postgres"
		as_user "$pgbin/initdb" -D "$state/postgres" -U "$run_user" -A peer -E UTF8 --locale=C.UTF-8 >/dev/null
	fi
	# shellcheck disable=SC2016
	# Postgres does not say when it is ready, so a child that asks it does.
	write_service postgres "sh -c '" \
		'(i=0; while [ $i -lt 600 ]; do "$0/pg_isready" -q -h "$1" -U "$2" && { echo >&3; exit; }; i=$((i + 1)); sleep 0.1; done) &' \
		'exec "$0/postgres" -D "$3" -c listen_addresses= -c unix_socket_directories="$1" -c shared_buffers=64MB 3>&-' \
		"' '$pgbin' '$sockets' '$run_user' '$state/postgres'"
	# SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client.
	echo SIGINT | as_user tee "$scan/postgres/down-signal" >/dev/null
fi
# Where other machines come in is said in conf/broker.env, with TAXI_KEYS (docs/keys.md).
write_service broker "$prefix/bin/broker --bind \"\${TAXI_BUS_BIND:-tcp://127.0.0.1:$bus_port},$bus\"" \
	"--feed \"\${TAXI_FEED_BIND:-tcp://127.0.0.1:$feed_port}\" --journal '$state/journal'"
restart_if_new broker broker
rescan
if [ -z "${TAXI_DATABASE_URL-}" ]; then
	ready postgres
	as_user "$pgbin/psql" -h "$sockets" -U "$run_user" -d postgres -qAtc "SELECT 1 FROM pg_database WHERE datname = 'taxiway'" |
		grep -qx 1 || as_user "$pgbin/createdb" -h "$sockets" -U "$run_user" taxiway
fi
ready broker

# --- migrations -------------------------------------------------------------------------------------------
case $database in
postgres://*) target=db:pg:${database#postgres:} ;;
postgresql://*) target=db:pg:${database#postgresql:} ;;
*) fail "TAXI_DATABASE_URL must be a postgresql:// address" ;;
esac
for m in "$root"/services/*/migrations; do
	[ -f "$m/sqitch.plan" ] || continue
	# The clone may lie where the user taxiway cannot read.
	[ "$(id -u)" != 0 ] || m=$prefix/migrations/$(basename "$(dirname "$m")")
	(cd "$m" && as_user env SQITCH_FULLNAME=taxiway SQITCH_EMAIL=taxiway@localhost TZ=UTC \
		sqitch --quiet deploy --verify --target "$target") || fail "migration of $m failed"
done

# --- services ---------------------------------------------------------------------------------------------
names=$(all_services)
for n in $names; do
	extra=
	[ "$n" != edge-http ] || extra="--listen 127.0.0.1:$http_port"
	write_service "$n" "$prefix/bin/$n $extra"
	for d in "$scan/$n@"*; do
		[ ! -d "$d" ] || write_service "$(basename "$d")" "$prefix/bin/$n --instance ${d##*@}"
	done
	restart_if_new "$n" "$n"
done
rescan
# shellcheck disable=SC2086
ready $names

cat <<END

Taxiway is up.
  HTTP      $http          (also $http/openapi.json, $http/readyz)
  bus       tcp://127.0.0.1:$bus_port and $bus
  feed      tcp://127.0.0.1:$feed_port
  state     $state      settings: $state/conf/<process>.env      log: $logdir/current
  command   $prefix/bin/taxi --bus tcp://127.0.0.1:$bus_port groups

Three requests to try:
  curl -i $http/triggers -H 'Content-Type: application/json' -d '{"apiVersion":"OT-2/v1alpha1","protocol":"PlateTransfer","plate":{"rows":1,"columns":2},"spec":[{"volume":50},{"volume":60}]}'
  curl -i $http/data/batch -H 'Content-Type: application/json' -d '{"uuid":"01890a5d-ac96-774b-bcce-b302099a8057","rows":[{"index":0,"data":{"absorbance":0.42}},{"index":1,"data":{"absorbance":0.44}}]}'
  curl -i '$http/services/currency_exchange/v1/rates?base=EUR&currencies=USD,GBP'
END
