"""A backfill: more rows at once than a refresh looks at one by one."""

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "0"}}


def test_millions_of_rows_at_once_are_taken_in_by_key(server, observ_db):
    """Every key's newest row is found, rows from the future are left aside until their time has come, and the next pass is an ordinary one."""
    server.sql(observ_db, """
        INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent)
        SELECT date_trunc('second', now()) - i * interval '10 s', 'vps-' || v, 'app-' || v % 3, i
        FROM generate_series(0, 50999) i, generate_series(1, 20) v""")
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) "
                          "VALUES (now() + interval '1 hour', 'vps-1', 'app-1', -1)")
    assert server.sql(observ_db, "SELECT status, inserted, updated FROM observ.refresh_fleet_summary()") == [("ok", 20, 0)]
    assert server.sql(observ_db, "SELECT count(*), min(cpu_percent), max(cpu_percent) FROM observ.fleet_summary") == [(20, 0, 0)]
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent) VALUES ('vps-2', 'app-2', 7)")
    assert server.sql(observ_db, "SELECT status, inserted, updated FROM observ.refresh_fleet_summary()") == [("ok", 0, 1)]
    assert server.sql(observ_db, "SELECT status, updated FROM observ.refresh_fleet_summary(now() + interval '1 hour')") == [("ok", 1)]
    assert server.value(observ_db, "SELECT cpu_percent FROM observ.fleet_summary WHERE vps_name = 'vps-1'") == -1
