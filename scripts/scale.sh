#!/bin/sh
# Run N processes of one kind, while everything runs: scripts/scale.sh pusher-postgres 3
# They share the work of their group; taking one away lets it finish what it has in hand.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 2 ] || fail "usage: scripts/scale.sh NAME N    (NAME as scripts/status.sh shows it; N from 0 to 64)"
name=$1 n=$2
case $n in '' | *[!0-9]* | ???*) fail "N must be a whole number from 0 to 64, not '$n'" ;; esac
[ "$n" -le 64 ] || fail "N must be at most 64"
is_up || fail "nothing runs on $scan (start it with scripts/up.sh)"
case $name in broker | postgres | edge-http) fail "$name runs once; only workers can be scaled" ;; esac
all_services | grep -qx "$name" || fail "no worker is called '$name'; there are: $(all_services | grep -vx edge-http | tr '\n' ' ')"

i=2
while [ "$i" -le "$n" ]; do
	[ -d "$scan/$name@$i" ] || write_service "$name@$i" "$prefix/bin/$name --instance $i"
	i=$((i + 1))
done
as_user s6-svscanctl -a "$scan"
gone=
for d in "$scan/$name@"*; do
	[ -d "$d" ] || continue
	if [ "${d##*@}" -gt "$n" ]; then
		as_user s6-svc -d "$d" && gone="$gone $d"
	fi
done
[ ! -d "$scan/$name" ] || if [ "$n" = 0 ]; then as_user s6-svc -d "$scan/$name"; else as_user s6-svc -u "$scan/$name"; fi
for d in $gone; do
	as_user s6-svwait -D -t 60000 "$d" || fail "$(basename "$d") does not stop"
	as_user rm -rf "$d.gone"
	as_user mv "$d" "$d.gone"
done
as_user s6-svscanctl -an "$scan"
for d in $gone; do as_user rm -rf "$d.gone"; done
i=1
while [ "$i" -le "$n" ]; do
	d=$scan/$name
	[ "$i" = 1 ] || d=$scan/$name@$i
	w=0
	until as_user s6-svstat "$d" >/dev/null 2>&1; do
		w=$((w + 1))
		[ $w -lt 200 ] || fail "s6 did not take up $(basename "$d")"
		sleep 0.05
	done
	as_user s6-svwait -U -t 60000 "$d" || fail "$(basename "$d") did not become ready; see $logdir/current"
	i=$((i + 1))
done
say "$name: $n running"
