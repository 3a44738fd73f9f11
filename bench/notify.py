"""Notifications: from the outbox to a receiver that is never the bottleneck; Alertmanager beside it on the same one.

What belongs here: how many per second, how soon after the evaluation, how much memory, what one receiver that hangs does to others. What does
not: Alertmanager (bench/notify_alertmanager.py), the receiver (bench/receiver.c).

Alerts, notifications and deliveries are made by the jobs as in production: a rule with an instance per shard, a group per alert.
"""

import time

import footprint
import notify_alertmanager
import report
import surroundings
from outbox_fill import Fill, Receiver

harness = surroundings.harness

ALERTS, QUICK_ALERTS = 10000, 500
RUNS, QUICK_RUNS = 3, 1
ROUNDS, QUICK_ROUNDS = 10, 3  # of ALERTS deliveries each, for memory
FIRINGS, QUICK_FIRINGS = 30, 5
AIM_PER_S = 4450  # Alertmanager on the machine that the issue was written on
AIM_WIRE_MS = 50
AIM_GROWTH_KB = 2048
NOTIFIER = "observ notifier"
SETTINGS = dict(surroundings.JOBS_OFF, **{"observ.max_alerts_per_rule": "200000", "track_commit_timestamp": "on"})


class Bench:
    """A server, its receiver, and a database with its channels."""

    def __init__(self, context, found, server, receiver):
        self.context, self.found, self.server, self.receiver = context, found, server, receiver
        self.alerts = QUICK_ALERTS if context.quick else ALERTS
        self.number = 0

    def fill(self, paths, severity="warning"):
        """A new database whose notifications go to these paths of the receiver."""
        self.number += 1
        db = self.server.create_database(f"notify{self.number}", extension=True)
        fill = Fill(self.server, db, severity)
        fill.channels({f"c{i}": self.receiver.url(path) for i, path in enumerate(paths)})
        self.server.wait_for_worker(NOTIFIER, db, deadline=60)
        return fill

    def arrivals(self, path):
        """When requests to that path came, µs."""
        return [seen.us for seen in self.receiver.log() if seen.path.startswith(path)]

    def sent(self, fill, count, deadline=300):
        """Waits until so many are recorded as sent; the seconds that took."""
        start = time.monotonic()
        harness.wait_until(lambda: fill.states().get("sent", 0) >= count, deadline, f"{count} notifications to be sent", interval=0.05)
        return time.monotonic() - start


def rate(arrivals):
    """Per second, from the first to the last."""
    return (len(arrivals) - 1) / (max(arrivals) - min(arrivals)) * 1e6


def observ_rates(bench, channels):
    """Deliveries per second to so many channels: on the wire, and until they are recorded."""
    wire, recorded = report.Series(), report.Series()
    for run in range(QUICK_RUNS if bench.context.quick else RUNS):
        path = f"/ok/rate{channels}.{run}/"
        fill = bench.fill([f"{path}{i}" for i in range(channels)])
        fill.fire(bench.alerts // channels)
        total = fill.pass_()
        seconds = bench.sent(fill, total)
        seen = bench.arrivals(path)
        bench.found.check(len(seen) == total == bench.alerts // channels * channels, f"{len(seen)} requests for {total} notifications")
        wire.add(rate(seen))
        recorded.add(total / seconds)
        bench.server.drop_database(fill.db)
    return wire, recorded


def alertmanager_rate(bench):
    """The same of Alertmanager, and its resident memory then, MiB."""
    rates, memory = report.Series(), report.Series()
    for run in range(QUICK_RUNS if bench.context.quick else RUNS):
        path = f"/ok/alertmanager{run}"
        with notify_alertmanager.running(bench.receiver.url(path)) as (port, pid):
            notify_alertmanager.post(port, bench.alerts)
            harness.wait_until(lambda path=path: len(bench.arrivals(path)) >= bench.alerts, 120, "Alertmanager's webhooks", interval=0.5)
            memory.add(footprint.memory_kb([pid])[0] / 1024)
        rates.add(rate(bench.arrivals(path)))
    return rates, memory


def throughput(bench):
    """How many per second."""
    table = bench.found.table(f"{bench.alerts:,} notifications, each a request of its own, per second", ["", "requests on the wire", "recorded as sent"], [
        "On the wire: from the first to the last request that the receiver saw. Recorded: from the commit of dispatch until the last row says sent."])
    best = None
    for channels in (1, 10):
        bench.context.say(f"notify: {channels} channels")
        wire, recorded = observ_rates(bench, channels)
        table.rows.append([f"observ, {channels} channel{'s' if channels > 1 else ''}", wire, recorded])
        best = max(best or 0, wire.median)
    bench.found.aim("notify, webhooks per second", best, AIM_PER_S, "/s", at_most=False)
    bench.context.say("notify: Alertmanager")
    rates, memory = alertmanager_rate(bench)
    table.rows.append(["Alertmanager, 1 receiver", rates, "–"])
    table.notes.append(f"Alertmanager: group_wait 1 s, resident {memory} MiB afterwards.")
    bench.found.aim("notify, webhooks per second over Alertmanager's", best / rates.median, 1, "×", at_most=False)


def latency(bench):
    """From the commit of an evaluation, made by the scheduler, to the request."""
    path = "/ok/latency"
    bench.context.say("notify: latency")
    fill = bench.fill([path], severity="emergency")
    bench.server.reload(**{"observ.evaluation_interval": "1s", "observ.dispatch_interval": "5s"})
    bench.server.wait_for_jobs(fill.db)
    took = report.Series()
    for n in range(1, 1 + (QUICK_FIRINGS if bench.context.quick else FIRINGS)):
        fill.fire(n, first=n)
        harness.wait_until(lambda n=n: len(bench.arrivals(path)) >= n, 30, "the request", interval=0.01)
        committed = fill.value("SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1e6)::bigint FROM observ.alert_history "
                               "ORDER BY \"timestamp\" DESC LIMIT 1")
        took.add((bench.arrivals(path)[-1] - committed) / 1000)
    bench.server.reload(**{"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"})
    table = bench.found.table("An emergency, from the commit of evaluate_alerts() to the request at the receiver, ms", ["", "median (from..to)"])
    table.rows.append([f"{len(took.values)} alerts, one at a time", took])
    bench.found.aim("notify, from evaluation to the wire, median", took.median, AIM_WIRE_MS, "ms")
    bench.server.drop_database(fill.db)


def memory(bench):
    """Memory of one notifier over many deliveries."""
    rounds = QUICK_ROUNDS if bench.context.quick else ROUNDS
    bench.context.say("notify: memory")
    fill = bench.fill([f"/ok/memory/{i}" for i in range(10)])
    pid = bench.server.worker_pid(NOTIFIER, fill.db)
    kb, made = [], 0
    for number in range(rounds):
        fill.fire(bench.alerts // 10, breach=number % 2 == 0)
        made += harness.wait_until(fill.pass_, 30, "notifications to be made")
        bench.sent(fill, made)
        kb.append(harness.anonymous_kb(pid))
    bench.found.check(bench.server.worker_pid(NOTIFIER, fill.db) == pid, "the notifier was started anew while its memory was measured")
    table = bench.found.table(f"Memory of the notifier that is its own, MB, over {made:,} deliveries", ["after the 1st tenth", "half", "all"])
    table.rows.append([kb[0] / 1000, kb[len(kb) // 2] / 1000, kb[-1] / 1000])
    bench.found.aim("notify, memory of the second half of the deliveries", max(0, kb[-1] - kb[len(kb) // 2]), AIM_GROWTH_KB, "kB")
    bench.server.drop_database(fill.db)


def hung(bench):
    """49 receivers with and without a fiftieth that never answers."""
    table = bench.found.table("50 channels, seconds until all that can be delivered are", ["", "s"])
    count = bench.alerts // 50
    took = []
    for name, path in (("all answer", "/ok/fifty/7"), ("one hangs", "/hang")):
        bench.context.say(f"notify: 50 channels, {name}")
        fill = bench.fill([path if i == 7 else f"/ok/fifty/{i}" for i in range(50)])
        fill.fire(count)
        fill.pass_()
        took.append(bench.sent(fill, 49 * count if path == "/hang" else 50 * count))
        table.rows.append([name, took[-1]])
        bench.server.drop_database(fill.db)
    bench.found.aim("notify, time with one hung receiver among 50 over that without", took[1] / took[0], 1.3, "×")


def run(context, found):
    """All of it, one after the other, on one server."""
    with surroundings.server(context, settings=SETTINGS) as server:
        receiver = Receiver(context.installation)
        try:
            bench = Bench(context, found, server, receiver)
            for part in (throughput, latency, memory, hung):
                part(bench)
        finally:
            receiver.close()
