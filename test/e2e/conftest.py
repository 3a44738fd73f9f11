"""Fixtures of the e2e tests. What belongs here: who gets which server for how long. How servers work is in harness.py.

A module chooses its server by a module-level dictionary, for instance

    SERVER = {"preload": False, "settings": {"observ.enabled": "off"}, "tcp": True}

    installation  session   the private PostgreSQL, built and installed
    server        module    a started server with the options of SERVER
    make_server   test      function that makes (and by default starts) further servers, ended after the test
    fresh_db      test      name of a new, empty database in `server`
    observ_db     test      the same with CREATE EXTENSION observ done
    run_agent     test      function that starts obs-agent with arguments; ended after the test
    make_proxy    test      function that puts a TcpProxy before a server
    make_tail     test      function that makes a Tail: log files and the probe that follows them
    authority     session   a certificate authority of our own; authority.file is readable for servers
    make_receiver test      function that makes a Receiver (receivers.py); tls=True: https
    make_mail_server  test  function that makes a MailServer (mail_server.py); users={"ann": "secret"}
    hanging_resolver  session  a library to preload: names that begin with "hang" are never looked up
"""

import itertools
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

import harness
import health_targets
import mail_server
import proxy
import receivers
import tail_files

_numbers = itertools.count(1)

# Files that take minutes, the longest first (sums of `--durations=0`). Processes that share the tests take file after file in this order; what
# begins last should be short.
LONGEST_FIRST = ["bench", "dump_restore", "agent_database", "hostile_install", "agent_samples", "agent_delivery", "agent_operation", "workers_jobs", "agent_tail",
                 "quickstart", "agent_tail_trouble", "workers_extension", "agent_health", "agent_outage", "kill", "channel_test", "alert_storm", "pg_cron", "outbox_property"]


def pytest_sessionstart(session):
    """Turns SIGTERM into an orderly end, so that servers do not outlive a test run that was stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def pytest_collection_modifyitems(items):
    """Orders the files; tests within a file stay as they are."""
    rank = {f"test_{name}.py": at for at, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what servers and agents said when a test fails."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for server in harness.Server.alive:
        report.sections.append((f"log of {server.name} ({server.dir})", server.log_text()[-6000:]))
    for agent in harness.Agent.alive:
        report.sections.append((f"stderr of {' '.join(agent.argv)}", agent.stderr()[-6000:]))


@pytest.fixture(scope="session")
def installation():
    """The private PostgreSQL with observ and obs-agent installed."""
    return harness.Installation().ensure()


@pytest.fixture(scope="module")
def server(request, installation):
    """One server per module, started with the module's SERVER options."""
    started = harness.Server(installation, **getattr(request.module, "SERVER", {}))
    try:
        yield started.start()
    finally:
        started.destroy()


@pytest.fixture
def make_server(installation):
    """make_server(start=True, **options of harness.Server) -> Server."""
    made = []

    def make(start=True, **options):
        one = harness.Server(installation, **options)
        made.append(one)
        return one.start() if start else one

    yield make
    for one in made:
        one.destroy()


@pytest.fixture
def fresh_db(server):
    """A new database in the module's server; dropped after the test."""
    name = server.create_database(f"t{next(_numbers)}")
    yield name
    if server.running():
        server.drop_database(name)


@pytest.fixture
def observ_db(server, fresh_db):
    """A new database with the extension."""
    server.sql(fresh_db, "CREATE EXTENSION observ")
    return fresh_db


@pytest.fixture
def run_agent(installation):
    """run_agent("--config", path, ..., env={}, user=None) -> Agent, running."""
    started = []

    def run(*args, **options):
        agent = harness.Agent([installation.agent, *args], **options)
        started.append(agent)
        return agent

    yield run
    for agent in started:
        agent.destroy()


@pytest.fixture
def make_proxy():
    """make_proxy(server) or make_proxy((address, port)) -> TcpProxy."""
    made = []

    def make(target):
        if isinstance(target, harness.Server):
            target = ("127.0.0.1", target.port) if target.tcp else target.dir / f".s.PGSQL.{target.port}"
        made.append(proxy.TcpProxy(target))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def tail_probe():
    """The probe of tail_files.py, made once."""
    tail_files.build()


@pytest.fixture
def make_tail(tail_probe, tmp_path):
    """Makes a Tail, closed at the end."""
    made = []

    def make(*patterns, **settings):
        made.append(tail_files.Tail(tmp_path, *patterns, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def authority():
    """A CA whose file servers can read, and `context`, for a server named localhost, 127.0.0.1 and ::1."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="observ-ca-"))
    directory.chmod(0o755)
    made = health_targets.Authority(directory)
    made.file.chmod(0o644)
    made.context = made.certificate("receiver", "DNS:localhost,IP:127.0.0.1,IP:::1")
    yield made
    shutil.rmtree(directory)


@pytest.fixture
def make_receiver(authority):
    """make_receiver(tls=False or True or a context, **options of receivers.Receiver) -> Receiver."""
    made = []

    def make(tls=False, **options):
        made.append(receivers.Receiver(authority.context if tls is True else tls or None, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def make_mail_server(authority):
    """make_mail_server(**options of mail_server.MailServer) -> MailServer."""
    made = []

    def make(**options):
        made.append(mail_server.MailServer(authority.context, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def hanging_resolver(installation):
    """Its path, made by the Makefile."""
    if harness.SANITIZED:
        pytest.skip("nothing can be preloaded before the sanitizer")
    harness.run_tool(["make", "-C", harness.ROOT, "-s", f"PG_CONFIG={installation.pg_config}", "build/hanging_resolver.so"],
                     env=harness.clean_environment(MAKEFLAGS=""))
    return harness.ROOT / "build" / "hanging_resolver.so"
