"""What the notifier waits for in vain: receivers that hang in a phase, locks of other sessions. Others are served meanwhile, and everything arrives in the end.

Not here: what ends such a wait (test_notifier_storm.py), the wire without a notifier (test_transfers.py).
"""

import time

import pytest

import receivers
from harness import process_alive, wait_until
from outbox_fill import Fill, Receiver
from receivers import Answer

SERVER = {"settings": {"observ.max_alerts_per_rule": "1000"}}
NOTIFIER = "observ notifier"
REFUSED = "notifications could not be taken from the outbox"


@pytest.fixture
def receiver(installation):
    one = Receiver(installation)
    yield one
    one.close()


def hang_in_connect(make_receiver, authority):
    """Nobody accepts; then somebody does."""
    one = receivers.Unaccepting()

    def mend():
        one.close()
        return make_receiver(port=one.port)
    return one.url("/hook"), mend


def hang_in_tls(make_receiver, authority):
    """Somebody accepts, and the handshake never ends; then it does."""
    one = make_receiver(silent=True)
    url = f"https://localhost:{one.port}/hook"

    def mend():
        one.stop()
        one.silent, one.tls = False, authority.context
        return one.start()
    return url, mend


def hang_in_answer(make_receiver, authority):
    """The handshake is over, the request is read, and nothing comes; then something does."""
    one = make_receiver(tls=True)
    one.script("/hook", Answer(hang="answer"))

    def mend():
        one.script("/hook", 200)
        return one
    return one.url("/hook"), mend


HANGS = {"connect": hang_in_connect, "tls": hang_in_tls, "answer": hang_in_answer}


def attempts(fill, channel):
    """Outcome, phase, time of the attempts through a channel."""
    return fill.server.sql(fill.db, 'SELECT outcome, phase, "timestamp" FROM observ.notification_attempts WHERE channel = %s ORDER BY id', (channel,))


@pytest.mark.parametrize("phase", HANGS)
def test_a_receiver_that_hangs(server, observ_db, receiver, make_receiver, authority, phase):
    """The other channel gets its notifications before the first attempt at the one that hangs has even timed out; that is tried again until it is mended."""
    url, mend = HANGS[phase](make_receiver, authority)
    fill = Fill(server, observ_db)
    fill.channels({"hung": url, "fine": receiver.url("/ok")}, ca_file=str(authority.file), timeout=5)
    pid = server.wait_for_worker(NOTIFIER, observ_db)
    fill.fire(3)
    assert fill.pass_() == 6
    wait_until(lambda: attempts(fill, "hung"), 60, "the first attempt to end")
    served = attempts(fill, "fine")
    assert [outcome for outcome, _, _ in served] == ["sent"] * 3
    first = attempts(fill, "hung")[0]
    assert first[:2] == ("retry", phase) and max(at for _, _, at in served) < first[2]
    # Again and again, and still nobody else waits.
    wait_until(lambda: len(attempts(fill, "hung")) > 3, 60, "further attempts")
    fill.fire(4)
    assert wait_until(fill.pass_, 30, "one more alert") == 2
    wait_until(lambda: fill.value("SELECT count(*) FROM observ.notifications WHERE channel = 'fine' AND status = 'sent'") == 4, 60, "the other channel to be served")
    assert {where for _, where, _ in attempts(fill, "hung")} == {phase}
    mended = mend()
    wait_until(lambda: fill.states() == {"sent": 8}, 120, "everything to be delivered")
    assert [outcome for outcome, _, _ in attempts(fill, "hung")].count("sent") == 4
    came = [request.headers["idempotency-key"] for request in mended.got("/hook")]
    assert set(came) == {key for (key,) in server.sql(observ_db, "SELECT idempotency_key FROM observ.notifications WHERE channel = 'hung'")}
    # What was never answered may have arrived, and comes again with its key; what never got so far comes once.
    assert phase == "answer" or len(came) == 4
    assert receiver.count() == 4 and server.worker_pid(NOTIFIER, observ_db) == pid


def test_leaving_in_the_middle_of_a_handshake(server, make_receiver):
    """DROP DATABASE waits for no handshake."""
    silent = make_receiver(silent=True)
    db = server.create_database("handshake", extension=True)
    fill = Fill(server, db)
    fill.channels({"hung": f"https://localhost:{silent.port}/"})
    pid = server.wait_for_worker(NOTIFIER, db)
    fill.fire(5)
    assert fill.pass_() == 5
    wait_until(lambda: silent.connections, 30, "a handshake that hangs")
    start = time.monotonic()
    server.sql("postgres", f"DROP DATABASE {db}")
    assert time.monotonic() - start < 3
    assert not process_alive(pid)


# --- locks

@pytest.fixture
def told(server, observ_db, receiver):
    """A database with two channels to the receiver, and its notifier."""
    fill = Fill(server, observ_db)
    fill.channels({"a": receiver.url("/ok/a"), "b": receiver.url("/ok/b")})
    server.wait_for_worker(NOTIFIER, observ_db)
    return fill


def in_lock_wait(server, db):
    """Whether the notifier waits for a lock."""
    return server.value("postgres", "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE backend_type = %s AND datname = %s", (NOTIFIER, db))


def once_each(fill, receiver, n):
    """All of them arrive, none twice."""
    wait_until(lambda: fill.states() == {"sent": n}, 60, "everything to be sent")
    log = receiver.log()
    assert len(log) == n and {seen.key for seen in log} == fill.keys()
    assert fill.value("SELECT count(*) FROM observ.notification_attempts") == n


def test_a_claim_that_waits_for_a_lock_gives_way(server, told, receiver):
    """Somebody else has the lock that claims take: no claim waits long, it is said once, and all is well when it is over."""
    pid = server.worker_pid(NOTIFIER, told.db)
    with server.connect(told.db, autocommit=False) as other:
        other.execute("SELECT count(*) FROM observ_data._claim_deliveries('2000-01-01', 0)")
        offset = server.log_size()
        told.fire(20)
        assert told.pass_() == 40
        server.wait_for_log(REFUSED, offset)
        assert "lock timeout" in server.log_text(offset)
        wait_until(lambda: in_lock_wait(server, told.db), 30, "another claim")
        assert receiver.count() == 0
    once_each(told, receiver, 40)
    assert server.log_text(offset).count(REFUSED) == 1 and server.worker_pid(NOTIFIER, told.db) == pid


def test_a_claim_that_takes_too_long_is_cut_off(make_server, receiver):
    """Locks may be waited for without a limit here: the claim as a whole has one. What it had taken it takes again, and sends once."""
    server = make_server(settings={**SERVER["settings"], "observ.job_lock_timeout": "0"})
    db = server.create_database("slow", extension=True)
    fill = Fill(server, db)
    fill.channels({"a": receiver.url("/ok/a")})
    pid = server.wait_for_worker(NOTIFIER, db)
    with server.connect(db, autocommit=False) as other:
        # Behind everything else that a claim reads and writes.
        other.execute("LOCK observ_data.channel_state IN SHARE MODE")
        offset = server.log_size()
        fill.fire(10)
        assert fill.pass_() == 10
        # The first is not spoken of: somebody may have cancelled it.
        server.wait_for_log(REFUSED, offset, deadline=60)
        assert "statement timeout" in server.log_text(offset)
        assert fill.states() == {"queued": 10} and receiver.count() == 0
    once_each(fill, receiver, 10)
    assert server.log_text(offset).count(REFUSED) == 1 and server.worker_pid(NOTIFIER, db) == pid


def hold(server, db, channel, status):
    """A session in whose transaction the notification of that channel is locked, caught in that status."""
    conn = server.connect(db, autocommit=False)

    def caught():
        row = conn.execute("SELECT status FROM observ.notifications WHERE channel = %s FOR UPDATE", (channel,)).fetchone()
        if row != (status,):
            conn.rollback()
        return row == (status,)

    wait_until(caught, 60, f"a notification that is {status}", interval=0.005)
    return conn


@pytest.mark.parametrize("status", ["retry", "sending"])
def test_a_notification_that_somebody_has_locked_keeps_no_other(server, observ_db, receiver, make_receiver, status):
    """It waits until it is let go, before it is claimed or with what came of it; all others are sent and recorded meanwhile."""
    slow = make_receiver()
    slow.script("/hook", *([503, 503, 503] if status == "retry" else []), Answer(delay=0.5))
    fill = Fill(server, observ_db)
    fill.channels({"slow": slow.url("/hook"), "fine": receiver.url("/ok")})
    pid = server.wait_for_worker(NOTIFIER, observ_db)
    fill.fire(1)
    assert fill.pass_() == 2
    with hold(server, observ_db, "slow", status) as other:
        offset = server.log_size()
        # One more, after what was caught had its time: due again, or answered.
        if status == "sending":
            slow.wait_for(1)
        else:
            wait_until(lambda: fill.value("SELECT not_before < clock_timestamp() FROM observ.notifications WHERE channel = 'slow'"), 60, "it to be due again")
        for n in range(2, 5):
            fill.fire(n)
            assert wait_until(fill.pass_, 30, "one more alert") == 2
            wait_until(lambda n=n: fill.value("SELECT count(*) FROM observ.notifications WHERE channel = 'fine' AND status = 'sent'") == n, 60, "the other to be sent")
        assert other.execute("SELECT status, attempts FROM observ.notifications WHERE channel = 'slow' ORDER BY notification_id").fetchone() == (status, 1)
        assert server.log_text(offset).count("could not be") == 0
        other.rollback()
    wait_until(lambda: fill.states() == {"sent": 8}, 60, "the rest")
    keys = [request.headers["idempotency-key"] for request in slow.got("/hook")]
    assert sorted(keys) == sorted(key for (key,) in server.sql(observ_db, """SELECT idempotency_key FROM observ.notification_attempts JOIN observ.notifications n
        USING (notification_id) WHERE n.channel = 'slow'""")), "each request was recorded"
    assert fill.value("SELECT count(*) FROM observ.notification_attempts WHERE outcome = 'sent'") == 8
    assert receiver.count() == 4 and server.worker_pid(NOTIFIER, observ_db) == pid
