-- CREATE EXTENSION alone makes everything work; what exists, who owns it, what DROP EXTENSION may take.
SET client_min_messages = error;
CREATE EXTENSION observ;
RESET client_min_messages;

SELECT observ.version();

-- The next INSERT and the summary work at once.
SELECT count(*) FROM observ.fleet_summary();
INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('web-1', 12.5);
SELECT status, inserted, updated FROM observ.refresh_fleet_summary();
SELECT vps_name, app_name, status, cpu_percent, memory_percent FROM observ.fleet_summary();

-- Tables belong to the user, not to the extension; bookkeeping of workers stays a member, so that no dump holds it.
SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('observ', 'observ_data') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname;

-- Without CASCADE nothing is lost.
\set VERBOSITY terse
DROP EXTENSION observ;
\set VERBOSITY default
SELECT count(*) FROM observ.vps_metrics;

-- No member of the extension that pg_dump would have to dump, and no partition is a member.
SELECT count(*) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND c.relispartition;

-- No default partition, no trigger, no foreign key on raw tables; every unique key begins with vps_name.
SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0;
SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'observ'::regnamespace AND c.relkind = 'p';
SELECT i.indexrelid::regclass AS key, a.attname AS first_column
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE c.relkind = 'p' AND c.relnamespace = 'observ'::regnamespace AND i.indisunique ORDER BY 1;

-- Everything has a COMMENT.
SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) FROM pg_class c
WHERE c.relnamespace = 'observ'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0) FROM pg_proc p
WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND obj_description(p.oid, 'pg_proc') IS NULL;

-- Every function pins its search_path, and those that run as their owner are few.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)
  AND NOT coalesce(p.proconfig::text LIKE '%search_path=pg_catalog, pg_temp%', false);
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND p.prosecdef ORDER BY p.oid::regprocedure::text COLLATE "C";

-- What somebody planted first is not taken over.
CREATE DATABASE observ_planted;
\c observ_planted
CREATE SCHEMA observ;
CREATE EXTENSION observ;
DROP SCHEMA observ;
CREATE EXTENSION observ SCHEMA public;
\c contrib_regression
DROP DATABASE observ_planted;

-- With CASCADE everything goes, and it can come back.
\set VERBOSITY terse
SET client_min_messages = error;
DROP EXTENSION observ CASCADE;
CREATE EXTENSION observ;
SELECT count(*) FROM observ.vps_metrics;
