#!/bin/sh
# Install what Taxiway needs from Debian 12's own archive, as root or through sudo.  Does nothing when all
# is there.  `deps.sh --run` leaves out what only tests need; `deps.sh --bench` adds the peers of `make bench`.
set -eu

run='gcc make libc6-dev pkg-config git curl procps util-linux
libczmq-dev libzmq3-dev libmsgpack-dev libmicrohttpd-dev libpq-dev libsqlite3-dev libjansson-dev
libcurl4-openssl-dev libyaml-dev libsodium-dev uthash-dev zlib1g-dev
s6 postgresql-common postgresql-15 postgresql-client-15 sqitch libdbd-pg-perl tzdata'
test='python3 python3-zmq python3-msgpack python3-pytest python3-pytest-xdist python3-psycopg2
clang clang-tidy clang-format libclang-rt-14-dev cppcheck shellcheck
unicode-data wrk jq sqlite3 groff-base zsh fish'

bench='nats-server libnats-dev redis-server libhiredis-dev rabbitmq-server librabbitmq-dev
mosquitto libmosquitto-dev nginx-light e2fsprogs'

# For the Node client: any Node with npm will do, Debian's where there is none.
command -v npm >/dev/null || test="$test nodejs npm"

want=$run
[ "${1-}" = --run ] || want="$run $test"
[ "${1-}" != --bench ] || want="$want $bench"

missing=
for p in $want; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps.sh: these Debian packages are missing and neither root nor sudo is at hand:$missing" >&2
		exit 1
	}
	as_root=sudo
fi
echo "deps.sh: installing$missing"
apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}
apt update
# Debian's postgresql-15 makes and starts a cluster of its own when it is installed; ours is private.
case $missing in *postgresql*)
	conf=/etc/postgresql-common/createcluster.conf
	apt install -y --no-install-recommends postgresql-common
	if ! dpkg-query -W -f '${db:Status-Status}' postgresql-15 2>/dev/null | grep -qx installed; then
		$as_root sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' $conf
	fi
	;;
esac
# The bench starts its own servers: apt must start none, neither now nor at the next boot.
policy=/usr/sbin/policy-rc.d
if [ "${1-}" = --bench ] && [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod 755 $policy
	trap '$as_root rm -f $policy' EXIT
	trap 'exit 1' INT TERM
fi
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing
if [ "${1-}" = --bench ] && command -v systemctl >/dev/null; then
	for d in nats-server redis-server rabbitmq-server mosquitto nginx; do
		case " $missing " in *" $d"*) $as_root systemctl --quiet disable "$d" || : ;; esac
	done
fi
