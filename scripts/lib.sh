# shellcheck shell=sh disable=SC2034
# Where things are.  Sourced by up.sh, down.sh, status.sh and scale.sh, which all must agree.
#
# As root: code in /opt/taxiway, state in /var/lib/taxiway, sockets in /run/taxiway, everything running as the user
# taxiway.  As anybody else: code in the clone's build/release, the rest under the clone's var/.
# TAXI_PREFIX, TAXI_STATE_DIR, TAXI_RUN_DIR, TAXI_HTTP_PORT, TAXI_BUS_PORT, TAXI_FEED_PORT move them; the ports are
# remembered in the state.

root=$(cd "$(dirname "$0")/.." && pwd)
say() { echo "$(basename "$0"): $*"; }
fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}
# --help: the comment at the head of the script.
case ${1-} in -h | --help)
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac

if [ "$(id -u)" = 0 ]; then
	run_user=taxiway
	prefix=${TAXI_PREFIX:-/opt/taxiway}
	state=${TAXI_STATE_DIR:-/var/lib/taxiway}
	sockets=${TAXI_RUN_DIR:-/run/taxiway}
else
	run_user=$(id -un)
	prefix=${TAXI_PREFIX:-$root/build/release}
	state=${TAXI_STATE_DIR:-$root/var}
	sockets=${TAXI_RUN_DIR:-$state/run}
	# A unix socket's path holds 107 bytes; the longest name put below is .s.PGSQL.5432.lock.
	if [ ${#sockets} -gt 70 ]; then
		short=${XDG_RUNTIME_DIR:-/tmp}/taxiway-$(id -u)-$(printf %s "$root" | cksum | cut -d' ' -f1)
		[ ${#short} -le 70 ] || short=/tmp/${short##*/}
		sockets=$short
	fi
fi
scan=$state/service
logdir=$state/log
http_port=8080 bus_port=5570 feed_port=5571
# shellcheck source=/dev/null
[ ! -r "$state/conf/ports" ] || . "$state/conf/ports"
http_port=${TAXI_HTTP_PORT:-$http_port}
bus_port=${TAXI_BUS_PORT:-$bus_port}
feed_port=${TAXI_FEED_PORT:-$feed_port}
bus=ipc://$sockets/bus.sock
http=http://127.0.0.1:$http_port

# Run a command as the user that the daemons run as.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid="$run_user" --regid="$run_user" --init-groups env HOME="$state" PATH="$PATH" "$@"
	else
		"$@"
	fi
}

is_up() { [ -d "$scan/.s6-svscan" ] && as_user s6-svscanctl -h "$scan" 2>/dev/null && s6_alive; }
s6_alive() { pgrep -u "$run_user" -f "s6-svscan -t0 $scan\$" >/dev/null; }

# Every process of an installation but Postgres and the broker: what `bin` holds decides, so a plugin that the
# Makefile found is started too.
all_services() {
	for b in control-tower data-gateway data-store service-gateway edge-http; do
		[ -x "$prefix/bin/$b" ] && echo "$b"
	done
	for b in "$prefix"/bin/watcher-* "$prefix"/bin/pusher-* "$prefix"/bin/source-* "$prefix"/bin/provider-*; do
		[ -x "$b" ] && basename "$b"
	done
}

# write_service NAME COMMAND…: a directory s6 can supervise.  The process says it is ready with a newline on fd 3;
# exit code 100 means that starting again would not help.
write_service() {
	ws=$1 # sh has no locals: a name of our own
	shift
	as_user mkdir -p "$scan/.new-$ws"
	{
		echo '#!/bin/sh'
		echo "exec 2>&1"
		echo "export TAXI_BUS='$bus' TAXI_READY_FD=3"
		for f in common "${ws%@*}"; do
			echo "[ ! -f '$state/conf/$f.env' ] || { set -a; . '$state/conf/$f.env'; set +a; }"
		done
		echo "cd '$state'"
		echo "exec $*"
	} | as_user tee "$scan/.new-$ws/run" >/dev/null
	# shellcheck disable=SC2016
	printf '#!/bin/sh\n[ "$1" != 100 ] || exit 125\n' | as_user tee "$scan/.new-$ws/finish" >/dev/null
	echo 3 | as_user tee "$scan/.new-$ws/notification-fd" >/dev/null
	echo 30000 | as_user tee "$scan/.new-$ws/timeout-kill" >/dev/null
	as_user chmod 755 "$scan/.new-$ws/run" "$scan/.new-$ws/finish"
	if [ -d "$scan/$ws" ]; then
		for f in run finish notification-fd timeout-kill; do
			as_user mv "$scan/.new-$ws/$f" "$scan/$ws/$f"
		done
		as_user rmdir "$scan/.new-$ws"
	else
		as_user mv "$scan/.new-$ws" "$scan/$ws"
	fi
}
