-- Default alert rules: databases. How these files work: rules/server.sql.
-- Names with Pg and a query are about the PostgreSQL server that observ runs in; health checks and logs are of any.

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, operator, threshold, keep_firing_for, severity, labels, description, annotations) VALUES
('PgDown', 'database', 'health_checks', 'health_consecutive_failures', '{url=~"postgres(ql)?:.*"}', 'gte', 3, '1 minute', 'critical', '{"family": "check"}',
 'A PostgreSQL server did not answer SELECT 1 three times in a row, or is a standby that is further behind than its check allows.',
 '{"summary": "{{ labels.url }} does not answer",
   "description": "{{ value }} failures in a row, seen from {{ labels.vps_name }}.",
   "action": "error_message in observ.health_checks says how: connect (is it running? pg_lsclusters, its log), status (too many connections, password), lag (a standby: see PgReplicationLag at its primary)."}'),
('RedisDown', 'database', 'health_checks', 'health_consecutive_failures', '{url=~"rediss?:.*"}', 'gte', 3, '1 minute', 'critical', '{"family": "check"}',
 'A Redis server did not answer PING three times in a row.',
 '{"summary": "{{ labels.url }} does not answer",
   "description": "{{ value }} failures in a row, seen from {{ labels.vps_name }}.",
   "action": "systemctl status redis and its log there. MISCONF: its disk is full; LOADING: it reads its data; OOM: maxmemory is reached."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, "window", operator, threshold, clear_threshold, severity, labels, description, annotations) VALUES
('PgDeadlocks', 'database', 'log_entries', 'log_count', '{message=~".*deadlock detected.*"}', '5 minutes', 'gt', 5, 0, 'medium', '{"family": "pg_locks"}',
 'More than five deadlocks within five minutes, by a log of PostgreSQL among log_files.',
 '{"summary": "Deadlocks on {{ labels.vps_name }}",
   "description": "{{ value }} in five minutes; each ended somebody''s transaction.",
   "action": "The log''s DETAIL names both statements. Let all transactions take rows and tables in the same order."}'),
('PgCrash', 'database', 'log_entries', 'log_count', '{message=~".*(server process .* was terminated by signal|PANIC: |terminating any other active server processes).*"}', '10 minutes', 'gte', 1, NULL, 'critical', '{"family": "pg_crash"}',
 'A process of PostgreSQL crashed, and all connections with it, by a log of PostgreSQL among log_files.',
 '{"summary": "PostgreSQL on {{ labels.vps_name }} crashed",
   "description": "{{ value }} lines within ten minutes.",
   "action": "Signal 9: killed for memory (journalctl -k); lower work_mem, max_connections. Signal 11 or 6: a defect, keep the core and the log, look at extensions. PANIC: look at the disk first."}'),
('PgCheckpointsTooFrequent', 'database', 'log_entries', 'log_count', '{message=~".*checkpoints are occurring too frequently.*"}', '30 minutes', 'gte', 3, NULL, 'low', '{"family": "pg_checkpoints"}',
 'Checkpoints came because max_wal_size was reached, three times in thirty minutes, by a log of PostgreSQL among log_files.',
 '{"summary": "Checkpoints of PostgreSQL on {{ labels.vps_name }} are too frequent",
   "description": "{{ value }} within thirty minutes; each makes writing dearer.",
   "action": "ALTER SYSTEM SET max_wal_size to twice what it is; SELECT pg_reload_conf()."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('PgConnectionsHigh', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, 100 * c.used / c.usable AS value, true AS breach
FROM (SELECT count(*)::float8 AS used, current_setting('max_connections')::float8 - current_setting('superuser_reserved_connections')::float8 AS usable
	FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend') c
WHERE c.used > 0.8 * c.usable
$$, '2 minutes', '1 minute', '1 minute', 'warning', '{"family": "pg_connections"}',
 'More than 80 % of the connections of the server that observ runs in are in use.',
 '{"summary": "PostgreSQL has {{ value | round(0) }} % of its connections in use",
   "description": "Of max_connections without those reserved for superusers.",
   "action": "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC. Idle ones: a smaller pool, or PgBouncer in front."}'),
('PgConnectionsCritical', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, 100 * c.used / c.usable AS value, true AS breach
FROM (SELECT count(*)::float8 AS used, current_setting('max_connections')::float8 - current_setting('superuser_reserved_connections')::float8 AS usable
	FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend') c
WHERE c.used > 0.95 * c.usable
$$, '1 minute', '1 minute', '1 minute', 'critical', '{"family": "pg_connections"}',
 'More than 95 % of the connections of the server that observ runs in are in use.',
 '{"summary": "PostgreSQL is out of connections ({{ value | round(0) }} %)",
   "description": "New ones are about to be refused, agents'' too.",
   "action": "As superuser: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = ''idle'' AND state_change < now() - interval ''10 minutes''; then as for PgConnectionsHigh."}'),
('PgReplicationLag', 'database', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('standby', r.application_name, 'address', host(r.client_addr))) AS labels,
	max(extract(epoch FROM r.replay_lag))::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_replication r
WHERE r.state = 'streaming' AND r.replay_lag > interval '30 seconds' AND r.replay_lsn < r.sent_lsn
GROUP BY r.application_name, r.client_addr
$$, '2 minutes', '2 minutes', '1 minute', 'warning', '{"family": "pg_replication"}',
 'A standby of the server that observ runs in is more than thirty seconds behind, while there is something to replay.',
 '{"summary": "Standby {{ labels.standby }} is {{ value | duration }} behind",
   "description": "Time from writing WAL here to replaying it there.",
   "action": "On the standby: is its disk busy, does a query hold up replay (max_standby_streaming_delay, pg_stat_database_conflicts)? Here: pg_stat_replication shows whether sending or replaying is slow."}'),
('PgReplicationLagCritical', 'database', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('standby', r.application_name, 'address', host(r.client_addr))) AS labels,
	max(extract(epoch FROM r.replay_lag))::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_replication r
WHERE r.state = 'streaming' AND r.replay_lag > interval '5 minutes' AND r.replay_lsn < r.sent_lsn
GROUP BY r.application_name, r.client_addr
$$, '2 minutes', '2 minutes', '1 minute', 'critical', '{"family": "pg_replication"}',
 'A standby is more than five minutes behind.',
 '{"summary": "Standby {{ labels.standby }} is {{ value | duration }} behind",
   "description": "A failover now would lose that much, or wait that long.",
   "action": "Don''t fail over to it. Then as for PgReplicationLag."}'),
('PgNoSyncReplica', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, 0::float8 AS value, true AS breach
WHERE current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
	AND NOT pg_is_in_recovery()
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication r WHERE r.sync_state IN ('sync', 'quorum'))
$$, '1 minute', '0', '1 minute', 'critical', '{"family": "pg_replication"}',
 'Commits wait for a synchronous standby, and none is connected.',
 '{"summary": "PostgreSQL has no synchronous standby: commits hang",
   "description": "synchronous_standby_names is set and no standby is connected that could answer.",
   "action": "Bring the standby back, or let commits go on without it: ALTER SYSTEM SET synchronous_standby_names = ''''; SELECT pg_reload_conf()."}'),
('PgSlotRetainsWal', 'database', 'query', $$
SELECT jsonb_build_object('slot', s.slot_name) AS labels, s.bytes / 1073741824 AS value, true AS breach
FROM (SELECT r.slot_name, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, r.restart_lsn)::float8 AS bytes
	FROM pg_catalog.pg_replication_slots r WHERE r.restart_lsn IS NOT NULL) s
WHERE s.bytes > 10737418240
$$, '5 minutes', '0', '1 minute', 'high', '{"family": "pg_slots"}',
 'A replication slot keeps more than 10 GiB of WAL.',
 '{"summary": "Slot {{ labels.slot }} keeps {{ value | round(0) }} GiB of WAL",
   "description": "Its reader is away or too slow; the disk of pg_wal fills up.",
   "action": "Bring its reader back. If there is none any more: SELECT pg_drop_replication_slot(''{{ labels.slot }}''). max_slot_wal_keep_size sets a bound."}'),
('PgSlotLost', 'database', 'query', $$
SELECT jsonb_build_object('slot', r.slot_name) AS labels, 1::float8 AS value, true AS breach
FROM pg_catalog.pg_replication_slots r WHERE r.wal_status IN ('unreserved', 'lost')
$$, '0', '0', '1 minute', 'critical', '{"family": "pg_slots"}',
 'WAL that a replication slot needs has been removed, or is about to be.',
 '{"summary": "Slot {{ labels.slot }} is losing its WAL",
   "description": "max_slot_wal_keep_size is reached: its reader can''t go on where it was.",
   "action": "lost: build its standby or subscription anew and drop the slot. unreserved: raise max_slot_wal_keep_size at once and bring the reader back."}'),
('PgLongTransaction', 'database', 'query', $$
SELECT jsonb_build_object('datname', a.datname) AS labels, max(extract(epoch FROM $1 - a.xact_start))::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_activity a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.xact_start < $1 - interval '15 minutes' AND a.datname IS NOT NULL
GROUP BY a.datname
$$, '1 minute', '0', '1 minute', 'warning', '{"family": "pg_transaction"}',
 'A transaction has been open for more than fifteen minutes.',
 '{"summary": "A transaction in {{ labels.datname }} has been open for {{ value | duration }}",
   "description": "It keeps vacuum from removing dead rows, in all tables.",
   "action": "SELECT pid, usename, application_name, state, xact_start, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start LIMIT 5. pg_cancel_backend(pid), then pg_terminate_backend(pid), end it."}'),
('PgVeryLongTransaction', 'database', 'query', $$
SELECT jsonb_build_object('datname', a.datname) AS labels, max(extract(epoch FROM $1 - a.xact_start))::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_activity a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.xact_start < $1 - interval '2 hours' AND a.datname IS NOT NULL
GROUP BY a.datname
$$, '1 minute', '0', '1 minute', 'high', '{"family": "pg_transaction"}',
 'A transaction has been open for more than two hours.',
 '{"summary": "A transaction in {{ labels.datname }} has been open for {{ value | duration }}",
   "description": "Tables bloat, and the server comes nearer to wraparound.",
   "action": "As for PgLongTransaction. idle_in_transaction_session_timeout ends forgotten ones by itself."}'),
('PgIdleInTransaction', 'database', 'query', $$
SELECT jsonb_build_object('datname', a.datname) AS labels, max(extract(epoch FROM $1 - a.state_change))::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_activity a
WHERE a.state LIKE 'idle in transaction%' AND a.pid <> pg_backend_pid() AND a.state_change < $1 - interval '10 minutes' AND a.datname IS NOT NULL
GROUP BY a.datname
$$, '1 minute', '0', '1 minute', 'warning', '{"family": "pg_idle"}',
 'A session has left its transaction open and done nothing for more than ten minutes.',
 '{"summary": "A session of {{ labels.datname }} is idle in its transaction for {{ value | duration }}",
   "description": "It keeps its locks and old rows.",
   "action": "SELECT pid, usename, application_name, query FROM pg_stat_activity WHERE state LIKE ''idle in transaction%'' ORDER BY state_change. An application that forgets to commit, or a person in psql; pg_terminate_backend(pid) ends it."}'),
('PgBlocked', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, count(DISTINCT l.pid)::float8 AS value, true AS breach
FROM pg_catalog.pg_locks l WHERE NOT l.granted AND l.waitstart < $1 - interval '30 seconds'
HAVING count(DISTINCT l.pid) >= 5
$$, '2 minutes', '0', '1 minute', 'high', '{"family": "pg_locks"}',
 'Five sessions or more have waited for a lock for more than thirty seconds.',
 '{"summary": "{{ value }} sessions of PostgreSQL wait for locks",
   "description": "Each for more than thirty seconds.",
   "action": "SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0: who blocks and waits for nobody is the one to end. ALTER TABLE behind a long query is the usual cause: SET lock_timeout."}'),
('PgXidHigh', 'database', 'query', $$
SELECT jsonb_build_object('datname', d.datname) AS labels, 100 * age(d.datfrozenxid)::float8 / 2147483648 AS value, true AS breach
FROM pg_catalog.pg_database d WHERE age(d.datfrozenxid) > 0.4 * 2147483648
$$, '10 minutes', '0', '5 minutes', 'high', '{"family": "pg_wraparound"}',
 'A database has used 40 % of the transaction numbers between two freezes.',
 '{"summary": "{{ labels.datname }} is {{ value | round(0) }} % of the way to wraparound",
   "description": "Vacuum can''t freeze its rows, or can''t keep up.",
   "action": "What holds it back: old transactions (PgLongTransaction), prepared ones, slots (pg_replication_slots.xmin). Then vacuumdb --freeze {{ labels.datname }}."}'),
('PgXidCritical', 'database', 'query', $$
SELECT jsonb_build_object('datname', d.datname) AS labels, 100 * age(d.datfrozenxid)::float8 / 2147483648 AS value, true AS breach
FROM pg_catalog.pg_database d WHERE age(d.datfrozenxid) > 0.75 * 2147483648
$$, '0', '0', '5 minutes', 'emergency', '{"family": "pg_wraparound"}',
 'A database has used 75 % of the transaction numbers: at 100 % it takes no more writes.',
 '{"summary": "{{ labels.datname }} is {{ value | round(0) }} % of the way to wraparound",
   "description": "PostgreSQL will refuse all writes when it gets there.",
   "action": "Now: end old transactions, drop unused slots and prepared transactions, then VACUUM FREEZE the tables with the highest age(relfrozenxid)."}'),
('PgMultixactHigh', 'database', 'query', $$
SELECT jsonb_build_object('datname', d.datname) AS labels, 100 * mxid_age(d.datminmxid)::float8 / 2147483648 AS value, true AS breach
FROM pg_catalog.pg_database d WHERE mxid_age(d.datminmxid) > 0.4 * 2147483648
$$, '10 minutes', '0', '5 minutes', 'high', '{"family": "pg_wraparound"}',
 'A database has used 40 % of the multixact numbers between two freezes.',
 '{"summary": "{{ labels.datname }} is {{ value | round(0) }} % of the way to multixact wraparound",
   "description": "Many sessions lock the same rows (foreign keys, SELECT FOR SHARE).",
   "action": "vacuumdb --freeze {{ labels.datname }}; look for old transactions first."}'),
('PgArchiveFailing', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, a.failed_count::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_archiver a
WHERE a.last_failed_time > coalesce(a.last_archived_time, '-infinity') AND a.last_failed_time <= $1
	AND current_setting('archive_mode') <> 'off'
$$, '5 minutes', '0', '1 minute', 'high', '{"family": "pg_archive"}',
 'WAL can''t be archived: the latest attempt failed.',
 '{"summary": "PostgreSQL can''t archive its WAL",
   "description": "{{ value }} failures so far. Point-in-time recovery ends here, and pg_wal grows.",
   "action": "SELECT * FROM pg_stat_archiver and the server''s log say why: room, rights, or the archive is away. It goes on by itself when archive_command works again."}'),
('PgPreparedTransactions', 'database', 'query', $$
SELECT jsonb_build_object('datname', x.database) AS labels, max(extract(epoch FROM $1 - x.prepared))::float8 AS value, true AS breach
FROM pg_catalog.pg_prepared_xacts x WHERE x.prepared < $1 - interval '1 hour' GROUP BY x.database
$$, '5 minutes', '0', '5 minutes', 'warning', '{"family": "pg_transaction"}',
 'A prepared transaction has waited for its second phase for more than an hour.',
 '{"summary": "A prepared transaction in {{ labels.datname }} is {{ value | duration }} old",
   "description": "Its coordinator has forgotten it; it keeps locks and old rows for ever.",
   "action": "SELECT gid, prepared, owner FROM pg_prepared_xacts; then COMMIT PREPARED or ROLLBACK PREPARED, as the coordinator''s log says."}'),
('PgChecksumFailures', 'database', 'query', $$
SELECT jsonb_build_object('datname', coalesce(d.datname, 'shared')) AS labels, d.checksum_failures::float8 AS value, true AS breach
FROM pg_catalog.pg_stat_database d
WHERE d.checksum_failures > 0 AND d.checksum_last_failure > $1 - interval '1 day'
$$, '0', '0', '1 minute', 'critical', '{"family": "pg_corruption"}',
 'Pages of a database did not match their checksums within a day.',
 '{"summary": "Data of {{ labels.datname }} is damaged",
   "description": "{{ value }} pages so far.",
   "action": "Stop writing if you can. The server''s log names files and blocks. Check disk and memory, restore from the latest good backup; keep the damaged copy."}'),
('PgDeadTuples', 'database', 'query', $$
SELECT jsonb_build_object('schema', t.schemaname, 'table', t.relname) AS labels, 100 * t.n_dead_tup::float8 / (t.n_live_tup + t.n_dead_tup) AS value, true AS breach
FROM pg_catalog.pg_stat_user_tables t
WHERE t.n_dead_tup > 10000 AND t.n_dead_tup > 0.2 * (t.n_live_tup + t.n_dead_tup)
	AND coalesce(greatest(t.last_autovacuum, t.last_vacuum), '-infinity') < $1 - interval '1 day'
ORDER BY t.n_dead_tup DESC LIMIT 50
$$, '1 hour', '0', '15 minutes', 'low', '{"family": "pg_vacuum"}',
 'More than a fifth of the rows of a table of this database are dead, more than 10,000, and it was not vacuumed for a day. The 50 with the most.',
 '{"summary": "{{ labels.schema }}.{{ labels.table }} is {{ value | round(0) }} % dead rows",
   "description": "Not vacuumed for a day.",
   "action": "VACUUM (VERBOSE) {{ labels.schema }}.{{ labels.table }} says whether something keeps them (oldest xmin). Else lower autovacuum_vacuum_scale_factor of the table."}'),
('PgInvalidIndex', 'database', 'query', $$
SELECT jsonb_build_object('schema', n.nspname, 'index', c.relname) AS labels, 1::float8 AS value, true AS breach
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND n.nspname <> 'pg_toast'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY c.oid LIMIT 50
$$, '1 hour', '0', '15 minutes', 'low', '{"family": "pg_index"}',
 'An index of this database is not valid: its making was broken off. It costs with each write, and no query uses it.',
 '{"summary": "Index {{ labels.schema }}.{{ labels.index }} is not valid",
   "description": "CREATE INDEX CONCURRENTLY failed, or a partitioned index lacks a part.",
   "action": "REINDEX INDEX CONCURRENTLY {{ labels.schema }}.{{ labels.index }}, or drop it."}'),
('PgRestarted', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, extract(epoch FROM $1 - pg_postmaster_start_time())::float8 AS value, true AS breach
WHERE pg_postmaster_start_time() > $1 - interval '10 minutes' AND pg_postmaster_start_time() <= $1
	-- The start that the library needed before observ was installed is no news.
	AND pg_postmaster_start_time() > (SELECT min(l.installed_at) FROM observ.layout_version l)
$$, '0', '0', '1 minute', 'medium', '{"family": "pg_crash"}',
 'The server that observ runs in was started within ten minutes; not before observ was installed.',
 '{"summary": "PostgreSQL was restarted",
   "description": "{{ value | duration }} ago.",
   "action": "If nobody did it: the server''s log and journalctl -k (killed for memory?). observ went on where it was."}'),
('PgRestartPending', 'database', 'query', $$
SELECT '{}'::jsonb AS labels, count(*)::float8 AS value, true AS breach FROM pg_catalog.pg_settings s WHERE s.pending_restart HAVING count(*) > 0
$$, '1 day', '0', '1 hour', 'info', '{"family": "pg_settings"}',
 'Parameters were changed a day ago that hold after a restart only.',
 '{"summary": "{{ value }} parameters of PostgreSQL wait for a restart",
   "description": "What is configured is not what runs.",
   "action": "SELECT name, setting FROM pg_settings WHERE pending_restart; plan a restart, or take them back."}');
