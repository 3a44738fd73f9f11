"""Item 37: a scheduler that runs every job each second while rows arrive keeps its memory and records no error.

OBSERV_SOAK_PASSES=3600 for the full hour (make soak); the short form is 12 passes.
"""

import os

from harness import anonymous_kb, wait_until

PASSES = int(os.environ.get("OBSERV_SOAK_PASSES", "12"))
WARM_UP = min(PASSES // 3, 300)
SCHEDULER = "observ scheduler"
JOB = "refresh_fleet_summary"
VPSS = 200
FEED = {
    "metrics": "INSERT INTO observ.vps_metrics (vps_name, cpu_percent, interval_ms) SELECT 'vps-' || i, i, 1000 FROM generate_series(1, %s) i",
    "checks": """INSERT INTO observ.health_checks (vps_name, url, success, response_time_ms)
                 SELECT 'vps-' || i, 'https://a.example/', i %% 7 > 0, i FROM generate_series(1, %s) i""",
    "logs": """INSERT INTO observ.log_entries (vps_name, level, message)
               SELECT 'vps-' || i, 'error', 'connection ' || i || ' to 10.0.0.' || i || ' lost' FROM generate_series(1, %s) i""",
}


def test_memory_stays(make_server):
    server = make_server()
    db = server.create_database("d", extension=True)
    with server.connect("postgres") as admin, server.connect(db) as conn:
        jobs = conn.execute("SELECT job_name, parameter FROM observ_data._jobs()").fetchall()
        for _, parameter in jobs:
            admin.execute(f"ALTER SYSTEM SET {parameter} = 1")
        admin.execute("SELECT pg_reload_conf()")

        def runs():
            return conn.execute("SELECT runs FROM observ.job_status WHERE job_name = %s", (JOB,)).fetchone()[0] or 0

        def soak(passes):
            until = runs() + passes
            while (now := runs()) < until:
                for statement in FEED.values():
                    conn.execute(statement, (VPSS,))
                wait_until(lambda: runs() > now, 60, "another pass")

        pid = server.wait_for_worker(SCHEDULER, db)
        soak(WARM_UP)
        before = anonymous_kb(pid)
        soak(PASSES - WARM_UP)
        assert server.worker_pid(SCHEDULER, db) == pid, "the scheduler was started anew"
        trouble = conn.execute("SELECT job_name, state, last_error FROM observ.job_status WHERE errors + crashes > 0 OR runs = 0").fetchall()
        assert trouble == []
        grown = anonymous_kb(pid) - before
        print(f"\nscheduler {pid}: {before} kB after {WARM_UP} passes, {grown:+d} kB after {PASSES}")
        assert grown < 2048
