-- Who may do what. PUBLIC: nothing.
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)
  AND has_function_privilege('public', p.oid, 'EXECUTE');
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'S')
  AND (has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege('public', c.oid, 'SELECT, INSERT, UPDATE'));

-- Functions by role.
SELECT p.proname, string_agg(substr(r.rolname, 8), ' ' ORDER BY r.rolname) AS roles
FROM pg_proc p CROSS JOIN pg_roles r
WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)
  AND r.rolname IN ('observ_reader', 'observ_writer', 'observ_agent', 'observ_operator', 'observ_admin')
  AND has_function_privilege(r.rolname, p.oid, 'EXECUTE') GROUP BY 1 ORDER BY 1;

-- Tables by role and right.
SELECT c.relname, substr(r.rolname, 8) AS role, string_agg(x.right, ' ' ORDER BY x.right) AS rights
FROM pg_class c CROSS JOIN pg_roles r CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) x("right")
WHERE c.relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND r.rolname IN ('observ_reader', 'observ_writer', 'observ_agent', 'observ_operator')
  AND (has_table_privilege(r.rolname, c.oid, x.right) OR x.right IN ('SELECT', 'INSERT', 'UPDATE') AND has_any_column_privilege(r.rolname, c.oid, x.right))
GROUP BY 1, 2 ORDER BY 1, 2;

-- Leaves are nobody's but the owner's: a row can't go around its table's policies.
SELECT count(*) FROM pg_class c CROSS JOIN pg_roles r WHERE c.relispartition AND c.relnamespace = 'observ_data'::regnamespace AND c.relkind = 'r'
  AND r.rolname IN ('observ_reader', 'observ_writer', 'observ_agent', 'observ_operator') AND has_table_privilege(r.rolname, c.oid, 'SELECT, INSERT, UPDATE, DELETE');

-- Readers read through policies, writers write for any VPS, neither more.
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
CREATE ROLE observ_regress_writer IN ROLE observ_writer;
CREATE ROLE observ_regress_admin IN ROLE observ_admin;
SET ROLE observ_regress_writer;
INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('any-1', 1), ('any-2', 2);
SELECT accepted FROM observ.begin_batch('gateway', 1, now(), 'any-1');
SELECT count(*) FROM observ.vps_metrics;
SET ROLE observ_regress_reader;
SELECT count(*) FROM observ.vps_metrics;
SELECT count(*) FROM observ.fleet_summary();
INSERT INTO observ.vps_metrics (vps_name) VALUES ('x');
DELETE FROM observ.vps_metrics;
SELECT observ.refresh_fleet_summary();
SET ROLE observ_regress_admin;
SELECT status, inserted FROM observ.refresh_fleet_summary();
SELECT observ.enroll_vps('any-1', labels => '{"a":"b"}');
SELECT observ.enroll_vps('any-1', 'observ_regress_new');
SELECT observ.pause();
SELECT status FROM observ.resume();
SELECT observ.forget('any-1');
RESET ROLE;
DROP ROLE observ_regress_reader, observ_regress_writer, observ_regress_admin;
TRUNCATE observ.vps_metrics, observ.fleet_summary, observ.vps, observ.collectors;
