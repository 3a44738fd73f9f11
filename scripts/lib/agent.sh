# The quick start's obs-agent for this machine: its operating system user, its role, its configuration, its process.
# What belongs here: that one agent. What does not: the cluster, packages.
# Needs common.sh, cluster.sh and the variables of start-monitoring.sh.
# shellcheck shell=bash

# Process id of the running agent; fails when there is none. A stale pid file that now names somebody else does not count.
agent_pid() {
	local pid
	pid=$(cat "$OBSERV_HOME/agent.pid" 2>/dev/null) || return 1
	{ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "obs-agent --config $OBSERV_HOME/config.yml" || return 1
	echo "$pid"
}

# The agent needs no rights on this machine: it runs as a user of its own.
agent_create_user() {
	id -u "$AGENT_USER" >/dev/null 2>&1 && return
	step "creating the system user $AGENT_USER"
	logged "$LOG" "creating a user" useradd --system --user-group --home-dir /nonexistent --no-create-home \
		--shell /usr/sbin/nologin "$AGENT_USER" || fail "the user $AGENT_USER could not be created" "read $LOG"
}

# A role that may append rows of this machine and nothing else.
agent_enroll() {
	sql "$DATABASE" "SELECT observ.enroll_vps(vps_name => '${VPS_NAME//\'/\'\'}', agent_role => '$AGENT_ROLE')" \
		>/dev/null || fail "this machine could not be enrolled as $VPS_NAME" "read $OBSERV_HOME/log"
}

agent_configure() {
	local config=$OBSERV_HOME/config.yml url
	url="postgresql://$AGENT_ROLE@/$DATABASE?host=$OBSERV_HOME/run&port=$(cluster_port)"
	if [ ! -e "$config" ]; then
		cat >"$config" <<-CONFIG
			# obs-agent of this machine. Every key: docs/configuration.md. Made by start-monitoring.sh, yours to change;
			# start-monitoring.sh --restart makes a change take effect.
			monitoring:
			  enabled: true
			  postgres_url: "$url"
			  collection_interval: 10
		CONFIG
	fi
	# Follows a changed port, touches nothing else.
	sed -i "s|^\\( *postgres_url: \"[^\"]*host=$OBSERV_HOME/run&port=\\)[0-9]*\"|\\1$(cluster_port)\"|" "$config"
	chown "root:$(id -g "$AGENT_USER")" "$config"
	chmod 0640 "$config"
}

agent_start() {
	local waited=0
	! agent_pid >/dev/null || return 0
	step "starting obs-agent for $VPS_NAME"
	touch "$OBSERV_HOME/agent.log"
	install -d -o "$AGENT_USER" -g "$(id -g "$AGENT_USER")" -m 0700 "$OBSERV_HOME/agent"
	# setpriv and setsid replace themselves, so that $! is the agent.
	(
		cd /
		exec setsid setpriv --reuid="$AGENT_USER" --regid="$(id -g "$AGENT_USER")" --clear-groups \
			"$(cluster_bindir)/obs-agent" --config "$OBSERV_HOME/config.yml" --app-name "$APP_NAME" --vps-name "$VPS_NAME" \
			--state-dir "$OBSERV_HOME/agent" \
			</dev/null >>"$OBSERV_HOME/agent.log" 2>&1 9>&-
	) &
	echo $! >"$OBSERV_HOME/agent.pid"
	# Until the programs above have replaced each other, the process does not look like an agent yet.
	until agent_pid >/dev/null || [ $waited -ge 50 ]; do
		sleep 0.1
		waited=$((waited + 1))
	done
}

agent_stop() {
	local pid waited=0
	pid=$(agent_pid) || return 0
	step "stopping obs-agent"
	kill -TERM "$pid"
	while agent_pid >/dev/null; do
		[ $waited -lt 100 ] || { kill -KILL "$pid" && break; }
		sleep 0.1
		waited=$((waited + 1))
	done
	rm -f "$OBSERV_HOME/agent.pid"
}
