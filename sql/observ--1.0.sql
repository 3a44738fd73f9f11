/* observ 1.0. Reading order: schema, roles, types, tables, functions, workers, views, row-level security, grants, ownership. */
-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION observ" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

-- ============================================================================================================ schema
-- Plain CREATE everywhere: what somebody planted under these names makes CREATE EXTENSION fail (CVE-2022-24128).
CREATE SCHEMA observ;
COMMENT ON SCHEMA observ IS 'observ: monitoring for fleets of servers. What users call; start with SELECT * FROM observ.fleet_summary()';
CREATE SCHEMA observ_data;
COMMENT ON SCHEMA observ_data IS 'observ: partitions and bookkeeping. Not an interface';

-- ============================================================================================================= roles
-- Roles belong to the cluster: made when absent, never dropped.
CREATE FUNCTION observ_data._create_roles() RETURNS void
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_create_roles';
COMMENT ON FUNCTION observ_data._create_roles() IS
'Creates the roles observ_owner, observ_reader, observ_writer, observ_operator, observ_rules, observ_admin and observ_agent where they are absent; warns when an existing observ_owner can log in';
SELECT observ_data._create_roles();

-- ============================================================================================================= types
CREATE TYPE observ.severity AS ENUM ('info', 'low', 'medium', 'warning', 'high', 'critical', 'emergency');
COMMENT ON TYPE observ.severity IS 'How urgent something is, ascending: info, low, medium, warning, high, critical, emergency';

-- ============================================================================================================ tables
-- Tables, their policies and grants are handed over to the user by the last statement of this script: they are not
-- members of the extension, so that pg_dump dumps them whole and DROP EXTENSION without CASCADE refuses to take them along.

CREATE TABLE observ.layout_version (
	version integer NOT NULL,
	installed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE observ.layout_version IS 'One row: which layout the tables of observ have. Library, SQL objects and layout must belong together';
COMMENT ON COLUMN observ.layout_version.version IS 'layout number; changed by ALTER EXTENSION observ UPDATE only';
INSERT INTO observ.layout_version (version) VALUES (1);

-- ---- registry
CREATE TABLE observ.vps (
	vps_name text COLLATE "C" PRIMARY KEY CONSTRAINT vps_name_not_empty CHECK (vps_name OPERATOR(pg_catalog.<>) ''),
	labels jsonb NOT NULL DEFAULT '{}' CONSTRAINT vps_labels_object CHECK (pg_catalog.jsonb_typeof(labels) OPERATOR(pg_catalog.=) 'object'),
	expected_interval interval CONSTRAINT vps_expected_interval_positive CHECK (expected_interval OPERATOR(pg_catalog.>) interval '0'),
	agent_role name,
	enrolled_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	status text NOT NULL DEFAULT 'active' CONSTRAINT vps_status_known CHECK (status OPERATOR(pg_catalog.=) ANY (ARRAY['active', 'maintenance', 'retired'])),
	boost_until timestamptz
);
COMMENT ON TABLE observ.vps IS 'Registry of VPSs; a VPS that sends its first row is entered by itself';
COMMENT ON COLUMN observ.vps.vps_name IS 'name, as in every row of the VPS';
COMMENT ON COLUMN observ.vps.labels IS 'labels for selectors, for instance {"env":"prod","role":"db"}';
COMMENT ON COLUMN observ.vps.expected_interval IS 'how often rows should come; NULL: what its latest row says, or 60 s';
COMMENT ON COLUMN observ.vps.agent_role IS 'role that may write the rows of this VPS (see observ.enroll_vps); NULL: none but writers';
COMMENT ON COLUMN observ.vps.enrolled_at IS 'when it was entered';
COMMENT ON COLUMN observ.vps.status IS 'active, maintenance, or retired (left out of the fleet summary)';
COMMENT ON COLUMN observ.vps.boost_until IS 'agents with adaptive sampling sample fast until then (see observ.boost)';
CREATE INDEX vps_agent_role_idx ON observ.vps (agent_role) WHERE agent_role IS NOT NULL;
CREATE INDEX vps_special_idx ON observ.vps (vps_name) WHERE expected_interval IS NOT NULL OR status OPERATOR(pg_catalog.<>) 'active';

CREATE TABLE observ.collectors (
	agent_id text COLLATE "C" PRIMARY KEY CONSTRAINT collectors_agent_id_not_empty CHECK (agent_id OPERATOR(pg_catalog.<>) ''),
	vps_name text COLLATE "C",
	app_name text COLLATE "C",
	version text,
	interval_ms integer,
	last_seq bigint NOT NULL DEFAULT 0,
	last_sent_at timestamptz,
	last_seen timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	clock_skew_ms bigint,
	batches bigint NOT NULL DEFAULT 0,
	duplicate_batches bigint NOT NULL DEFAULT 0,
	clamped_rows bigint NOT NULL DEFAULT 0,
	quarantined_rows bigint NOT NULL DEFAULT 0,
	dropped_rows bigint NOT NULL DEFAULT 0,
	duplicate_rows bigint NOT NULL DEFAULT 0,
	first_seen timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	configured_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX collectors_configured_at_idx ON observ.collectors (configured_at);
COMMENT ON TABLE observ.collectors IS 'One row per agent: what observ.begin_batch() last heard from it';
COMMENT ON COLUMN observ.collectors.agent_id IS 'identity that the agent keeps in its state directory';
COMMENT ON COLUMN observ.collectors.interval_ms IS 'interval that it is configured to sample at';
COMMENT ON COLUMN observ.collectors.configured_at IS 'when it first said what it says of itself: VPS, application, version, interval';
COMMENT ON COLUMN observ.collectors.last_seq IS 'number of the last batch that was applied; a batch that is not higher is skipped';
COMMENT ON COLUMN observ.collectors.last_sent_at IS 'when the agent sent its last batch, by the agent''s clock';
COMMENT ON COLUMN observ.collectors.last_seen IS 'when it was heard last, by the database''s clock';
COMMENT ON COLUMN observ.collectors.clock_skew_ms IS 'agent''s clock minus the database''s clock at the last batch, transit time included';
COMMENT ON COLUMN observ.collectors.clamped_rows IS 'rows that came with a timestamp in the future and were moved back';
COMMENT ON COLUMN observ.collectors.quarantined_rows IS 'rows that went to observ.quarantine';
COMMENT ON COLUMN observ.collectors.dropped_rows IS 'rows that the agent had to drop while the database was away';
COMMENT ON COLUMN observ.collectors.duplicate_rows IS 'rows whose natural key was there already, and that were not stored again';

CREATE TABLE observ.log_positions (
	agent_id text COLLATE "C" NOT NULL,
	file text COLLATE "C" NOT NULL CONSTRAINT log_positions_file_not_empty CHECK (file OPERATOR(pg_catalog.<>) ''),
	state text NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (agent_id, file)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE observ.log_positions IS 'How far each agent has read its log files: committed together with the lines, for an agent that lost its own notes';
COMMENT ON COLUMN observ.log_positions.agent_id IS 'identity of the agent, as in observ.collectors';
COMMENT ON COLUMN observ.log_positions.file IS 'name that the agent knows the file by';
COMMENT ON COLUMN observ.log_positions.state IS 'the agent''s own words: which file that was, and how many bytes of it are read';

CREATE TABLE observ.sample_shapes (
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL,
	shape bigint NOT NULL,
	metric_names text[] NOT NULL,
	labels jsonb[] NOT NULL,
	kinds text[],
	last_used timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (vps_name, app_name, shape)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE observ.sample_shapes IS 'Names, labels and kinds of scrapes that agents sent in full once, so that later ones are a number and values. May be emptied at any time: agents send them again';
COMMENT ON COLUMN observ.sample_shapes.shape IS '64-bit hash of names, labels and kinds, made by the agent';
COMMENT ON COLUMN observ.sample_shapes.metric_names IS 'as in observ.insert_samples(), like labels and kinds';
COMMENT ON COLUMN observ.sample_shapes.last_used IS 'when it was used last, or up to a day before it; of each VPS and application the 64 used last are kept';

-- ---- raw tables: no triggers, no foreign keys, no default partition; every unique key begins with vps_name.
-- The natural key is a unique index and not a primary key, because pg_restore --clean can't drop the inherited constraint of a
-- partition ("cannot drop inherited constraint"), but passes over an inherited index.
CREATE TABLE observ.vps_metrics (
	id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 64),
	"timestamp" timestamptz NOT NULL DEFAULT pg_catalog.now(),
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	cpu_percent real,
	memory_percent real,
	memory_mb real,
	disk_percent real,
	disk_gb real,
	load_avg_1m real,
	load_avg_5m real,
	load_avg_15m real,
	cpu_iowait_percent real,
	cpu_steal_percent real,
	cpu_cores integer,
	memory_available_mb real,
	swap_percent real,
	swap_io_per_s real,
	inode_percent real,
	disk_read_bps real,
	disk_write_bps real,
	disk_busy_percent real,
	net_rx_bps real,
	net_tx_bps real,
	net_errors_per_s real,
	tcp_retransmit_percent real,
	psi_cpu real,
	psi_memory real,
	psi_io real,
	processes integer,
	zombies integer,
	open_files_percent real,
	conntrack_percent real,
	oom_kills integer,
	uptime_seconds bigint,
	clock_offset_ms bigint,
	interval_ms integer,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX vps_metrics_key ON observ.vps_metrics (vps_name, app_name, "timestamp");
CREATE INDEX vps_metrics_brin_idx ON observ.vps_metrics USING brin (received_at, "timestamp") WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE observ.vps_metrics IS 'System metrics, a row per VPS, application and sample. NULL: not measured, never 0';
COMMENT ON COLUMN observ.vps_metrics.id IS 'unique; sessions take numbers in blocks, so it says nothing about order';
COMMENT ON COLUMN observ.vps_metrics."timestamp" IS 'when the sample was taken, by the agent''s clock';
COMMENT ON COLUMN observ.vps_metrics.app_name IS 'application whose agent wrote the row; empty: none';
COMMENT ON COLUMN observ.vps_metrics.cpu_percent IS 'user + nice + system + irq + softirq, percent of all cores; without iowait and steal';
COMMENT ON COLUMN observ.vps_metrics.memory_percent IS 'MemTotal - MemAvailable, percent of MemTotal';
COMMENT ON COLUMN observ.vps_metrics.memory_mb IS 'MemTotal - MemAvailable, MiB';
COMMENT ON COLUMN observ.vps_metrics.disk_percent IS 'root filesystem in use as df shows it: used / (used + available), rounded up';
COMMENT ON COLUMN observ.vps_metrics.disk_gb IS 'root filesystem in use, GiB';
COMMENT ON COLUMN observ.vps_metrics.load_avg_1m IS 'load average over 1 minute';
COMMENT ON COLUMN observ.vps_metrics.load_avg_5m IS 'load average over 5 minutes';
COMMENT ON COLUMN observ.vps_metrics.load_avg_15m IS 'load average over 15 minutes';
COMMENT ON COLUMN observ.vps_metrics.cpu_iowait_percent IS 'waiting for I/O, percent of all cores';
COMMENT ON COLUMN observ.vps_metrics.cpu_steal_percent IS 'taken by the hypervisor, percent of all cores';
COMMENT ON COLUMN observ.vps_metrics.cpu_cores IS 'cores online';
COMMENT ON COLUMN observ.vps_metrics.memory_available_mb IS 'MemAvailable, MiB';
COMMENT ON COLUMN observ.vps_metrics.swap_percent IS 'swap in use, percent; NULL without swap';
COMMENT ON COLUMN observ.vps_metrics.swap_io_per_s IS 'pages swapped in and out per second';
COMMENT ON COLUMN observ.vps_metrics.inode_percent IS 'inodes of the root filesystem in use, percent; NULL where the filesystem has none';
COMMENT ON COLUMN observ.vps_metrics.disk_read_bps IS 'read by whole block devices, bytes per second';
COMMENT ON COLUMN observ.vps_metrics.disk_write_bps IS 'written by whole block devices, bytes per second';
COMMENT ON COLUMN observ.vps_metrics.disk_busy_percent IS 'time that the busiest block device had I/O in flight, percent';
COMMENT ON COLUMN observ.vps_metrics.net_rx_bps IS 'received by the lowest-layer network devices, bytes per second';
COMMENT ON COLUMN observ.vps_metrics.net_tx_bps IS 'sent by the lowest-layer network devices, bytes per second';
COMMENT ON COLUMN observ.vps_metrics.net_errors_per_s IS 'receive and transmit errors and drops per second';
COMMENT ON COLUMN observ.vps_metrics.tcp_retransmit_percent IS 'TCP segments sent again, percent of segments sent';
COMMENT ON COLUMN observ.vps_metrics.psi_cpu IS 'pressure stall, some task waited for CPU, percent of time';
COMMENT ON COLUMN observ.vps_metrics.psi_memory IS 'pressure stall, some task waited for memory, percent of time';
COMMENT ON COLUMN observ.vps_metrics.psi_io IS 'pressure stall, some task waited for I/O, percent of time';
COMMENT ON COLUMN observ.vps_metrics.processes IS 'processes';
COMMENT ON COLUMN observ.vps_metrics.zombies IS 'zombie processes';
COMMENT ON COLUMN observ.vps_metrics.open_files_percent IS 'file handles allocated, percent of fs.file-max';
COMMENT ON COLUMN observ.vps_metrics.conntrack_percent IS 'connection tracking entries, percent of the limit; NULL without conntrack';
COMMENT ON COLUMN observ.vps_metrics.oom_kills IS 'processes killed for lack of memory since the previous row';
COMMENT ON COLUMN observ.vps_metrics.uptime_seconds IS 'seconds since boot';
COMMENT ON COLUMN observ.vps_metrics.clock_offset_ms IS 'agent''s clock minus the database''s clock';
COMMENT ON COLUMN observ.vps_metrics.interval_ms IS 'time that the rates of the row cover';
COMMENT ON COLUMN observ.vps_metrics.received_at IS 'when the row arrived, by the database''s clock';

CREATE TABLE observ.health_checks (
	id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 64),
	"timestamp" timestamptz NOT NULL DEFAULT pg_catalog.now(),
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	url text COLLATE "C" NOT NULL,
	status_code integer,
	response_time_ms real,
	success boolean NOT NULL,
	error_message text,
	dns_ms real,
	connect_ms real,
	tls_ms real,
	first_byte_ms real,
	tls_expires_at timestamptz,
	breaker_state text,
	inconclusive boolean NOT NULL DEFAULT false,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX health_checks_key ON observ.health_checks (vps_name, app_name, url, "timestamp");
CREATE INDEX health_checks_brin_idx ON observ.health_checks USING brin (received_at, "timestamp") WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE observ.health_checks IS 'Results of health checks, a row per check made';
COMMENT ON COLUMN observ.health_checks.id IS 'unique; sessions take numbers in blocks, so it says nothing about order';
COMMENT ON COLUMN observ.health_checks.url IS 'what was checked';
COMMENT ON COLUMN observ.health_checks.status_code IS 'HTTP status; NULL when no answer came';
COMMENT ON COLUMN observ.health_checks.response_time_ms IS 'time until the whole answer was there, ms';
COMMENT ON COLUMN observ.health_checks.error_message IS 'why it failed, in words';
COMMENT ON COLUMN observ.health_checks.breaker_state IS 'circuit breaker: closed, open, half-open';
COMMENT ON COLUMN observ.health_checks.inconclusive IS 'the agent doubts itself (most of its checks failed at once): counts neither way';

CREATE FUNCTION observ_data._log_vector(message text, level text, app_name text) RETURNS tsvector
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10
	AS 'MODULE_PATHNAME', 'observ_log_vector';
COMMENT ON FUNCTION observ_data._log_vector(text, text, text) IS
'What observ.search_logs() looks up in the index of observ.log_entries: words of the message, level, application. Not an interface';

CREATE TABLE observ.log_entries (
	id bigint GENERATED BY DEFAULT AS IDENTITY,
	"timestamp" timestamptz NOT NULL DEFAULT pg_catalog.now(),
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	level text COLLATE "C" NOT NULL DEFAULT 'info',
	message text NOT NULL,
	context jsonb,
	logger text,
	source text,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) PARTITION BY RANGE ("timestamp");
CREATE INDEX log_entries_vps_idx ON observ.log_entries (vps_name, "timestamp");
CREATE INDEX log_entries_time_idx ON observ.log_entries ("timestamp", id);
CREATE INDEX log_entries_message_idx ON observ.log_entries USING gin (observ_data._log_vector(message, level, app_name))
	WITH (fastupdate = on, gin_pending_list_limit = 4096);
CREATE INDEX log_entries_brin_idx ON observ.log_entries USING brin (received_at, "timestamp", id) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX log_entries_errors_idx ON observ.log_entries ("timestamp", vps_name, app_name)
	WHERE pg_catalog.upper(level) OPERATOR(pg_catalog.=) ANY (ARRAY['ERROR', 'FATAL', 'CRITICAL', 'ALERT', 'EMERGENCY', 'PANIC']);
COMMENT ON TABLE observ.log_entries IS 'Log lines of applications; full-text index on message';
COMMENT ON COLUMN observ.log_entries.level IS 'severity text as the application wrote it; compared without regard to case';
COMMENT ON COLUMN observ.log_entries.context IS 'structured fields';
COMMENT ON COLUMN observ.log_entries.source IS 'file or stream it came from';
COMMENT ON COLUMN observ.log_entries.received_at IS 'when the row arrived, by the database''s clock';

CREATE TABLE observ.events (
	id bigint GENERATED BY DEFAULT AS IDENTITY,
	"timestamp" timestamptz NOT NULL DEFAULT pg_catalog.now(),
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	kind text COLLATE "C" NOT NULL,
	message text,
	success boolean,
	duration_ms real,
	data jsonb
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX events_key ON observ.events (vps_name, app_name, kind, "timestamp");
CREATE INDEX events_timestamp_idx ON observ.events ("timestamp");
-- The few that are drawn over charts, among the many that time every message.
CREATE INDEX events_marks_idx ON observ.events (vps_name, "timestamp")
	WHERE kind OPERATOR(pg_catalog.<>) ALL (ARRAY['message_processed', 'workflow_executed']);
CREATE INDEX events_lifecycle_idx ON observ.events ((data OPERATOR(pg_catalog.->>) 'agent_id'), "timestamp")
	WHERE kind OPERATOR(pg_catalog.=) ANY (ARRAY['created', 'deployed', 'scaled', 'terminated',
		'agent_created', 'agent_deployed', 'agent_scaled', 'agent_terminated']);
COMMENT ON TABLE observ.events IS 'Deployments, reboots, agent lifecycle (created, deployed, scaled, terminated), configuration changes, timings of messages and workflows. Written with observ.record_event() or INSERT';
COMMENT ON COLUMN observ.events."timestamp" IS 'when it happened; record_event() moves it by microseconds where its key is taken';
COMMENT ON COLUMN observ.events.vps_name IS 'where it happened; empty: nowhere in particular';
COMMENT ON COLUMN observ.events.app_name IS 'application; empty: none';
COMMENT ON COLUMN observ.events.kind IS 'what happened, for instance deployed, rebooted, message_processed: docs/events.md lists the names that observ knows';
COMMENT ON COLUMN observ.events.success IS 'whether it went well; NULL where that has no meaning';
COMMENT ON COLUMN observ.events.duration_ms IS 'how long it took, ms; NULL where that has no meaning';
COMMENT ON COLUMN observ.events.data IS 'details; agent_id names an application agent';

CREATE TABLE observ.quarantine (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	vps_name text COLLATE "C",
	app_name text COLLATE "C",
	table_name text,
	reason text NOT NULL,
	"row" jsonb
);
CREATE INDEX quarantine_received_at_idx ON observ.quarantine (received_at);
COMMENT ON TABLE observ.quarantine IS 'Rows that could not be stored where they belong, with the reason; the newest 100,000 of the last 30 days are kept';
COMMENT ON COLUMN observ.quarantine.table_name IS 'table the row was meant for';
COMMENT ON COLUMN observ.quarantine.reason IS 'why it is here, in words';
COMMENT ON COLUMN observ.quarantine."row" IS 'the row as it was sent';

-- ---- labelled metrics: docs/metrics.md has the shape
CREATE TABLE observ.metric_series (
	vps_name text COLLATE "C" NOT NULL,
	series_id bigint NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	metric_name text COLLATE "C" NOT NULL,
	labels jsonb NOT NULL DEFAULT '{}',
	kind text COLLATE "C" NOT NULL DEFAULT 'gauge' CONSTRAINT metric_series_kind_known CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['gauge', 'counter'])),
	set_no integer NOT NULL,
	slot smallint NOT NULL CONSTRAINT metric_series_slot_range CHECK (slot OPERATOR(pg_catalog.>=) 1 AND slot OPERATOR(pg_catalog.<=) 64),
	first_seen timestamptz NOT NULL,
	last_seen timestamptz NOT NULL,
	expired_at timestamptz
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX metric_series_key ON observ.metric_series (vps_name, series_id);
CREATE UNIQUE INDEX metric_series_slot_idx ON observ.metric_series (vps_name, app_name, set_no, slot);
CREATE INDEX metric_series_name_idx ON observ.metric_series (metric_name, vps_name);
COMMENT ON TABLE observ.metric_series IS 'Series of labelled metrics: who, what, and in which slot of which set its values lie';
COMMENT ON COLUMN observ.metric_series.series_id IS '64-bit hash of vps_name, app_name, metric_name and sorted labels; the same everywhere';
COMMENT ON COLUMN observ.metric_series.labels IS 'labels, an object of strings';
COMMENT ON COLUMN observ.metric_series.kind IS 'gauge, or counter: only grows, and starts again at 0';
COMMENT ON COLUMN observ.metric_series.set_no IS 'set of up to 64 series of the VPS and application whose values share rows of observ.metric_scrapes';
COMMENT ON COLUMN observ.metric_series.slot IS 'place of the series in the set, from 1: element of metric_scrapes.values';
COMMENT ON COLUMN observ.metric_series.first_seen IS 'timestamp of its first sample';
COMMENT ON COLUMN observ.metric_series.last_seen IS 'timestamp of its latest sample, or up to an hour before it';
COMMENT ON COLUMN observ.metric_series.expired_at IS 'when observ.expire_series() found that no sample is left; the slot stays its own until roll-ups are gone, too';

CREATE TABLE observ.metric_usage (
	vps_name text COLLATE "C" PRIMARY KEY,
	series bigint NOT NULL DEFAULT 0,
	rejected bigint NOT NULL DEFAULT 0,
	last_rejected_at timestamptz,
	last_rejected_reason text
) WITH (fillfactor = 50);
COMMENT ON TABLE observ.metric_usage IS 'Who has how many series of labelled metrics, and of whom samples were refused';
COMMENT ON COLUMN observ.metric_usage.series IS 'series that count against observ.max_series_per_vps and observ.max_series';
COMMENT ON COLUMN observ.metric_usage.rejected IS 'samples refused so far';
COMMENT ON COLUMN observ.metric_usage.last_rejected_at IS 'when the latest was refused';
COMMENT ON COLUMN observ.metric_usage.last_rejected_reason IS 'why';

CREATE TABLE observ.metric_scrapes (
	"timestamp" timestamptz NOT NULL,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	set_no integer NOT NULL,
	"values" float8[] NOT NULL
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX metric_scrapes_key ON observ.metric_scrapes (vps_name, app_name, set_no, "timestamp");
CREATE INDEX metric_scrapes_brin_idx ON observ.metric_scrapes USING brin (received_at, "timestamp") WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE observ.metric_scrapes IS 'Samples of labelled metrics: the values that the series of one set had at one time. Read them through observ.metric_samples';
COMMENT ON COLUMN observ.metric_scrapes.set_no IS 'set that the series belong to: observ.metric_series';
COMMENT ON COLUMN observ.metric_scrapes."values" IS 'value of slot 1, 2, …; NULL or missing: no sample';
COMMENT ON COLUMN observ.metric_scrapes.received_at IS 'when the row arrived, by the database''s clock';

-- ---- rollups: docs/history.md has the shape
CREATE TABLE observ.metrics_5m (
	"timestamp" timestamptz NOT NULL,
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL,
	set_no integer NOT NULL,
	cells bytea NOT NULL
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX metrics_5m_key ON observ.metrics_5m (vps_name, app_name, set_no, "timestamp");
COMMENT ON TABLE observ.metrics_5m IS 'Metrics rolled up to 5 minutes, a row per bucket and set of metrics. Read it through observ.metrics_history()';
COMMENT ON COLUMN observ.metrics_5m."timestamp" IS 'start of the bucket';
COMMENT ON COLUMN observ.metrics_5m.set_no IS '-1: the columns of observ.vps_metrics; else the set of observ.metric_series';
COMMENT ON COLUMN observ.metrics_5m.cells IS 'count, sum, min, max, last, weighted sum and increase per metric, packed (src/core/rollup.h)';
-- Rows hold up to 64 metrics: kept in one piece as long as they fit a page.
ALTER TABLE observ.metrics_5m ALTER COLUMN cells SET STORAGE MAIN;
CREATE INDEX metrics_5m_brin_idx ON observ.metrics_5m USING brin ("timestamp") WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE observ.metrics_1h (LIKE observ.metrics_5m INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX metrics_1h_key ON observ.metrics_1h (vps_name, app_name, set_no, "timestamp");
CREATE INDEX metrics_1h_brin_idx ON observ.metrics_1h USING brin ("timestamp") WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE observ.metrics_1h IS 'Metrics rolled up to an hour, built from observ.metrics_5m; columns as there';

CREATE TABLE observ.health_5m (
	"timestamp" timestamptz NOT NULL,
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL,
	url text COLLATE "C" NOT NULL,
	checks integer NOT NULL,
	failures integer NOT NULL,
	inconclusive integer NOT NULL,
	response_count integer NOT NULL,
	response_sum_ms float8,
	response_min_ms real,
	response_max_ms real,
	response_last_ms real
) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX health_5m_key ON observ.health_5m (vps_name, app_name, url, "timestamp");
COMMENT ON TABLE observ.health_5m IS 'Health checks rolled up to 5 minutes, a row per bucket and check';
COMMENT ON COLUMN observ.health_5m."timestamp" IS 'start of the bucket';
COMMENT ON COLUMN observ.health_5m.checks IS 'conclusive checks';
COMMENT ON COLUMN observ.health_5m.failures IS 'of these, how many failed';
COMMENT ON COLUMN observ.health_5m.inconclusive IS 'checks that count neither way';
COMMENT ON COLUMN observ.health_5m.response_count IS 'conclusive checks that have a finite response time';
COMMENT ON COLUMN observ.health_5m.response_sum_ms IS 'sum of their response times, ms';
COMMENT ON COLUMN observ.health_5m.response_min_ms IS 'shortest, ms';
COMMENT ON COLUMN observ.health_5m.response_max_ms IS 'longest, ms';
COMMENT ON COLUMN observ.health_5m.response_last_ms IS 'latest, ms';
CREATE INDEX health_5m_brin_idx ON observ.health_5m USING brin ("timestamp") WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE observ.health_1h (LIKE observ.health_5m INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE ("timestamp");
CREATE UNIQUE INDEX health_1h_key ON observ.health_1h (vps_name, app_name, url, "timestamp");
COMMENT ON TABLE observ.health_1h IS 'Health checks rolled up to an hour, built from observ.health_5m; columns as there';

CREATE TABLE observ_data.rollup_state (
	source text COLLATE "C" PRIMARY KEY CONSTRAINT rollup_state_source_known CHECK (source OPERATOR(pg_catalog.=) ANY (ARRAY['vps_metrics', 'health_checks', 'metric_scrapes'])),
	horizon timestamptz NOT NULL DEFAULT '-infinity',
	rolled_5m timestamptz NOT NULL DEFAULT '-infinity',
	rolled_1h timestamptz NOT NULL DEFAULT '-infinity',
	seen_xid xid8,
	seen_in text
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.rollup_state IS 'How far observ.roll_up() has come, a row per raw table';
COMMENT ON COLUMN observ_data.rollup_state.horizon IS 'every row received before this has been looked at';
COMMENT ON COLUMN observ_data.rollup_state.seen_xid IS 'rows of older transactions were seen by the last look for late rows …';
COMMENT ON COLUMN observ_data.rollup_state.seen_in IS '… in this cluster and database: system identifier, database oid';
COMMENT ON COLUMN observ_data.rollup_state.rolled_5m IS 'watermark: buckets that begin before this are rolled up';
COMMENT ON COLUMN observ_data.rollup_state.rolled_1h IS 'the same of the hourly buckets';
INSERT INTO observ_data.rollup_state (source) VALUES ('vps_metrics'), ('health_checks'), ('metric_scrapes');

CREATE TABLE observ_data.rollup_dirty (
	source text COLLATE "C" NOT NULL,
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	"timestamp" timestamptz NOT NULL,
	tries smallint NOT NULL DEFAULT 0,
	error text
);
CREATE UNIQUE INDEX rollup_dirty_key ON observ_data.rollup_dirty (source, vps_name, app_name, key, "timestamp");
CREATE INDEX rollup_dirty_oldest_idx ON observ_data.rollup_dirty (source, "timestamp") WHERE tries OPERATOR(pg_catalog.<) 3;
COMMENT ON TABLE observ_data.rollup_dirty IS 'Rolled-up buckets that late rows have made wrong; observ.roll_up() recomputes them, oldest first';
COMMENT ON COLUMN observ_data.rollup_dirty.source IS 'raw table';
COMMENT ON COLUMN observ_data.rollup_dirty.key IS 'set_no or url of the rolled-up row';
COMMENT ON COLUMN observ_data.rollup_dirty."timestamp" IS 'start of the 5-minute bucket';
COMMENT ON COLUMN observ_data.rollup_dirty.tries IS 'how often it has failed; after 3 times it is left aside';
COMMENT ON COLUMN observ_data.rollup_dirty.error IS 'why it failed last';

-- ---- retention
CREATE TABLE observ.retention_policies (
	data_set text COLLATE "C" PRIMARY KEY CONSTRAINT retention_policies_data_set_known CHECK (data_set OPERATOR(pg_catalog.=) ANY (ARRAY[
		'vps_metrics', 'health_checks', 'log_entries', 'alerts', 'metric_samples', 'rollup_5m', 'rollup_1h', 'events'])),
	max_age interval CONSTRAINT retention_policies_max_age_at_least_1_hour CHECK (max_age OPERATOR(pg_catalog.>=) interval '1 hour'),
	max_size bigint CONSTRAINT retention_policies_max_size_at_least_1_mb CHECK (max_size OPERATOR(pg_catalog.>=) 1048576),
	enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE observ.retention_policies IS 'How long and how much of each data set is kept, carried out by observ.apply_retention(); change it by UPDATE. observ.retention_preview() says what goes, and when';
COMMENT ON COLUMN observ.retention_policies.data_set IS 'a table of that name, or alerts (alert_history and notification_decisions; resolved alerts, finished notifications and silences go row by row), metric_samples (labelled metrics: observ.metric_scrapes), rollup_5m (metrics_5m and health_5m), rollup_1h (metrics_1h and health_1h)';
COMMENT ON COLUMN observ.retention_policies.max_age IS 'a partition is dropped when all of it is older; months count 30 days. NULL: kept for ever';
COMMENT ON COLUMN observ.retention_policies.max_size IS 'bytes, indexes included: the oldest partitions are dropped until the data set fits; pg_size_bytes(''10 GB'') helps. NULL: no limit';
COMMENT ON COLUMN observ.retention_policies.enabled IS 'false: nothing of it is dropped';
INSERT INTO observ.retention_policies (data_set, max_age) VALUES
	('vps_metrics', '90 days'), ('health_checks', '90 days'), ('log_entries', '30 days'), ('alerts', '90 days'),
	('metric_samples', '30 days'), ('rollup_5m', '180 days'), ('rollup_1h', '800 days'), ('events', '800 days');

CREATE TABLE observ_data.retention_state (
	table_name text COLLATE "C" PRIMARY KEY,
	data_set text COLLATE "C" NOT NULL,
	dropped_to timestamptz NOT NULL
);
COMMENT ON TABLE observ_data.retention_state IS 'How far observ.apply_retention() has dropped each table';
COMMENT ON COLUMN observ_data.retention_state.dropped_to IS 'end of the newest partition dropped; while max_size is set, nothing before it is made again';

CREATE TABLE observ_data.retention_detached (
	relname name PRIMARY KEY,
	table_name text COLLATE "C" NOT NULL,
	"from" timestamptz NOT NULL,
	"to" timestamptz NOT NULL
);
COMMENT ON TABLE observ_data.retention_detached IS 'Partitions that the scheduler detaches, or has detached, because they could not be dropped at once; dropped when nobody reads them any more';
COMMENT ON COLUMN observ_data.retention_detached.relname IS 'table of schema observ_data';
COMMENT ON COLUMN observ_data.retention_detached.table_name IS 'table of schema observ that it is, or was, a partition of';

-- ---- logs: docs/logs.md
CREATE TABLE observ.log_templates (
	fingerprint bigint PRIMARY KEY,
	app_name text COLLATE "C" NOT NULL,
	level text COLLATE "C" NOT NULL,
	template text NOT NULL,
	sample_message text NOT NULL,
	first_seen timestamptz NOT NULL,
	last_seen timestamptz NOT NULL,
	count bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE observ.log_templates IS 'Kinds of log messages: what messages have in common when their variable parts are masked. Kept by observ.update_log_templates()';
COMMENT ON COLUMN observ.log_templates.fingerprint IS '64-bit hash of application, level and template, the same everywhere; 0: all messages beyond observ.log_templates_max templates';
COMMENT ON COLUMN observ.log_templates.level IS 'level in lower case';
COMMENT ON COLUMN observ.log_templates.template IS 'first line of the message with <*> for what varies';
COMMENT ON COLUMN observ.log_templates.sample_message IS 'the first such message';
COMMENT ON COLUMN observ.log_templates.first_seen IS 'earliest timestamp of such an entry';
COMMENT ON COLUMN observ.log_templates.last_seen IS 'latest timestamp; a template whose entries have all been dropped goes, too';
COMMENT ON COLUMN observ.log_templates.count IS 'entries since first_seen, also those that have been dropped since';

CREATE TABLE observ.log_template_counts (
	"timestamp" timestamptz NOT NULL,
	fingerprint bigint NOT NULL,
	count bigint NOT NULL,
	PRIMARY KEY ("timestamp", fingerprint)
) WITH (fillfactor = 70);
COMMENT ON TABLE observ.log_template_counts IS 'Entries per template and hour';
COMMENT ON COLUMN observ.log_template_counts."timestamp" IS 'start of the hour';

CREATE TABLE observ.log_counts (
	"timestamp" timestamptz NOT NULL,
	app_name text COLLATE "C",
	level text COLLATE "C" NOT NULL,
	count bigint NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX log_counts_key ON observ.log_counts (app_name, "timestamp", level) NULLS NOT DISTINCT;
COMMENT ON TABLE observ.log_counts IS 'Log entries per application, level and 5 minutes, up to what observ.update_log_templates() has counted; read it through observ.log_histogram()';
COMMENT ON COLUMN observ.log_counts.app_name IS 'NULL: all applications together';
COMMENT ON COLUMN observ.log_counts."timestamp" IS 'start of the 5 minutes';
COMMENT ON COLUMN observ.log_counts.level IS 'level in lower case';

CREATE TABLE observ_data.log_state (
	horizon timestamptz NOT NULL,
	trimmed_to timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.log_state IS 'One row: how far observ.update_log_templates() has come';
COMMENT ON COLUMN observ_data.log_state.horizon IS 'every entry received before this is counted, no other';
COMMENT ON COLUMN observ_data.log_state.trimmed_to IS 'counts of earlier timestamps have been deleted with their partitions';
INSERT INTO observ_data.log_state VALUES ('-infinity', '-infinity');

-- ---- peers, maintenance windows
CREATE TABLE observ.maintenance_windows (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name text,
	comment text,
	vps_name text COLLATE "C",
	app_name text COLLATE "C",
	selector text,
	starts_at timestamptz NOT NULL,
	ends_at timestamptz NOT NULL,
	times jsonb,
	timezone text NOT NULL DEFAULT 'UTC',
	created_by name NOT NULL DEFAULT CURRENT_USER,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT maintenance_windows_order CHECK (ends_at OPERATOR(pg_catalog.>) starts_at)
);
COMMENT ON TABLE observ.maintenance_windows IS 'Times in which failures are expected: health checks in them count neither way (observ.sla), alerts about the VPS or application are not told. A row per window, overlaps are no harm';
COMMENT ON COLUMN observ.maintenance_windows.name IS 'what is done, in a few words';
COMMENT ON COLUMN observ.maintenance_windows.vps_name IS 'VPS that it concerns; NULL: every VPS';
COMMENT ON COLUMN observ.maintenance_windows.app_name IS 'application that it concerns; NULL: every application';
COMMENT ON COLUMN observ.maintenance_windows.selector IS 'VPSs that it concerns, by vps_name and the labels of observ.vps: {env="staging"}; NULL: as vps_name says';
COMMENT ON COLUMN observ.maintenance_windows.starts_at IS 'first moment in the window; of one that recurs: from when on it does';
COMMENT ON COLUMN observ.maintenance_windows.ends_at IS 'first moment after it; infinity: until somebody changes it, for windows that recur or say whom they concern';
COMMENT ON COLUMN observ.maintenance_windows.times IS 'when it recurs between starts_at and ends_at, as observ.time_intervals.times; NULL: it is one window';
COMMENT ON COLUMN observ.maintenance_windows.timezone IS 'IANA time zone of times';
COMMENT ON COLUMN observ.maintenance_windows.created_by IS 'role that entered it';
CREATE TABLE observ.peers (
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL DEFAULT '',
	direction text COLLATE "C" NOT NULL CONSTRAINT peers_direction_known CHECK (direction OPERATOR(pg_catalog.=) ANY (ARRAY['outbound', 'inbound'])),
	protocol text COLLATE "C" NOT NULL DEFAULT 'tcp',
	address inet NOT NULL,
	port integer NOT NULL CONSTRAINT peers_port_range CHECK (port OPERATOR(pg_catalog.>=) 0 AND port OPERATOR(pg_catalog.<=) 65535),
	connections bigint NOT NULL DEFAULT 1,
	first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (vps_name, app_name, direction, protocol, address, port)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE observ.peers IS 'Other ends of the connections of each VPS, as its collectors report them (observ.record_peers()); read it through observ.topology()';
COMMENT ON COLUMN observ.peers.vps_name IS 'VPS that reported it';
COMMENT ON COLUMN observ.peers.app_name IS 'application on that VPS; empty: not known';
COMMENT ON COLUMN observ.peers.direction IS 'outbound: the VPS connects to the address; inbound: the address connects to the VPS';
COMMENT ON COLUMN observ.peers.address IS 'address of the other end';
COMMENT ON COLUMN observ.peers.port IS 'port of the side that listens: of the other end when outbound, of the VPS when inbound';
COMMENT ON COLUMN observ.peers.connections IS 'connections open at the latest report';

CREATE TABLE observ.vps_addresses (
	vps_name text COLLATE "C" NOT NULL,
	address inet NOT NULL,
	source text COLLATE "C" NOT NULL DEFAULT 'registered' CONSTRAINT vps_addresses_source_known CHECK (source OPERATOR(pg_catalog.=) ANY (ARRAY['registered', 'reported'])),
	last_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (vps_name, address)
);
CREATE INDEX vps_addresses_address_idx ON observ.vps_addresses (address);
COMMENT ON TABLE observ.vps_addresses IS 'Addresses of VPSs: observ.topology() finds out by them which VPS a peer is';
COMMENT ON COLUMN observ.vps_addresses.source IS 'registered: entered by hand, goes before what is reported; reported: by the VPS''s own collector';
COMMENT ON COLUMN observ.vps_addresses.last_seen IS 'latest report; those not reported for 7 days don''t count';

-- ---- alerting: docs/alerting.md has the shape
CREATE TABLE observ.alert_rules (
	rule_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL CONSTRAINT alert_rules_name_key UNIQUE,
	description text,
	category text COLLATE "C" NOT NULL DEFAULT 'custom',
	source text COLLATE "C" NOT NULL,
	metric_name text COLLATE "C",
	matchers text,
	aggregate text COLLATE "C" NOT NULL DEFAULT 'last',
	"window" interval,
	predict_ahead interval,
	predict_from float8,
	operator text COLLATE "C" NOT NULL DEFAULT 'gt',
	threshold float8,
	clear_threshold float8,
	query text,
	selector text,
	per_app boolean NOT NULL DEFAULT true,
	min_samples integer NOT NULL DEFAULT 1,
	for_duration interval NOT NULL DEFAULT '0',
	keep_firing_for interval NOT NULL DEFAULT '0',
	evaluation_interval interval,
	evaluation_delay interval NOT NULL DEFAULT '0',
	no_data text COLLATE "C" NOT NULL DEFAULT 'keep',
	on_missing text COLLATE "C" NOT NULL DEFAULT 'resolve',
	missing_for interval,
	reopen_window interval NOT NULL DEFAULT '10 minutes',
	flap_detection boolean NOT NULL DEFAULT true,
	severity observ.severity NOT NULL DEFAULT 'warning',
	enabled boolean NOT NULL DEFAULT true,
	labels jsonb NOT NULL DEFAULT '{}',
	annotations jsonb NOT NULL DEFAULT '{}',
	notification_channels text[],
	runbook_url text,
	owner name NOT NULL DEFAULT CURRENT_USER,
	version integer NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	shipped_as text
);
COMMENT ON TABLE observ.alert_rules IS 'Alert rules: managed by INSERT, UPDATE and DELETE, or observ.create_alert_rule(). A rule that can''t work is refused';
COMMENT ON COLUMN observ.alert_rules.name IS 'name; label alertname of its alerts';
COMMENT ON COLUMN observ.alert_rules.category IS 'label category of its alerts';
COMMENT ON COLUMN observ.alert_rules.source IS 'where the values come from: vps_metrics, health_checks, log_entries, metric_samples, absence, query; left out: found out from metric_name or query';
COMMENT ON COLUMN observ.alert_rules.metric_name IS 'what is measured: observ.alert_metrics() lists the names; with source metric_samples the name of a labelled metric';
COMMENT ON COLUMN observ.alert_rules.matchers IS 'which series, checks or log entries: {mount="/var"}, {url=~"https:.*"}, {level=~"error|fatal",message=~".*timeout.*"}';
COMMENT ON COLUMN observ.alert_rules.aggregate IS 'what is made of the samples in the window: last, avg, min, max, sum, count, p50, p95, p99, rate, increase, delta, stddev, predict, anomaly';
COMMENT ON COLUMN observ.alert_rules."window" IS 'samples later than at - window count; needed for every aggregate but last';
COMMENT ON COLUMN observ.alert_rules.predict_ahead IS 'aggregate predict: how far ahead the line through the window is followed';
COMMENT ON COLUMN observ.alert_rules.predict_from IS 'aggregate predict: only where the newest value is beyond this (gt: above, lt: below), else the value is that one; NULL: always';
COMMENT ON COLUMN observ.alert_rules.operator IS 'gt, gte, lt, lte, eq, ne: how value compares to threshold when the rule is true';
COMMENT ON COLUMN observ.alert_rules.clear_threshold IS 'hysteresis: what fires clears only when the value is beyond this on the other side (gt: not above it). NULL: threshold';
COMMENT ON COLUMN observ.alert_rules.query IS 'SQL instead of a metric: returns a row per instance with columns labels (jsonb), value (float8) and breach (boolean); $1 is the time of the evaluation. Run read-only as owner, with observ.rule_statement_timeout';
COMMENT ON COLUMN observ.alert_rules.selector IS 'VPSs that it is about, by vps_name, app_name and the labels of observ.vps: {env="prod"}. NULL: all';
COMMENT ON COLUMN observ.alert_rules.per_app IS 'true: an alert per application; false: one per VPS, whichever application''s collector reports it';
COMMENT ON COLUMN observ.alert_rules.min_samples IS 'fewer samples in the window are no data';
COMMENT ON COLUMN observ.alert_rules.for_duration IS 'how long it must be true before it fires';
COMMENT ON COLUMN observ.alert_rules.keep_firing_for IS 'how long it must be clear before it is resolved';
COMMENT ON COLUMN observ.alert_rules.evaluation_interval IS 'how often it is evaluated; NULL: at every evaluation (observ.evaluation_interval)';
COMMENT ON COLUMN observ.alert_rules.evaluation_delay IS 'evaluated as of this much earlier, for samples that arrive late';
COMMENT ON COLUMN observ.alert_rules.no_data IS 'when nothing comes from a source any more: keep (its alerts stay as they are), resolve, alert (it is taken as true)';
COMMENT ON COLUMN observ.alert_rules.on_missing IS 'when the source goes on but one series has no samples any more: resolve, keep, alert';
COMMENT ON COLUMN observ.alert_rules.missing_for IS 'on_missing resolve or alert happens after this long; NULL: 2 evaluations';
COMMENT ON COLUMN observ.alert_rules.reopen_window IS 'what fires again so soon after it was resolved goes on with the same alert';
COMMENT ON COLUMN observ.alert_rules.labels IS 'labels that its alerts get, constant: values and templates are for annotations';
COMMENT ON COLUMN observ.alert_rules.annotations IS 'texts for people, with templates: {{ value }}, {{ labels.vps_name }}; summary and description are shown everywhere';
COMMENT ON COLUMN observ.alert_rules.notification_channels IS 'who is told, instead of the channels of the route; NULL: the route''s';
COMMENT ON COLUMN observ.alert_rules.owner IS 'role that query runs as: who entered it';
COMMENT ON COLUMN observ.alert_rules.version IS 'counts changes';
COMMENT ON COLUMN observ.alert_rules.shipped_as IS 'of a rule that came with observ: hash of it as it came; rules that still have it follow when observ is updated';

CREATE TABLE observ_data.rule_state (
	rule_id bigint PRIMARY KEY,
	version integer NOT NULL,
	evaluated_at timestamptz,
	errors integer NOT NULL DEFAULT 0,
	last_error text,
	last_error_sqlstate text,
	error_since timestamptz,
	data_seen_at timestamptz,
	overflow integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.rule_state IS 'What observ.evaluate_alerts() knows of each rule; written when it changes. Read it through observ.rule_status';
COMMENT ON COLUMN observ_data.rule_state.version IS 'version of the rule that was evaluated last';
COMMENT ON COLUMN observ_data.rule_state.evaluated_at IS 'of rules with an evaluation_interval of their own: when';
COMMENT ON COLUMN observ_data.rule_state.errors IS 'evaluations in a row that failed';
COMMENT ON COLUMN observ_data.rule_state.data_seen_at IS 'when it last had any instance to look at, or up to an hour before it';
COMMENT ON COLUMN observ_data.rule_state.overflow IS 'instances that are true beyond observ.max_alerts_per_rule';

CREATE TABLE observ_data.evaluation_state (
	evaluated_at timestamptz NOT NULL,
	dispatched_at timestamptz NOT NULL,
	routes_digest bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.evaluation_state IS 'One row: time of the latest evaluation and dispatch';
COMMENT ON COLUMN observ_data.evaluation_state.routes_digest IS 'hash of the routes that alerts were routed by';
INSERT INTO observ_data.evaluation_state (evaluated_at, dispatched_at) VALUES ('-infinity', '-infinity');

CREATE TABLE observ.alerts (
	alert_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	fingerprint text COLLATE "C" NOT NULL,
	rule_id bigint NOT NULL,
	status text COLLATE "C" NOT NULL CONSTRAINT alerts_status_known CHECK (status OPERATOR(pg_catalog.=) ANY (ARRAY['pending', 'firing', 'recovering', 'resolved'])),
	severity observ.severity NOT NULL,
	instance text COLLATE "C",
	app_name text COLLATE "C",
	labels jsonb NOT NULL,
	identity jsonb NOT NULL,
	annotations jsonb NOT NULL DEFAULT '{}',
	summary text,
	description text,
	value float8,
	peak_value float8,
	sampled_at timestamptz,
	active_at timestamptz NOT NULL,
	starts_at timestamptz,
	keep_since timestamptz,
	missing_since timestamptz,
	ends_at timestamptz,
	stale boolean NOT NULL DEFAULT false,
	reopened integer NOT NULL DEFAULT 0,
	flap_history integer NOT NULL DEFAULT 0,
	flap_at timestamptz,
	flapping boolean NOT NULL DEFAULT false,
	acknowledged_at timestamptz,
	acknowledged_by name,
	acknowledged_until timestamptz,
	acknowledged_sticky boolean,
	acknowledged_note text,
	resolved_reason text COLLATE "C",
	resolved_by name,
	resolved_note text,
	changes integer NOT NULL DEFAULT 0,
	unrouted boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX alerts_live_key ON observ.alerts (fingerprint) WHERE status OPERATOR(pg_catalog.<>) 'resolved';
CREATE INDEX alerts_fingerprint_idx ON observ.alerts (fingerprint, ends_at);
CREATE INDEX alerts_live_rule_idx ON observ.alerts (rule_id) WHERE status OPERATOR(pg_catalog.<>) 'resolved';
CREATE INDEX alerts_unrouted_idx ON observ.alerts (alert_id) WHERE unrouted;
CREATE INDEX alerts_ends_at_idx ON observ.alerts (ends_at) WHERE status OPERATOR(pg_catalog.=) 'resolved';
CREATE INDEX alerts_acknowledged_until_idx ON observ.alerts (acknowledged_until) WHERE status OPERATOR(pg_catalog.<>) 'resolved' AND acknowledged_until IS NOT NULL;
CREATE INDEX alerts_starts_at_idx ON observ.alerts (starts_at);
COMMENT ON TABLE observ.alerts IS 'Alerts, a row per episode; written by observ.evaluate_alerts(). What led to it: observ.alert_history, observ.explain_alert()';
COMMENT ON COLUMN observ.alerts.fingerprint IS 'what the alert is about, the same for each episode: SHA-256 of rule and identity, 32 hexadecimal digits';
COMMENT ON COLUMN observ.alerts.status IS 'pending (true, but not for as long as for_duration), firing, recovering (clear, but not for as long as keep_firing_for), resolved';
COMMENT ON COLUMN observ.alerts.instance IS 'VPS; NULL: not about one';
COMMENT ON COLUMN observ.alerts.labels IS 'all labels as they were when it began: of the VPS, of the rule, of the instance, alertname, severity, category';
COMMENT ON COLUMN observ.alerts.identity IS 'the labels that tell it from other alerts of the rule';
COMMENT ON COLUMN observ.alerts.summary IS 'annotation summary, else one that says the value, the threshold and where; while it is active that of the latest change of value';
COMMENT ON COLUMN observ.alerts.value IS 'value at the latest evaluation, at the end that which cleared it';
COMMENT ON COLUMN observ.alerts.peak_value IS 'worst value while it fired';
COMMENT ON COLUMN observ.alerts.sampled_at IS 'timestamp of the newest sample behind value';
COMMENT ON COLUMN observ.alerts.active_at IS 'first evaluation that found the rule true';
COMMENT ON COLUMN observ.alerts.starts_at IS 'when it began to fire; NULL: it has not';
COMMENT ON COLUMN observ.alerts.keep_since IS 'recovering: since when it is clear';
COMMENT ON COLUMN observ.alerts.missing_since IS 'since when its series has no samples';
COMMENT ON COLUMN observ.alerts.ends_at IS 'when it was resolved';
COMMENT ON COLUMN observ.alerts.stale IS 'nothing comes from its source: it is kept as it was';
COMMENT ON COLUMN observ.alerts.reopened IS 'how often it fired again within reopen_window';
COMMENT ON COLUMN observ.alerts.flap_history IS 'changes at the last 20 evaluations, a bit each, the newest lowest (src/core/flapping.h)';
COMMENT ON COLUMN observ.alerts.flap_at IS 'time of the evaluation that the lowest bit is of';
COMMENT ON COLUMN observ.alerts.flapping IS 'it changes so often that its changes are not told';
COMMENT ON COLUMN observ.alerts.acknowledged_until IS 'until when the acknowledgement holds; NULL: as long as the alert lasts';
COMMENT ON COLUMN observ.alerts.acknowledged_sticky IS 'the acknowledgement holds also when the severity changes';
COMMENT ON COLUMN observ.alerts.resolved_reason IS 'cleared, manual, no_data, rule_changed, rule_disabled, rule_deleted, vps_retired, vps_deleted';
COMMENT ON COLUMN observ.alerts.changes IS 'counts changes of state';
COMMENT ON COLUMN observ.alerts.unrouted IS 'observ.dispatch_notifications() has not seen its latest change';

CREATE TABLE observ.alert_history (
	id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 64),
	"timestamp" timestamptz NOT NULL,
	alert_id bigint NOT NULL,
	rule_id bigint NOT NULL,
	fingerprint text COLLATE "C" NOT NULL,
	from_status text COLLATE "C",
	to_status text COLLATE "C" NOT NULL,
	event text COLLATE "C" NOT NULL,
	reason text,
	value float8,
	actor name
) PARTITION BY RANGE ("timestamp");
CREATE INDEX alert_history_alert_idx ON observ.alert_history (alert_id, "timestamp");
CREATE INDEX alert_history_timestamp_idx ON observ.alert_history ("timestamp");
COMMENT ON TABLE observ.alert_history IS 'Every change of state of every alert, in the transaction that made it';
COMMENT ON COLUMN observ.alert_history."timestamp" IS 'time of the evaluation, or of the person''s call';
COMMENT ON COLUMN observ.alert_history.from_status IS 'NULL: it began';
COMMENT ON COLUMN observ.alert_history.to_status IS 'as in observ.alerts; inactive: it was pending and cleared, and its row is gone';
COMMENT ON COLUMN observ.alert_history.event IS 'pending, firing, recovering, refiring, reopened, resolved, inactive, acknowledged, unacknowledged, flapping, steady, shifted';
COMMENT ON COLUMN observ.alert_history.reason IS 'why, where there is more to say than the event';
COMMENT ON COLUMN observ.alert_history.actor IS 'role of the person; NULL: an evaluation';

CREATE TABLE observ.notification_channels (
	name text COLLATE "C" PRIMARY KEY CONSTRAINT notification_channels_name_not_empty CHECK (name OPERATOR(pg_catalog.<>) ''),
	kind text COLLATE "C",
	config jsonb NOT NULL DEFAULT '{}',
	enabled boolean NOT NULL DEFAULT true,
	send_resolved boolean NOT NULL DEFAULT true,
	resolved_during_silence boolean NOT NULL DEFAULT true,
	fallback text COLLATE "C",
	rate_limit integer CONSTRAINT notification_channels_rate_limit_positive CHECK (rate_limit OPERATOR(pg_catalog.>) 0),
	burst integer CONSTRAINT notification_channels_burst_positive CHECK (burst OPERATOR(pg_catalog.>) 0),
	title_template text,
	body_template text,
	description text
);
COMMENT ON TABLE observ.notification_channels IS 'Where notifications go. A channel that rules or routes name and that is not here, or has no kind, gets notifications all the same, which wait';
COMMENT ON COLUMN observ.notification_channels.kind IS 'email, slack, webhook, …: see observ.channel_kinds; NULL: nothing is sent, notifications wait';
COMMENT ON COLUMN observ.notification_channels.config IS 'what the kind needs: see observ.channel_fields. Secrets are kept elsewhere, encrypted: here is secret:NAME';
COMMENT ON COLUMN observ.notification_channels.fallback IS 'channel that is told what could not be delivered through this one';
COMMENT ON COLUMN observ.notification_channels.rate_limit IS 'notifications per minute; NULL: what the service takes';
COMMENT ON COLUMN observ.notification_channels.burst IS 'notifications at once before that limit holds; NULL: what the service takes';
COMMENT ON COLUMN observ.notification_channels.title_template IS 'of the title; NULL: the usual one';
COMMENT ON COLUMN observ.notification_channels.body_template IS 'of the text; NULL: the form of the kind';
COMMENT ON COLUMN observ.notification_channels.enabled IS 'false: nobody is told through it';
COMMENT ON COLUMN observ.notification_channels.send_resolved IS 'whether it wants to know that an alert is over';
COMMENT ON COLUMN observ.notification_channels.resolved_during_silence IS 'false: not while a silence matches; for chat and mail. Whoever opens an incident must be told';
INSERT INTO observ.notification_channels (name, description) VALUES ('default', 'who is told when neither rule nor route says');

CREATE TABLE observ.time_intervals (
	name text COLLATE "C" PRIMARY KEY,
	timezone text NOT NULL DEFAULT 'UTC',
	times jsonb NOT NULL,
	description text
);
COMMENT ON TABLE observ.time_intervals IS 'Named times of the week or month for routes: routes.mute_time_intervals, routes.active_time_intervals';
COMMENT ON COLUMN observ.time_intervals.timezone IS 'IANA time zone; times are wall-clock times there, DST included';
COMMENT ON COLUMN observ.time_intervals.times IS 'array of objects as Alertmanager has them: times, weekdays, days_of_month, months, years; any of them matches';

CREATE TABLE observ.routes (
	route_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	parent_id bigint,
	position integer NOT NULL DEFAULT 100,
	name text COLLATE "C" NOT NULL CONSTRAINT routes_name_key UNIQUE,
	matchers text NOT NULL DEFAULT '{}',
	channels text[],
	group_by text[],
	group_wait interval,
	group_interval interval,
	repeat_interval interval[],
	"continue" boolean NOT NULL DEFAULT false,
	mute_time_intervals text[],
	active_time_intervals text[],
	enabled boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX routes_root_key ON observ.routes ((parent_id IS NULL)) WHERE parent_id IS NULL;
COMMENT ON TABLE observ.routes IS 'Tree of routes: an alert goes down to the deepest route that matches, the first of each parent''s children in the order of position, further ones where continue is set. What is NULL is inherited';
CREATE INDEX routes_parent_idx ON observ.routes (parent_id);
COMMENT ON COLUMN observ.routes.parent_id IS 'route above; triggers keep it right: with a foreign key to the same table pg_dump --data-only would warn';
COMMENT ON COLUMN observ.routes.matchers IS 'labels of alerts that take it: {severity=~"critical|emergency"}; sets joined by the word or are alternatives';
COMMENT ON COLUMN observ.routes.channels IS 'who is told, unless the rule has notification_channels';
COMMENT ON COLUMN observ.routes.group_by IS 'alerts with the same values of these labels share notifications; {...}: all labels, each alert alone';
COMMENT ON COLUMN observ.routes.group_wait IS 'first notification of a group comes this long after its first alert';
COMMENT ON COLUMN observ.routes.group_interval IS 'changes are told at the earliest this long after the flush before';
COMMENT ON COLUMN observ.routes.repeat_interval IS 'what still fires is told again after this long; several: first, second, … repetition, the last one from then on';
COMMENT ON COLUMN observ.routes.mute_time_intervals IS 'names of observ.time_intervals; in any of them nobody is told. Adds to those of its parents';
COMMENT ON COLUMN observ.routes.active_time_intervals IS 'names of observ.time_intervals; outside of all of them nobody is told. NULL: inherited';

CREATE TABLE observ.inhibition_rules (
	inhibition_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL CONSTRAINT inhibition_rules_name_key UNIQUE,
	source_matchers text NOT NULL,
	target_matchers text NOT NULL,
	equal text[] NOT NULL DEFAULT '{}',
	lower_severity boolean NOT NULL DEFAULT false,
	hold_on_pending boolean NOT NULL DEFAULT true,
	recovery_grace interval,
	enabled boolean NOT NULL DEFAULT true,
	description text
);
COMMENT ON TABLE observ.inhibition_rules IS 'While an alert that matches source_matchers fires, those that match target_matchers are not told, when the labels in equal are the same';
COMMENT ON COLUMN observ.inhibition_rules.equal IS 'labels that must have the same value on both; a label that is missing is empty';
COMMENT ON COLUMN observ.inhibition_rules.lower_severity IS 'only targets whose severity is lower than the source''s';
COMMENT ON COLUMN observ.inhibition_rules.hold_on_pending IS 'a pending source holds its targets back until it fires or is gone, at most for its for_duration and an evaluation';
COMMENT ON COLUMN observ.inhibition_rules.recovery_grace IS 'after the source is resolved a target is told only when a newer sample has confirmed it, or after this long; NULL: two evaluations of the target; 0: at once';

CREATE TABLE observ.silences (
	silence_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	matchers text NOT NULL,
	starts_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	ends_at timestamptz NOT NULL,
	comment text NOT NULL,
	ticket_url text,
	auto_expire_when_clear interval,
	created_by name NOT NULL DEFAULT CURRENT_USER,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	replaced_by bigint,
	clear_since timestamptz,
	CONSTRAINT silences_order CHECK (ends_at OPERATOR(pg_catalog.>=) starts_at),
	CONSTRAINT silences_end_finite CHECK (pg_catalog.isfinite(ends_at) AND pg_catalog.isfinite(starts_at))
);
CREATE INDEX silences_ends_at_idx ON observ.silences (ends_at);
COMMENT ON TABLE observ.silences IS 'Silences: nobody is told of new trouble with alerts that match, from starts_at until before ends_at. Made by observ.silence() or INSERT; never deleted, ended by observ.expire_silence()';
COMMENT ON COLUMN observ.silences.matchers IS 'as in Alertmanager: {vps_name="db-1",severity!="emergency"}; regular expressions must match the whole value; sets joined by the word or are alternatives';
COMMENT ON COLUMN observ.silences.auto_expire_when_clear IS 'ends by itself when nothing that matches has been active for this long';
COMMENT ON COLUMN observ.silences.created_by IS 'role that made it: the database''s word';
COMMENT ON COLUMN observ.silences.replaced_by IS 'the silence that took its place when its matchers or start were edited';

CREATE TABLE observ.silence_audit (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	"timestamp" timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	silence_id bigint NOT NULL,
	action text COLLATE "C" NOT NULL,
	actor name NOT NULL DEFAULT SESSION_USER,
	acting_as name NOT NULL DEFAULT CURRENT_USER,
	before jsonb,
	after jsonb
);
CREATE INDEX silence_audit_silence_idx ON observ.silence_audit (silence_id);
COMMENT ON TABLE observ.silence_audit IS 'Who did what to which silence; written by a trigger';
COMMENT ON COLUMN observ.silence_audit."timestamp" IS 'by the clock of the database';
COMMENT ON COLUMN observ.silence_audit.actor IS 'role that logged in';
COMMENT ON COLUMN observ.silence_audit.acting_as IS 'role that the session had taken (SET ROLE); observ_owner: observ itself';
COMMENT ON COLUMN observ.silence_audit.action IS 'created, extended, shortened, edited, replaced, expired';

CREATE TABLE observ.escalations (
	escalation_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL CONSTRAINT escalations_name_key UNIQUE,
	matchers text NOT NULL DEFAULT '{}',
	after interval NOT NULL CONSTRAINT escalations_after_positive CHECK (after OPERATOR(pg_catalog.>=) interval '0'),
	channels text[] NOT NULL,
	repeat_interval interval,
	enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE observ.escalations IS 'Who else is told when an alert that matches has fired for a while and nobody has acknowledged it; a row per step';
COMMENT ON COLUMN observ.escalations.after IS 'time that the alert has fired unacknowledged and not muted; muted times are left out';
COMMENT ON COLUMN observ.escalations.repeat_interval IS 'told again after this long; NULL: once';

CREATE TABLE observ_data.alert_groups (
	group_key text COLLATE "C" PRIMARY KEY,
	route_id bigint NOT NULL,
	labels jsonb NOT NULL,
	opened_at timestamptz NOT NULL,
	last_flush_at timestamptz,
	next_flush_at timestamptz NOT NULL,
	escalation_id bigint
) WITH (fillfactor = 50);
CREATE INDEX alert_groups_next_flush_idx ON observ_data.alert_groups (next_flush_at);
CREATE INDEX alert_groups_escalation_idx ON observ_data.alert_groups (escalation_id) WHERE escalation_id IS NOT NULL;
COMMENT ON TABLE observ_data.alert_groups IS 'Groups of alerts that share notifications, and when each is flushed next';
COMMENT ON COLUMN observ_data.alert_groups.group_key IS 'hash of route, escalation and group labels';
COMMENT ON COLUMN observ_data.alert_groups.labels IS 'group labels';
COMMENT ON COLUMN observ_data.alert_groups.escalation_id IS 'those of the alerts that this step of an escalation takes; NULL: the group of the route itself';

CREATE TABLE observ_data.group_members (
	group_key text COLLATE "C" NOT NULL,
	alert_id bigint NOT NULL,
	departed boolean NOT NULL DEFAULT false,
	suppressed text COLLATE "C",
	due_at timestamptz,
	PRIMARY KEY (group_key, alert_id)
) WITH (fillfactor = 70);
CREATE INDEX group_members_alert_idx ON observ_data.group_members (alert_id);
CREATE INDEX group_members_held_idx ON observ_data.group_members (alert_id) WHERE suppressed OPERATOR(pg_catalog.=) ANY (ARRAY['hold', 'grace']);
COMMENT ON TABLE observ_data.group_members IS 'Which alerts are in which group, until they are resolved and everybody who was told knows';
COMMENT ON COLUMN observ_data.group_members.departed IS 'routes or labels lead elsewhere now: only the end is told here, to those who were told';
COMMENT ON COLUMN observ_data.group_members.suppressed IS 'why trouble with it was not told at the latest flush: inhibition, hold, grace, silence, maintenance, mute_time_interval. NULL: it was';
COMMENT ON COLUMN observ_data.group_members.due_at IS 'in a group of an escalation: since when its channels are to be told; NULL: not yet';

CREATE TABLE observ_data.escalation_clocks (
	alert_id bigint PRIMARY KEY,
	waited_us bigint NOT NULL,
	running_since timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE observ_data.escalation_clocks IS 'For how long alerts that escalations take have fired unacknowledged and not muted';
COMMENT ON COLUMN observ_data.escalation_clocks.waited_us IS 'microseconds until the clock last began to run';
COMMENT ON COLUMN observ_data.escalation_clocks.running_since IS 'when that was; NULL: it stands still';

CREATE TABLE observ_data.told (
	alert_id bigint NOT NULL,
	group_key text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL CONSTRAINT told_state_known CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['firing', 'resolved'])),
	told_at timestamptz NOT NULL,
	reason text,
	flapping boolean NOT NULL DEFAULT false,
	acknowledged boolean NOT NULL DEFAULT false,
	since_seq integer NOT NULL DEFAULT 0,
	PRIMARY KEY (alert_id, group_key, channel)
) WITH (fillfactor = 70);
CREATE INDEX told_group_idx ON observ_data.told (group_key, channel);
COMMENT ON TABLE observ_data.told IS 'What each channel was last told of each alert; kept until the episode is closed there';
COMMENT ON COLUMN observ_data.told.reason IS 'of the notification; NULL: the channel does not want to know of ends';
COMMENT ON COLUMN observ_data.told.flapping IS 'it was told that the alert flaps';
COMMENT ON COLUMN observ_data.told.since_seq IS 'number of the notification that first said that it fires: the channel has heard of it when that one, or a later one, was delivered';
COMMENT ON COLUMN observ_data.told.acknowledged IS 'it was told that somebody looks after it';

CREATE TABLE observ_data.group_channels (
	group_key text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	seq integer NOT NULL DEFAULT 0,
	incident integer NOT NULL DEFAULT 1,
	repeats integer NOT NULL DEFAULT 0,
	sent_at timestamptz,
	decision bigint NOT NULL DEFAULT 0,
	decided_at timestamptz,
	delivered_seq integer NOT NULL DEFAULT 0,
	PRIMARY KEY (group_key, channel)
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.group_channels IS 'Per group and channel: number and time of the latest notification. Stays for 30 days when the group is gone';
COMMENT ON COLUMN observ_data.group_channels.seq IS 'number of the latest notification, never used again';
COMMENT ON COLUMN observ_data.group_channels.incident IS 'seq of the notification that the incident began with; it lasts until all is resolved';
COMMENT ON COLUMN observ_data.group_channels.repeats IS 'repetitions since something last changed';
COMMENT ON COLUMN observ_data.group_channels.delivered_seq IS 'number of the latest notification that was delivered; 0: none';
COMMENT ON COLUMN observ_data.group_channels.sent_at IS 'logical time of the flush that made the latest notification';
COMMENT ON COLUMN observ_data.group_channels.decision IS 'hash of the latest decision: the same again goes on in its row of observ.notification_decisions';
COMMENT ON COLUMN observ_data.group_channels.decided_at IS 'timestamp of that row; NULL: something was sent';

CREATE TABLE observ.notifications (
	notification_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	"timestamp" timestamptz NOT NULL,
	channel text COLLATE "C" NOT NULL,
	group_key text COLLATE "C" NOT NULL,
	seq integer NOT NULL,
	route text COLLATE "C",
	incident_key text COLLATE "C" NOT NULL,
	idempotency_key text COLLATE "C" NOT NULL CONSTRAINT notifications_idempotency_key UNIQUE,
	reason text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL CONSTRAINT notifications_state_known CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['firing', 'resolved'])),
	severity observ.severity NOT NULL,
	title text NOT NULL,
	group_labels jsonb NOT NULL,
	alerts jsonb NOT NULL,
	firing integer NOT NULL,
	resolved integer NOT NULL,
	status text COLLATE "C" NOT NULL DEFAULT 'queued' CONSTRAINT notifications_status_known CHECK (status OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'sending', 'retry', 'sent', 'dead', 'cancelled'])),
	not_before timestamptz,
	lease_until timestamptz,
	attempts integer NOT NULL DEFAULT 0,
	step integer NOT NULL DEFAULT 0,
	finished_at timestamptz,
	last_error text,
	receipt text,
	superseded_by bigint,
	fallback_of bigint,
	resend_of bigint,
	CONSTRAINT notifications_seq_key UNIQUE (channel, group_key, seq)
) WITH (fillfactor = 70);
CREATE INDEX notifications_timestamp_idx ON observ.notifications ("timestamp");
COMMENT ON TABLE observ.notifications IS 'The outbox: who is to be told what, and why; made by observ.dispatch_notifications()';
COMMENT ON COLUMN observ.notifications.route IS 'name of the route; NULL: it is gone, its channels are told what ends';
COMMENT ON COLUMN observ.notifications."timestamp" IS 'time of the flush that made it';
COMMENT ON COLUMN observ.notifications.seq IS 'counts within channel and group; notifications are sent in this order. Those of observ.resend() count down from -1';
COMMENT ON COLUMN observ.notifications.incident_key IS 'the same from the first notification of a group until all of it is resolved: dedup_key, alias, thread';
COMMENT ON COLUMN observ.notifications.idempotency_key IS 'the same at each attempt to send it, different from all others';
COMMENT ON COLUMN observ.notifications.reason IS 'first notification, new alerts added, some alerts resolved, all alerts resolved, repeat interval elapsed, unsuppressed, escalation, flapping, flapping ended, acknowledged, acknowledgement expired';
COMMENT ON COLUMN observ.notifications.state IS 'firing when any of all its alerts fires';
COMMENT ON COLUMN observ.notifications.alerts IS 'array of alerts as they were at the flush, new ones first, at most 20 that fire and 10 resolved; mark: new, still, resolved';
COMMENT ON COLUMN observ.notifications.firing IS 'how many fire, also those that are not in alerts';
COMMENT ON COLUMN observ.notifications.status IS 'queued; sending, until lease_until; retry, after not_before; sent; dead: given up; cancelled: there was nothing left to say';
COMMENT ON COLUMN observ.notifications.step IS 'which part is sent next, from 0, of a channel that sends several (phone numbers)';
COMMENT ON COLUMN observ.notifications.receipt IS 'what the service calls it';
COMMENT ON COLUMN observ.notifications.superseded_by IS 'notification that says what this one would have said';
COMMENT ON COLUMN observ.notifications.fallback_of IS 'notification that could not be delivered, whose channel has this one as fallback';
COMMENT ON COLUMN observ.notifications.resend_of IS 'notification that observ.resend() repeats';

CREATE TABLE observ.notification_decisions (
	id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 64),
	"timestamp" timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	flushes integer NOT NULL DEFAULT 1,
	group_key text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	route text COLLATE "C",
	decision text COLLATE "C" NOT NULL,
	reason text NOT NULL,
	notification_id bigint,
	firing integer NOT NULL,
	resolved integer NOT NULL,
	suppressed jsonb
) PARTITION BY RANGE ("timestamp");
CREATE INDEX notification_decisions_group_idx ON observ.notification_decisions (group_key, channel, "timestamp");
CREATE INDEX notification_decisions_timestamp_idx ON observ.notification_decisions ("timestamp");
COMMENT ON TABLE observ.notification_decisions IS 'What each flush of a group decided for each channel, and why: sent, or not. The same decision flush after flush is one row';
COMMENT ON COLUMN observ.notification_decisions."timestamp" IS 'first flush that decided so';
COMMENT ON COLUMN observ.notification_decisions.last_at IS 'latest flush that did';
COMMENT ON COLUMN observ.notification_decisions.flushes IS 'how many did';
COMMENT ON COLUMN observ.notification_decisions.decision IS 'sent, nothing_new, suppressed, no_channel';
COMMENT ON COLUMN observ.notification_decisions.suppressed IS 'object: alert_id -> why it was left out: {"by":"silence","id":3,"rule":"its comment"}, inhibition, hold, grace, maintenance, mute_time_interval, flapping, acknowledged';

-- ---- delivery of notifications
CREATE TABLE observ.notification_attempts (
	id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 64),
	"timestamp" timestamptz NOT NULL,
	notification_id bigint,
	channel text COLLATE "C" NOT NULL,
	kind text COLLATE "C",
	attempt integer NOT NULL,
	step integer NOT NULL DEFAULT 0,
	outcome text COLLATE "C" NOT NULL,
	status_code integer,
	phase text COLLATE "C",
	error text,
	excerpt text,
	latency_ms double precision,
	retry_after interval,
	address text COLLATE "C"
) PARTITION BY RANGE ("timestamp");
CREATE INDEX notification_attempts_notification_idx ON observ.notification_attempts (notification_id);
CREATE INDEX notification_attempts_timestamp_idx ON observ.notification_attempts ("timestamp");
COMMENT ON TABLE observ.notification_attempts IS 'Every attempt to deliver a notification, and what came of it';
COMMENT ON COLUMN observ.notification_attempts."timestamp" IS 'when it ended';
COMMENT ON COLUMN observ.notification_attempts.notification_id IS 'NULL: observ.test_channel()';
COMMENT ON COLUMN observ.notification_attempts.attempt IS 'counts from 1';
COMMENT ON COLUMN observ.notification_attempts.outcome IS 'sent, retry, dead, unknown (the notifier was gone before it heard)';
COMMENT ON COLUMN observ.notification_attempts.status_code IS 'of HTTP or SMTP; NULL: no answer';
COMMENT ON COLUMN observ.notification_attempts.phase IS 'where it ended when there was no answer: render, resolve, connect, tls, send, answer, body';
COMMENT ON COLUMN observ.notification_attempts.excerpt IS 'of the answer, secrets replaced by ***';
COMMENT ON COLUMN observ.notification_attempts.retry_after IS 'for how long the receiver asked to be left alone';

CREATE TABLE observ_data.deliveries (
	channel text COLLATE "C" NOT NULL,
	group_key text COLLATE "C" NOT NULL,
	seq integer NOT NULL,
	notification_id bigint NOT NULL,
	emergency boolean NOT NULL,
	lane smallint NOT NULL,
	due_at timestamptz NOT NULL,
	made_at timestamptz NOT NULL,
	failures smallint NOT NULL DEFAULT 0,
	parts text COLLATE "C" NOT NULL DEFAULT '-',
	PRIMARY KEY (channel, group_key, seq)
) WITH (fillfactor = 70);
CREATE INDEX deliveries_lane_idx ON observ_data.deliveries (lane, channel, due_at);
CREATE INDEX deliveries_age_idx ON observ_data.deliveries (emergency, made_at);
COMMENT ON TABLE observ_data.deliveries IS 'The queue of the notifier: a row per notification that is not over. Narrow, so that a change of it does not touch the notification and its indexes';
COMMENT ON COLUMN observ_data.deliveries.lane IS '0: emergencies that are to be sent, 1: others, 2: under way, 3: behind an earlier one of its channel and group';
COMMENT ON COLUMN observ_data.deliveries.due_at IS 'in lanes 0 and 1 not before; in lane 2 end of the lease';
COMMENT ON COLUMN observ_data.deliveries.made_at IS 'timestamp of the notification: what its age is counted from';
COMMENT ON COLUMN observ_data.deliveries.failures IS 'how often what was left of it has failed: each part that is to be sent has had its turn so often';
COMMENT ON COLUMN observ_data.deliveries.parts IS 'a character for each part (telephone number): - is to be sent; ? too, may have arrived, and the channel does not know what comes twice; + is delivered; x is given up';

CREATE TABLE observ_data.channel_state (
	channel text COLLATE "C" PRIMARY KEY,
	blocked_until timestamptz,
	claimed_at timestamptz,
	tokens double precision,
	tokens_at timestamptz,
	failures integer NOT NULL DEFAULT 0,
	last_success_at timestamptz,
	last_failure_at timestamptz,
	last_error text,
	channel_xmin xid
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.channel_state IS 'How each channel stands: whether it asked to be left alone, what its rate limit still allows, failures in a row';
COMMENT ON COLUMN observ_data.channel_state.claimed_at IS 'when something was last sent: channels take turns';
COMMENT ON COLUMN observ_data.channel_state.tokens IS 'of the bucket of its rate limit, at tokens_at; NULL: full';
COMMENT ON COLUMN observ_data.channel_state.failures IS 'attempts in a row that failed';
COMMENT ON COLUMN observ_data.channel_state.channel_xmin IS 'xmin of the row of observ.notification_channels that failures and blocked_until are about: when that is another one, the channel was changed, and they count no more';

CREATE TABLE observ_data.secrets (
	name text COLLATE "C" PRIMARY KEY CONSTRAINT secrets_name_not_empty CHECK (name OPERATOR(pg_catalog.<>) ''),
	nonce bytea NOT NULL,
	value bytea NOT NULL,
	key_id text COLLATE "C" NOT NULL,
	updated_at timestamptz NOT NULL
);
COMMENT ON TABLE observ_data.secrets IS 'Secrets of channels, encrypted (AES-256-GCM); the key is in the data directory, not in the database';
COMMENT ON COLUMN observ_data.secrets.value IS 'ciphertext and tag; the name is authenticated with it';
COMMENT ON COLUMN observ_data.secrets.key_id IS 'which key: first 16 hexadecimal digits of its SHA-256';

CREATE TABLE observ_data.test_alerts (
	test_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	severity observ.severity NOT NULL,
	labels jsonb NOT NULL,
	starts_at timestamptz NOT NULL,
	ends_at timestamptz NOT NULL
);
COMMENT ON TABLE observ_data.test_alerts IS 'Alerts of observ.test_alert(): what the rules TestAlert… find';

-- ---- default rules: rules/*.sql
CREATE TABLE observ_data.default_rules_seen (
	name text COLLATE "C" PRIMARY KEY
);
COMMENT ON TABLE observ_data.default_rules_seen IS 'Names of default rules that were put into observ.alert_rules here: one that is there no more was deleted, and stays so';

-- ---- summary
CREATE TABLE observ.fleet_summary (
	LIKE observ.vps_metrics INCLUDING COMMENTS,
	last_seen timestamptz NOT NULL,
	expected_ms integer,
	health_ok integer NOT NULL DEFAULT 0,
	health_total integer NOT NULL DEFAULT 0,
	errors_1h bigint NOT NULL DEFAULT 0,
	firing_alerts integer NOT NULL DEFAULT 0,
	worst_severity observ.severity,
	PRIMARY KEY (vps_name, app_name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE observ.fleet_summary
	ALTER COLUMN id DROP NOT NULL, ALTER COLUMN "timestamp" DROP NOT NULL, ALTER COLUMN received_at DROP NOT NULL;
COMMENT ON TABLE observ.fleet_summary IS 'Latest row of each VPS and application, kept by observ.refresh_fleet_summary(); read it through observ.fleet_summary(), which adds the status at the time of asking';
COMMENT ON COLUMN observ.fleet_summary.last_seen IS 'newest sign of life, by the database''s clock';
COMMENT ON COLUMN observ.fleet_summary.expected_ms IS 'interval that the agent is configured to sample at; NULL: no agent';
COMMENT ON COLUMN observ.fleet_summary.health_ok IS 'health checks whose latest result is a success';
COMMENT ON COLUMN observ.fleet_summary.health_total IS 'health checks with a conclusive latest result';
COMMENT ON COLUMN observ.fleet_summary.errors_1h IS 'log entries of level error and above in the last hour, at most 30 s old';
COMMENT ON COLUMN observ.fleet_summary.firing_alerts IS 'alerts firing';
COMMENT ON COLUMN observ.fleet_summary.worst_severity IS 'highest severity among them';

CREATE TABLE observ_data.health_latest (
	vps_name text COLLATE "C" NOT NULL,
	app_name text COLLATE "C" NOT NULL,
	url text COLLATE "C" NOT NULL,
	checked_at timestamptz NOT NULL,
	success boolean NOT NULL,
	inconclusive boolean NOT NULL,
	PRIMARY KEY (vps_name, app_name, url)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE observ_data.health_latest IS 'Latest result of each health check, kept by observ.refresh_fleet_summary()';

CREATE TABLE observ_data.summary_state (
	horizon timestamptz NOT NULL,
	seen_until timestamptz NOT NULL,
	future_until timestamptz NOT NULL,
	reconciled_at timestamptz NOT NULL,
	errors_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE observ_data.summary_state IS 'One row: how far observ.refresh_fleet_summary() has come';
COMMENT ON COLUMN observ_data.summary_state.horizon IS 'every row received before this was visible to the last pass';
COMMENT ON COLUMN observ_data.summary_state.seen_until IS 'rows with a later timestamp were left aside as coming from the future';
COMMENT ON COLUMN observ_data.summary_state.future_until IS 'latest timestamp among the rows left aside so far';
INSERT INTO observ_data.summary_state VALUES ('-infinity', '-infinity', '-infinity', '-infinity', '-infinity');

-- ========================================================================================================= functions
CREATE FUNCTION observ.version() RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_version';
COMMENT ON FUNCTION observ.version() IS 'Version of the observ library that this session has loaded';

CREATE FUNCTION observ.layout_version() RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT version FROM observ.layout_version $$;
COMMENT ON FUNCTION observ.layout_version() IS 'Layout number of the tables in this database';

-- ---- ingest
CREATE FUNCTION observ.begin_batch(
	agent_id text, seq bigint, sent_at timestamptz,
	vps_name text DEFAULT NULL, app_name text DEFAULT NULL, version text DEFAULT NULL, interval_ms integer DEFAULT NULL,
	clamped bigint DEFAULT 0, quarantined bigint DEFAULT 0, dropped bigint DEFAULT 0, duplicates bigint DEFAULT 0,
	OUT accepted boolean, OUT last_seq bigint, OUT server_time timestamptz, OUT accept_from timestamptz,
	OUT accept_until timestamptz, OUT boost_until timestamptz, OUT backpressure_ms integer)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_begin_batch';
COMMENT ON FUNCTION observ.begin_batch(text, bigint, timestamptz, text, text, text, integer, bigint, bigint, bigint, bigint) IS
'First statement of an agent''s transaction: accepted is true when seq is higher than every batch of this agent before, and false when it was applied already, then nothing more is to be sent. seq 0 only asks. The reply carries the server''s time, the range of timestamps that are stored as they are, until when to sample fast (NULL: not), and the pause in ms to keep before the next batch. Errors: 55000 when observ is paused here, 42501 when the role may not write that VPS';

-- What obs-agent calls each minute is short on the wire: these know the columns. docs/delivery.md has the bytes.
CREATE FUNCTION observ._begin_batch(
	agent_id text, seq bigint, sent_at bigint, vps_name text, app_name text, version text, interval_ms integer, counts bigint[])
	RETURNS bigint[]
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT set_config('lock_timeout', '12s', true), set_config('statement_timeout', '14s', true),
			set_config('idle_in_transaction_session_timeout', '20s', true);
		SELECT ARRAY[b.accepted::integer, b.last_seq, t.us[1], t.us[2], t.us[3], t.us[4], b.backpressure_ms]
		FROM observ.begin_batch($1, $2, 'epoch'::timestamptz + $3 * interval '1 microsecond', $4, $5, $6, $7,
				$8[1], $8[2], $8[3], $8[4]) b,
			LATERAL (SELECT array_agg(CASE WHEN isfinite(u.at) THEN (extract(epoch FROM u.at) * 1000000)::bigint END ORDER BY u.n) AS us
				FROM unnest(ARRAY[b.server_time, b.accept_from, b.accept_until, b.boost_until]) WITH ORDINALITY u(at, n)) t;
	$$;
COMMENT ON FUNCTION observ._begin_batch(text, bigint, bigint, text, text, text, integer, bigint[]) IS
'observ.begin_batch() as obs-agent calls it: times are microseconds since 1970, counts are clamped, quarantined, dropped and duplicate rows. Returns accepted (1 or 0), last_seq, server_time, accept_from, accept_until, boost_until, backpressure_ms; limits waiting in this transaction to what the agent waits. Not an interface';

CREATE FUNCTION observ._add_vps_metrics(vps_name text, app_name text, at timestamptz[], "rows" text[]) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		WITH added AS (
			INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, cpu_iowait_percent, cpu_steal_percent, cpu_cores,
				load_avg_1m, load_avg_5m, load_avg_15m, memory_percent, memory_mb, memory_available_mb, swap_percent, swap_io_per_s,
				disk_percent, disk_gb, inode_percent, disk_read_bps, disk_write_bps, disk_busy_percent, net_rx_bps, net_tx_bps,
				net_errors_per_s, tcp_retransmit_percent, psi_cpu, psi_memory, psi_io, processes, zombies, open_files_percent,
				conntrack_percent, oom_kills, uptime_seconds, clock_offset_ms, interval_ms)
			SELECT r.at, $1, $2, v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15], v[16],
				v[17], v[18], v[19], v[20], v[21], v[22], v[23], v[24], v[25], v[26], v[27], v[28], v[29], v[30], v[31], v[32], v[33]
			FROM (SELECT u.at, u.one::float8[] AS v FROM unnest($3, $4) u(at, one) OFFSET 0) r
			ON CONFLICT DO NOTHING RETURNING 1)
		SELECT count(*) FROM added;
	$$;
COMMENT ON FUNCTION observ._add_vps_metrics(text, text, timestamptz[], text[]) IS
'Inserts rows of observ.vps_metrics, each an array literal of all values in the agent''s order; returns how many were not there yet. Not an interface';

CREATE FUNCTION observ._add_health_checks(vps_name text, app_name text, at timestamptz[], "rows" text[]) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		WITH added AS (
			INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, status_code, response_time_ms, success, error_message,
				dns_ms, connect_ms, tls_ms, first_byte_ms, tls_expires_at, breaker_state, inconclusive)
			SELECT r.at, $1, $2, v[1], v[2]::integer, v[3]::real, v[4]::boolean, v[5], v[6]::real, v[7]::real, v[8]::real, v[9]::real,
				v[10]::timestamptz, v[11], coalesce(v[12]::boolean, false)
			FROM (SELECT u.at, u.one::text[] AS v FROM unnest($3, $4) u(at, one) OFFSET 0) r
			ON CONFLICT DO NOTHING RETURNING 1)
		SELECT count(*) FROM added;
	$$;
COMMENT ON FUNCTION observ._add_health_checks(text, text, timestamptz[], text[]) IS
'Inserts rows of observ.health_checks, each an array literal of all values in the agent''s order; returns how many were not there yet. Not an interface';

CREATE FUNCTION observ._set_log_positions(agent_id text, files text[], states text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		DELETE FROM observ.log_positions p USING unnest($2, $3) u(file, state)
		WHERE p.agent_id = $1 AND p.file = u.file AND u.state IS NULL;
		INSERT INTO observ.log_positions AS p (agent_id, file, state)
		SELECT DISTINCT ON (u.file) $1, u.file, u.state FROM unnest($2, $3) WITH ORDINALITY u(file, state, n)
		WHERE NOT EXISTS (SELECT FROM unnest($2, $3) WITH ORDINALITY later(file, state, n)
			WHERE later.file = u.file AND later.n > u.n AND later.state IS NULL) AND u.state IS NOT NULL
		ORDER BY u.file, u.n DESC
		ON CONFLICT (agent_id, file) DO UPDATE SET state = excluded.state, updated_at = clock_timestamp();
	$$;
COMMENT ON FUNCTION observ._set_log_positions(text, text[], text[]) IS
'Notes how far an agent has read its log files, in the order in which it did; a state of NULL forgets the file. Not an interface';

CREATE FUNCTION observ.enroll_vps(
	vps_name text, agent_role name DEFAULT NULL, labels jsonb DEFAULT NULL, expected_interval interval DEFAULT NULL)
	RETURNS void
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_enroll_vps';
COMMENT ON FUNCTION observ.enroll_vps(text, name, jsonb, interval) IS
'Enters a VPS, or changes what is given of it. A role named agent_role may from then on append rows of this VPS and nothing else; it is created (LOGIN, at most 2 connections, no password yet) when it does not exist';

CREATE FUNCTION observ.boost(vps_name text, duration interval DEFAULT '2 minutes') RETURNS timestamptz
	LANGUAGE sql STRICT SET search_path = pg_catalog, pg_temp
	AS $$ UPDATE observ.vps v SET boost_until = now() + $2 WHERE v.vps_name = $1 RETURNING v.boost_until $$;
COMMENT ON FUNCTION observ.boost(text, interval) IS
'Asks the agents of a VPS to sample fast for a while; returns until when, NULL when the VPS is unknown';

CREATE FUNCTION observ_data._vps_of(role name) RETURNS SETOF text
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$ SELECT v.vps_name FROM observ.vps v WHERE v.agent_role = role AND v.status <> 'retired' $$;
COMMENT ON FUNCTION observ_data._vps_of(name) IS
'VPSs whose rows a role may write. SECURITY DEFINER: agents must not read the registry';

CREATE FUNCTION observ_data._may_write_agent(agent_id text, role name) RETURNS boolean
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT EXISTS (SELECT FROM observ.collectors c JOIN observ.vps v ON v.vps_name = c.vps_name
			WHERE c.agent_id = $1 AND v.agent_role = $2 AND v.status <> 'retired')
	$$;
COMMENT ON FUNCTION observ_data._may_write_agent(text, name) IS
'Whether an agent speaks for a VPS whose rows the role may write. SECURITY DEFINER: agents must not read the registry';

-- ---- partitions
CREATE FUNCTION observ.maintain_partitions(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT created integer, OUT failed integer, OUT partitions_ahead interval, OUT quarantine_trimmed bigint)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_maintain_partitions';
COMMENT ON FUNCTION observ.maintain_partitions(timestamptz) IS
'Creates the partitions of the raw tables that are missing between at - observ.late_window and at + observ.premake; idempotent. status: ok, failed (some could not be made: see the warnings), busy (another session is at it), paused, standby. partitions_ahead: how far after at every raw table takes rows';

-- ---- fleet
CREATE FUNCTION observ.refresh_fleet_summary(
	at timestamptz DEFAULT pg_catalog.now(), reconcile boolean DEFAULT NULL,
	OUT status text, OUT inserted bigint, OUT updated bigint, OUT health_changed bigint, OUT future_rows bigint,
	OUT reconciled boolean)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_refresh_fleet_summary';
COMMENT ON FUNCTION observ.refresh_fleet_summary(timestamptz, boolean) IS
'Brings observ.fleet_summary up to what has arrived since the last pass; every 5 minutes, or when reconcile is true, compares every row with the raw tables. Rows later than at + observ.max_future_skew are left aside and counted. status: ok, busy, paused, standby';

CREATE FUNCTION observ.fleet_summary(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT vps_name text, OUT app_name text, OUT status text, OUT last_seen timestamptz,
	OUT cpu_percent real, OUT memory_percent real, OUT memory_mb real, OUT disk_percent real, OUT disk_gb real,
	OUT load_avg_1m real, OUT load_avg_5m real, OUT load_avg_15m real,
	OUT health_ok integer, OUT health_total integer, OUT errors_1h bigint,
	OUT firing_alerts integer, OUT worst_severity observ.severity)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 1000 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_fleet_summary';
COMMENT ON FUNCTION observ.fleet_summary(timestamptz) IS
'One row per VPS and application with its latest metrics and its status at that time: up; degraded (some health checks fail); stale (silent for more than 2 expected intervals); down (silent for more than 3, or every health check fails)';

CREATE FUNCTION observ.forget(vps_name text, app_name text DEFAULT NULL) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		DELETE FROM observ_data.health_latest h WHERE h.vps_name = $1 AND ($2 IS NULL OR h.app_name = $2);
		DELETE FROM observ.log_positions l USING observ.collectors c
		WHERE l.agent_id = c.agent_id AND c.vps_name = $1 AND ($2 IS NULL OR c.app_name = $2);
		DELETE FROM observ.collectors c WHERE c.vps_name = $1 AND ($2 IS NULL OR c.app_name = $2);
		DELETE FROM observ.sample_shapes s WHERE s.vps_name = $1 AND ($2 IS NULL OR s.app_name = $2);
		DELETE FROM observ.peers p WHERE p.vps_name = $1 AND ($2 IS NULL OR p.app_name = $2);
		DELETE FROM observ.vps_addresses a WHERE a.vps_name = $1 AND $2 IS NULL AND a.source = 'reported';
		WITH gone AS (DELETE FROM observ.fleet_summary f WHERE f.vps_name = $1 AND ($2 IS NULL OR f.app_name = $2) RETURNING 1)
		SELECT count(*) FROM gone;
	$$;
COMMENT ON FUNCTION observ.forget(text, text) IS
'Takes a VPS, or one application on it, out of the fleet summary; its measurements stay. Returns how many rows of the summary went; they come back with its next row';

-- ---- labelled metrics
CREATE FUNCTION observ_data._adds_samples(kept float8[], added float8[]) RETURNS boolean
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_adds_samples';
COMMENT ON FUNCTION observ_data._adds_samples(float8[], float8[]) IS
'Whether the second row of observ.metric_scrapes has a value in a slot where the first has none; counts the others for observ.insert_samples()';

CREATE FUNCTION observ_data._merge_samples(kept float8[], added float8[]) RETURNS float8[]
	LANGUAGE c IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_merge_samples';
COMMENT ON FUNCTION observ_data._merge_samples(float8[], float8[]) IS
'The values of the first row of observ.metric_scrapes, and those of the second in slots where the first has none';

CREATE FUNCTION observ.insert_samples(
	vps_name text, app_name text, at timestamptz[], metric_names text[], labels jsonb[], "values" float8[],
	kinds text[] DEFAULT NULL,
	OUT stored bigint, OUT duplicates bigint, OUT rejected bigint, OUT quarantined bigint, OUT clamped bigint,
	OUT nonfinite bigint, OUT new_series bigint)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_insert_samples';
COMMENT ON FUNCTION observ.insert_samples(text, text, timestamptz[], text[], jsonb[], float8[], text[]) IS
'Stores samples of labelled metrics of one VPS and application, element by element; at may have one element for all. Each sample is stored, a duplicate (there is one of that series and time: it stays), rejected (bad name, labels or value; too many series: a notice gives the first reason), or quarantined (older than the partitions). clamped: later than observ.max_future_skew allows, stored as of now. nonfinite: NaN or infinite, stored as given. kinds: gauge or counter, for new series; by default what ends in _total, _count, _sum or _bucket is a counter. Errors: 42501 when the role may not write that VPS';

CREATE FUNCTION observ._add_samples(
	vps_name text, app_name text, at timestamptz[], metric_names text[], labels text[], "values" text[], kinds text[])
	RETURNS bigint[]
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT ARRAY[sum(s.duplicates), sum(s.clamped), sum(s.quarantined)]::bigint[]
		FROM unnest($3, $4, $5, $6, $7) u(at, names, labels, vals, kinds),
			LATERAL observ.insert_samples($1, $2, ARRAY[u.at], u.names::text[], u.labels::jsonb[], u.vals::float8[], u.kinds::text[]) s
	$$;
COMMENT ON FUNCTION observ._add_samples(text, text, timestamptz[], text[], text[], text[], text[]) IS
'observ.insert_samples() for several scrapes at once: an array literal each of names, labels, values and kinds. Returns how many were duplicates, clamped, quarantined. Not an interface';

CREATE FUNCTION observ._keep_shapes(
	vps_name text, app_name text, shapes bigint[], metric_names text[], labels text[], kinds text[]) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		INSERT INTO observ.sample_shapes (vps_name, app_name, shape, metric_names, labels, kinds)
		SELECT DISTINCT ON (u.shape) $1, $2, u.shape, u.names::text[], u.labels::jsonb[], u.kinds::text[]
		FROM unnest($3, $4, $5, $6) u(shape, names, labels, kinds) ORDER BY u.shape
		ON CONFLICT (vps_name, app_name, shape) DO UPDATE SET metric_names = excluded.metric_names, labels = excluded.labels,
			kinds = excluded.kinds, last_used = excluded.last_used;
		DELETE FROM observ.sample_shapes s
		USING (SELECT k.shape, row_number() OVER (ORDER BY k.last_used DESC, k.shape) AS place
			FROM observ.sample_shapes k WHERE k.vps_name = $1 AND k.app_name = $2) old
		WHERE s.vps_name = $1 AND s.app_name = $2 AND s.shape = old.shape AND old.place > 64;
		SELECT cardinality($3)::bigint;
	$$;
COMMENT ON FUNCTION observ._keep_shapes(text, text, bigint[], text[], text[], text[]) IS
'Notes shapes of scrapes in observ.sample_shapes, an array literal each of names, labels and kinds, and lets go of all but the 64 used last. Not an interface';

CREATE FUNCTION observ.record_metric(
	name text, value float8, labels jsonb DEFAULT '{}', vps_name text DEFAULT 'default', app_name text DEFAULT '',
	at timestamptz DEFAULT pg_catalog.now()) RETURNS boolean
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_record_metric';
COMMENT ON FUNCTION observ.record_metric(text, float8, jsonb, text, text, timestamptz) IS
'Stores one sample of a labelled metric; false when there is one of that series and time already, which stays. Raises an error when it can''t be stored';

CREATE FUNCTION observ.insert_metrics(
	batch jsonb, vps_name text DEFAULT 'default', app_name text DEFAULT '',
	OUT stored bigint, OUT duplicates bigint, OUT rejected bigint, OUT quarantined bigint, OUT clamped bigint,
	OUT nonfinite bigint, OUT new_series bigint, OUT errors jsonb)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_insert_metrics';
COMMENT ON FUNCTION observ.insert_metrics(jsonb, text, text) IS
'Stores samples of labelled metrics given as [{"metric_name", "value", "labels", "timestamp", "vps_name", "app_name", "kind"}, …]; only the first two are needed. Every good row is stored; errors lists the others as [{"index": place in the batch from 0, "error": why}]. Counts as in observ.insert_samples()';

CREATE FUNCTION observ.metric_range(
	metric_name text, matchers text DEFAULT NULL, "from" timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
	"to" timestamptz DEFAULT pg_catalog.now(), step interval DEFAULT '1 minute', aggregate text DEFAULT 'avg',
	OUT "timestamp" timestamptz, OUT vps_name text, OUT app_name text, OUT labels jsonb, OUT value float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_metric_range';
COMMENT ON FUNCTION observ.metric_range(text, text, timestamptz, timestamptz, interval, text) IS
'A labelled metric over time: for each series that the matchers accept, written as {code=~"5..", vps_name!="db-1"}, a row per bucket; timestamp is the start of the bucket, a multiple of step in UTC, and buckets are whole: the first holds "from", the last what is just before "to". value: avg, min, max, sum, count, last, rate (per second) or increase of the samples of the bucket, NULL when there are none';

CREATE FUNCTION observ.expire_series(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT expired bigint, OUT deleted bigint, OUT vps_forgotten bigint)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_expire_series';
COMMENT ON FUNCTION observ.expire_series(timestamptz) IS
'Series whose samples lay in partitions that are gone expire: they no longer count against the limits. Those of which no roll-up is left either are deleted, and their slots are free. VPSs without any leave observ.metric_usage. status: ok, busy, paused, standby';

-- ---- rollups and history
CREATE FUNCTION observ.roll_up(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT rows_read bigint, OUT rows_written bigint, OUT late_keys bigint, OUT recomputed bigint,
	OUT dirty_left bigint, OUT set_aside bigint, OUT expired bigint, OUT nonfinite bigint, OUT rolled_to timestamptz)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_roll_up';
COMMENT ON FUNCTION observ.roll_up(timestamptz) IS
'Rolls vps_metrics, health_checks and metric_scrapes up to 5 minutes and hours: buckets that ended observ.roll_up_lag before at, and those that late rows have changed. Idempotent; one pass reads about 2 million rows of each table. status: ok, more (call it again: there is more to do), failed (see the warnings), busy, paused, standby. late_keys: buckets found late in this pass; recomputed: buckets brought up to date; dirty_left: still to do; set_aside: failed three times; expired: their raw rows are gone; nonfinite: samples left out as NaN or infinite; rolled_to: everything before is rolled up';

CREATE FUNCTION observ.recompute_rollups("from" timestamptz, "to" timestamptz) RETURNS bigint
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_recompute_rollups';
COMMENT ON FUNCTION observ.recompute_rollups(timestamptz, timestamptz) IS
'To be called in the transaction that has changed or deleted raw rows by hand: observ.roll_up() then recomputes the rolled-up buckets of that time. Returns how many they are';

CREATE FUNCTION observ.metrics_history(
	vps text, app text DEFAULT NULL, metrics text[] DEFAULT NULL, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL,
	max_points integer DEFAULT 300,
	OUT "timestamp" timestamptz, OUT metric text, OUT min float8, OUT avg float8, OUT max float8, OUT last float8,
	OUT samples bigint, OUT resolution interval, OUT partial boolean, OUT increase float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 300 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_metrics_history';
COMMENT ON FUNCTION observ.metrics_history(text, text, text[], timestamptz, timestamptz, integer) IS
'Metrics of a VPS over time (default: the last 24 hours) in at most max_points buckets, the finest that there are: a row per metric and bucket, NULL where there are no samples. app NULL: all applications together. metrics: columns of vps_metrics, names of labelled metrics, response_time_ms, the last two also with matchers: name{label="value"}; NULL: every column that has data. avg is weighted by the time that samples cover; increase is the growth of a counter; partial: more rows may come, or have been dropped';

CREATE FUNCTION observ_data._unpack_cells(
	cells bytea,
	OUT slot integer, OUT count bigint, OUT avg float8, OUT min float8, OUT max float8, OUT last float8, OUT sum float8,
	OUT increase float8)
	RETURNS SETOF record
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_unpack_cells';
COMMENT ON FUNCTION observ_data._unpack_cells(bytea) IS 'Rolled-up metrics of one row, a row per metric';

CREATE FUNCTION observ_data._vps_metric(slot integer) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_vps_metric';
COMMENT ON FUNCTION observ_data._vps_metric(integer) IS 'Column of observ.vps_metrics that is rolled up in that slot; NULL: none';

-- ---- service levels and forecasts
CREATE FUNCTION observ.plan_maintenance(
	starts_at timestamptz, ends_at timestamptz, vps_name text DEFAULT NULL, app_name text DEFAULT NULL,
	name text DEFAULT NULL, comment text DEFAULT NULL, selector text DEFAULT NULL, times jsonb DEFAULT NULL,
	timezone text DEFAULT 'UTC') RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		INSERT INTO observ.maintenance_windows (starts_at, ends_at, vps_name, app_name, name, comment, selector, times, timezone)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id;
	$$;
COMMENT ON FUNCTION observ.plan_maintenance(timestamptz, timestamptz, text, text, text, text, text, jsonb, text) IS
'Enters a maintenance window, also one that is over, and returns its id; without vps_name and selector for every VPS, without app_name for every application; with times one that recurs from starts_at to ends_at. To end one early: UPDATE observ.maintenance_windows SET ends_at = now() WHERE id = …';

CREATE FUNCTION observ.sla(
	objective float8 DEFAULT 99.9, vps text DEFAULT NULL, app text DEFAULT NULL, url text DEFAULT NULL,
	at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (scope text, vps_name text, app_name text, url text, period interval,
		checks bigint, failures bigint, inconclusive bigint, excluded_by_maintenance bigint, uptime_percent float8,
		objective float8, error_budget interval, budget_used_percent float8, budget_left interval,
		coverage_percent float8, since timestamptz, data_from timestamptz, complete boolean)
	LANGUAGE c STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_sla';
COMMENT ON FUNCTION observ.sla(float8, text, text, text, timestamptz) IS
'Service levels up to a time: for each URL, application and VPS its uptime over 24 hours, 7, 30 and 90 days (good checks / conclusive checks, outside maintenance windows; NULL without checks) and the error budget that the objective (percent) leaves: downtime allowed in the time observed, how much of it is used, what is left. coverage_percent: share of the hours that had checks; since: when the period begins; data_from: first check in it; complete: whether that was in its first hour';

CREATE FUNCTION observ.disk_forecast(
	vps text DEFAULT NULL, lookback interval DEFAULT '6 hours', at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (vps_name text, app_name text, mount text, used_percent float8, used_gb float8, size_gb float8,
		growth_gb_per_day float8, fills_at timestamptz, fills_in interval, r2 float8, samples bigint,
		fitted_from timestamptz, last_sample timestamptz, attention boolean, reason text)
	LANGUAGE c STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_disk_forecast';
COMMENT ON FUNCTION observ.disk_forecast(text, interval, timestamptz) IS
'When the root filesystem of each VPS, and every mount that the labelled metrics disk_used_percent{mount=…} and disk_used_gb{mount=…} tell of, is full if it goes on as in the last hours: a robust line through 5-minute means, begun anew after somebody cleaned up. fills_at is NULL, with a reason, when it does not grow or too little is known. attention: more than 60 % used and full within 24 hours. r2: how well the line fits, 0 to 1';

-- ---- retention
CREATE FUNCTION observ.apply_retention(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT dropped integer, OUT freed_bytes bigint, OUT blocked integer, OUT blocked_by text, OUT held_back integer,
	OUT failed integer, OUT deleted bigint)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_apply_retention';
COMMENT ON FUNCTION observ.apply_retention(timestamptz) IS
'Drops the partitions that observ.retention_policies lets go at that time, without keeping writers waiting. status: ok; blocked (some are in use: blocked_by says by whom; to be called again); failed (some could not be dropped: see the warnings); busy (another session is at it); paused; standby. held_back: due, but not rolled up yet; deleted: rows of alerting that are not in partitions';

CREATE FUNCTION observ.retention_preview(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT data_set text, OUT "partition" text, OUT "from" timestamptz, OUT "to" timestamptz, OUT size_bytes bigint,
	OUT rows_estimate bigint, OUT reason text, OUT due timestamptz, OUT waits_for text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 200 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_retention_preview';
COMMENT ON FUNCTION observ.retention_preview(timestamptz) IS
'Every partition that ends by that time and has a policy: when it goes (due; at or before that time: with the next observ.apply_retention(), NULL: not known) and why (reason: age, size, detached). waits_for: who has a due one locked, or that it is not rolled up yet. Of data set alerts also the tables of which rows go one by one: "from" and "to" are the oldest and newest of these, rows_estimate counts them. Changes nothing';

CREATE FUNCTION observ_data._partitions(
	OUT table_name text, OUT data_set text, OUT relid oid, OUT "from" timestamptz, OUT "to" timestamptz) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 200 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_partitions';
COMMENT ON FUNCTION observ_data._partitions() IS 'Every partition of the tables of schema observ, with its bounds';

CREATE FUNCTION observ.storage_by_vps(
	"from" timestamptz DEFAULT pg_catalog.now() - interval '7 days', "to" timestamptz DEFAULT pg_catalog.now(),
	OUT day date, OUT vps_name text, OUT table_name text, OUT "rows" bigint, OUT bytes bigint, OUT exact boolean)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 1000 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_storage_by_vps';
COMMENT ON FUNCTION observ.storage_by_vps(timestamptz, timestamptz) IS
'Rows and bytes of each VPS, table and day (UTC) between two times, indexes included. exact: false where the partition is larger than 1,000 pages and that many were sampled; few rows of a small VPS may then be missed';

CREATE VIEW observ.storage_report AS
WITH leaf AS (
	SELECT p.table_name, p."from", p."to", extract(epoch FROM p."to" - p."from") / 86400 AS days, c.reltuples,
		pg_relation_size(c.oid) > 0 AS used, pg_table_size(c.oid) AS table_bytes, pg_indexes_size(c.oid) AS index_bytes,
		coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes
	FROM observ_data._partitions() p JOIN pg_class c ON c.oid = p.relid
), leaves AS (
	SELECT table_name, count(*) AS partitions, min("from") FILTER (WHERE used) AS oldest, max("to") FILTER (WHERE used) AS newest,
		sum(reltuples) FILTER (WHERE reltuples >= 0) AS rows_estimate, sum(table_bytes) AS table_bytes, sum(index_bytes) AS index_bytes,
		sum(toast_bytes) AS toast_bytes, max(days) AS width
	FROM leaf GROUP BY 1
), closed AS (
	SELECT l.*, max("to") OVER (PARTITION BY table_name) AS last FROM leaf l WHERE used AND "to" <= now()
), growth AS (
	SELECT table_name, sum(table_bytes + index_bytes) / sum(days) AS bytes_per_day FROM closed WHERE "to" > last - interval '7 days' GROUP BY 1
), relation AS (
	SELECT n.nspname || '.' || c.relname AS table_name, k.data_set, CASE WHEN n.nspname = 'observ' AND c.relname IN ('alerts', 'notifications', 'silences', 'silence_audit') THEN 'alerts' END AS row_set, coalesce(l.partitions, 0) AS partitions, l.oldest, l.newest,
		CASE WHEN c.relkind = 'p' THEN l.rows_estimate WHEN c.reltuples >= 0 THEN c.reltuples END::bigint AS rows_estimate,
		coalesce(l.table_bytes, pg_table_size(c.oid)) AS table_bytes, coalesce(l.index_bytes, pg_indexes_size(c.oid)) AS index_bytes,
		coalesce(l.toast_bytes, pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes, l.width, g.bytes_per_day
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN (SELECT DISTINCT table_name, data_set FROM observ_data._partitions()) k ON n.nspname = 'observ' AND k.table_name = c.relname
		LEFT JOIN leaves l ON l.table_name = k.table_name LEFT JOIN growth g ON g.table_name = k.table_name
	WHERE n.nspname IN ('observ', 'observ_data') AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
), data_set AS (
	SELECT r.data_set, sum(r.table_bytes + r.index_bytes) AS bytes, sum(r.bytes_per_day) AS bytes_per_day,
		sum(r.bytes_per_day * (extract(epoch FROM p.max_age) / 86400 + r.width)) AS settles_at, p.max_age, p.max_size
	FROM relation r JOIN observ.retention_policies p ON p.data_set = r.data_set AND p.enabled GROUP BY 1, p.max_age, p.max_size
), forecast AS (
	SELECT d.*, CASE WHEN d.bytes >= d.max_size THEN now()
		WHEN d.settles_at <= d.max_size OR (d.max_size - d.bytes) / nullif(d.bytes_per_day, 0) > 36500 THEN NULL
		ELSE now() + (d.max_size - d.bytes) / nullif(d.bytes_per_day, 0) * interval '1 day' END AS full_at
	FROM data_set d
)
SELECT r.table_name, coalesce(r.data_set, r.row_set) AS data_set, r.partitions, r.oldest, r.newest, r.rows_estimate,
	(r.table_bytes - r.toast_bytes)::bigint AS heap_bytes, r.index_bytes::bigint AS index_bytes, r.toast_bytes::bigint AS toast_bytes,
	(r.table_bytes + r.index_bytes)::bigint AS total_bytes,
	round(r.bytes_per_day)::bigint AS bytes_per_day, round(r.bytes_per_day / nullif(v.n, 0))::bigint AS bytes_per_vps_per_day,
	coalesce(f.max_age, p.max_age) AS max_age, f.max_size,
	round(r.bytes_per_day * (extract(epoch FROM f.max_age) / 86400 + r.width))::bigint AS settles_at_bytes,
	f.full_at AS reaches_max_size_at,
	CASE
		WHEN r.row_set IS NOT NULL THEN 'rows are deleted ' || coalesce('when they have been over for ' || p.max_age, 'never')
		WHEN r.data_set IS NULL THEN NULL
		WHEN r.bytes_per_day IS NULL THEN 'not known before the first partition with rows has ended'
		WHEN f.bytes >= f.max_size THEN 'at its limit of ' || pg_size_pretty(f.max_size) || ': the oldest partitions go'
		WHEN f.full_at IS NOT NULL THEN 'reaches its limit of ' || pg_size_pretty(f.max_size) || ' on ' || (f.full_at AT TIME ZONE 'UTC')::date || ', then the oldest partitions go'
		WHEN f.settles_at IS NOT NULL THEN 'settles at ' || pg_size_pretty(round(r.bytes_per_day * (extract(epoch FROM f.max_age) / 86400 + r.width)))
		WHEN f.max_size IS NOT NULL THEN 'stays below its limit of ' || pg_size_pretty(f.max_size) || ' for a hundred years'
		ELSE 'grows by ' || pg_size_pretty(round(r.bytes_per_day)) || ' a day without limit'
	END AS forecast
FROM relation r LEFT JOIN forecast f ON f.data_set = r.data_set LEFT JOIN observ.retention_policies p ON p.data_set = r.row_set AND p.enabled
	CROSS JOIN (SELECT count(*) AS n FROM observ.vps WHERE status <> 'retired') v
ORDER BY r.table_bytes + r.index_bytes DESC;
COMMENT ON VIEW observ.storage_report IS 'Size of every table of observ, how fast it grows and what becomes of it under observ.retention_policies. bytes_per_day: of the latest week of partitions that have ended; settles_at_bytes: what it comes to when as much goes for its age as comes in; reaches_max_size_at: when its data set hits max_size, if it does. By VPS and day: observ.storage_by_vps()';

-- ---- log search
CREATE FUNCTION observ.search_logs(
	query text, vps text DEFAULT NULL, app text DEFAULT NULL, level text DEFAULT NULL,
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, "limit" integer DEFAULT 100, after text DEFAULT NULL,
	OUT id bigint, OUT "timestamp" timestamptz, OUT vps_name text, OUT app_name text, OUT level text, OUT message text,
	OUT context jsonb, OUT logger text, OUT source text, OUT cursor text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 100 SET search_path = pg_catalog, pg_temp SET gin_fuzzy_search_limit = 0
	AS 'MODULE_PATHNAME', 'observ_search_logs';
COMMENT ON FUNCTION observ.search_logs(text, text, text, text, timestamptz, timestamptz, integer, text) IS
'The newest log entries that match: word, "a phrase", prefix*, key=value in the context, -not, OR, ( ). NULL or empty: all. level: in any case; error+ is error and above. from is included, to is not. For the next page pass the cursor of the last row as after. docs/logs.md';

CREATE FUNCTION observ.log_histogram(
	query text DEFAULT NULL, vps text DEFAULT NULL, app text DEFAULT NULL, level text DEFAULT NULL,
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, step interval DEFAULT NULL, buckets integer DEFAULT 60,
	OUT "timestamp" timestamptz, OUT level text, OUT count bigint)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 300 SET search_path = pg_catalog, pg_temp SET gin_fuzzy_search_limit = 0
	AS 'MODULE_PATHNAME', 'observ_log_histogram';
COMMENT ON FUNCTION observ.log_histogram(text, text, text, text, timestamptz, timestamptz, interval, integer) IS
'Log entries per level (in lower case) and step in [from, to), by default the last 24 hours; arguments as of observ.search_logs(). Buckets are aligned to UTC; without step one is chosen that makes at most so many buckets. A row per bucket and per level that occurs: 0 means none, NULL that no partition holds that time. docs/logs.md';

CREATE FUNCTION observ.log_context(
	id bigint, n integer DEFAULT 10,
	OUT id bigint, OUT "timestamp" timestamptz, OUT vps_name text, OUT app_name text, OUT level text, OUT message text,
	OUT context jsonb, OUT logger text, OUT source text, OUT distance integer)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 21 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_log_context';
COMMENT ON FUNCTION observ.log_context(bigint, integer) IS
'A log entry with the n entries before and after it of the same VPS, application and source, in the order of time. distance: 0 for the entry itself, negative before it. No rows when there is no entry of that id';

CREATE FUNCTION observ.log_patterns(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, app text DEFAULT NULL, level text DEFAULT NULL,
	"limit" integer DEFAULT 100,
	OUT template text, OUT app_name text, OUT level text, OUT count bigint, OUT is_new boolean, OUT first_seen timestamptz,
	OUT last_seen timestamptz, OUT sample_message text, OUT fingerprint bigint)
	RETURNS SETOF record
	LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT t.template, t.app_name, t.level, c.count, t.first_seen >= coalesce($1, now() - interval '1 day'), t.first_seen,
			t.last_seen, t.sample_message, t.fingerprint
		FROM (SELECT h.fingerprint, sum(h.count)::bigint AS count FROM observ.log_template_counts h
			WHERE h."timestamp" >= date_trunc('hour', coalesce($1, now() - interval '1 day'), 'UTC') AND h."timestamp" < coalesce($2, 'infinity')
			GROUP BY h.fingerprint) c
		JOIN observ.log_templates t USING (fingerprint)
		WHERE ($3 IS NULL OR t.app_name = $3) AND ($4 IS NULL OR t.level = lower($4))
		ORDER BY c.count DESC, t.fingerprint
		LIMIT $5
	$$;
COMMENT ON FUNCTION observ.log_patterns(timestamptz, timestamptz, text, text, integer) IS
'Message templates by how many entries they have in the hours that [from, to) touches, by default the last 24 hours; the most frequent first. is_new: no such entry is older than from';

CREATE FUNCTION observ.update_log_templates(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT entries bigint, OUT new_templates bigint, OUT others bigint, OUT behind interval, OUT trimmed bigint,
	OUT indexes_cleaned integer)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_update_log_templates';
COMMENT ON FUNCTION observ.update_log_templates(timestamptz) IS
'Counts the log entries that have arrived since the last pass into observ.log_templates, observ.log_template_counts and observ.log_counts, each once; deletes counts of dropped partitions; merges what is pending in the full-text indexes. others: entries beyond observ.log_templates_max templates. behind: what is left to the next pass. status: ok, busy, paused, standby';

-- ---- events, topology, trends
CREATE FUNCTION observ.record_event(
	kind text, vps_name text DEFAULT '', app_name text DEFAULT '', message text DEFAULT NULL, success boolean DEFAULT NULL,
	duration_ms float8 DEFAULT NULL, data jsonb DEFAULT NULL, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_record_event';
COMMENT ON FUNCTION observ.record_event(text, text, text, text, boolean, float8, jsonb, timestamptz) IS
'Records an event and returns its id; one more of the same kind, VPS, application and time is stored some microseconds later. An agent''s role records for its own VPSs only. Errors: 42501 for another VPS, 22008 for a time that no partition takes, 55000 when observ is paused here';

CREATE FUNCTION observ.agents(
	at timestamptz DEFAULT pg_catalog.now(), "window" interval DEFAULT '1 hour', lookback interval DEFAULT '1 day',
	OUT agent_id text, OUT type text, OUT agent_type text, OUT vps_name text, OUT app_name text, OUT state text,
	OUT lifecycle text, OUT lifecycle_at timestamptz, OUT replicas integer, OUT last_seen timestamptz,
	OUT events bigint, OUT failures bigint, OUT success_rate float8,
	OUT response_time_ms float8, OUT response_time_p95_ms float8, OUT workflow_time_ms float8)
	RETURNS SETOF record
	LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS $$
		WITH lifecycle AS (
			SELECT e.data ->> 'agent_id' AS agent_id,
				(array_agg(replace(e.kind, 'agent_', '') ORDER BY e."timestamp" DESC, e.id DESC))[1] AS kind,
				max(e."timestamp") AS at,
				(array_agg(e.data ->> 'agent_type' ORDER BY e."timestamp" DESC) FILTER (WHERE e.data ? 'agent_type'))[1] AS agent_type,
				(array_agg(e.data ->> 'replicas' ORDER BY e."timestamp" DESC) FILTER (WHERE e.data ? 'replicas'))[1] AS replicas,
				(array_agg(e.vps_name ORDER BY e."timestamp" DESC))[1] AS vps_name,
				(array_agg(e.app_name ORDER BY e."timestamp" DESC))[1] AS app_name
			FROM observ.events e
			WHERE e."timestamp" <= $1 AND e.data ->> 'agent_id' IS NOT NULL
				AND e.kind = ANY (ARRAY['created', 'deployed', 'scaled', 'terminated',
					'agent_created', 'agent_deployed', 'agent_scaled', 'agent_terminated'])
			GROUP BY 1
		), activity AS (
			SELECT e.data ->> 'agent_id' AS agent_id, max(e."timestamp") AS at,
				count(*) FILTER (WHERE recent) AS events,
				count(*) FILTER (WHERE recent AND NOT e.success) AS failures,
				100.0 * count(*) FILTER (WHERE recent AND e.success) / nullif(count(*) FILTER (WHERE recent AND e.success IS NOT NULL), 0) AS success_rate,
				avg(e.duration_ms::float8) FILTER (WHERE recent AND e.kind <> 'workflow_executed') AS response_time_ms,
				percentile_cont(0.95) WITHIN GROUP (ORDER BY e.duration_ms) FILTER (WHERE recent AND e.kind <> 'workflow_executed') AS response_time_p95_ms,
				avg(e.duration_ms::float8) FILTER (WHERE recent AND e.kind = 'workflow_executed') AS workflow_time_ms,
				(array_agg(e.vps_name ORDER BY e."timestamp" DESC))[1] AS vps_name,
				(array_agg(e.app_name ORDER BY e."timestamp" DESC))[1] AS app_name
			FROM observ.events e, LATERAL (SELECT e."timestamp" > $1 - $2 AS recent) w
			WHERE e."timestamp" > $1 - greatest($2, $3) AND e."timestamp" <= $1 AND e.data ->> 'agent_id' IS NOT NULL
				AND e.kind <> ALL (ARRAY['created', 'deployed', 'scaled', 'terminated',
					'agent_created', 'agent_deployed', 'agent_scaled', 'agent_terminated'])
			GROUP BY 1
		)
		SELECT agent_id, 'application', l.agent_type, coalesce(a.vps_name, l.vps_name), coalesce(a.app_name, l.app_name),
			CASE WHEN l.kind = 'terminated' AND coalesce(a.at <= l.at, true) THEN 'terminated'
				WHEN greatest(a.at, l.at) > $1 - $2 THEN 'active' ELSE 'inactive' END,
			l.kind, l.at, CASE WHEN l.replicas ~ '^[0-9]{1,9}$' THEN l.replicas::integer END, greatest(a.at, l.at),
			coalesce(a.events, 0), coalesce(a.failures, 0), a.success_rate, a.response_time_ms, a.response_time_p95_ms, a.workflow_time_ms
		FROM lifecycle l FULL JOIN activity a USING (agent_id)
		WHERE l.kind IS DISTINCT FROM 'terminated' OR greatest(a.at, l.at) > $1 - greatest($2, $3)
		UNION ALL
		SELECT c.agent_id, 'collector', 'obs-agent', c.vps_name, c.app_name,
			CASE WHEN c.last_seen > $1 - 3 * coalesce(c.interval_ms, 60000) * interval '1 ms' THEN 'active' ELSE 'inactive' END,
			NULL, NULL, NULL, c.last_seen, NULL, NULL, NULL, NULL, NULL, NULL
		FROM observ.collectors c WHERE c.first_seen <= $1
		ORDER BY 2, 1;
	$$;
COMMENT ON FUNCTION observ.agents(timestamptz, interval, interval) IS
'One row per application agent (data->>''agent_id'' of events) and collector. state: terminated (its last lifecycle event says so, and nothing came after it), active (an event in the window before at; a collector: heard within 3 of its intervals), else inactive. Figures are of the window: success_rate in percent of events that say how they went, response_time_ms over timed events but workflow_executed, NULL where there are none. Agents without lifecycle events, and terminated ones, are listed for lookback';

CREATE FUNCTION observ.agent_overview(
	at timestamptz DEFAULT pg_catalog.now(), "window" interval DEFAULT '1 hour',
	OUT agents bigint, OUT active bigint, OUT inactive bigint, OUT terminated bigint,
	OUT active_collectors bigint, OUT inactive_collectors bigint,
	OUT events bigint, OUT failures bigint, OUT success_rate float8,
	OUT response_time_ms float8, OUT response_time_p95_ms float8, OUT workflow_time_ms float8)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT n.*, f.* FROM (
			SELECT count(*) FILTER (WHERE a.state <> 'terminated'), count(*) FILTER (WHERE a.state = 'active'),
				count(*) FILTER (WHERE a.state = 'inactive'), count(*) FILTER (WHERE a.state = 'terminated'),
				count(*) FILTER (WHERE a.state = 'active' AND a.type = 'collector'),
				count(*) FILTER (WHERE a.state = 'inactive' AND a.type = 'collector')
			FROM observ.agents($1, $2) a) n, (
			SELECT count(*), count(*) FILTER (WHERE NOT e.success),
				100.0 * count(*) FILTER (WHERE e.success) / nullif(count(e.success), 0),
				avg(e.duration_ms::float8) FILTER (WHERE e.kind <> 'workflow_executed'),
				percentile_cont(0.95) WITHIN GROUP (ORDER BY e.duration_ms) FILTER (WHERE e.kind <> 'workflow_executed'),
				avg(e.duration_ms::float8) FILTER (WHERE e.kind = 'workflow_executed')
			FROM observ.events e
			WHERE e."timestamp" > $1 - $2 AND e."timestamp" <= $1 AND e.data ->> 'agent_id' IS NOT NULL
				AND e.kind <> ALL (ARRAY['created', 'deployed', 'scaled', 'terminated',
					'agent_created', 'agent_deployed', 'agent_scaled', 'agent_terminated'])) f;
	$$;
COMMENT ON FUNCTION observ.agent_overview(timestamptz, interval) IS
'One row: agents that are not terminated, of these active and inactive (application agents and collectors; how many of each are collectors), terminated in the last day; events of application agents in the window before at, failures, success_rate in percent, mean and 95th percentile of response_time_ms, mean of workflow_time_ms. NULL: nothing to take it from. observ.agents() has a row per agent';

CREATE FUNCTION observ.record_peers(
	vps_name text, app_name text, peers jsonb, at timestamptz DEFAULT pg_catalog.now(), addresses text[] DEFAULT NULL,
	OUT stored integer, OUT rejected integer, OUT removed bigint, OUT first_error text)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_record_peers';
COMMENT ON FUNCTION observ.record_peers(text, text, jsonb, timestamptz, text[]) IS
'Takes in a collector''s report of the other ends of its VPS''s connections: an array of {"address", "port", "direction": "outbound" or "inbound", "protocol" (tcp), "connections" (1)}, port being that of the side that listens. Entries that can''t be read are rejected and counted, first_error says why. addresses are the VPS''s own and replace those reported before; NULL leaves them. At most 1000 entries are taken at once and kept per VPS, none unseen for 7 days; removed says how many went. An agent''s role reports its own VPSs only';

-- A small batch in one statement: what an idle agent sends each minute. docs/delivery.md has the format.
CREATE FUNCTION observ._put(
	agent_id text, seq bigint, sent_at bigint, vps_name text, app_name text, version text, interval_ms integer, counts bigint[],
	"rows" text[]) RETURNS bigint[]
	LANGUAGE sql SET search_path = pg_catalog, pg_temp SET lock_timeout = '12s'
	AS $$
		WITH given AS MATERIALIZED (
			SELECT r.n, r.v[1]::integer AS kind, 'epoch'::timestamptz + ($3 - r.v[2]::bigint) * interval '1 microsecond' AS at, r.v
			FROM (SELECT u.n, u.one::text[] AS v FROM unnest($9) WITH ORDINALITY u(one, n) OFFSET 0) r),
		scrapes AS MATERIALIZED (
			SELECT g.n, g.at, g.v[3]::bigint AS shape, string_to_array(g.v[4], ';', '') AS vals,
				CASE WHEN g.v[5] IS NULL THEN s.metric_names ELSE g.v[5]::text[] END AS names,
				CASE WHEN g.v[5] IS NULL THEN s.labels ELSE g.v[6]::jsonb[] END AS labels,
				CASE WHEN g.v[5] IS NULL THEN s.kinds ELSE g.v[7]::text[] END AS kinds,
				g.v[5] IS NOT NULL OR s.last_used < now() - interval '1 day' AS keep
			FROM given g LEFT JOIN observ.sample_shapes s
				ON g.v[5] IS NULL AND s.vps_name = $4 AND s.app_name = $5 AND s.shape = g.v[3]::bigint
			WHERE g.kind = 4),
		batch AS MATERIALIZED (
			SELECT observ._begin_batch($1, $2, $3, $4, $5, $6, $7, $8) AS reply
			WHERE NOT EXISTS (SELECT FROM scrapes s WHERE s.names IS NULL) AND NOT EXISTS (SELECT FROM given g
				WHERE g.at > now() + coalesce(current_setting('observ.max_future_skew', true), '10s')::interval))
		SELECT b.reply || CASE WHEN b.reply[1] = 1 THEN ARRAY[
			(SELECT coalesce(observ._add_vps_metrics($4, $5, m.at, m."rows"), 0) FROM (SELECT array_agg(g.at ORDER BY g.n) AS at,
				array_agg(g.v[3:]::text ORDER BY g.n) AS "rows" FROM given g WHERE g.kind = 1 OFFSET 0) m),
			(SELECT coalesce(observ._add_health_checks($4, $5, h.at, h."rows"), 0) FROM (SELECT array_agg(g.at ORDER BY g.n) AS at,
				array_agg(g.v[3:]::text ORDER BY g.n) AS "rows" FROM given g WHERE g.kind = 2 OFFSET 0) h)]
			|| (SELECT ARRAY[coalesce(sum(i.duplicates), 0), coalesce(sum(i.clamped), 0), coalesce(sum(i.quarantined), 0)]::bigint[]
				FROM scrapes s, LATERAL (SELECT array_agg(x.name ORDER BY x.n) AS names, array_agg(x.labels ORDER BY x.n) AS labels,
						array_agg(x.val::float8 ORDER BY x.n) AS vals, array_agg(x.kind ORDER BY x.n) AS kinds
					FROM unnest(s.names, s.labels, s.vals, s.kinds) WITH ORDINALITY x(name, labels, val, kind, n)
					WHERE x.val IS NOT NULL) a,
				LATERAL observ.insert_samples($4, $5, ARRAY[s.at], a.names, a.labels, a.vals, a.kinds) i)
			|| (SELECT count(p.stored) FROM given g, LATERAL observ.record_peers($4, $5, g.v[3]::jsonb, g.at, g.v[4]::text[]) p
				WHERE g.kind = 6)
			|| coalesce((SELECT observ._keep_shapes($4, $5, k.shapes, k.names, k.labels, k.kinds)
				FROM (SELECT array_agg(s.shape ORDER BY s.n) AS shapes, array_agg(s.names::text ORDER BY s.n) AS names,
					array_agg(s.labels::text ORDER BY s.n) AS labels, array_agg(s.kinds::text ORDER BY s.n) AS kinds
					FROM scrapes s WHERE s.keep HAVING count(*) > 0 OFFSET 0) k), 0)
			END
		FROM batch b
	$$;
COMMENT ON FUNCTION observ._put(text, bigint, bigint, text, text, text, integer, bigint[], text[]) IS
'A small batch of obs-agent in one statement: arguments and the first seven of the reply as in _begin_batch(); rows are array literals of a record''s kind, how many microseconds before sent_at it was, and its fields, those of scrapes being a shape, values separated by semicolons, and names, labels and kinds unless the shape is known. The reply goes on with rows of vps_metrics and of health_checks that were stored, samples that were duplicates, clamped, quarantined, reports of peers, shapes noted. NULL: nothing was done, because a shape is not known or a time is in the future. Not an interface';

CREATE FUNCTION observ.topology(
	at timestamptz DEFAULT pg_catalog.now(), max_age interval DEFAULT '1 hour', external_nodes integer DEFAULT 100,
	OUT kind text, OUT id text, OUT source text, OUT target text, OUT label text, OUT data jsonb)
	RETURNS SETOF record
	LANGUAGE sql STABLE ROWS 1000 SET search_path = pg_catalog, pg_temp
	AS $$
		WITH owners AS (
			SELECT a.address, min(a.vps_name) AS vps_name, count(DISTINCT a.vps_name) AS claims, array_agg(DISTINCT a.vps_name) AS claimants
			FROM (
				SELECT v.*, bool_or(v.source = 'registered') OVER (PARTITION BY v.address) AS is_registered FROM observ.vps_addresses v
				WHERE v.source = 'registered' OR v.last_seen > $1 - interval '7 days') a
			WHERE NOT a.is_registered OR a.source = 'registered' GROUP BY 1
		), ends AS (
			SELECT p.*, 'vps:' || p.vps_name AS here,
				CASE WHEN p.address <<= '127.0.0.0/8' OR p.address = '::1' THEN p.vps_name WHEN o.claims = 1 THEN o.vps_name END AS peer_vps,
				CASE WHEN o.claims > 1 THEN o.claimants END AS claimants
			FROM observ.peers p LEFT JOIN owners o USING (address)
			WHERE p.last_seen > $1 - $2 AND p.first_seen <= $1
		), outside AS (
			SELECT e.address, sum(e.connections) AS connections, max(e.last_seen) AS last_seen, e.claimants,
				row_number() OVER (ORDER BY sum(e.connections) DESC, e.address) <= coalesce($3, 2147483647) AS is_node
			FROM ends e WHERE e.peer_vps IS NULL GROUP BY e.address, e.claimants
		), links AS (
			SELECT e.*, CASE e.direction WHEN 'outbound' THEN e.here ELSE t.there END AS source,
				CASE e.direction WHEN 'outbound' THEN t.there ELSE e.here END AS target
			FROM ends e LEFT JOIN outside o ON o.address = e.address AND e.peer_vps IS NULL,
				LATERAL (SELECT CASE WHEN e.peer_vps IS NOT NULL THEN 'vps:' || e.peer_vps
					WHEN o.is_node THEN 'address:' || host(e.address) ELSE 'address:other' END AS there) t
		), edges AS (
			SELECT l.source, l.target, l.protocol, l.port,
				greatest(sum(l.connections) FILTER (WHERE l.direction = 'outbound'), sum(l.connections) FILTER (WHERE l.direction = 'inbound')) AS connections,
				array_agg(DISTINCT l.app_name) FILTER (WHERE l.direction = 'outbound' AND l.app_name <> '') AS source_apps,
				array_agg(DISTINCT l.app_name) FILTER (WHERE l.direction = 'inbound' AND l.app_name <> '') AS target_apps,
				min(l.first_seen) AS first_seen, max(l.last_seen) AS last_seen
			FROM links l GROUP BY 1, 2, 3, 4
		), summary AS (
			SELECT f.vps_name, array_agg(f.app_name ORDER BY f.app_name) FILTER (WHERE f.app_name <> '') AS apps, max(f.last_seen) AS last_seen,
				(array_agg(f.status ORDER BY array_position(ARRAY['down', 'stale', 'degraded', 'up'], f.status)))[1] AS status
			FROM observ.fleet_summary($1) f GROUP BY 1
		), names AS (
			SELECT v.vps_name FROM observ.vps v WHERE v.status <> 'retired'
			UNION SELECT s.vps_name FROM summary s
			UNION SELECT e.vps_name FROM ends e
			UNION SELECT e.peer_vps FROM ends e WHERE e.peer_vps IS NOT NULL
		)
		SELECT 'node', 'vps:' || n.vps_name, NULL, NULL, n.vps_name,
			jsonb_build_object('type', 'vps', 'status', s.status, 'last_seen', s.last_seen, 'apps', s.apps, 'labels', v.labels,
				'addresses', (SELECT jsonb_agg(host(a.address) ORDER BY a.address) FROM observ.vps_addresses a WHERE a.vps_name = n.vps_name))
		FROM names n LEFT JOIN summary s USING (vps_name) LEFT JOIN observ.vps v USING (vps_name)
		UNION ALL
		SELECT 'node', 'address:' || host(o.address), NULL, NULL, host(o.address),
			jsonb_build_object('type', 'address', 'address', host(o.address), 'last_seen', o.last_seen, 'claimed_by', o.claimants)
		FROM outside o WHERE o.is_node
		UNION ALL
		SELECT 'node', 'address:other', NULL, NULL, count(*) || ' other addresses',
			jsonb_build_object('type', 'others', 'addresses', count(*), 'last_seen', max(o.last_seen))
		FROM outside o WHERE NOT o.is_node HAVING count(*) > 0
		UNION ALL
		SELECT 'edge', e.source || ' -> ' || e.target || ' ' || e.protocol || '/' || e.port, e.source, e.target, e.protocol || '/' || e.port,
			jsonb_build_object('protocol', e.protocol, 'port', e.port, 'connections', e.connections, 'source_apps', e.source_apps,
				'target_apps', e.target_apps, 'first_seen', e.first_seen, 'last_seen', e.last_seen)
		FROM edges e
		ORDER BY 1 DESC, 2;
	$$;
COMMENT ON FUNCTION observ.topology(timestamptz, interval, integer) IS
'The network as rows: nodes (VPSs, and the external_nodes addresses with the most connections that are no VPS''s; the rest is one node; NULL: all) and edges from who connects to who listens, one per protocol and port, from the peers seen within max_age before at. What both ends report is one edge. data: of a VPS status, applications, labels, addresses; of an edge connections and the applications at both ends; null where it is not known. An address that several VPSs claim is none''s: claimed_by';

CREATE FUNCTION observ.performance_trends(
	at timestamptz DEFAULT pg_catalog.now(), period interval DEFAULT '24 hours', vps text DEFAULT NULL, app text DEFAULT NULL,
	metrics text[] DEFAULT NULL,
	OUT vps_name text, OUT app_name text, OUT metric text, OUT current_value float8, OUT previous_value float8, OUT change float8,
	OUT change_percent float8, OUT slope_per_hour float8, OUT direction text, OUT current_samples bigint, OUT previous_samples bigint)
	RETURNS SETOF record
	LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS $$
		WITH samples AS (
			SELECT m.vps_name, m.app_name, u.metric, u.value, m."timestamp" > $1 - $2 AS is_current, extract(epoch FROM m."timestamp" - $1) / 3600 AS hours
			FROM observ.vps_metrics m, LATERAL (VALUES ('cpu_percent', m.cpu_percent::float8), ('memory_percent', m.memory_percent),
				('disk_percent', m.disk_percent), ('load_avg_1m', m.load_avg_1m), ('net_rx_bps', m.net_rx_bps), ('net_tx_bps', m.net_tx_bps),
				('cpu_iowait_percent', m.cpu_iowait_percent), ('cpu_steal_percent', m.cpu_steal_percent), ('swap_percent', m.swap_percent),
				('disk_busy_percent', m.disk_busy_percent), ('disk_read_bps', m.disk_read_bps), ('disk_write_bps', m.disk_write_bps),
				('psi_cpu', m.psi_cpu), ('psi_memory', m.psi_memory), ('psi_io', m.psi_io), ('processes', m.processes)) u (metric, value)
			WHERE m."timestamp" > $1 - 2 * $2 AND m."timestamp" <= $1 AND ($3 IS NULL OR m.vps_name = $3) AND ($4 IS NULL OR m.app_name = $4)
				AND u.metric = ANY (coalesce($5, ARRAY['cpu_percent', 'memory_percent', 'disk_percent', 'load_avg_1m', 'net_rx_bps', 'net_tx_bps']))
				AND u.value > '-infinity' AND u.value < 'infinity'
		), timings AS (
			SELECT h.vps_name, h.app_name, 'health_check' AS kind, h.response_time_ms::float8 AS duration, h.success, h."timestamp"
			FROM observ.health_checks h WHERE NOT h.inconclusive
				AND h."timestamp" > $1 - 2 * $2 AND h."timestamp" <= $1 AND ($3 IS NULL OR h.vps_name = $3) AND ($4 IS NULL OR h.app_name = $4)
			UNION ALL
			SELECT e.vps_name, e.app_name, e.kind, e.duration_ms, e.success, e."timestamp"
			FROM observ.events e WHERE (e.duration_ms IS NOT NULL OR e.success IS NOT NULL)
				AND e."timestamp" > $1 - 2 * $2 AND e."timestamp" <= $1 AND ($3 IS NULL OR e.vps_name = $3) AND ($4 IS NULL OR e.app_name = $4)
		), slices AS (
			SELECT t.vps_name, t.app_name, t.kind, t."timestamp" > $1 - $2 AS is_current,
				width_bucket(extract(epoch FROM t."timestamp" - ($1 - 2 * $2)), 0, extract(epoch FROM $1 - ($1 - 2 * $2)), 48) AS slice,
				t.duration, t.success
			FROM timings t
		), statistics AS (
			SELECT s.vps_name, s.app_name, s.kind, s.is_current, s.slice, v.suffix, v.value, v.samples
			FROM (
				SELECT s.vps_name, s.app_name, s.kind, s.is_current, s.slice,
					percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY s.duration) FILTER (WHERE s.duration < 'infinity') AS p,
					count(*) FILTER (WHERE s.duration < 'infinity') AS timed,
					100.0 * count(*) FILTER (WHERE s.success) / nullif(count(s.success), 0) AS rate, count(s.success) AS rated
				FROM slices s
				GROUP BY GROUPING SETS ((s.vps_name, s.app_name, s.kind, s.is_current), (s.vps_name, s.app_name, s.kind, s.is_current, s.slice))) s,
				LATERAL (VALUES ('_p50_ms', s.p[1], s.timed), ('_p95_ms', s.p[2], s.timed), ('_success_rate', s.rate, s.rated)) v (suffix, value, samples)
		), compared AS (
			SELECT s.vps_name, s.app_name, s.metric, avg(s.value) FILTER (WHERE s.is_current) AS now_value, avg(s.value) FILTER (WHERE NOT s.is_current) AS before,
				regr_slope(s.value, s.hours) FILTER (WHERE s.is_current) AS slope,
				count(*) FILTER (WHERE s.is_current) AS now_samples, count(*) FILTER (WHERE NOT s.is_current) AS samples_before
			FROM samples s GROUP BY 1, 2, 3
			UNION ALL
			SELECT s.vps_name, s.app_name, s.kind || s.suffix, max(s.value) FILTER (WHERE s.is_current AND s.slice IS NULL),
				max(s.value) FILTER (WHERE NOT s.is_current AND s.slice IS NULL),
				regr_slope(s.value, s.slice * extract(epoch FROM $1 - ($1 - 2 * $2)) / 48 / 3600) FILTER (WHERE s.is_current AND s.slice IS NOT NULL),
				coalesce(sum(s.samples) FILTER (WHERE s.is_current AND s.slice IS NULL), 0)::bigint,
				coalesce(sum(s.samples) FILTER (WHERE NOT s.is_current AND s.slice IS NULL), 0)::bigint
			FROM statistics s GROUP BY 1, 2, 3
		)
		SELECT c.vps_name, c.app_name, c.metric, c.now_value, c.before, c.now_value - c.before,
			100 * (c.now_value - c.before) / nullif(abs(c.before), 0), c.slope,
			CASE WHEN abs(c.now_value - c.before) <= CASE WHEN c.metric LIKE '%\_success\_rate' THEN 0.01 ELSE 0.05 END * abs(c.before) THEN 'steady' WHEN c.now_value > c.before THEN 'up' WHEN c.now_value < c.before THEN 'down' END,
			c.now_samples, c.samples_before
		FROM compared c
		WHERE c.now_samples + c.samples_before > 0 AND ($5 IS NULL OR c.metric = ANY ($5))
		ORDER BY 1, 2, 3;
	$$;
COMMENT ON FUNCTION observ.performance_trends(timestamptz, interval, text, text, text[]) IS
'The period before at beside the period before that, a row per VPS, application and metric: means of columns of observ.vps_metrics, median (_p50_ms), 95th percentile (_p95_ms) and percent of successes (_success_rate) of health checks (health_check) and of each kind of event that has a duration or an outcome. slope_per_hour is the least-squares line through the current period. direction: up or down by more than 5 percent (success rates: 1 percent), else steady. NULL where a period has no data. vps, app, metrics: NULL takes all, of observ.vps_metrics the six most asked for';

-- ---- alert rules
CREATE FUNCTION observ_data._check_alert_rule() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_alert_rule';
COMMENT ON FUNCTION observ_data._check_alert_rule() IS
'Trigger of observ.alert_rules: finds out source, brings operator into its spelling, counts version, and refuses rules that can''t work';
CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON observ.alert_rules
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_alert_rule();

CREATE FUNCTION observ.create_alert_rule(rule jsonb) RETURNS bigint
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_create_alert_rule';
COMMENT ON FUNCTION observ.create_alert_rule(jsonb) IS
'Enters an alert rule given as {"name": "High CPU Usage", "metric_name": "cpu_usage", "operator": "gt", "threshold": 80, "severity": "high", …} and returns its rule_id. Keys are the columns of observ.alert_rules; null and what is left out mean the default; durations are texts like "5m" or "5 minutes", or numbers of seconds. Errors: 23505 when there is a rule of that name, 42703 for an unknown key, and what INSERT raises';

CREATE FUNCTION observ.alert_metrics(OUT name text, OUT source text, OUT unit text, OUT description text, OUT aliases text[])
	RETURNS SETOF record
	LANGUAGE c IMMUTABLE STRICT ROWS 60 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_alert_metrics';
COMMENT ON FUNCTION observ.alert_metrics() IS
'What metric_name of an alert rule can be, besides the labelled metrics of observ.metric_series';

-- ---- alert evaluation
CREATE FUNCTION observ.evaluate_alerts(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT evaluated_at timestamptz, OUT slots integer, OUT rules integer, OUT failed integer, OUT pending integer,
	OUT firing integer, OUT resolved integer, OUT changes integer, OUT refreshed integer, OUT lost integer)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_evaluate_alerts';
COMMENT ON FUNCTION observ.evaluate_alerts(timestamptz) IS
'Evaluates the alert rules that are due at a time, in one snapshot, and writes what changed to observ.alerts and observ.alert_history. status: ok; clock behind (at lies before the previous evaluation: evaluated at the time of that); busy, paused, standby. slots: times that were evaluated, more than one after a pause that rows exist of. rules, failed: rules that were due at the last of them, those that could not be evaluated and changed nothing. pending, firing: alerts that are so now. resolved, changes: alerts that ended, rows of history. refreshed: alerts with a new value only. lost: alerts that somebody else was changing, left to the next evaluation';

CREATE VIEW observ.rule_status AS
	SELECT r.rule_id, r.name, r.enabled, CASE WHEN NOT r.enabled THEN 'disabled' WHEN s.errors > 0 THEN 'failing' WHEN s.overflow > 0 THEN 'overflowing' WHEN s.rule_id IS NULL THEN 'new' ELSE 'ok' END AS status,
		coalesce(s.errors, 0) AS errors, s.last_error, s.last_error_sqlstate, s.error_since,
		CASE WHEN r.evaluation_interval IS NOT NULL THEN s.evaluated_at WHEN s.rule_id IS NOT NULL THEN e.evaluated_at END AS evaluated_at,
		s.data_seen_at, coalesce(s.overflow, 0) AS overflow, coalesce(a.pending, 0) AS pending, coalesce(a.firing, 0) AS firing
	FROM observ.alert_rules r LEFT JOIN observ_data.rule_state s USING (rule_id) CROSS JOIN observ_data.evaluation_state e
		LEFT JOIN (SELECT l.rule_id, count(*) FILTER (WHERE l.status = 'pending') AS pending, count(*) FILTER (WHERE l.status <> 'pending') AS firing
			FROM observ.alerts l WHERE l.status <> 'resolved' GROUP BY 1) a USING (rule_id);
COMMENT ON VIEW observ.rule_status IS 'How each alert rule fares: disabled, failing (last_error, and what it last found stays), overflowing (true for more instances than observ.max_alerts_per_rule), new, ok; when it was evaluated and last had data, how many alerts it has';

CREATE FUNCTION observ.backtest_rule(
	rule text, "from" timestamptz, "to" timestamptz DEFAULT pg_catalog.now(), step interval DEFAULT NULL,
	OUT kind text, OUT started timestamptz, OUT fired timestamptz, OUT ended timestamptz, OUT instance text, OUT app_name text, OUT labels jsonb, OUT peak_value float8,
	OUT reopened integer, OUT channel text, OUT route text, OUT reason text, OUT firing integer, OUT resolved integer)
	RETURNS SETOF record
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_backtest_rule_name';
COMMENT ON FUNCTION observ.backtest_rule(text, timestamptz, timestamptz, interval) IS
'What the rule of that name would have done to the rows that are stored: nothing is written. A row per episode (kind episode; pending: it cleared before it fired), notification and time in which it could not be evaluated (error). The rule is evaluated each step: by default its evaluation_interval or a minute, longer where that would be more than 10,000 times';

CREATE FUNCTION observ.backtest_rule(
	rule jsonb, "from" timestamptz, "to" timestamptz DEFAULT pg_catalog.now(), step interval DEFAULT NULL,
	OUT kind text, OUT started timestamptz, OUT fired timestamptz, OUT ended timestamptz, OUT instance text, OUT app_name text, OUT labels jsonb, OUT peak_value float8,
	OUT reopened integer, OUT channel text, OUT route text, OUT reason text, OUT firing integer, OUT resolved integer)
	RETURNS SETOF record
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_backtest_rule_json';
COMMENT ON FUNCTION observ.backtest_rule(jsonb, timestamptz, timestamptz, interval) IS
'The same for a rule that is not stored, given as for observ.create_alert_rule()';

-- ---- people: acknowledge, resolve, explain
CREATE FUNCTION observ.acknowledge_alert(
	alert_id bigint, note text DEFAULT NULL, until timestamptz DEFAULT NULL, sticky boolean DEFAULT false,
	at timestamptz DEFAULT pg_catalog.now(),
	OUT acknowledged boolean, OUT alert bigint, OUT status text, OUT severity observ.severity, OUT instance text, OUT app_name text)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_acknowledge_alert';
COMMENT ON FUNCTION observ.acknowledge_alert(bigint, text, timestamptz, boolean, timestamptz) IS
'Says that somebody, the role of the session, is at it: no repetitions, no escalation; that it is over is told. Ends with the alert, at until, and when the severity changes unless it is sticky: then people are told again. Errors: 55000 when the alert is resolved, 42704 when there is none';

CREATE FUNCTION observ.unacknowledge_alert(
	alert_id bigint, note text DEFAULT NULL, at timestamptz DEFAULT pg_catalog.now(),
	OUT unacknowledged boolean, OUT alert bigint, OUT status text, OUT severity observ.severity, OUT instance text, OUT app_name text)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_unacknowledge_alert';
COMMENT ON FUNCTION observ.unacknowledge_alert(bigint, text, timestamptz) IS
'Takes an acknowledgement back; unacknowledged is false when there was none. Errors: 55000 when the alert is resolved, 42704 when there is none';

CREATE FUNCTION observ.resolve_alert(
	alert_id bigint, note text DEFAULT NULL, at timestamptz DEFAULT pg_catalog.now(),
	OUT resolved boolean, OUT alert bigint, OUT status text, OUT severity observ.severity, OUT instance text, OUT app_name text)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_resolve_alert';
COMMENT ON FUNCTION observ.resolve_alert(bigint, text, timestamptz) IS
'Resolves an alert by hand, reason manual; who was told of it is told that it is over. What is still true begins a new alert at the next evaluation. A pending one goes without a trace but in observ.alert_history. Errors: 55000 when it is resolved already, 42704 when there is none';

CREATE FUNCTION observ.explain_alert(alert_id bigint, at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (alert bigint, "time" timestamptz, what text, why text)
	LANGUAGE c STABLE ROWS 20 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_explain_alert';
COMMENT ON FUNCTION observ.explain_alert(bigint, timestamptz) IS
'Why somebody was, or was not, told of an alert, in the order of time up to at: what happened to it, its groups, what each flush decided for each channel and why, how it stands, what keeps it back, what each channel knows, the next flush. Errors: 42704 when there is no such alert';

CREATE FUNCTION observ.explain_alert(name text, at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (alert bigint, "time" timestamptz, what text, why text)
	LANGUAGE c STABLE ROWS 20 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_explain_alert_name';
COMMENT ON FUNCTION observ.explain_alert(text, timestamptz) IS
'The same for all live alerts of that name, or the latest that is over; for a rule without alerts why it has none';

-- ---- channels and secrets
CREATE FUNCTION observ_data._channel_kinds(OUT kind text, OUT description text, OUT concurrency integer, OUT rate_limit integer, OUT burst integer)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 12 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_channel_kinds';
COMMENT ON FUNCTION observ_data._channel_kinds() IS 'What observ.channel_kinds shows';
CREATE VIEW observ.channel_kinds AS
	SELECT k.kind, k.description, k.concurrency, k.rate_limit, k.burst FROM observ_data._channel_kinds() k;
COMMENT ON VIEW observ.channel_kinds IS
'The kinds of channels that this version can send through. concurrency: requests under way at a time, per channel; rate_limit, burst: notifications per minute, and at once before that holds, unless the channel has its own; NULL: any number';

CREATE FUNCTION observ_data._channel_fields(
	OUT kind text, OUT field text, OUT "position" integer, OUT type text, OUT required boolean, OUT secret boolean, OUT "default" text,
	OUT choices text, OUT min bigint, OUT max bigint, OUT description text) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 150 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_channel_fields';
COMMENT ON FUNCTION observ_data._channel_fields() IS 'What observ.channel_fields shows';
CREATE VIEW observ.channel_fields AS
	SELECT f.kind, f.field, f."position", f.type, f.required, f.secret, f."default", f.choices, f.min, f.max, f.description
	FROM observ_data._channel_fields() f;
COMMENT ON VIEW observ.channel_fields IS
'What the config of a channel of each kind holds. secret: the text is kept encrypted, config has secret:NAME in its place. type list: an array of texts, or one text with commas; object: of texts';

CREATE FUNCTION observ.set_secret(name text, value text) RETURNS void
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_set_secret';
COMMENT ON FUNCTION observ.set_secret(text, text) IS
'Stores a secret, encrypted, in place of one of that name; configs of channels refer to it as secret:NAME. Its key is the file observ.key in the data directory, made at the first use. Errors: 22004 and 22023 for no name or value, 58000 when the key file can''t be used';

CREATE FUNCTION observ.delete_secret(name text) RETURNS void
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_delete_secret';
COMMENT ON FUNCTION observ.delete_secret(text) IS 'Forgets a secret. Errors: 42704 when there is none of that name, 2BP01 when a channel refers to it';

CREATE FUNCTION observ_data._check_channel() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_channel';
COMMENT ON FUNCTION observ_data._check_channel() IS
'Trigger of observ.notification_channels: refuses what can''t work; moves texts that are secret out of config, to the secrets channel/NAME/FIELD';
CREATE FUNCTION observ_data._follow_channel() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_follow_channel';
COMMENT ON FUNCTION observ_data._follow_channel() IS
'Trigger of observ.notification_channels: forgets secrets of the channel that nothing refers to any more, tells channels that fall back to it that it is gone or called otherwise, wakes the notifier';
CREATE TRIGGER check_channel BEFORE INSERT OR UPDATE ON observ.notification_channels
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_channel();
CREATE TRIGGER follow_channel AFTER INSERT OR UPDATE OR DELETE ON observ.notification_channels
	FOR EACH ROW EXECUTE FUNCTION observ_data._follow_channel();

CREATE FUNCTION observ.create_channel(channel jsonb) RETURNS text
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_create_channel';
COMMENT ON FUNCTION observ.create_channel(jsonb) IS
'Makes a channel out of {"name": …, "kind": …} with the fields of the kind beside them or in "config", and any other column of observ.notification_channels; returns its name. One that is there without a kind, as default is at first, gets this kind. Errors: 42710 when there is one already, 22023 with the key for what can''t work';

CREATE FUNCTION observ.create_channels_from_env(file text DEFAULT NULL) RETURNS SETOF text
	LANGUAGE c ROWS 2 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_create_channels_from_env';
COMMENT ON FUNCTION observ.create_channels_from_env(text) IS
'Makes, or brings up to date, the channel email of SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASSWORD, SMTP_FROM, SMTP_TO and SMTP_TLS, and the channel webhook of WEBHOOK_URL (kind slack or discord for their addresses), from the environment of the server, or from a file of NAME=VALUE lines on the server, as systemd and docker have it (needs pg_read_server_files). Returns their names. While the channel default has no kind, routes that tell it tell these instead';

-- ---- outbox
CREATE FUNCTION observ.resend(notification_id bigint, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_resend';
COMMENT ON FUNCTION observ.resend(bigint, timestamptz) IS
'Sends a notification that is over, whatever became of it, once more through its channel, with the values of now and an idempotency_key of its own; returns its notification_id. Errors: 42704 when there is none, 55000 when it is still to be sent';

CREATE VIEW observ.notification_log AS
	SELECT n.notification_id, n."timestamp", n.channel, c.kind, n.reason, n.state, n.severity, n.title, n.firing, n.resolved, n.status, n.attempts,
		CASE WHEN d.lane OPERATOR(pg_catalog.=) ANY (ARRAY[0::smallint, 1::smallint]) THEN greatest(d.due_at, s.blocked_until) END AS next_attempt_at,
		n.finished_at, n.finished_at OPERATOR(pg_catalog.-) n."timestamp" AS took, n.last_error, n.receipt, n.superseded_by, n.fallback_of, n.resend_of, n.route, n.group_key, n.seq
	FROM observ.notifications n
		LEFT JOIN observ.notification_channels c ON c.name OPERATOR(pg_catalog.=) n.channel
		LEFT JOIN observ_data.deliveries d ON d.channel OPERATOR(pg_catalog.=) n.channel AND d.group_key OPERATOR(pg_catalog.=) n.group_key AND d.seq OPERATOR(pg_catalog.=) n.seq
		LEFT JOIN observ_data.channel_state s ON s.channel OPERATOR(pg_catalog.=) n.channel;
COMMENT ON VIEW observ.notification_log IS 'What became of notifications: one row each. Attempts are in observ.notification_attempts';
COMMENT ON COLUMN observ.notification_log.next_attempt_at IS 'when it is tried next; NULL: it is over, under way, or behind an earlier one';
COMMENT ON COLUMN observ.notification_log.took IS 'from the flush to the end of it';

CREATE VIEW observ.failing_channels AS
	SELECT c.name AS channel, c.kind, c.enabled, coalesce(s.failures, 0) AS failures, s.blocked_until, s.last_success_at, s.last_failure_at, s.last_error,
		coalesce(q.waiting, 0) AS waiting, q.oldest, coalesce(x.dead, 0) AS dead
	FROM observ.notification_channels c
		LEFT JOIN observ_data.channel_state s ON s.channel OPERATOR(pg_catalog.=) c.name
		LEFT JOIN (SELECT d.channel, pg_catalog.count(*) AS waiting, pg_catalog.min(d.made_at) AS oldest FROM observ_data.deliveries d GROUP BY d.channel) q ON q.channel OPERATOR(pg_catalog.=) c.name
		LEFT JOIN (SELECT n.channel, pg_catalog.count(*) AS dead FROM observ.notifications n
			WHERE n.status OPERATOR(pg_catalog.=) 'dead' AND n."timestamp" OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '1 day') GROUP BY n.channel) x ON x.channel OPERATOR(pg_catalog.=) c.name
	WHERE s.failures OPERATOR(pg_catalog.>) 0 OR x.dead OPERATOR(pg_catalog.>) 0;
COMMENT ON VIEW observ.failing_channels IS 'Channels whose latest attempt failed, or that lost notifications within a day';
COMMENT ON COLUMN observ.failing_channels.failures IS 'attempts in a row; from three on one notification at a time is tried, the others wait until blocked_until';
COMMENT ON COLUMN observ.failing_channels.dead IS 'notifications of the last day that were given up';

CREATE FUNCTION observ_data._claim_deliveries(
	at timestamptz, at_most integer DEFAULT 256,
	OUT notification_id bigint, OUT channel text, OUT kind text, OUT attempt integer, OUT step integer, OUT request jsonb)
	RETURNS SETOF record
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_claim_deliveries_sql';
COMMENT ON FUNCTION observ_data._claim_deliveries(timestamptz, integer) IS
'For tests in virtual time: takes the notifications that are due, as the notifier does, and shows the requests that it would send (url, headers, body), secrets as ***';

CREATE FUNCTION observ_data._record_delivery(
	at timestamptz, notification_id bigint, attempt integer, status_code integer DEFAULT NULL, body text DEFAULT '',
	retry_after text DEFAULT NULL, outcome text DEFAULT NULL, OUT verdict text)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_record_delivery_sql';
COMMENT ON FUNCTION observ_data._record_delivery(timestamptz, bigint, integer, integer, text, text, text) IS
'For tests in virtual time: what came of an attempt, as the notifier records it. outcome: NULL for an answer; or dns, connect, tls, untrusted, timeout (it may have arrived), broken, refused. Returns sent, retry, dead or again; NULL when somebody has the notification locked: nothing is written';

-- ---- messages
CREATE FUNCTION observ.test_alert(labels jsonb DEFAULT '{}', severity observ.severity DEFAULT 'info', duration interval DEFAULT '1 minute', at timestamptz DEFAULT now())
	RETURNS text
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_test_alert';
COMMENT ON FUNCTION observ.test_alert(jsonb, observ.severity, interval, timestamptz) IS
'Fires an alert with these labels that goes the whole way: evaluation, routes, silences, outbox, channels, and its end after that long. Titles begin with [TEST]; it is told alone, inhibits nothing and counts nowhere. Returns its alertname: observ.explain_alert() shows the way';

CREATE FUNCTION observ_data._render_notification(notification_id bigint, channel text DEFAULT NULL, step integer DEFAULT 0, variant integer DEFAULT 0, at timestamptz DEFAULT NULL)
	RETURNS jsonb
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_render_notification';
COMMENT ON FUNCTION observ_data._render_notification(bigint, text, integer, integer, timestamptz) IS
'The request that a notification would become at a time, through its channel or another one; NULL: as it was made. Secrets are shown as secret:NAME';

-- ---- delivery
CREATE FUNCTION observ.test_channel(channel text, OUT ok boolean, OUT status_code integer, OUT latency_ms double precision, OUT phase text,
	OUT error text, OUT answer text) RETURNS record
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_test_channel';
COMMENT ON FUNCTION observ.test_channel(text) IS
'Sends a message flagged [TEST], in the words of its templates, through a channel, enabled or not, and waits for the answer; works without the notifier and while observ is paused. ok: it was accepted; else phase is where it ended (render, resolve, connect, tls, send, answer, body; NULL: the receiver said no) and error says why. One row (one per phone number or the like) in observ.notification_attempts. When it got through, a channel that was left alone after failures is used again. Errors: 42704 for a channel or secret that is not there, 55000 for a channel without a kind';

-- ---- routes and notifications
CREATE FUNCTION observ.dispatch_notifications(
	at timestamptz DEFAULT pg_catalog.now(),
	OUT status text, OUT dispatched_at timestamptz, OUT routed bigint, OUT flushed integer, OUT notifications integer,
	OUT next_flush_at timestamptz)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_dispatch_notifications';
COMMENT ON FUNCTION observ.dispatch_notifications(timestamptz) IS
'Takes alerts that changed to their groups, and flushes the groups whose time has come: notifications go to the outbox, observ.notifications, and why or why not to observ.notification_decisions. A time up to 10 minutes before the latest dispatch counts as that one (dispatched_at says); an earlier one is believed, and timers of groups are moved back. routed: alerts taken to groups; flushed: groups; next_flush_at: of the next group. status: ok, busy, paused, standby';

CREATE FUNCTION observ.explain_route(
	labels jsonb DEFAULT NULL, alert_id bigint DEFAULT NULL,
	OUT route text, OUT parent text, OUT matchers text, OUT matched boolean, OUT told boolean, OUT why text, OUT channels text[],
	OUT group_by text[], OUT group_labels jsonb, OUT group_wait interval, OUT group_interval interval, OUT repeat_interval interval[],
	OUT mute_time_intervals text[], OUT active_time_intervals text[]) RETURNS SETOF record
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_explain_route';
COMMENT ON FUNCTION observ.explain_route(jsonb, bigint) IS
'Where an alert with these labels, or one of observ.alerts, goes: a row per route, in the order of the tree, with what it inherits. matched: its matchers match, and it was asked; told: the alert ends here, the channels are told, together with the alerts of the same group_labels; why: in words. Also in a transaction that changes observ.routes and is rolled back';

CREATE FUNCTION observ.explain_timing(
	route text, at timestamptz DEFAULT pg_catalog.now(),
	OUT "time" timestamptz, OUT after interval, OUT what text) RETURNS SETOF record
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_explain_timing';
COMMENT ON FUNCTION observ.explain_timing(text, timestamptz) IS
'When a route tells: of an alert that begins at that time the first notification, the flushes after it and the repetitions; and the next flush of the groups that there are';

CREATE FUNCTION observ_data._check_route() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_route';
COMMENT ON FUNCTION observ_data._check_route() IS
'Trigger of observ.routes: puts a route without parent_id below the root, refuses what can''t work: matchers, intervals and time intervals, cycles, a root that is deleted or does not take everything';
CREATE FUNCTION observ_data._follow_route() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_follow_route';
COMMENT ON FUNCTION observ_data._follow_route() IS
'Trigger of observ.routes: a WARNING when repeat_interval is shorter than group_interval; routes below one that is deleted go with it';
CREATE TRIGGER check_route BEFORE INSERT OR UPDATE OR DELETE ON observ.routes
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_route();
CREATE TRIGGER follow_route AFTER INSERT OR UPDATE OR DELETE ON observ.routes
	FOR EACH ROW EXECUTE FUNCTION observ_data._follow_route();
CREATE FUNCTION observ_data._check_escalation() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_escalation';
COMMENT ON FUNCTION observ_data._check_escalation() IS 'Trigger of observ.escalations: refuses what can''t work: matchers, channels, times';
CREATE TRIGGER check_escalation BEFORE INSERT OR UPDATE ON observ.escalations
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_escalation();

-- By severity, two teams and one category apart; a team's own route, at position 100, comes before them.
INSERT INTO observ.routes (name, channels, group_by, group_wait, group_interval, repeat_interval)
	VALUES ('root', '{default}', '{alertname}', '30 seconds', '5 minutes', '{4 hours}');
INSERT INTO observ.routes (position, name, matchers, group_wait, group_interval, repeat_interval) VALUES
	(1010, 'emergency', '{severity="emergency"}', '0', '1 minute', '{30 minutes}'),
	(1020, 'critical', '{severity="critical"}', '10 seconds', NULL, '{1 hour}'),
	(1030, 'security', '{category="security"} or {team="security"}', '20 seconds', NULL, '{2 hours}'),
	(1040, 'database', '{category="database"} or {team="database"}', '1 minute', NULL, '{3 hours}'),
	(1050, 'mlops', '{category="mlops"} or {team="mlops"}', '1 minute', NULL, '{3 hours}'),
	(1060, 'high', '{severity="high"}', '30 seconds', NULL, '{2 hours}'),
	(1070, 'warning', '{severity="warning"}', '5 minutes', NULL, '{12 hours}'),
	(1080, 'medium', '{severity="medium"}', '5 minutes', NULL, '{12 hours}'),
	(1090, 'low', '{severity="low"}', '5 minutes', '15 minutes', '{24 hours}'),
	(1100, 'info', '{severity="info"}', '10 minutes', '1 hour', '{24 hours}');

-- ---- silences, inhibition, maintenance
CREATE FUNCTION observ_data._check_time_interval() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_time_interval';
COMMENT ON FUNCTION observ_data._check_time_interval() IS 'Refuses times and zones that can''t be read';
CREATE TRIGGER check_time_interval BEFORE INSERT OR UPDATE ON observ.time_intervals
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_time_interval();

CREATE FUNCTION observ_data._check_inhibition_rule() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_inhibition_rule';
COMMENT ON FUNCTION observ_data._check_inhibition_rule() IS 'Refuses inhibition rules that can''t work';
CREATE TRIGGER check_inhibition_rule BEFORE INSERT OR UPDATE ON observ.inhibition_rules
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_inhibition_rule();

CREATE FUNCTION observ_data._check_maintenance() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_maintenance';
COMMENT ON FUNCTION observ_data._check_maintenance() IS 'Refuses selectors, times and zones of maintenance windows that can''t be read';
CREATE TRIGGER check_maintenance BEFORE INSERT OR UPDATE ON observ.maintenance_windows
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_maintenance();

CREATE FUNCTION observ_data._check_silence() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_check_silence';
COMMENT ON FUNCTION observ_data._check_silence() IS
'Refuses silences that can''t work, and to delete any; makes an edit of the matchers or start of an active one a silence of its own';
CREATE TRIGGER check_silence BEFORE INSERT OR UPDATE OR DELETE ON observ.silences
	FOR EACH ROW EXECUTE FUNCTION observ_data._check_silence();

CREATE FUNCTION observ_data._audit_silence() RETURNS trigger
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_audit_silence';
COMMENT ON FUNCTION observ_data._audit_silence() IS 'Writes observ.silence_audit';
CREATE TRIGGER audit_silence AFTER INSERT OR UPDATE ON observ.silences
	FOR EACH ROW EXECUTE FUNCTION observ_data._audit_silence();

CREATE FUNCTION observ.silence(
	matchers text, duration interval DEFAULT NULL, comment text DEFAULT NULL, until timestamptz DEFAULT NULL,
	starts_at timestamptz DEFAULT NULL, ticket_url text DEFAULT NULL, auto_expire_when_clear interval DEFAULT NULL,
	confirm boolean DEFAULT false, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_silence';
COMMENT ON FUNCTION observ.silence(text, interval, text, timestamptz, timestamptz, text, interval, boolean, timestamptz) IS
'Silences alerts that match, {vps_name="db-1"} or {alertname=~"Disk.*",env!="prod"}, for a duration or until a time, and returns the silence_id. Refused, unless confirm is true, when it would hide more than half of the alerts that fire, and these are more than 10: observ.preview_silence() shows them';

CREATE FUNCTION observ.expire_silence(silence_id bigint, at timestamptz DEFAULT pg_catalog.now()) RETURNS boolean
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_expire_silence';
COMMENT ON FUNCTION observ.expire_silence(bigint, timestamptz) IS
'Ends a silence now, also one that has not begun; false when it was over already. What it hid and still fires is told at the next flush. Errors: 42704 when there is none';

CREATE FUNCTION observ_data._alert_matchers(alert_id bigint) RETURNS text
	LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_alert_matchers';
COMMENT ON FUNCTION observ_data._alert_matchers(bigint) IS 'Matchers for what an alert is about: its name and identity. Errors: 42704 when there is no such alert';

CREATE FUNCTION observ.silence_alert(
	alert_id bigint, duration interval DEFAULT NULL, comment text DEFAULT NULL, until timestamptz DEFAULT NULL,
	ticket_url text DEFAULT NULL, auto_expire_when_clear interval DEFAULT NULL, at timestamptz DEFAULT pg_catalog.now())
	RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT observ.silence(observ_data._alert_matchers($1), $2, $3, $4, NULL, $5, $6, true, $7);
	$$;
COMMENT ON FUNCTION observ.silence_alert(bigint, interval, text, timestamptz, text, interval, timestamptz) IS
'observ.silence() for what one alert is about: its name and the labels that tell it from others of its rule; also for when it fires again';

CREATE FUNCTION observ._matching_alerts(matchers text, at timestamptz) RETURNS SETOF bigint
	LANGUAGE c STABLE STRICT ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_matching_alerts';
COMMENT ON FUNCTION observ._matching_alerts(text, timestamptz) IS 'Alerts that fire, or recover, and that these matchers accept';

CREATE FUNCTION observ.preview_silence(matchers text, at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (alert_id bigint, alertname text, severity observ.severity, instance text, app_name text, summary text,
		starts_at timestamptz, hides bigint, live bigint)
	LANGUAGE sql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT a.alert_id, a.labels ->> 'alertname', a.severity, a.instance, a.app_name, a.summary, a.starts_at,
			count(*) OVER (), (SELECT count(*) FROM observ.alerts l WHERE l.status IN ('firing', 'recovering'))
		FROM observ._matching_alerts($1, $2) m (alert_id) JOIN observ.alerts a USING (alert_id)
		ORDER BY a.severity DESC, a.starts_at, a.alert_id;
	$$;
COMMENT ON FUNCTION observ.preview_silence(text, timestamptz) IS
'Alerts that fire and that a silence with these matchers would hide; hides: how many, live: of how many';

CREATE FUNCTION observ_data._maintenance_periods("from" timestamptz, "to" timestamptz)
	RETURNS TABLE (vps_name text, app_name text, starts_at timestamptz, ends_at timestamptz)
	LANGUAGE c STABLE STRICT ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_maintenance_periods';
COMMENT ON FUNCTION observ_data._maintenance_periods(timestamptz, timestamptz) IS
'Windows of maintenance that have a part of that time, those that recur as the times that they make in it, those with a selector for each VPS that it selects now';

CREATE FUNCTION observ.suppressed_alerts(at timestamptz DEFAULT pg_catalog.now())
	RETURNS TABLE (alert_id bigint, alertname text, instance text, app_name text, suppressed_by text, id bigint, rule text, until timestamptz)
	LANGUAGE c STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_suppressed_alerts';
COMMENT ON FUNCTION observ.suppressed_alerts(timestamptz) IS
'Alerts that are live and kept from people at that time. suppressed_by: inhibition, hold, grace (id: the alert that mutes it, rule: the inhibition rule), silence, maintenance (id: of observ.silences, observ.maintenance_windows); until: when that ends by itself, as far as is known';

CREATE VIEW observ.active_silences AS
SELECT s.silence_id, s.matchers, s.starts_at, s.ends_at, s.ends_at OPERATOR(pg_catalog.-) pg_catalog.now() AS remaining, s.comment, s.ticket_url,
	s.auto_expire_when_clear, s.created_by, s.created_at,
	(SELECT pg_catalog.count(*) FROM observ._matching_alerts(s.matchers, pg_catalog.now())) AS hides
FROM observ.silences s
WHERE s.starts_at OPERATOR(pg_catalog.<=) pg_catalog.now() AND s.ends_at OPERATOR(pg_catalog.>) pg_catalog.now();
COMMENT ON VIEW observ.active_silences IS 'Silences that are active now. hides: how many alerts that fire each hides';

-- What one trouble makes of many alerts. People may change these rules, and add their own.
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal, lower_severity, hold_on_pending, description) VALUES
	('fleet outage', '{alertname="FleetOutage",group=""}', '{alertname="ServerDown"}', '{}', false, true,
		'An outage of the whole fleet mutes ServerDown: it names how many are down'),
	('outage of a group', '{alertname="FleetOutage",group!=""}', '{alertname="ServerDown"}', '{group}', false, true,
		'An outage of a group, label group of observ.vps, mutes ServerDown of its members'),
	('server down', '{alertname="ServerDown"}', '{vps_name!="",alertname!~"ServerDown.*"}', '{vps_name}', false, true,
		'A server that is down mutes everything else about it, but not that nobody sees to it'),
	('agent silent', '{alertname="AgentSilent"}', '{app_name!="",alertname!~"AgentSilent|ServerDown.*",category!~"server|observ"}', '{vps_name,app_name}', false, true,
		'A silent collector mutes what comes from it, not what is seen from elsewhere'),
	('same family', '{family!=""}', '{family!=""}', '{family,vps_name,app_name,url,mount,device,interface,container,name,unit,job,datname,standby,slot,rule,channel}', true, false,
		'Of alerts of one family about the same thing only the most severe is told');

-- ---- default rules
-- A member: what this version ships is no concern of a dump.
CREATE TABLE observ_data.default_rules (
	number integer NOT NULL,
	name text COLLATE "C" PRIMARY KEY,
	definition jsonb NOT NULL,
	hash text COLLATE "C" NOT NULL
);
COMMENT ON TABLE observ_data.default_rules IS 'The alert rules that this version of observ comes with; read it through observ.default_rules()';
COMMENT ON COLUMN observ_data.default_rules.number IS 'order in which they are listed';
COMMENT ON COLUMN observ_data.default_rules.definition IS 'columns of observ.alert_rules that are not NULL and not as _rule_columns() says';
COMMENT ON COLUMN observ_data.default_rules.hash IS 'of the definition; alert_rules.shipped_as of a rule that came like this';

CREATE FUNCTION observ_data._rule_columns(OUT name text, OUT default_value jsonb) RETURNS SETOF record
	LANGUAGE sql IMMUTABLE ROWS 32 SET search_path = pg_catalog, pg_temp
	AS $$
		VALUES ('name', NULL::jsonb), ('description', NULL), ('category', '"custom"'), ('source', NULL), ('metric_name', NULL),
			('matchers', NULL), ('aggregate', '"last"'), ('window', NULL), ('predict_ahead', NULL), ('predict_from', NULL), ('operator', '"gt"'),
			('threshold', NULL), ('clear_threshold', NULL), ('query', NULL), ('selector', NULL), ('per_app', 'true'),
			('min_samples', '1'), ('for_duration', '"00:00:00"'), ('keep_firing_for', '"00:00:00"'), ('evaluation_interval', NULL),
			('evaluation_delay', '"00:00:00"'), ('no_data', '"keep"'), ('on_missing', '"resolve"'), ('missing_for', NULL),
			('reopen_window', '"00:10:00"'), ('flap_detection', 'true'), ('severity', '"warning"'), ('enabled', 'true'),
			('labels', '{}'), ('annotations', '{}'), ('notification_channels', NULL), ('runbook_url', NULL);
	$$;
COMMENT ON FUNCTION observ_data._rule_columns() IS
'The columns of observ.alert_rules that make a rule what it is, and the values that a definition leaves out: defaults of the time when the column came, for ever, so that a new column changes no hash';

CREATE FUNCTION observ_data._rule_defaults() RETURNS jsonb
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT jsonb_object_agg(c.name, c.default_value) FROM observ_data._rule_columns() c WHERE c.default_value IS NOT NULL $$;
COMMENT ON FUNCTION observ_data._rule_defaults() IS 'What a definition of a rule leaves out';

CREATE FUNCTION observ_data._rule_definition("row" jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT jsonb_object_agg(c.name, $1 -> c.name) FROM observ_data._rule_columns() c
		WHERE $1 -> c.name <> 'null' AND $1 -> c.name IS DISTINCT FROM c.default_value
	$$;
COMMENT ON FUNCTION observ_data._rule_definition(jsonb) IS 'What of a row of observ.alert_rules defines the rule. The row is made with intervalstyle postgres and extra_float_digits 1';

CREATE FUNCTION observ_data._rule_hash(definition jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT left(encode(sha256(convert_to($1::text, 'UTF8')), 'hex'), 32) $$;
COMMENT ON FUNCTION observ_data._rule_hash(jsonb) IS 'Tells definitions of rules apart: 32 hexadecimal digits of their SHA-256';

CREATE FUNCTION observ_data._merge_default_rules(OUT added bigint, OUT updated bigint, OUT removed bigint, OUT edited bigint)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_merge_default_rules';
COMMENT ON FUNCTION observ_data._merge_default_rules() IS
'For ALTER EXTENSION observ UPDATE: makes observ.alert_rules follow observ_data.default_rules. Rules that nobody edited change or go with it, edited ones stay as they are (counted), deleted ones stay deleted, new ones come unless a rule of the user has their name';

CREATE FUNCTION observ.restore_default_rule(name text) RETURNS bigint
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_restore_default_rule';
COMMENT ON FUNCTION observ.restore_default_rule(text) IS
'Makes a default rule that was edited or deleted what this version ships, and returns its rule_id; live alerts stay. Errors: 42704 when there is none of that name, 42710 when the name is taken by a rule of your own';

CREATE FUNCTION observ.default_rules(
	OUT name text, OUT category text, OUT severity observ.severity, OUT state text, OUT rule_id bigint, OUT definition jsonb)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_default_rules';
COMMENT ON FUNCTION observ.default_rules() IS
'The alert rules that this version of observ comes with. state: unchanged, edited, deleted, own rule (the name was taken by a rule of yours), older or missing (until observ_data._merge_default_rules() is run). definition: as it ships';

-- The Makefile puts rules/*.sql here. Their statements go to a table like observ.alert_rules; what they say is kept as definitions, which
-- the end of the installation, or an update, brings into observ.alert_rules.
CREATE TABLE observ_data.shipped_rules (LIKE observ.alert_rules INCLUDING DEFAULTS, number integer GENERATED ALWAYS AS IDENTITY);
COMMENT ON TABLE observ_data.shipped_rules IS 'For the time of this script: the default rules as rules/*.sql write them';
ALTER TABLE observ_data.shipped_rules ALTER COLUMN rule_id DROP NOT NULL;
-- @rules@
SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1;
INSERT INTO observ_data.default_rules (number, name, definition, hash)
	SELECT s.number, s.name, d, observ_data._rule_hash(d)
	FROM observ_data.shipped_rules s, LATERAL observ_data._rule_definition(pg_catalog.to_jsonb(s)) d;
DROP TABLE observ_data.shipped_rules;

-- ---- switching on and off
CREATE FUNCTION observ.pause() RETURNS void
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_pause';
COMMENT ON FUNCTION observ.pause() IS
'Stops everything observ does by itself in this database, from commit on; agents are told to wait. Undone by observ.resume()';

CREATE FUNCTION observ.resume(OUT status text, OUT leaves_checked integer, OUT indexes_repaired integer, OUT partitions_created integer)
	LANGUAGE c SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_resume';
COMMENT ON FUNCTION observ.resume() IS
'Lets observ work in this database again, also in a restored or cloned copy: verifies that every partition has every index and repairs what a restore left undone, creates missing partitions, arms the database. Raises an error, and stays paused, when that fails';

CREATE FUNCTION observ.status(
	OUT state text, OUT reason text, OUT hint text, OUT launcher_pid integer, OUT scheduler_pid integer,
	OUT notifier_pid integer, OUT library_version text, OUT sql_version text, OUT layout_version integer, OUT partitions_ahead interval)
	LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_status';
COMMENT ON FUNCTION observ.status() IS
'One row: whether observ works in this database. state: running, paused, no workers, standby, mismatch; reason and hint say why and what to do. A state of running with a reason: notifications are not sent. notifier_pid: NULL where no channel has a kind';

-- ---- pg_cron
CREATE FUNCTION observ.use_pg_cron(OUT job_name text, OUT jobid bigint, OUT schedule text) RETURNS SETOF record
	LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_use_pg_cron';
COMMENT ON FUNCTION observ.use_pg_cron() IS
'Moves the jobs that run by the minute or more rarely into cron.job, as entries named observ.<job> that run as the caller; observ''s scheduler leaves a job to pg_cron as long as its entry exists, and takes it back when it is gone. Returns the entries. Entries that exist stay as they are. Errors: 55000 when pg_cron does not work in this database';

CREATE FUNCTION observ.use_bgworker(OUT job_name text, OUT jobid bigint, OUT schedule text) RETURNS SETOF record
	LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_use_bgworker';
COMMENT ON FUNCTION observ.use_bgworker() IS
'Gives all jobs back to observ''s scheduler: removes their entries from cron.job and returns what they were. Errors: 42501 when an entry belongs to another role';

-- =========================================================================================================== workers
-- observ.job_runs and observ.job_status stay members: what a worker did here is no concern of a dump.
CREATE TABLE observ.job_runs (
	job_name text COLLATE "C" PRIMARY KEY,
	running_since timestamptz,
	last_start timestamptz,
	last_end timestamptz,
	last_success timestamptz,
	last_result text,
	runs bigint NOT NULL DEFAULT 0,
	errors bigint NOT NULL DEFAULT 0,
	retries bigint NOT NULL DEFAULT 0,
	crashes bigint NOT NULL DEFAULT 0,
	consecutive_failures integer NOT NULL DEFAULT 0,
	consecutive_crashes integer NOT NULL DEFAULT 0,
	last_error text,
	last_error_sqlstate text,
	last_error_at timestamptz,
	next_run timestamptz,
	disabled boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
COMMENT ON TABLE observ.job_runs IS 'One row per job of observ''s scheduler: what it did last. Written by the scheduler; read it through observ.job_status';
COMMENT ON COLUMN observ.job_runs.job_name IS 'name of the job';
COMMENT ON COLUMN observ.job_runs.running_since IS 'start of the run that is under way, NULL between runs; committed before the run begins, so that a crash is found out';
COMMENT ON COLUMN observ.job_runs.last_start IS 'start of the latest run';
COMMENT ON COLUMN observ.job_runs.last_end IS 'end of the latest run that came to an end, well or badly';
COMMENT ON COLUMN observ.job_runs.last_success IS 'end of the latest run without an error';
COMMENT ON COLUMN observ.job_runs.last_result IS 'what that run said it did';
COMMENT ON COLUMN observ.job_runs.runs IS 'runs begun';
COMMENT ON COLUMN observ.job_runs.errors IS 'runs that ended with an error of the job''s own';
COMMENT ON COLUMN observ.job_runs.retries IS 'runs given up for a lock conflict, deadlock or cancel; tried again soon';
COMMENT ON COLUMN observ.job_runs.crashes IS 'runs during which the process or the server went down';
COMMENT ON COLUMN observ.job_runs.consecutive_failures IS 'errors since the latest success; sets the pause before the next try';
COMMENT ON COLUMN observ.job_runs.consecutive_crashes IS 'crashes since the latest run that came to an end; five disable the job';
COMMENT ON COLUMN observ.job_runs.last_error IS 'message of the latest error, retry or crash';
COMMENT ON COLUMN observ.job_runs.last_error_sqlstate IS 'its SQLSTATE';
COMMENT ON COLUMN observ.job_runs.last_error_at IS 'when it was recorded';
COMMENT ON COLUMN observ.job_runs.next_run IS 'when it is due next';
COMMENT ON COLUMN observ.job_runs.disabled IS 'switched off after five crashes in a row; see observ.reset_job()';

CREATE FUNCTION observ_data._jobs(OUT job_name text, OUT period interval, OUT parameter text, OUT command text) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 2 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_jobs';
COMMENT ON FUNCTION observ_data._jobs() IS
'The jobs that the library knows: name, period (NULL: switched off), the parameter that sets it, and the SQL that is run';

CREATE FUNCTION observ_data._pg_cron_jobs(
	OUT job_name text, OUT jobid bigint, OUT schedule text, OUT username text, OUT active boolean, OUT launcher boolean,
	OUT last_start timestamptz, OUT last_end timestamptz, OUT last_success timestamptz, OUT last_result text,
	OUT last_error_at timestamptz, OUT last_error text) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 2 SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_list_cron_jobs';
COMMENT ON FUNCTION observ_data._pg_cron_jobs() IS
'The entries of cron.job that run jobs of observ in this database, and what pg_cron recorded of their latest runs; empty without pg_cron. launcher: whether pg_cron''s launcher runs. Errors are those since the latest success';

CREATE VIEW observ.job_status AS
SELECT j.job_name,
	CASE
		WHEN c.jobid IS NOT NULL THEN CASE
			WHEN NOT c.active THEN 'inactive'
			WHEN c.last_error IS NOT NULL THEN 'failing'
			WHEN NOT c.launcher AND GREATEST(c.last_end, r.last_start) < pg_catalog.now() - interval '5 minutes' THEN 'late'
			ELSE 'pg_cron'
		END
		WHEN j.period IS NULL OR pg_catalog.current_setting('observ.enabled') = 'off' THEN 'off'
		WHEN r.disabled THEN 'disabled'
		WHEN r.running_since IS NOT NULL THEN 'running'
		WHEN r.consecutive_failures > 0 OR r.consecutive_crashes > 0 THEN 'failing'
		WHEN r.next_run IS NULL OR pg_catalog.now() - r.next_run > GREATEST(j.period, interval '30 s') THEN 'late'
		ELSE 'ok'
	END AS state,
	j.period,
	CASE WHEN c.by_cron THEN c.last_start ELSE r.last_start END AS last_run,
	CASE WHEN c.by_cron THEN c.last_end - c.last_start WHEN r.last_end >= r.last_start THEN r.last_end - r.last_start END AS duration,
	CASE WHEN c.by_cron AND c.last_success IS NOT NULL THEN c.last_success ELSE r.last_success END AS last_success,
	CASE WHEN c.jobid IS NULL AND j.period IS NOT NULL AND NOT r.disabled THEN r.next_run END AS next_run,
	CASE WHEN c.jobid IS NULL AND j.period IS NOT NULL AND NOT r.disabled THEN GREATEST(pg_catalog.now() - r.next_run, interval '0') END AS lag,
	CASE WHEN c.by_cron AND c.last_success IS NOT NULL THEN c.last_result ELSE r.last_result END AS last_result,
	CASE WHEN c.last_error IS NOT NULL THEN c.last_error ELSE r.last_error END AS last_error,
	CASE WHEN c.last_error IS NULL THEN r.last_error_sqlstate END AS last_error_sqlstate,
	CASE WHEN c.last_error IS NOT NULL THEN c.last_error_at ELSE r.last_error_at END AS last_error_at,
	r.runs, r.errors, r.retries, r.crashes,
	CASE WHEN c.jobid IS NULL THEN 'observ' ELSE 'pg_cron' END AS runner,
	c.schedule
FROM observ_data._jobs() j LEFT JOIN observ.job_runs r USING (job_name)
	LEFT JOIN (SELECT *, last_end IS NOT NULL AS by_cron FROM observ_data._pg_cron_jobs()) c USING (job_name);
COMMENT ON VIEW observ.job_status IS
'Each job of this database''s scheduler. state: ok, running, late (due and not run: see observ.status()), failing (tried again with growing pauses), disabled (crashed five times in a row: see observ.reset_job()), off (its period is 0, or observ.enabled is off). A job that runner says is run by pg_cron: pg_cron, failing (its latest run failed), late (pg_cron''s launcher is not running), inactive (switched off in cron.job: nobody runs it). lag: how long it is due. last_error stays after a success: compare last_error_at with last_success';
GRANT EXECUTE ON FUNCTION observ_data._jobs(), observ_data._pg_cron_jobs() TO observ_reader, observ_owner;

CREATE FUNCTION observ.start_workers() RETURNS integer
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_start_workers';
COMMENT ON FUNCTION observ.start_workers() IS
'Starts observ''s launcher, and with it the schedulers of all armed databases of this server, until the server is restarted; for servers that do not have observ in shared_preload_libraries. Returns its process id';

CREATE FUNCTION observ.stop_workers() RETURNS boolean
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_stop_workers';
COMMENT ON FUNCTION observ.stop_workers() IS
'Stops what observ.start_workers() started, in all databases of this server, after the jobs that are under way; false when nothing ran';

CREATE FUNCTION observ.reset_job(job_name text) RETURNS void
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_reset_job';
COMMENT ON FUNCTION observ.reset_job(text) IS
'Forgets the errors and crashes in a row of a job and switches it on again; a job that was in trouble runs at once';

-- ============================================================================================================= views
-- ---- labelled metrics
CREATE VIEW observ.metric_samples AS
SELECT c."timestamp", s.vps_name, s.app_name, s.metric_name, s.labels, c."values"[s.slot] AS value
FROM observ.metric_series s JOIN observ.metric_scrapes c
	ON c.vps_name = s.vps_name AND c.app_name = s.app_name AND c.set_no = s.set_no
WHERE c."values"[s.slot] IS NOT NULL;
COMMENT ON VIEW observ.metric_samples IS
'Samples of labelled metrics, a row each. Name the metric, the VPS or a range of time: these go through indexes';

-- ---- rollups and history
CREATE VIEW observ.vps_metrics_5m AS
SELECT m."timestamp", m.vps_name, m.app_name, observ_data._vps_metric(c.slot) AS metric, c.count, c.avg, c.min, c.max, c.last, c.sum
FROM observ.metrics_5m m CROSS JOIN LATERAL observ_data._unpack_cells(m.cells) c
WHERE m.set_no = -1;
COMMENT ON VIEW observ.vps_metrics_5m IS 'The columns of observ.vps_metrics rolled up to 5 minutes, a row per column that has samples';

CREATE VIEW observ.metric_samples_5m AS
SELECT m."timestamp", m.vps_name, m.app_name, s.metric_name, s.labels, c.count, c.avg, c.min, c.max, c.last, c.sum, c.increase
FROM observ.metrics_5m m CROSS JOIN LATERAL observ_data._unpack_cells(m.cells) c
JOIN observ.metric_series s ON s.vps_name = m.vps_name AND s.app_name = m.app_name AND s.set_no = m.set_no AND s.slot = c.slot
WHERE m.set_no <> -1;
COMMENT ON VIEW observ.metric_samples_5m IS 'Labelled metrics rolled up to 5 minutes, a row per series that has samples. increase: of counters, from the first sample of the bucket to the last';

CREATE VIEW observ.vps_metrics_1h AS
SELECT m."timestamp", m.vps_name, m.app_name, observ_data._vps_metric(c.slot) AS metric, c.count, c.avg, c.min, c.max, c.last, c.sum
FROM observ.metrics_1h m CROSS JOIN LATERAL observ_data._unpack_cells(m.cells) c
WHERE m.set_no = -1;
COMMENT ON VIEW observ.vps_metrics_1h IS 'The columns of observ.vps_metrics rolled up to hours, a row per column that has samples';

CREATE VIEW observ.metric_samples_1h AS
SELECT m."timestamp", m.vps_name, m.app_name, s.metric_name, s.labels, c.count, c.avg, c.min, c.max, c.last, c.sum, c.increase
FROM observ.metrics_1h m CROSS JOIN LATERAL observ_data._unpack_cells(m.cells) c
JOIN observ.metric_series s ON s.vps_name = m.vps_name AND s.app_name = m.app_name AND s.set_no = m.set_no AND s.slot = c.slot
WHERE m.set_no <> -1;
COMMENT ON VIEW observ.metric_samples_1h IS 'Labelled metrics rolled up to hours, a row per series that has samples. increase: of counters, from the first sample of the bucket to the last';

-- ================================================================================================ row-level security
-- An agent's role appends rows of its own VPSs; writers append any; readers read all; the owner is not bound.
ALTER TABLE observ.vps_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.health_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.log_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.quarantine ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.log_positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE observ.sample_shapes ENABLE ROW LEVEL SECURITY;
-- Tables that agents never write by name (observ.metric_scrapes, rollups) need no policies: grants say it all.

CREATE POLICY readers ON observ.vps_metrics FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.health_checks FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.log_entries FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.events FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.quarantine FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.log_positions FOR SELECT TO observ_reader USING (true);
CREATE POLICY readers ON observ.sample_shapes FOR SELECT TO observ_reader USING (true);

CREATE POLICY writers ON observ.vps_metrics FOR INSERT TO observ_writer WITH CHECK (true);
CREATE POLICY writers ON observ.health_checks FOR INSERT TO observ_writer WITH CHECK (true);
CREATE POLICY writers ON observ.log_entries FOR INSERT TO observ_writer WITH CHECK (true);
CREATE POLICY writers ON observ.events FOR INSERT TO observ_writer WITH CHECK (true);
CREATE POLICY writers ON observ.quarantine FOR INSERT TO observ_writer WITH CHECK (true);
CREATE POLICY writers ON observ.log_positions TO observ_writer USING (true) WITH CHECK (true);
CREATE POLICY writers ON observ.sample_shapes TO observ_writer USING (true) WITH CHECK (true);

CREATE POLICY agents ON observ.vps_metrics FOR INSERT TO observ_agent
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));
CREATE POLICY agents ON observ.health_checks FOR INSERT TO observ_agent
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));
CREATE POLICY agents ON observ.log_entries FOR INSERT TO observ_agent
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));
CREATE POLICY agents ON observ.events FOR INSERT TO observ_agent
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));
CREATE POLICY agents ON observ.quarantine FOR INSERT TO observ_agent
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));
-- For observ.forget().
CREATE POLICY operators ON observ.log_positions FOR DELETE TO observ_operator USING (true);
CREATE POLICY operators ON observ.sample_shapes FOR DELETE TO observ_operator USING (true);
CREATE POLICY agents ON observ.log_positions TO observ_agent
	USING (observ_data._may_write_agent(agent_id, CURRENT_USER)) WITH CHECK (observ_data._may_write_agent(agent_id, CURRENT_USER));
CREATE POLICY agents ON observ.sample_shapes TO observ_agent
	USING (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)))
	WITH CHECK (vps_name OPERATOR(pg_catalog.=) ANY (SELECT observ_data._vps_of(CURRENT_USER)));

-- ============================================================================================================ grants
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA observ, observ_data FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA observ, observ_data FROM PUBLIC;
REVOKE ALL ON TYPE observ.severity FROM PUBLIC;

GRANT USAGE ON SCHEMA observ TO observ_owner, observ_reader, observ_writer, observ_agent;
GRANT USAGE, CREATE ON SCHEMA observ_data TO observ_owner;
GRANT USAGE ON TYPE observ.severity TO observ_owner, observ_reader, observ_writer, observ_agent;

GRANT SELECT ON ALL TABLES IN SCHEMA observ TO observ_reader;
-- Default rules ask these as observ_owner; they stay members of the extension.
GRANT SELECT ON observ.job_status, observ.job_runs TO observ_owner;
GRANT EXECUTE ON FUNCTION observ.version(), observ.layout_version(), observ.fleet_summary(timestamptz), observ.status()
	TO observ_reader;

GRANT EXECUTE ON FUNCTION observ.version(),
	observ.begin_batch(text, bigint, timestamptz, text, text, text, integer, bigint, bigint, bigint, bigint),
	observ._begin_batch(text, bigint, bigint, text, text, text, integer, bigint[]),
	observ._add_vps_metrics(text, text, timestamptz[], text[]), observ._add_health_checks(text, text, timestamptz[], text[]),
	observ._set_log_positions(text, text[], text[]) TO observ_writer, observ_agent;
-- For the policies only: without USAGE on the schema an agent can't call them by name, and so can't ask for the VPSs of other roles.
GRANT EXECUTE ON FUNCTION observ_data._vps_of(name), observ_data._may_write_agent(text, name) TO observ_agent;
GRANT INSERT ON observ.vps_metrics, observ.health_checks, observ.log_entries, observ.events, observ.quarantine TO observ_writer;
-- An agent can't set id or received_at: both are the database's word.
GRANT INSERT ("timestamp", vps_name, app_name, cpu_percent, memory_percent, memory_mb, disk_percent, disk_gb, load_avg_1m,
	load_avg_5m, load_avg_15m, cpu_iowait_percent, cpu_steal_percent, cpu_cores, memory_available_mb, swap_percent,
	swap_io_per_s, inode_percent, disk_read_bps, disk_write_bps, disk_busy_percent, net_rx_bps, net_tx_bps, net_errors_per_s,
	tcp_retransmit_percent, psi_cpu, psi_memory, psi_io, processes, zombies, open_files_percent, conntrack_percent, oom_kills,
	uptime_seconds, clock_offset_ms, interval_ms) ON observ.vps_metrics TO observ_agent;
GRANT INSERT ("timestamp", vps_name, app_name, url, status_code, response_time_ms, success, error_message, dns_ms, connect_ms,
	tls_ms, first_byte_ms, tls_expires_at, breaker_state, inconclusive) ON observ.health_checks TO observ_agent;
GRANT INSERT ("timestamp", vps_name, app_name, level, message, context, logger, source) ON observ.log_entries TO observ_agent;
GRANT INSERT ("timestamp", vps_name, app_name, kind, message, success, duration_ms, data) ON observ.events TO observ_agent;
GRANT INSERT (vps_name, app_name, table_name, reason, "row") ON observ.quarantine TO observ_agent;
-- The tables that agents read: their own notes.
GRANT SELECT, INSERT, UPDATE, DELETE ON observ.log_positions, observ.sample_shapes TO observ_writer, observ_agent;

GRANT EXECUTE ON FUNCTION observ.boost(text, interval), observ.forget(text, text) TO observ_operator;
GRANT UPDATE (boost_until) ON observ.vps TO observ_operator;
GRANT DELETE ON observ.fleet_summary, observ.collectors, observ.log_positions, observ.sample_shapes, observ.peers, observ.vps_addresses, observ_data.health_latest TO observ_operator;
GRANT SELECT ON observ_data.health_latest TO observ_operator;
GRANT USAGE ON SCHEMA observ_data TO observ_operator;

-- ---- labelled metrics
GRANT EXECUTE ON FUNCTION observ_data._adds_samples(float8[], float8[]), observ_data._merge_samples(float8[], float8[]) TO observ_owner;
GRANT EXECUTE ON FUNCTION observ.insert_samples(text, text, timestamptz[], text[], jsonb[], float8[], text[]),
	observ._add_samples(text, text, timestamptz[], text[], text[], text[], text[]),
	observ._keep_shapes(text, text, bigint[], text[], text[], text[]),
	observ._put(text, bigint, bigint, text, text, text, integer, bigint[], text[]),
	observ.record_metric(text, float8, jsonb, text, text, timestamptz), observ.insert_metrics(jsonb, text, text)
	TO observ_writer, observ_agent;
GRANT EXECUTE ON FUNCTION observ.metric_range(text, text, timestamptz, timestamptz, interval, text) TO observ_reader;

-- ---- rollups and history
GRANT EXECUTE ON FUNCTION observ.metrics_history(text, text, text[], timestamptz, timestamptz, integer),
	observ_data._unpack_cells(bytea), observ_data._vps_metric(integer) TO observ_reader, observ_owner;

-- ---- service levels and forecasts
GRANT EXECUTE ON FUNCTION observ.sla(float8, text, text, text, timestamptz), observ.disk_forecast(text, interval, timestamptz)
	TO observ_reader;
GRANT EXECUTE ON FUNCTION observ.plan_maintenance(timestamptz, timestamptz, text, text, text, text, text, jsonb, text) TO observ_operator;
-- Who entered a window and when is the database's word.
GRANT INSERT (name, comment, vps_name, app_name, selector, starts_at, ends_at, times, timezone),
	UPDATE (name, comment, vps_name, app_name, selector, starts_at, ends_at, times, timezone),
	DELETE ON observ.maintenance_windows TO observ_operator;

-- ---- retention
GRANT EXECUTE ON FUNCTION observ.retention_preview(timestamptz), observ.storage_by_vps(timestamptz, timestamptz), observ_data._partitions()
	TO observ_reader;
GRANT UPDATE ON observ.retention_policies TO observ_admin;

-- ---- log search
GRANT EXECUTE ON FUNCTION
	observ.search_logs(text, text, text, text, timestamptz, timestamptz, integer, text),
	observ.log_histogram(text, text, text, text, timestamptz, timestamptz, interval, integer),
	observ.log_context(bigint, integer),
	observ.log_patterns(timestamptz, timestamptz, text, text, integer) TO observ_reader;
-- The expression of an index runs with the rights of who inserts; the policies of observ.log_entries say who that can be.
GRANT EXECUTE ON FUNCTION observ_data._log_vector(text, text, text) TO observ_owner, observ_writer, observ_agent;

-- ---- events, topology, trends
GRANT EXECUTE ON FUNCTION observ.record_event(text, text, text, text, boolean, float8, jsonb, timestamptz),
	observ.record_peers(text, text, jsonb, timestamptz, text[]) TO observ_writer, observ_agent;
GRANT EXECUTE ON FUNCTION observ.agents(timestamptz, interval, interval), observ.agent_overview(timestamptz, interval),
	observ.topology(timestamptz, interval, integer),
	observ.performance_trends(timestamptz, interval, text, text, text[]) TO observ_reader;
GRANT INSERT, UPDATE, DELETE ON observ.vps_addresses TO observ_admin;

-- ---- alert rules
GRANT INSERT, UPDATE, DELETE ON observ.alert_rules TO observ_admin;
GRANT EXECUTE ON FUNCTION observ.alert_metrics() TO observ_reader;

-- ---- alert evaluation
GRANT EXECUTE ON FUNCTION observ.backtest_rule(text, timestamptz, timestamptz, interval), observ.backtest_rule(jsonb, timestamptz, timestamptz, interval) TO observ_reader;

-- ---- people: acknowledge, resolve, explain
GRANT EXECUTE ON FUNCTION observ.acknowledge_alert(bigint, text, timestamptz, boolean, timestamptz),
	observ.unacknowledge_alert(bigint, text, timestamptz), observ.resolve_alert(bigint, text, timestamptz) TO observ_operator;
GRANT EXECUTE ON FUNCTION observ.explain_alert(bigint, timestamptz), observ.explain_alert(text, timestamptz) TO observ_reader;

-- ---- channels and secrets
GRANT EXECUTE ON FUNCTION observ_data._channel_kinds(), observ_data._channel_fields() TO observ_reader, observ_owner;

-- ---- outbox
GRANT EXECUTE ON FUNCTION observ.resend(bigint, timestamptz) TO observ_operator;

-- ---- messages
GRANT EXECUTE ON FUNCTION observ.test_alert(jsonb, observ.severity, interval, timestamptz) TO observ_admin;
GRANT EXECUTE ON FUNCTION observ_data._render_notification(bigint, text, integer, integer, timestamptz) TO observ_admin;

-- ---- delivery

-- ---- routes and notifications
GRANT EXECUTE ON FUNCTION observ.explain_route(jsonb, bigint), observ.explain_timing(text, timestamptz) TO observ_reader;
GRANT INSERT, UPDATE, DELETE ON observ.routes, observ.notification_channels, observ.escalations TO observ_admin;

-- ---- silences, inhibition, maintenance
GRANT EXECUTE ON FUNCTION observ.preview_silence(text, timestamptz), observ._matching_alerts(text, timestamptz),
	observ.suppressed_alerts(timestamptz) TO observ_reader;
GRANT EXECUTE ON FUNCTION
	observ.silence(text, interval, text, timestamptz, timestamptz, text, interval, boolean, timestamptz),
	observ.silence_alert(bigint, interval, text, timestamptz, text, interval, timestamptz),
	observ.expire_silence(bigint, timestamptz), observ_data._alert_matchers(bigint) TO observ_operator;
-- Who made a silence and when is the database's word; nobody deletes one.
GRANT INSERT (matchers, starts_at, ends_at, comment, ticket_url, auto_expire_when_clear),
	UPDATE (matchers, starts_at, ends_at, comment, ticket_url, auto_expire_when_clear) ON observ.silences TO observ_operator;
GRANT INSERT, UPDATE, DELETE ON observ.inhibition_rules, observ.time_intervals TO observ_admin;
GRANT EXECUTE ON FUNCTION observ_data._maintenance_periods(timestamptz, timestamptz) TO observ_owner;

-- ---- default rules
GRANT EXECUTE ON FUNCTION observ.default_rules() TO observ_reader;
-- For observ.restore_default_rule(), and for observ.default_rules(), which reads as the owner.
GRANT SELECT ON observ_data.default_rules TO observ_owner;
GRANT EXECUTE ON FUNCTION observ_data._rule_columns(), observ_data._rule_defaults(), observ_data._rule_definition(jsonb),
	observ_data._rule_hash(jsonb), observ_data._merge_default_rules() TO observ_owner;
-- What queries of default rules read, which run as observ_owner.
GRANT SELECT ON observ.job_status TO observ_owner;
GRANT EXECUTE ON FUNCTION observ_data._jobs(), observ_data._pg_cron_jobs(),
	observ_data._partitions() TO observ_owner;

-- ---- pg_cron

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA observ TO observ_admin, observ_owner;
GRANT INSERT, UPDATE, DELETE ON observ.vps TO observ_admin;

-- ========================================================================================================= ownership
CREATE FUNCTION observ_data._finish_install() RETURNS void
	LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'observ_finish_install';
COMMENT ON FUNCTION observ_data._finish_install() IS
'Last statement of the installation script. Gives the tables to observ_owner and takes them out of the extension, creates partitions and arms the database; in a session that restores a dump (row_security is off there) drops the tables instead, because the dump brings its own';
REVOKE ALL ON FUNCTION observ_data._finish_install() FROM PUBLIC;
SELECT observ_data._finish_install();
