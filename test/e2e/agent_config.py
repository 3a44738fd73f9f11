"""Running obs-agent against a database: a configuration, an agent, what it wrote.

What belongs here: what several test modules of the agent need. What does not: servers and processes (harness.py).
"""

import harness

INTERVAL = 10  # seconds, the smallest there is


class Setup:
    """A configuration file and a state directory for one agent of one database."""

    def __init__(self, directory, url, **extra):
        self.dir = directory
        self.config = directory / "config.yml"
        self.state = directory / "state"
        self.write(url, **extra)

    def write(self, url, enabled="true", interval=INTERVAL):
        self.config.write_text(f'monitoring:\n  enabled: {enabled}\n  postgres_url: "{url}"\n  collection_interval: {interval}\n')

    def args(self, *more, app="app", vps="test-vps"):
        return ("--config", self.config, "--app-name", app, "--vps-name", vps, "--state-dir", self.state, *more)


def rows(server, db):
    """Rows of vps_metrics."""
    return server.value(db, "SELECT count(*) FROM observ.vps_metrics")


def wait_for_rows(server, db, n, deadline=30):
    """Waits until there are at least n rows."""
    harness.wait_until(lambda: rows(server, db) >= n, deadline, f"{n} rows", retry_on=harness.psycopg.Error)


def exactly_once(server, db):
    """No two rows of one moment, and as many batches as sequence numbers."""
    total, distinct = server.sql(db, "SELECT count(*), count(DISTINCT timestamp) FROM observ.vps_metrics")[0]
    assert total == distinct
    return total
