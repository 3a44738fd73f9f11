# Shared by the scripts that people start: progress, failing with advice, running things with a log.
# What belongs here: talking to the person before the terminal. What does not: packages (packages.sh), the cluster.
# shellcheck shell=bash

# step TEXT: one line of progress with the seconds since the script began.
step() {
	printf '[%3d s] %s\n' "$SECONDS" "$*"
}

# fail WHAT NEXT...: says what went wrong, and what to type next; ends the script.
fail() {
	printf '%s: %s\n' "$(basename "$0")" "$1" >&2
	shift
	local line
	for line in "$@"; do
		printf 'hint: %s\n' "$line" >&2
	done
	exit 1
}

need_root() {
	[ "$(id -u)" -eq 0 ] || fail "this needs root: it installs packages and runs a server as the user postgres" \
		"sudo $0 $*"
}

# logged LOG WHAT COMMAND...: runs the command with its output in LOG; a sign of life every 10 s; on failure the end of LOG
# is shown and the function returns the command's exit code.
logged() {
	local log=$1 what=$2 pid beat=0 rc=0
	shift 2
	printf '\n=== %s: %s\n' "$(date -u '+%F %T')" "$*" >>"$log"
	"$@" </dev/null >>"$log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		beat=$((beat + 1))
		[ $((beat % 50)) -ne 0 ] || step "  still $what (log: $log)"
	done
	wait "$pid" || rc=$?
	if [ "$rc" -ne 0 ]; then
		printf '%s\n' "--- the end of $log:" >&2
		tail -n 25 "$log" >&2
		printf '%s\n' "---" >&2
	fi
	return "$rc"
}

# forget_pg_variables: PGHOST and its like would lead clients and servers of ours to somebody else's.
forget_pg_variables() {
	local variable
	for variable in $(compgen -e | grep '^PG' || true); do
		unset "$variable"
	done
}

# as_postgres COMMAND...: runs as the operating system user postgres, in a directory it can read.
as_postgres() {
	(
		cd /
		exec runuser -u postgres -- "$@"
	)
}
