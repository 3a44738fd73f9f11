#!/bin/bash
# The quick start: from a clone on Debian 12 to a live fleet summary of this machine.
# What belongs here: the order of the steps and what people read. How each step is done: scripts/lib.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")/.." && pwd)

usage() {
	cat <<USAGE
usage: sudo scripts/start-monitoring.sh [--status | --logs | --stop | --restart | --uninstall | --help]

Without an option: installs what is missing, builds observ, starts a private PostgreSQL cluster with the extension and an
agent for this machine, and shows the fleet summary. Running it again changes nothing that runs already.

  --status     what runs, and the fleet summary (exit code 3 when something does not run)
  --logs       the latest lines of the server's and the agent's log
  --stop       stop the agent and the server; all data stays
  --restart    build and install again (after git pull), then stop and start
  --uninstall  stop, remove the programs; says how to delete the data, which stays

environment:
  OBSERV_HOME       where everything lives                       (default: /var/lib/observ)
  OBSERV_PORT       port on 127.0.0.1 and of the unix socket     (default: first free one from 54320)
  OBSERV_VPS_NAME   name of this machine in the fleet            (default: its host name)
  OBSERV_APP_NAME   name of what is monitored                    (default: system)
  OBSERV_AGENT_USER operating system user of the agent           (default: obs-agent)
  OBSERV_PG_CONFIG  pg_config of the PostgreSQL 15 to use        (default: Debian's)
  METRICS_RETENTION_DAYS  days that metrics and health checks are kept  (default: 90; labelled metrics 30)
  LOGS_RETENTION_DAYS     days that log entries are kept                (default: 30)
  ALERTS_RETENTION_DAYS   days that alerts are kept                     (default: 90)
USAGE
}

OBSERV_HOME=${OBSERV_HOME:-/var/lib/observ}
OBSERV_PORT=${OBSERV_PORT:-}
OBSERV_PG_CONFIG=${OBSERV_PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
VPS_NAME=${OBSERV_VPS_NAME:-$(cat /proc/sys/kernel/hostname)}
APP_NAME=${OBSERV_APP_NAME:-system}
AGENT_USER=${OBSERV_AGENT_USER:-obs-agent}
AGENT_ROLE=obs_agent_local
DATABASE=observ_metrics
LOG=$OBSERV_HOME/quick-start.log

# shellcheck source=scripts/lib/common.sh
. "$here/scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$here/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$here/scripts/lib/cluster.sh"
# shellcheck source=scripts/lib/agent.sh
. "$here/scripts/lib/agent.sh"
# shellcheck source=scripts/lib/retention.sh
. "$here/scripts/lib/retention.sh"

# Two at once would build into the same directory.
take_lock() {
	exec 9>"$OBSERV_HOME/.lock"
	flock -n 9 || fail "another start-monitoring.sh is at work" "wait until it has finished"
}

check_surroundings() {
	case $OBSERV_HOME in
	/*[\'\"\ \&\|\?]* | [!/]*) fail "OBSERV_HOME=$OBSERV_HOME must be an absolute path without blanks and quotes" ;;
	esac
	# sockaddr_un has room for 107 characters.
	[ ${#OBSERV_HOME} -le 80 ] || fail "OBSERV_HOME is longer than 80 characters, too long for a unix socket"
	[ -r "$here/Makefile" ] || fail "$here is not a clone of observ"
}

# A copy is built, so that no file of root's is left in the clone, and so that the clone may lie anywhere.
build() {
	local source=$OBSERV_HOME/build bindir
	step "building observ in $source"
	mkdir -p "$source"
	tar -C "$here" --exclude=./build --exclude=./.git --exclude=./test --exclude='*.o' --exclude='*.bc' --exclude='*.d' \
		--exclude='*.so' --exclude=./obs-agent -cf - . | tar -C "$source" --no-same-owner -xf - ||
		fail "the sources could not be copied to $source" "is the disk full? df -h $OBSERV_HOME"
	logged "$LOG" "building" make -s -C "$source" -j"$(nproc)" PG_CONFIG="$OBSERV_PG_CONFIG" all ||
		fail "observ could not be built" "read the lines above; the whole log: $LOG"
	bindir=$(cluster_bindir)
	step "installing the extension and obs-agent below ${bindir%/bin}"
	logged "$LOG" "installing" make -s -C "$source" PG_CONFIG="$OBSERV_PG_CONFIG" install ||
		fail "observ could not be installed" "read the lines above; the whole log: $LOG"
}

# A measurement received after $since: what an earlier run left behind is not news.
since="now() - interval '1 minute'"

has_fresh_row() {
	[ "$(sql "$DATABASE" "SELECT count(*) FROM observ.fleet_summary() WHERE vps_name = '${VPS_NAME//\'/\'\'}'
		AND app_name = '${APP_NAME//\'/\'\'}' AND cpu_percent IS NOT NULL AND last_seen > $since" 2>>"$LOG")" = 1 ]
}

wait_for_first_row() {
	local deadline=$((SECONDS + 60))
	step "waiting for the first measurement of $VPS_NAME"
	until has_fresh_row; do
		if ! agent_pid >/dev/null; then
			tail -n 15 "$OBSERV_HOME/agent.log" >&2
			fail "obs-agent has ended" "read the lines above; the whole log: $OBSERV_HOME/agent.log"
		fi
		if [ $SECONDS -ge $deadline ]; then
			tail -n 15 "$OBSERV_HOME/agent.log" >&2
			sql "$DATABASE" "SELECT 'observ.status(): ' || concat_ws('; ', state, reason, hint) FROM observ.status()" >&2
			fail "no measurement arrived within 60 s" "read the lines above, and: $0 --logs"
		fi
		sleep 0.5
	done
}

show_summary() {
	as_postgres "$(cluster_bindir)/psql" -X -q -h "$OBSERV_HOME/run" -p "$(cluster_port)" -d "$DATABASE" -P pager=off \
		-P footer=off -c "SELECT vps_name, app_name, status, last_seen::timestamptz(0), round(cpu_percent::numeric, 1) AS \"cpu %\",
			round(memory_percent::numeric, 1) AS \"memory %\", round(disk_percent::numeric, 1) AS \"disk %\",
			round(load_avg_1m::numeric, 2) AS load
		FROM observ.fleet_summary() ORDER BY vps_name, app_name"
}

show_help() {
	cat <<HELP

connect     sudo -u postgres psql -h $OBSERV_HOME/run -p $(cluster_port) $DATABASE
ask         SELECT * FROM observ.fleet_summary();
            SELECT timestamp, cpu_percent, memory_percent FROM observ.vps_metrics ORDER BY timestamp DESC LIMIT 10;
logs        sudo $0 --logs
stop        sudo $0 --stop
HELP
}

state() {
	local pid rc=0
	if [ -s "$OBSERV_HOME/port" ] && cluster_running; then
		echo "PostgreSQL  runs on port $(cluster_port), process $(head -n 1 "$OBSERV_HOME/data/postmaster.pid")"
	else
		echo "PostgreSQL  does not run"
		rc=3
	fi
	if pid=$(agent_pid); then
		echo "obs-agent   runs, process $pid"
	else
		echo "obs-agent   does not run"
		rc=3
	fi
	return $rc
}

start() {
	check_surroundings
	retention_check
	mkdir -p "$OBSERV_HOME"
	chmod 0755 "$OBSERV_HOME"
	take_lock
	if [ "${1:-}" != rebuild ] && state >/dev/null; then
		echo "observ runs already; --restart builds and starts it anew"
	else
		if [ "$OBSERV_PG_CONFIG" = /usr/lib/postgresql/15/bin/pg_config ]; then
			install_packages "$LOG" "${PACKAGES_BUILD[@]}"
		fi
		build
		# Only now: what cannot be built shall not stop what runs.
		if [ "${1:-}" = rebuild ]; then
			agent_stop
			cluster_stop
		fi
		agent_create_user
		cluster_create
		choose_port
		cluster_configure
		cluster_start
		cluster_prepare_database
		agent_enroll
		agent_configure
		agent_pid >/dev/null || since="'$(sql "$DATABASE" "SELECT clock_timestamp()")'"
		agent_start
	fi
	retention_set
	wait_for_first_row
	step "observ is running"
	echo
	show_summary
	show_help
}

stop() {
	if [ -d "$OBSERV_HOME" ]; then
		take_lock
		agent_stop
		cluster_stop
	fi
}

uninstall() {
	stop
	[ ! -d "$OBSERV_HOME/build" ] || logged "$LOG" "uninstalling" make -C "$OBSERV_HOME/build" \
		PG_CONFIG="$OBSERV_PG_CONFIG" uninstall || fail "the programs could not be removed" "read $LOG"
	step "the programs are removed; packages, the user $AGENT_USER and all data are still there"
	echo "delete the data as well:  rm -rf $OBSERV_HOME; userdel $AGENT_USER"
}

main() {
	[ $# -le 1 ] || { usage >&2 && exit 2; }
	case ${1:-} in
	-h | --help) usage && exit 0 ;;
	"" | --status | --logs | --stop | --restart | --uninstall) need_root "$@" ;;
	*) usage >&2 && exit 2 ;;
	esac
	forget_pg_variables
	case ${1:-} in
	"") start ;;
	--restart) start rebuild ;;
	--stop) stop && echo "observ is stopped; the data stays in $OBSERV_HOME" ;;
	--uninstall) uninstall ;;
	--logs)
		[ -e "$OBSERV_HOME/agent.log" ] || fail "there are no logs in $OBSERV_HOME" "start observ first: $0"
		tail -n 40 "$OBSERV_HOME"/log/postgresql-*.log "$OBSERV_HOME/agent.log"
		;;
	--status)
		state || exit 3
		show_summary
		;;
	esac
}

main "$@"
