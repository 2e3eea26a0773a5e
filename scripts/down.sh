#!/bin/sh
# Stop everything up.sh started.  State stays; scripts/up.sh carries on from it.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 0 ] || fail "no arguments are taken"

if ! is_up; then
	say "nothing runs on $scan"
	exit 0
fi
# The edge first, so that nothing new comes in; the broker after those who still have something to say to it.
stop() {
	for d in "$@"; do
		[ -e "$d/supervise/control" ] && as_user s6-svc -d "$d"
	done
	for d in "$@"; do
		[ -e "$d/supervise/control" ] || continue
		as_user s6-svwait -D -t 30000 "$d" || say "$(basename "$d") did not stop in 30 s; it will be killed"
	done
}
[ ! -d "$scan/edge-http" ] || stop "$scan/edge-http"
rest=
for d in "$scan"/*; do
	case $(basename "$d") in edge-http | broker | postgres) ;; *) rest="$rest $d" ;; esac
done
# shellcheck disable=SC2086
stop $rest
stop "$scan/broker"
[ ! -d "$scan/postgres" ] || stop "$scan/postgres"
as_user s6-svscanctl -t "$scan"
w=0
while s6_alive; do
	w=$((w + 1))
	[ $w -lt 200 ] || fail "s6-svscan on $scan does not end"
	sleep 0.05
done
say "stopped; state is kept in $state"
