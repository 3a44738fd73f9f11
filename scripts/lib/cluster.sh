# The quick start's own PostgreSQL cluster: made by initdb below OBSERV_HOME, unknown to pg_ctlcluster and to other clusters.
# What belongs here: making, starting, stopping and asking that one cluster. What does not: packages, the agent.
# Needs common.sh and the variables of start-monitoring.sh: OBSERV_HOME, OBSERV_PORT, OBSERV_PG_CONFIG, DATABASE, AGENT_USER,
# AGENT_ROLE.
# shellcheck shell=bash

cluster_bindir() {
	"$OBSERV_PG_CONFIG" --bindir
}

cluster_running() {
	[ -s "$OBSERV_HOME/data/postmaster.pid" ] &&
		as_postgres "$(cluster_bindir)/pg_ctl" -D "$OBSERV_HOME/data" status >/dev/null 2>&1
}

# Port of this cluster: chosen once, kept in a file.
cluster_port() {
	cat "$OBSERV_HOME/port"
}

port_is_free() {
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

choose_port() {
	local port
	if [ -n "$OBSERV_PORT" ]; then
		if [[ ! $OBSERV_PORT =~ ^[0-9]{4,5}$ ]] || [ "$OBSERV_PORT" -lt 1024 ] || [ "$OBSERV_PORT" -gt 65535 ]; then
			fail "OBSERV_PORT=$OBSERV_PORT is not a port between 1024 and 65535"
		fi
		echo "$OBSERV_PORT" >"$OBSERV_HOME/port"
	elif [ ! -s "$OBSERV_HOME/port" ]; then
		for ((port = 54320; port < 54420; port++)); do
			! port_is_free "$port" || { echo "$port" >"$OBSERV_HOME/port" && return; }
		done
		fail "no free port between 54320 and 54419" "name one: OBSERV_PORT=6543 $0"
	fi
}

# sql DATABASE STATEMENT: as superuser over the unix socket; unaligned rows.
sql() {
	as_postgres "$(cluster_bindir)/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$OBSERV_HOME/run" -p "$(cluster_port)" \
		-d "$1" -c "$2"
}

cluster_create() {
	local bindir
	[ ! -s "$OBSERV_HOME/data/PG_VERSION" ] || return 0
	bindir=$(cluster_bindir)
	as_postgres test -x "$bindir/initdb" || fail "the user postgres cannot reach $bindir/initdb" \
		"OBSERV_PG_CONFIG names a PostgreSQL below a directory that others may not enter"
	step "making a private PostgreSQL cluster in $OBSERV_HOME/data"
	rm -rf "$OBSERV_HOME/data.new"
	install -d -o postgres -g postgres -m 0700 "$OBSERV_HOME/data.new"
	as_postgres test -w "$OBSERV_HOME/data.new" || fail "the user postgres cannot enter $OBSERV_HOME" \
		"OBSERV_HOME must lie below directories that others may enter (chmod o+x)"
	logged "$LOG" "making the cluster" as_postgres "$bindir/initdb" -D "$OBSERV_HOME/data.new" -U postgres \
		--data-checksums -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 --no-instructions ||
		fail "initdb failed" "read the lines above; the whole log: $LOG"
	cluster_set_access "$OBSERV_HOME/data.new"
	mv -T "$OBSERV_HOME/data.new" "$OBSERV_HOME/data"
}

# Who may be whom: root and postgres may be the superuser, the agent's user may be the agent's role, on the socket only.
# Everybody else needs a password. Written once: the files are the user's from then on.
cluster_set_access() {
	cat >"$1/pg_ident.conf" <<-IDENT
		# map     system user    role
		observ    postgres       postgres
		observ    root           postgres
		observ    $AGENT_USER    $AGENT_ROLE
	IDENT
	cat >"$1/pg_hba.conf" <<-HBA
		# type   database     user           address           method
		local    all          postgres                         peer map=observ
		local    $DATABASE    $AGENT_ROLE                      peer map=observ
		local    all          all                              scram-sha-256
		host     all          all            127.0.0.1/32      scram-sha-256
	HBA
}

# Written at every start, so that a new version of observ brings its settings along; the user's own go to user.conf.
cluster_configure() {
	local conf=$OBSERV_HOME/data/observ.conf
	cat >"$conf" <<-CONF
		# Written by start-monitoring.sh at every start. Your own settings: user.conf beside this file.
		cluster_name = 'observ'
		listen_addresses = '127.0.0.1'
		port = $(cluster_port)
		unix_socket_directories = '$OBSERV_HOME/run'
		shared_preload_libraries = 'observ'
		max_worker_processes = 16
		wal_compression = on
		logging_collector = on
		log_directory = '$OBSERV_HOME/log'
		log_filename = 'postgresql-%a.log'
		log_truncate_on_rotation = on
		log_rotation_age = 1d
		log_line_prefix = '%m [%p] %b %q%u@%d '
		include_if_exists = 'user.conf'
	CONF
	chown postgres: "$conf"
	grep -q "observ.conf" "$OBSERV_HOME/data/postgresql.conf" ||
		echo "include 'observ.conf'" >>"$OBSERV_HOME/data/postgresql.conf"
}

cluster_start() {
	local port
	! cluster_running || return 0
	port=$(cluster_port)
	port_is_free "$port" || fail "port $port is in use by another program" \
		"choose another: OBSERV_PORT=$((port + 100)) $0"
	step "starting PostgreSQL on port $port"
	install -d -o postgres -g postgres -m 0755 "$OBSERV_HOME/run"
	install -d -o postgres -g postgres -m 0750 "$OBSERV_HOME/log"
	# Descriptor 9 holds the lock of this script; a daemon that inherited it would hold it for ever.
	logged "$LOG" "starting PostgreSQL" as_postgres "$(cluster_bindir)/pg_ctl" -D "$OBSERV_HOME/data" -w -t 120 \
		-l "$OBSERV_HOME/log/startup.log" start 9>&- || {
		tail -n 25 "$OBSERV_HOME/log/startup.log" "$OBSERV_HOME"/log/postgresql-*.log >&2 2>/dev/null || true
		fail "PostgreSQL did not start" "read the lines above and $OBSERV_HOME/log, repair it, then run $0 again"
	}
}

cluster_stop() {
	cluster_running || return 0
	step "stopping PostgreSQL"
	logged "$LOG" "stopping PostgreSQL" as_postgres "$(cluster_bindir)/pg_ctl" -D "$OBSERV_HOME/data" -m fast -w -t 120 \
		stop || fail "PostgreSQL did not stop" "read $OBSERV_HOME/log"
}

# The database and the extension.
cluster_prepare_database() {
	if [ "$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = '$DATABASE'")" = 0 ]; then
		step "creating database $DATABASE with the extension"
		sql postgres "CREATE DATABASE $DATABASE" || fail "the database could not be created" "read $OBSERV_HOME/log"
	fi
	if [ "$(sql "$DATABASE" "SELECT count(*) FROM pg_extension WHERE extname = 'observ'")" = 0 ]; then
		sql "$DATABASE" "CREATE EXTENSION observ" || fail "the extension could not be created" "read $OBSERV_HOME/log"
	fi
}
