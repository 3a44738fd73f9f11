"""Notifications by the thousand, made as observ makes them: a rule, its alerts, evaluation, dispatch.

What belongs here: alerts that are switched on and off by hand, channels to a receiver, the receiver as a process. What does not: scripted answers
(receivers.py).

    receiver = Receiver(installation)                    build/bench/receiver.c
    fill = Fill(server, db)
    fill.channels({"c1": receiver.url("/ok/1")})         all routes lead to all of these, each alert a group of its own
    fill.fire(500); fill.pass_()                         500 alerts, a notification of each to each channel
"""

import collections
import subprocess
import urllib.request

import harness

Seen = collections.namedtuple("Seen", "us path key status")

SETUP = """
    DELETE FROM observ.alert_rules;
    DELETE FROM observ.inhibition_rules;
    DELETE FROM observ.routes WHERE parent_id IS NOT NULL;
    UPDATE observ.routes SET group_by = '{...}', group_wait = '0', group_interval = '1 s', repeat_interval = '{4 hours}';
    CREATE TABLE public.shards (shard int PRIMARY KEY, breach boolean NOT NULL);
    GRANT SELECT ON public.shards TO observ_owner;
    INSERT INTO observ.alert_rules (name, query, severity, evaluation_interval, reopen_window)
    VALUES ('Shard', 'SELECT jsonb_build_object(''shard'', shard::text) AS labels, shard::float8 AS value, breach FROM public.shards', %s, '1 s', '0');
"""


class Receiver:
    """build/bench/receiver, started; ended by close()."""

    def __init__(self, installation):
        program = harness.ROOT / "build/bench/receiver"
        harness.run_tool(["make", "-C", harness.ROOT, "-s", f"PG_CONFIG={installation.pg_config}", program.relative_to(harness.ROOT)],
                         env=harness.clean_environment(MAKEFLAGS=""))
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def url(self, path, port=None):
        return f"http://127.0.0.1:{port or self.port}{path}"

    def get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=60) as answer:
            return answer.read().decode()

    def count(self):
        """How many requests came."""
        return int(self.get("/count").split()[0])

    def log(self):
        """What came, as Seen, in that order. status: what was answered; 0 nothing, -1 half of it."""
        lines = (line.split() for line in self.get("/log").splitlines())
        return [Seen(int(us), path, key, int(status)) for us, path, key, status in lines]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Fill:
    """A database whose only alerts are those of public.shards."""

    def __init__(self, server, db, severity="warning"):
        self.server, self.db = server, db
        with server.connect(db, autocommit=False) as conn:
            for statement in filter(None, (s.strip() for s in SETUP.split(";\n"))):
                conn.execute(statement, (severity,) if "%s" in statement else None)

    def channels(self, urls, **config):
        """Channels of kind webhook, which all notifications go to."""
        with self.server.connect(self.db, autocommit=False) as conn:
            for name, url in urls.items():
                conn.execute("INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, 'webhook', %s)",
                             (name, harness.psycopg.types.json.Jsonb({"url": url, **config})))
            conn.execute("UPDATE observ.routes SET channels = %s", (list(urls),))

    def fire(self, last, first=1, breach=True):
        """Alerts of these numbers are on, or off, from the next pass on."""
        self.server.sql(self.db, "INSERT INTO public.shards SELECT n, %s FROM generate_series(%s::int, %s::int) n "
                                 "ON CONFLICT (shard) DO UPDATE SET breach = excluded.breach", (breach, first, last))

    def pass_(self):
        """Evaluation and dispatch; how many notifications were made."""
        with self.server.connect(self.db) as conn:
            row = conn.execute("SELECT status, failed FROM observ.evaluate_alerts(clock_timestamp())").fetchone()
            assert row == ("ok", 0), row
            status, made = conn.execute("SELECT status, notifications FROM observ.dispatch_notifications(clock_timestamp())").fetchone()
            assert status == "ok"
            return made

    def value(self, query, params=None):
        return self.server.value(self.db, query, params)

    def states(self):
        """Notifications by status."""
        return dict(self.server.sql(self.db, "SELECT status, count(*) FROM observ.notifications GROUP BY 1"))

    def keys(self):
        """Idempotency keys of all notifications."""
        return {key for (key,) in self.server.sql(self.db, "SELECT idempotency_key FROM observ.notifications")}
