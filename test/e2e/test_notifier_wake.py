"""From firing to the outbox: dispatch follows an evaluation that changed something, and comes when a group is due, whatever its period."""

from harness import wait_until
from outbox_fill import Fill

# Dispatch would come once in an hour by itself.
SERVER = {"settings": {"observ.evaluation_interval": "1s", "observ.dispatch_interval": "3600s", "observ.max_alerts_per_rule": "1000"}}


def lag(server, db):
    """Seconds from the evaluation that let the latest alert fire to its notification, by the clock of the flush."""
    return server.value(db, "SELECT extract(epoch FROM max(n.\"timestamp\") - (SELECT max(starts_at) FROM observ.alerts)) FROM observ.notifications n")


def test_an_evaluation_that_changed_something_is_followed_by_dispatch(server, observ_db):
    fill = Fill(server, observ_db, "emergency")
    server.wait_for_jobs(observ_db)
    for n in range(1, 4):
        fill.fire(n)
        wait_until(lambda n=n: fill.value("SELECT count(*) FROM observ.notifications") == n, 30, "the notification")
    runs = fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'dispatch_notifications'")
    # One at the start, one for each alert, one for each group's next look; not one for each evaluation.
    evaluations = fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'evaluate_alerts'")
    assert runs < evaluations + 30, (runs, evaluations)


def test_a_group_is_flushed_when_it_is_due(server, observ_db):
    fill = Fill(server, observ_db)
    server.sql(observ_db, "UPDATE observ.routes SET group_wait = '3 s', group_interval = '1 h'")
    server.wait_for_jobs(observ_db)
    fill.fire(1)
    wait_until(lambda: fill.value("SELECT count(*) FROM observ.notifications"), 30, "the notification after group_wait")
    assert lag(server, observ_db) >= 3


def test_a_quiet_fleet_costs_no_dispatch(server, observ_db):
    fill = Fill(server, observ_db)
    server.wait_for_jobs(observ_db)
    before = fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'dispatch_notifications'")
    seen = fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'evaluate_alerts'")
    wait_until(lambda: fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'evaluate_alerts'") > seen + 3, 30, "evaluations")
    assert fill.value("SELECT runs FROM observ.job_runs WHERE job_name = 'dispatch_notifications'") == before


def test_next_run_says_when(server, observ_db):
    """observ.job_status tells of the run that a group asked for, not of the period."""
    fill = Fill(server, observ_db)
    server.sql(observ_db, "UPDATE observ.routes SET group_wait = '10 min'")
    server.wait_for_jobs(observ_db)
    fill.fire(1)
    wait_until(lambda: fill.value("SELECT next_run < now() + interval '11 min' FROM observ.job_status WHERE job_name = 'dispatch_notifications'"), 30,
               "next_run of dispatch")
