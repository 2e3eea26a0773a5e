#!/bin/sh
# What runs, since when, and whether it is ready.  Exit 0 when all is, 1 when something is not, 3 when nothing runs.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

if ! is_up; then
	say "nothing runs on $scan (start it with scripts/up.sh)"
	exit 3
fi
bad=0
for d in "$scan"/*; do
	n=$(basename "$d")
	line=$(as_user s6-svstat -o up,ready,pid,updownfor "$d" 2>/dev/null) || continue
	# shellcheck disable=SC2086
	set -- $line
	state_is=down
	if [ "$1" = true ]; then state_is=starting; fi
	if [ "$2" = true ]; then state_is=ready; else bad=1; fi
	printf '%-28s %-9s pid %-8s %ss\n' "$n" "$state_is" "$3" "$4"
done
printf '\nHTTP %s  bus tcp://127.0.0.1:%s and %s\nlog %s/current\n' "$http" "$bus_port" "$bus" "$logdir"
exit $bad
