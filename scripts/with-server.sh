#!/bin/bash
# Starts a private, throw-away PostgreSQL server, runs a command with PGHOST, PGPORT and PGUSER pointing at it, stops it.
#   scripts/with-server.sh PG_CONFIG [NAME=VALUE ...] -- COMMAND [ARGUMENT ...]
# NAME=VALUE are server settings. OBSERV_SERVER_ENV holds environment variables for the server alone ("LD_PRELOAD=...").
# OBSERV_SERVERS: the directory to put the server into (default: /tmp).
# The exit code is the command's. The server's log is left in build/server.log, or in OBSERV_SERVER_LOG.
# What does not belong here: tests; servers for pytest (test/e2e/harness.py starts those).
set -eu

usage="usage: with-server.sh PG_CONFIG [NAME=VALUE ...] -- COMMAND [ARGUMENT ...]"
pg_config=${1:?$usage}
shift
settings=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	settings+=("$1")
	shift
done
[ $# -ge 2 ] || { echo "$usage" >&2; exit 2; }
shift

bindir=$("$pg_config" --bindir)
root=$(cd "$(dirname "$0")/.." && pwd)

# PostgreSQL refuses to run as root.
as_server() {
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

if ! as_server test -x "$bindir/postgres"; then
	echo "with-server.sh: the user postgres cannot reach $bindir/postgres" >&2
	echo "hint: put the private PostgreSQL where everybody can read: OBSERV_PG_PREFIX=/var/tmp/observ-pg make ..." >&2
	exit 1
fi

dir=$(mktemp -d "${OBSERV_SERVERS:-/tmp}/obs-server-XXXXXX")
chmod 0755 "$dir"
[ "$(id -u)" -ne 0 ] || chown postgres "$dir"

# shellcheck disable=SC2317  # called by the trap
cleanup() {
	as_server "$bindir/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null 2>&1 ||
		as_server "$bindir/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	mkdir -p "$root/build"
	cp "$dir/log" "${OBSERV_SERVER_LOG:-$root/build/server.log}" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# A caller's PG* variables would lead pg_ctl and the tests elsewhere.
for variable in $(compgen -e | grep '^PG' || true); do
	unset "$variable"
done
cd "$dir"
as_server "$bindir/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1 ||
	{ cat initdb.log >&2; exit 1; }
{
	echo "listen_addresses = ''"
	echo "unix_socket_directories = '$dir'"
	echo "fsync = off"
	echo "max_worker_processes = 32"
	echo "log_line_prefix = '%m [%p] %b %d '"
	# Workers run, but jobs are called by the tests alone, in virtual time.
	sed -n 's/.*"\(observ\.[a-z_]*_interval\)".*/\1 = 0/p' "$root/src/bgworker/jobs.c"
	for setting in "${settings[@]}"; do
		echo "${setting%%=*} = '${setting#*=}'"
	done
} >>data/postgresql.conf
# shellcheck disable=SC2086  # several variables in one string
as_server env ${OBSERV_SERVER_ENV:-} "$bindir/pg_ctl" -D data -l log -w -t 120 start >/dev/null ||
	{ echo "with-server.sh: the server did not start; its log:" >&2; tail -n 40 log >&2; exit 1; }
export PGHOST=$dir PGPORT=5432 PGUSER=postgres
cd "$root"
"$@"
