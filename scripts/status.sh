#!/bin/sh
# What runs, since when, and whether it is ready.  Exit 0 when all is, 1 when something is not, 3 when nothing runs.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 0 ] || fail "no arguments are taken"

if ! is_up; then
	say "nothing runs on $scan (start it with scripts/up.sh)"
	exit 3
fi
bad=0
for d in "$scan"/*; do
	n=$(basename "$d")
	line=$(as_user s6-svstat -o up,ready,pid,updownfor,wantedup,exitcode "$d" 2>/dev/null) || continue
	# shellcheck disable=SC2086
	set -- $line
	state_is=stopped # by hand: scale.sh NAME 0
	if [ "$6" = 100 ]; then state_is=gave-up; fi # its settings are wrong: see the log
	if [ "$5" = true ]; then state_is=down; fi
	if [ "$1" = true ]; then state_is=starting; fi
	if [ "$2" = true ]; then state_is=ready; fi
	case $state_is in down | starting | gave-up) bad=1 ;; esac
	printf '%-28s %-9s pid %-8s %ss\n' "$n" "$state_is" "$3" "$4"
done
printf '\nHTTP %s  bus tcp://127.0.0.1:%s and %s\nlog %s/current\n' "$http" "$bus_port" "$bus" "$logdir"
exit $bad
