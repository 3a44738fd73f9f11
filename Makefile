# observ: one Makefile, PGXS. Object lists are explicit: a file that is not named here is not built.
#   make            extension, agent            make unit     cmocka tests of src/core
#   make install    into pg_config's server     make check    regress + isolation on a private server, workers preloaded
#   make installcheck  against a running one    make e2e      pytest: real servers, processes, signals
#   make lint  make fmt  make check-asan  make bench  make kill-storm  make log-storm  make alert-storm  make outage  make soak
EXTENSION = observ
MODULE_big = observ
# The script with the default rules in it: what sql/observ--1.0.sql says instead of the line "@rules@".
DATA_built = build/sql/observ--1.0.sql
PGFILEDESC = "observ - monitoring inside PostgreSQL"

# NEUTRAL: linked into both the extension and the agent.
# What of core the extension uses, what the agent uses, all of it.
CORE_BACKEND_OBJS = src/core/fleet_status.o \
	src/core/aggregate.o \
	src/core/alert_state.o \
	src/core/cron_schedule.o \
	src/core/escalation.o \
	src/core/flapping.o \
	src/core/forecast.o \
	src/core/hash.o \
	src/core/inhibition.o \
	src/core/log_level.o \
	src/core/log_query.o \
	src/core/log_template.o \
	src/core/log_tokens.o \
	src/core/mail_text.o \
	src/core/matchers.o \
	src/core/nearest.o \
	src/core/notify_decision.o \
	src/core/rollup.o \
	src/core/rule_metrics.o \
	src/core/series.o \
	src/core/sla.o \
	src/core/slice.o \
	src/core/sms_text.o \
	src/core/template.o \
	src/core/time_interval.o \
	src/core/window.o
# the machine, the spool, errors of the database
CORE_AGENT_OBJS = src/core/adaptive.o src/core/crc32c.o src/core/frame.o src/core/hash.o src/core/mounts.o src/core/nearest.o src/core/procfs_cpu.o \
	src/core/procfs_memory.o src/core/procfs_net.o src/core/rates.o src/core/record.o src/core/row.o src/core/schedule.o \
	src/core/slice.o src/core/sqlstate.o src/core/topology.o
# log files
CORE_AGENT_OBJS += src/core/tail_position.o src/core/log_clean.o src/core/log_entry.o src/core/log_json.o src/core/log_keys.o \
	src/core/log_level.o src/core/log_lines.o src/core/log_map.o src/core/log_severity.o src/core/log_text.o src/core/log_time.o src/core/log_tokens.o
# health checks
CORE_AGENT_OBJS += src/core/breaker.o src/core/json_path.o src/core/self_doubt.o
# labelled metrics of the agent
CORE_AGENT_OBJS += src/core/cgroup.o src/core/exposition.o src/core/series.o src/core/statsd.o src/core/tcp_table.o src/core/units.o
CORE_OBJS = $(sort $(CORE_BACKEND_OBJS) $(CORE_AGENT_OBJS))
COMMON_OBJS = src/common/strbuf.o src/common/curl_multi.o src/common/curl_library.o src/common/curl_result.o src/common/curl_guard.o \
	src/common/curl_mail.o
# BACKEND
EXT_OBJS = src/ext/gucs.o src/ext/versions.o src/ext/arming.o src/ext/processes.o src/ext/spi_util.o src/ext/install.o \
	src/ext/partitions.o src/ext/brin.o src/ext/ingest.o src/ext/registry.o src/ext/fleet_refresh.o \
	src/ext/fleet_latest.o src/ext/vps_key.o src/ext/fleet_summary.o src/ext/status.o src/ext/partitions_check.o \
	src/ext/arrivals.o src/ext/job_guard.o src/ext/subtransaction.o src/ext/caller.o src/ext/result_rel.o
# labelled metrics
EXT_OBJS += src/ext/label_matchers.o src/ext/metric_labels.o src/ext/metric_series.o src/ext/metric_slots.o \
	src/ext/metric_store.o src/ext/metric_ingest.o src/ext/metric_json.o src/ext/metric_range.o src/ext/metric_expiry.o
# rollups and history
EXT_OBJS += src/ext/rollup_sources.o src/ext/rollup_roller.o src/ext/rollup_write.o src/ext/rollup_append.o \
	src/ext/rollup_recompute.o src/ext/rollup_dirty.o src/ext/rollup_job.o src/ext/history.o src/ext/history_names.o \
	src/ext/history_read.o
# retention
EXT_OBJS += src/ext/retention.o src/ext/retention_rows.o src/ext/retention_apply.o src/ext/storage.o
# log search
EXT_OBJS += src/ext/log_vector.o src/ext/log_filter.o src/ext/log_shape.o src/ext/log_leaf.o src/ext/log_search.o \
	src/ext/log_tally.o src/ext/log_templates.o src/ext/log_histogram.o src/ext/log_context.o
# alerting: rules over labelled metrics and logs
CORE_BACKEND_OBJS += src/core/window_cells.o
EXT_OBJS += src/ext/rule_series.o src/ext/rule_samples.o src/ext/rule_sample_values.o src/ext/rule_cells.o src/ext/rule_fleet.o \
	src/ext/log_pattern.o src/ext/log_rule.o src/ext/rule_logs.o src/ext/backtest.o src/ext/backtest_notify.o
# service levels and forecasts
EXT_OBJS += src/ext/sla.o src/ext/sla_query.o src/ext/disk_forecast.o
# events and topology
EXT_OBJS += src/ext/events.o src/ext/peers.o
# silences, inhibition, maintenance
EXT_OBJS += src/ext/matcher_sets.o src/ext/time_intervals.o src/ext/trigger_row.o src/ext/suppression.o \
	src/ext/inhibitions.o src/ext/maintenance.o src/ext/suppression_checks.o src/ext/silences.o src/ext/silence_calls.o \
	src/ext/alert_people.o src/ext/alert_explain.o
# routes, groups, outbox
EXT_OBJS += src/ext/live_alert.o src/ext/routes.o src/ext/notification_text.o src/ext/dispatch.o \
	src/ext/dispatch_route.o src/ext/dispatch_flush.o src/ext/dispatch_decide.o src/ext/dispatch_write.o \
	src/ext/routes_check.o src/ext/routes_explain.o
# escalations
EXT_OBJS += src/ext/escalations.o src/ext/dispatch_escalate.o
# alert rules
EXT_OBJS += src/ext/alert_rule.o src/ext/rule_row.o src/ext/rule_check.o src/ext/rule_complete.o src/ext/rule_texts.o \
	src/ext/rule_values.o src/ext/rule_query_check.o src/ext/rule_json.o
# alert rules about samples of VPSs and health checks
EXT_OBJS += src/ext/recent_rows.o src/ext/window_store.o src/ext/window_rows.o src/ext/window_samples.o \
	src/ext/window_keep.o src/ext/window_rollup.o src/ext/rule_vps_metrics.o src/ext/rule_vps_long.o \
	src/ext/rule_absence.o src/ext/rule_health.o
# alert evaluation
EXT_OBJS += src/ext/evaluation.o src/ext/evaluation_rules.o src/ext/evaluation_settle.o src/ext/evaluation_slots.o \
	src/ext/evaluation_tell.o src/ext/evaluation_vps.o src/ext/alert_store.o src/ext/alert_write.o src/ext/alert_text.o \
	src/ext/alert_counts.o src/ext/row_batch.o src/ext/rule_query.o
# channels and delivery
EXT_OBJS += src/ext/json_write.o
EXT_OBJS += src/ext/channel_kinds.o src/ext/channel_config.o src/ext/channel_redact.o src/ext/secrets.o \
	src/ext/secret_key.o src/ext/channel_secrets.o src/ext/channels.o src/ext/channel_list.o src/ext/channel_create.o \
	src/ext/channel_env.o
CORE_BACKEND_OBJS += src/core/env_file.o
# the network
CORE_BACKEND_OBJS += src/core/retry_schedule.o src/core/retry_after.o src/core/token_bucket.o src/core/address_guard.o
EXT_OBJS += src/ext/channel_answer.o src/ext/delivery.o src/ext/channel_test.o
# messages
CORE_BACKEND_OBJS += src/core/template_expression.o src/core/template_filters.o src/core/message_template.o
EXT_OBJS += src/ext/message.o src/ext/message_text.o src/ext/message_labels.o src/ext/message_refresh.o \
	src/ext/message_values.o src/ext/message_render.o src/ext/channel_webhook.o src/ext/test_alert.o
# channels: chats
CORE_BACKEND_OBJS += src/core/json_path.o
EXT_OBJS += src/ext/chat_text.o src/ext/channel_slack.o src/ext/channel_discord.o src/ext/channel_teams.o \
	src/ext/channel_telegram.o src/ext/channel_ntfy.o
# kinds of channels: mail and pagers
EXT_OBJS += src/ext/incident.o src/ext/sms_message.o src/ext/channel_email.o src/ext/email_html.o \
	src/ext/channel_pagerduty.o src/ext/channel_opsgenie.o src/ext/channel_twilio.o src/ext/channel_appwrite.o
# the outbox, from the notifier's side
CORE_BACKEND_OBJS += src/core/outbox_merge.o
EXT_OBJS += src/ext/outbox_channels.o src/ext/outbox_claim.o src/ext/outbox_group.o src/ext/outbox_rows.o \
	src/ext/outbox_message.o src/ext/outbox_record.o src/ext/outbox_state.o src/ext/outbox_expire.o \
	src/ext/outbox_fallback.o src/ext/outbox_held.o src/ext/outbox_calls.o
# default rules
EXT_OBJS += src/ext/default_rules.o
BGWORKER_OBJS = src/bgworker/module.o src/bgworker/worker.o src/bgworker/launcher.o src/bgworker/databases.o \
	src/bgworker/scanner.o src/bgworker/scheduler.o src/bgworker/jobs.o src/bgworker/job_run.o src/bgworker/job_runs.o \
	src/bgworker/control.o src/bgworker/utility_hook.o src/bgworker/drop_hook.o src/bgworker/detach.o \
	src/bgworker/cron_jobs.o src/bgworker/cron_control.o
# notifier
BGWORKER_OBJS += src/bgworker/notifier.o src/bgworker/notifier_start.o src/bgworker/notifier_wait.o src/bgworker/notifier_flight.o \
	src/bgworker/notifier_mark.o
# USERLAND
COLLECTOR_OBJS = src/collector/agent.o \
	src/collector/check_config.o \
	src/collector/config.o \
	src/collector/config_checks.o \
	src/collector/config_reader.o \
	src/collector/config_values.o \
	src/collector/explain.o \
	src/collector/connector.o \
	src/collector/encode.o \
	src/collector/helper.o \
	src/collector/helper_desk.o \
	src/collector/helper_logs.o \
	src/collector/helper_process.o \
	src/collector/identity.o \
	src/collector/log.o \
	src/collector/machine.o \
	src/collector/main.o \
	src/collector/notify.o \
	src/collector/once.o \
	src/collector/options.o \
	src/collector/proc_reader.o \
	src/collector/resolver.o \
	src/collector/sampler.o \
	src/collector/self_metrics.o \
	src/collector/shapes.o \
	src/collector/sinks.o \
	src/collector/sources.o \
	src/collector/spool.o \
	src/collector/spool_disk.o \
	src/collector/spool_evict.o \
	src/collector/spool_gap.o \
	src/collector/spool_loss.o \
	src/collector/spool_positions.o \
	src/collector/spool_recover.o \
	src/collector/spool_running.o \
	src/collector/spool_segment.o \
	src/collector/spool_sieve.o \
	src/collector/state_dir.o \
	src/collector/status.o \
	src/collector/tail.o \
	src/collector/tail_adopt.o \
	src/collector/tail_file.o \
	src/collector/tail_find.o \
	src/collector/tail_group.o \
	src/collector/tail_mounts.o \
	src/collector/tail_read.o \
	src/collector/tail_remote.o \
	src/collector/tail_watch.o \
	src/collector/upkeep.o \
	src/collector/waiting.o \
	src/collector/writer.o \
	src/collector/writer_batch.o \
	src/collector/writer_put.o \
	src/collector/writer_statements.o \
	src/collector/writer_turn.o \
	src/collector/yaml_tree.o
# health checks
COLLECTOR_OBJS += src/collector/health.o src/collector/health_probe.o src/collector/health_http.o src/collector/health_tcp.o \
	src/collector/health_postgres.o src/collector/health_unit.o src/collector/health_target.o src/collector/health_rows.o \
	src/collector/health_state.o
# labelled metrics of the agent
COLLECTOR_OBJS += src/collector/samples.o src/collector/series_table.o src/collector/scrape.o \
	src/collector/statsd_socket.o src/collector/statsd_store.o src/collector/proc_files.o src/collector/disks.o \
	src/collector/interfaces.o src/collector/containers.o src/collector/peers.o src/collector/tcp_diag.o src/collector/units.o src/collector/child.o

OBJS = $(sort $(EXT_OBJS) $(BGWORKER_OBJS) $(CORE_BACKEND_OBJS) $(COMMON_OBJS))
SCRIPTS_built = obs-agent

PG_CONFIG ?= pg_config
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-declaration-after-statement -Wno-missing-field-initializers
# A relative path, so that a tree may be copied or moved with its objects.
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -std=gnu11 $(WARNINGS) -fvisibility=hidden -MMD -MP
# libcrypto is in every server already: PostgreSQL links it.
SHLIB_LINK = -Wl,--as-needed -lcrypto

# In reading order; each file says what it shows.
REGRESS = install partitions ingest fleet_summary fleet_health arming versions metrics retention sla forecast odd_rows events metric_range metric_series logs roll_up history notify_channels notify_messages notify_templates notify_test_alert notify_pagers notify_chat notify_chat_answers
# Alerting, a line per subject
REGRESS += alert_rules
REGRESS += alert_states alert_gaps alert_queries
REGRESS += alert_windows alert_health alert_absence
REGRESS += alert_samples alert_logs alert_backtest
REGRESS += alert_dispatch alert_routes
REGRESS += alert_silences alert_inhibition alert_maintenance alert_people alert_explain
REGRESS += alert_texts alert_dispatch_storm alert_escalations alert_long_windows
# Default rules, in a database of their own
REGRESS += rules_setup rules_server rules_cpu rules_memory rules_disk rules_network rules_system rules_security rules_container \
	rules_service rules_database rules_application rules_observ rules_restore
# The outbox
REGRESS += notify_outbox
# The last: it sees all objects.
REGRESS += privileges
REGRESS_OPTS = --inputdir=test/regress --outputdir=build/regress
ISOLATION = begin_batch refresh metrics retention events roll_up log_templates alert_evaluation alert_windows alert_people alert_dispatch alert_routes outbox outbox_held outbox_retention channels
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=build/isolation
REGRESS_PREP = result-directories

EXTRA_CLEAN = build obs-agent $(CORE_OBJS) $(COMMON_OBJS) $(COLLECTOR_OBJS) \
	$(wildcard src/*/*.d) $(wildcard src/*/*.bc)

PYTHON ?= /usr/bin/python3
# The private copy of PostgreSQL that check and e2e install into and test (scripts/pg-prefix.sh).
PRIVATE_PG = $(or $(OBSERV_PG_PREFIX),$(CURDIR)/build/pg)
PRIVATE_PG_CONFIG = $(PRIVATE_PG)/usr/lib/postgresql/15/bin/pg_config

FUZZ_SECONDS ?= 20

.PHONY: check unit fuzz e2e kill-storm log-storm alert-storm notify-storm outage soak bench lint fmt check-asan result-directories

# PGXS has a rule for check already (it says "not supported"), so PGXS is left out when check is asked for.
ifneq ($(filter check,$(MAKECMDGOALS)),)

# Workers run, but jobs are called by the tests alone, in virtual time.
check:
	scripts/pg-prefix.sh $(PRIVATE_PG)
	$(MAKE) PG_CONFIG=$(PRIVATE_PG_CONFIG) all
	$(MAKE) PG_CONFIG=$(PRIVATE_PG_CONFIG) install
	scripts/with-server.sh $(PRIVATE_PG_CONFIG) shared_preload_libraries=observ -- \
		$(MAKE) PG_CONFIG=$(PRIVATE_PG_CONFIG) installcheck

$(filter-out check,$(MAKECMDGOALS)):
	$(MAKE) $@

else

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

-include $(wildcard src/*/*.d)

# An object that joined a list must be linked, whatever its age.
observ.so obs-agent: Makefile

# Rules are plain INSERTs into observ.alert_rules for who reads them; the script takes them down elsewhere first.
RULES = $(patsubst %,rules/%.sql,server cpu memory disk network system security container service database application observ)
build/sql/observ--1.0.sql: sql/observ--1.0.sql $(RULES) Makefile
	@mkdir -p build/sql
	sed 's/^INSERT INTO observ\.alert_rules /INSERT INTO observ_data.shipped_rules /' $(RULES) > build/sql/rules.sql
	sed -e '/^-- @rules@$$/{r build/sql/rules.sql' -e 'd}' $< > $@.new
	mv $@.new $@

# PGXS offers libpq to frontend programs of its own only.
$(COLLECTOR_OBJS): override CPPFLAGS += -I$(includedir) -D_GNU_SOURCE

obs-agent: $(COLLECTOR_OBJS) $(CORE_AGENT_OBJS) $(COMMON_OBJS)
	$(CC) $(CFLAGS) $(filter %.o,$^) $(LDFLAGS) -L$(libdir) -Wl,--as-needed -lpq -lyaml -lm -o $@

# pg_regress makes only the last directory of a path.
result-directories:
	mkdir -p build/regress build/isolation

# One cmocka program per file of src/core; all of them run, whichever fails.
UNIT_PROGRAMS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/test_*.c)))

build/unit/%: test/unit/%.c test/unit/unit.h $(CORE_OBJS) $(COMMON_OBJS)
	@mkdir -p build/unit
	$(CC) $(CFLAGS) $(CPPFLAGS) -MF $@.d -g $< $(filter-out $(CORE_OBJS) $(COMMON_OBJS),$(filter %.o,$^)) \
		$(CORE_OBJS) $(COMMON_OBJS) $(LDFLAGS) -lcmocka -lm -o $@

# Parts of the collector that need no process around them.
SPOOL_TESTS = $(filter build/unit/test_spool%,$(UNIT_PROGRAMS))
$(SPOOL_TESTS): $(filter src/collector/spool%.o,$(COLLECTOR_OBJS)) src/collector/log.o
$(SPOOL_TESTS): override CPPFLAGS += -D_GNU_SOURCE
build/unit/test_samples: src/collector/samples.o src/collector/series_table.o src/collector/statsd_store.o
build/unit/test_shapes: src/collector/shapes.o
build/unit/test_spool: override CPPFLAGS += -D_GNU_SOURCE

-include $(wildcard build/unit/*.d)

unit: $(UNIT_PROGRAMS)
	@failed=0; for program in $(UNIT_PROGRAMS); do echo "# $$program"; $$program || failed=1; done; exit $$failed

# libFuzzer on everything that reads what others wrote; finds are kept in build/fuzz.
FUZZ_CORE = $(wildcard $(CORE_AGENT_OBJS:.o=.c)) src/common/strbuf.c
build/fuzz/fuzz_procfs: test/fuzz/fuzz_procfs.c $(FUZZ_CORE)
build/fuzz/fuzz_matchers: test/fuzz/fuzz_matchers.c src/core/matchers.c src/core/slice.c
build/fuzz/fuzz_retry_after: test/fuzz/fuzz_retry_after.c src/core/retry_after.c
build/fuzz/fuzz_mail_text: test/fuzz/fuzz_mail_text.c src/core/mail_text.c src/core/slice.c
build/fuzz/fuzz_sms_text: test/fuzz/fuzz_sms_text.c src/core/sms_text.c src/core/slice.c
build/fuzz/fuzz_template: test/fuzz/fuzz_template.c $(wildcard src/core/template*.c) src/core/nearest.c src/core/slice.c
build/fuzz/fuzz_env_file: test/fuzz/fuzz_env_file.c src/core/env_file.c src/core/slice.c
build/fuzz/fuzz_message_template: test/fuzz/fuzz_message_template.c $(wildcard src/core/template_*.c) src/core/message_template.c src/core/nearest.c src/core/slice.c
build/fuzz/fuzz_rollup: test/fuzz/fuzz_rollup.c src/core/rollup.c
build/fuzz/fuzz_config: test/fuzz/fuzz_config.c $(wildcard src/collector/config*.c) src/collector/yaml_tree.c $(FUZZ_CORE)
build/fuzz/fuzz_logs: test/fuzz/fuzz_logs.c src/core/hash.c src/core/slice.c $(wildcard src/core/log_*.c)
build/fuzz/fuzz_log_lines: test/fuzz/fuzz_log_lines.c src/core/hash.c src/core/slice.c $(wildcard src/core/log_*.c)
build/fuzz/fuzz_exposition: test/fuzz/fuzz_exposition.c $(FUZZ_CORE)
build/fuzz/fuzz_json_path: test/fuzz/fuzz_json_path.c src/core/json_path.c src/core/slice.c
build/fuzz/fuzz_statsd: test/fuzz/fuzz_statsd.c $(FUZZ_CORE)
build/fuzz/fuzz_frame: test/fuzz/fuzz_frame.c src/collector/spool_segment.c src/collector/spool_loss.c $(FUZZ_CORE)
build/fuzz/%:
	@mkdir -p $@.corpus
	clang-14 -g -O1 -std=gnu11 -D_GNU_SOURCE -Isrc -I$(includedir) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$(filter %.c,$^) -L$(libdir) -lpq -lyaml -lm -o $@

FUZZED = env_file frame json_path retry_after template
FUZZED += mail_text sms_text message_template
FUZZED += procfs config matchers rollup logs log_lines exposition statsd

# One after the other, or beside each other with -j.
FUZZ_RUNS = $(patsubst %,run-fuzz-%,$(FUZZED))
.PHONY: $(FUZZ_RUNS)
fuzz: $(FUZZ_RUNS)
$(FUZZ_RUNS): run-fuzz-%: build/fuzz/fuzz_%
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -artifact_prefix=build/fuzz/ $<.corpus $(wildcard test/fuzz/corpus/$*)

# Puts records into an agent's spool, for tests of their delivery.
build/e2e/spool_fill: test/e2e/spool_fill.c $(filter src/collector/spool%.o,$(COLLECTOR_OBJS)) src/collector/log.o $(CORE_OBJS) $(COMMON_OBJS)
	@mkdir -p build/e2e
	$(CC) $(CFLAGS) $(CPPFLAGS) -D_GNU_SOURCE -MF $@.d -g $(filter %.c %.o,$^) $(LDFLAGS) -lm -o $@

e2e:
	$(PYTHON) -m pytest test/e2e $(PYTEST_ARGS)

kill-storm:
	OBSERV_KILLS=$(or $(OBSERV_KILLS),50) $(PYTHON) -m pytest test/e2e/test_kill.py -k kill_storm -s $(PYTEST_ARGS)

# 200 kill -9 of an agent that tails a log, 5 restarts of PostgreSQL; the short form is part of e2e.
log-storm:
	OBSERV_STORM_KILLS=$(or $(OBSERV_STORM_KILLS),200) $(PYTHON) -m pytest test/e2e/test_agent_storm.py -s $(PYTEST_ARGS)

# 100 kill -9 in the middle of evaluation and dispatch of a day, 50 of a scheduler, 1,000 evaluations of a quiet fleet; the short form is part of e2e.
alert-storm:
	OBSERV_ALERT_KILLS=$(or $(OBSERV_ALERT_KILLS),100) $(PYTHON) -m pytest test/e2e/test_alert_storm.py -s $(PYTEST_ARGS)

# kill -9 of the notifier, restarts of the server and losses of the network over 10,000 notifications; the short form is part of e2e.
notify-storm:
	OBSERV_NOTIFY_STORM=$(or $(OBSERV_NOTIFY_STORM),10000) $(PYTHON) -m pytest test/e2e/test_notifier_storm.py -s $(PYTEST_ARGS)

# Ten minutes without a database, twice; the short form is part of e2e.
outage:
	OBSERV_OUTAGE_S=$(or $(OBSERV_OUTAGE_S),600) $(PYTHON) -m pytest test/e2e/test_agent_outage.py -s $(PYTEST_ARGS)

# An hour; the short form is part of e2e.
soak:
	OBSERV_SOAK_PASSES=$(or $(OBSERV_SOAK_PASSES),3600) $(PYTHON) -m pytest test/e2e/test_soak.py -s $(PYTEST_ARGS)

# The client half of the benchmarks; its encoder and the list of columns are the agent's own.
LOADER_OBJS = $(patsubst %,build/bench/%.o,loader agents deliver payload probe samples session)

build/bench/%.o: bench/%.c
	@mkdir -p build/bench
	$(CC) $(CFLAGS) $(CPPFLAGS) -I$(includedir) -D_GNU_SOURCE -Ibench -MF $(@:.o=.d) -c $< -o $@

build/bench/loader: $(LOADER_OBJS) src/collector/encode.o src/core/row.o $(COMMON_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -L$(libdir) -Wl,--as-needed -lpq -lpthread -lm -o $@

-include $(LOADER_OBJS:.o=.d) build/bench/receiver.d

# The source of log files alone, its spool written to standard output: what test_agent_tail.py talks to.
build/tail_probe: test/e2e/tail_probe.c $(filter-out src/collector/main.o,$(COLLECTOR_OBJS)) $(CORE_AGENT_OBJS) $(COMMON_OBJS)
	@mkdir -p build
	$(CC) $(CFLAGS) $(CPPFLAGS) -I$(includedir) -D_GNU_SOURCE -MF $@.d -g $(filter %.c %.o,$^) $(LDFLAGS) -L$(libdir) -Wl,--as-needed -lpq -lyaml -lm -o $@

-include $(wildcard build/tail_probe.d)

# Requests and mails through curl_multi.h: what test_transfers.py talks to.
build/transfer_probe: test/e2e/transfer_probe.c src/core/address_guard.o $(COMMON_OBJS)
	@mkdir -p build
	$(CC) $(CFLAGS) $(CPPFLAGS) -D_GNU_SOURCE -MF $@.d -g $(filter %.c %.o,$^) $(LDFLAGS) -o $@

-include $(wildcard build/transfer_probe.d)

# A name server that never answers, for test_transfers.py and test_channel_test.py.
build/hanging_resolver.so: test/e2e/hanging_resolver.c
	@mkdir -p build
	$(CC) $(CFLAGS) -D_GNU_SOURCE -fvisibility=default -fPIC -shared $< -o $@

build/bench/log_lines: build/bench/log_lines.o
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -lm -o $@

# Receives webhooks, for benchmarks and for tests that count.
build/bench/receiver: build/bench/receiver.o
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -o $@

bench:
	$(PYTHON) bench/run.py $(BENCH_ARGS)

lint:
	scripts/lint

fmt:
	scripts/lint --format

check-asan:
	scripts/check-asan.sh $(PRIVATE_PG)

endif
