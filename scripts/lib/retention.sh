# How long the quick start's database keeps what it stores, from the environment.
# What belongs here: those variables, checked before anything is changed. What does not: dropping (observ.apply_retention()).
# Needs common.sh, cluster.sh and the variables of start-monitoring.sh.
# shellcheck shell=bash

# Variable, and the rows of observ.retention_policies that it sets. A variable that is not given changes nothing.
RETENTION_VARIABLES=(
	"METRICS_RETENTION_DAYS vps_metrics health_checks metric_samples"
	"LOGS_RETENTION_DAYS log_entries"
	"ALERTS_RETENTION_DAYS alerts"
)

retention_check() {
	local entry name
	for entry in "${RETENTION_VARIABLES[@]}"; do
		name=${entry%% *}
		[ -n "${!name:-}" ] || continue
		# Ten digits fit no number that anybody means, and could overflow the comparison.
		if [[ ! ${!name} =~ ^[0-9]{1,9}$ ]] || [ "$((10#${!name}))" -lt 1 ] || [ "$((10#${!name}))" -gt 36500 ]; then
			fail "$name=${!name} is not a number of days between 1 and 36500" \
				"for instance: sudo $name=90 $0" "to keep everything: UPDATE observ.retention_policies SET max_age = NULL"
		fi
	done
}

retention_set() {
	local entry name days sets
	for entry in "${RETENTION_VARIABLES[@]}"; do
		name=${entry%% *}
		[ -n "${!name:-}" ] || continue
		days=$((10#${!name}))
		sets=${entry#* }
		step "keeping ${sets// /, } for $days days"
		sql "$DATABASE" "UPDATE observ.retention_policies SET max_age = interval '$days days'
			WHERE data_set = ANY (string_to_array('$sets', ' '))" >/dev/null ||
			fail "the retention of ${sets// /, } could not be set" "read $OBSERV_HOME/log"
	done
}
