"""Whoever edits channels in a transaction that lasts keeps no notification from being sent.

Not here: what an edit means (regress notify_channels, notify_outbox).
"""

import pytest

from harness import wait_until
from outbox_fill import Fill
from receivers import Answer

SERVER = {"settings": {"observ.evaluation_interval": "1s", "observ.dispatch_interval": "1s"}}
EDITS = {
    "config": "UPDATE observ.notification_channels SET config = config || '{\"timeout\": 7}' WHERE name = 'bad'",
    "secret": "SELECT observ.set_secret('channel/bad/bearer_token', 'another')",
    "name": "UPDATE observ.notification_channels SET name = 'worse' WHERE name = 'bad'",
    "deletion": "DELETE FROM observ.notification_channels WHERE name = 'bad'",
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_lasts_delays_nobody(server, observ_db, make_receiver, edit):
    """A channel fails, somebody mends it in a transaction and takes their time: the others are told meanwhile, and it at once when that is over."""
    receiver = make_receiver()
    receiver.script("/bad", Answer(500))
    fill = Fill(server, observ_db)
    fill.channels({"bad": receiver.url("/bad"), "good": receiver.url("/good")})
    server.sql(observ_db, "UPDATE observ.notification_channels SET config = config || '{\"bearer_token\": \"one\"}' WHERE name = 'bad'")
    server.wait_for_jobs(observ_db)
    fill.fire(1)
    receiver.wait_for(1, "/good")
    wait_until(lambda: fill.value("SELECT failures FROM observ_data.channel_state WHERE channel = 'bad'"), 30, "a failure")
    with server.connect(observ_db, autocommit=False) as conn:
        conn.execute(EDITS[edit])
        for n in range(2, 6):
            fill.fire(n)
            receiver.wait_for(n, "/good")
        receiver.script("/bad", 200)
        conn.commit()
    if edit in ("config", "secret"):
        wait_until(lambda: fill.value("SELECT count(*) FROM observ.notifications WHERE channel = 'bad' AND status = 'sent'") >= 5, 20, "the notifications of the channel that was mended")
