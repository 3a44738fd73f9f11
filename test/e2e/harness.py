"""Real servers, agents and waiting, for tests of processes.

What belongs here: making a private PostgreSQL with observ installed, starting and murdering servers and agents, talking to
them, waiting for conditions. What does not: fixtures (conftest.py), a network that misbehaves (proxy.py), anything one test
alone needs.

In short:

    server = Server(installation, preload=True, settings={"log_statement": "all"})
    server.start()
    server.sql("postgres", "SELECT 1")                    -> [(1,)]
    server.value("postgres", "SELECT %s + 1", (41,))      -> 42
    server.psql("postgres", "-f", "x.sql", check=False)   -> CompletedProcess
    with server.connect("postgres") as conn: ...          -> psycopg connection, autocommit
    server.kill9_postmaster(); server.restart()
    wait_until(lambda: server.value(...) == 3, 10, "three rows")

Nothing sleeps except wait_until(). A process is ended by its own id only.

Environment:
    OBSERV_PG_PREFIX   directory of the private PostgreSQL (default: build/pg of this working copy)
    OBSERV_PREBUILT=1  the prefix exists and observ is installed there: build nothing
    OBSERV_SERVER_ENV  environment variables for servers alone, "A=1 B=2" (make check-asan preloads a library this way)
    OBSERV_KEEP=1      leave the directories of servers behind (they are printed)
    OBSERV_SERVERS     directory for servers that do not ask for fsync (default: /tmp); run-tests.sh names one in memory
"""

import atexit
import contextlib
import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# A storm through a proxy in this process needs more descriptors than select() knows; psycopg decides when it is imported.
os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_epoll")
import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT_ON_SOCKET = 5432
DEFAULT_DEADLINE = 30.0

# Fast and quiet; a test that is about durability asks for fsync=True.
DEFAULT_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_worker_processes": "32",
    "log_line_prefix": "'%m [%p] %b %d '",
    "log_min_messages": "info",
    "autovacuum_naptime": "1h",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # Tests of alerts ask for evaluations; in all others they would only cost time.
    "observ.evaluation_interval": "0",
    "observ.dispatch_interval": "0",
}


class HarnessError(Exception):
    """Something in the surroundings of the test failed, not the test's subject."""


# With a sanitizer (make check-asan) memory is the sanitizer's, and nothing else can be preloaded.
SANITIZED = "ASAN_OPTIONS" in os.environ


def anonymous_kb(pid):
    """Memory of a process that is its own and no file's, kB: without shared buffers, which only look like growth. 0 with a sanitizer."""
    if SANITIZED:
        return 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no smaps_rollup")


def wait_until(predicate, deadline=DEFAULT_DEADLINE, what="condition", *, retry_on=(), interval=0.05):
    """Calls predicate until it answers something true, and returns that.

    deadline is in seconds, what completes the sentence "waited 30 s for ...". Exceptions named in retry_on count as "not
    yet" (for instance psycopg.OperationalError while a server starts). On failure the last answer or exception is shown.
    """
    end = time.monotonic() + deadline
    while True:
        answer, error = None, None
        try:
            answer = predicate()
        except retry_on as exc:
            error = exc
        if answer:
            return answer
        if time.monotonic() >= end:
            last = f"last error: {error!r}" if error is not None else f"last answer: {answer!r}"
            raise AssertionError(f"waited {deadline:g} s for {what}; {last}")
        time.sleep(interval)


def free_port():
    """A TCP port on 127.0.0.1 that nobody listens on now. Whoever uses it must cope with losing the race."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def process_alive(pid):
    """True while the process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid):
    """Process ids of the living children of pid."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] not in ("Z", "X"):
            found.append(int(entry))
    return found


def new_directory(prefix, fsync):
    """A directory for a server. What asks for fsync lies on the disk, whatever OBSERV_SERVERS says."""
    return pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp" if fsync else os.environ.get("OBSERV_SERVERS", "/tmp")))


def server_identity():
    """Keyword arguments for subprocess that make a child run as `postgres` when we are root (initdb refuses root)."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_server(path):
    """Makes path belong to the user that servers run as."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(path, entry.pw_uid, entry.pw_gid)


def clean_environment(**extra):
    """The environment without PG* variables, which would lead clients to somebody else's server."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    env.update({"LC_ALL": "C.UTF-8", "HOME": "/"})
    env.update(extra)
    return env


def server_environment():
    """What OBSERV_SERVER_ENV adds to the environment of servers."""
    return dict(pair.split("=", 1) for pair in os.environ.get("OBSERV_SERVER_ENV", "").split())


def run_tool(argv, *, check=True, timeout=300, **kwargs):
    """subprocess.run with captured text and an error that shows what the tool said."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL if "input" not in kwargs else None,
                          capture_output=True, text=True, timeout=timeout, check=False, **kwargs)
    if check and done.returncode != 0:
        raise HarnessError(f"{' '.join(map(str, argv))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Installation:
    """A private copy of PostgreSQL with this working copy's observ and obs-agent installed."""

    def __init__(self, prefix=None, major=15):
        default = os.environ.get("OBSERV_PG_PREFIX") or ROOT / "build" / "pg"
        self.prefix = pathlib.Path(prefix or default).resolve()
        self.major = major
        self.bindir = self.prefix / f"usr/lib/postgresql/{major}/bin"
        self.pg_config = self.bindir / "pg_config"
        self.libdir = self.prefix / f"usr/lib/postgresql/{major}/lib"
        self.agent = self.bindir / "obs-agent"

    def ensure(self):
        """Builds and installs unless OBSERV_PREBUILT says that it is done. Safe against a second session doing the same."""
        if os.environ.get("OBSERV_PREBUILT") == "1":
            if not self.pg_config.exists():
                raise HarnessError(f"OBSERV_PREBUILT=1, but {self.pg_config} does not exist")
            return self
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        with open(self.prefix.parent / ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run_tool([ROOT / "scripts/pg-prefix.sh", self.prefix, self.major])
            for target in ("all", "install"):
                run_tool(["make", "-C", ROOT, "-s", "-j2", f"PG_CONFIG={self.pg_config}", target],
                         env=clean_environment(MAKEFLAGS=""))
        return self

    def program(self, name):
        """Path of one of PostgreSQL's programs (psql, pg_dump, pg_basebackup ...)."""
        return self.bindir / name

    def template(self):
        """A data directory fresh from initdb, made once per prefix; servers start from a copy of it."""
        target = self.prefix / "template"
        with open(self.prefix / ".template-lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (target / "PG_VERSION").exists():
                fresh = self.prefix / "template.new"
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir(mode=0o700)
                give_to_server(fresh)
                self.initdb(fresh)
                fresh.rename(target)
        return target

    def initdb(self, directory):
        """A new cluster in directory (which belongs to the server's user), superuser postgres, trust on every line."""
        run_tool([self.program("initdb"), "-D", directory, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--data-checksums", "--no-sync", "--no-instructions", "--wal-segsize=1"],
                 env=clean_environment(), cwd="/", **server_identity())


class Server:
    """One PostgreSQL server with its own directory, log and socket. Made by fixtures or by hand; start() starts it.

    preload    put observ into shared_preload_libraries
    settings   postgresql.conf entries, value as written there ({"log_statement": "'all'"} or "all")
    tcp        listen on 127.0.0.1 on a free port as well (always on the unix socket)
    fsync      True for crash tests that are about what reached the disk
    hba        lines put before the template's (which trust everybody)
    new_identity  a real initdb instead of the cached template: copies of the template share one system identifier
    data_from  directory to take over as data directory (a base backup), instead of any of the above
    """

    alive = set()

    def __init__(self, installation, *, preload=True, settings=None, tcp=False, fsync=False, hba=(), new_identity=False,
                 data_from=None, name="server"):
        self.installation = installation
        self.name = name
        self.dir = new_directory("obs-", fsync)
        self.dir.chmod(0o755)
        self.data = self.dir / "data"
        self.log = self.dir / "log"
        self.port = PORT_ON_SOCKET
        self.tcp = tcp
        self.process = None
        self.base = {"listen_addresses": "''", "unix_socket_directories": f"'{self.dir}'",
                     "fsync": "on" if fsync else "off"}
        self.settings = dict(DEFAULT_SETTINGS)
        if preload:
            self.settings["shared_preload_libraries"] = "'observ'"
        self.settings.update(settings or {})
        if data_from is not None:
            pathlib.Path(data_from).rename(self.data)
        else:
            self._make_data(new_identity, hba)
        self.log.touch()
        for path in (self.dir, self.log):
            give_to_server(path)
        Server.alive.add(self)

    def _make_data(self, new_identity, hba):
        if new_identity:
            self.data.mkdir(mode=0o700)
            give_to_server(self.data)
            self.installation.initdb(self.data)
        else:
            run_tool(["cp", "-a", "--reflink=auto", self.installation.template(), self.data])
        if hba:
            path = self.data / "pg_hba.conf"
            path.write_text("\n".join(hba) + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")

    # --- life and death -------------------------------------------------------------------------------------------

    def start(self, deadline=60, wait=True):
        """Starts the server and, unless wait is False, returns when it answers. Returns self."""
        if self.running():
            raise HarnessError(f"{self.name} is already running")
        attempts = 3 if self.tcp else 1
        for attempt in range(attempts):
            if self.tcp:
                self._choose_port()
            offset = self.log.stat().st_size
            self._write_settings()
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [str(self.installation.program("postgres")), "-D", str(self.data)], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, env=clean_environment(**server_environment()), cwd="/", start_new_session=True,
                    **server_identity())
            if not wait:
                return self
            try:
                wait_until(self._started, deadline, f"{self.name} to accept connections")
                return self
            except AssertionError as exc:
                self._abandon()
                raise HarnessError(f"{exc}\n{self.log_text(offset)[-6000:]}") from None
            except HarnessError:
                if attempt + 1 == attempts or "ddress already in use" not in self.log_text(offset):
                    raise
                self.port = PORT_ON_SOCKET
        return self

    def _choose_port(self):
        # A port once given is kept over restarts: agents and standbys know it.
        if self.port == PORT_ON_SOCKET:
            self.port = free_port()

    def _write_settings(self):
        base = dict(self.base, port=str(self.port))
        if self.tcp:
            base["listen_addresses"] = "'127.0.0.1'"
        lines = [f"{name} = {value}" for name, value in {**base, **self.settings}.items()]
        # Replaced in one step: a server that is still reading after an earlier SIGHUP must not see half a file.
        fresh = self.data / "harness.conf.new"
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        give_to_server(fresh)
        fresh.rename(self.data / "harness.conf")
        main = self.data / "postgresql.conf"
        text = main.read_text(encoding="utf-8")
        if "harness.conf" not in text:
            main.write_text(text + "\ninclude 'harness.conf'\n", encoding="utf-8")

    def _started(self):
        if self.process.poll() is not None:
            raise HarnessError(f"{self.name} ended with {self.process.returncode} while starting\n"
                               f"{self.log_text()[-6000:]}")
        try:
            with self.connect("postgres", connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def running(self):
        """True while the postmaster lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        """Process id of the postmaster."""
        return self.process.pid

    def stop(self, mode="fast", deadline=60):
        """Stops the server: smart, fast or immediate. Fails when it is still there after deadline seconds."""
        if not self.running():
            return
        self.process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not stop ({mode}) within {deadline} s\n"
                                 f"{self.log_text()[-4000:]}") from None

    def restart(self, mode="fast", **settings):
        """stop() and start(); keyword arguments change settings on the way. Also right after kill9_postmaster()."""
        self.stop(mode)
        self.settings.update(settings)
        return self.start()

    def kill9_postmaster(self, deadline=30):
        """kill -9 on the postmaster; returns when it and all its children are gone, so that start() can follow."""
        children = children_of(self.pid)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not [c for c in children if process_alive(c)], deadline,
                   f"the children of the killed postmaster of {self.name} to notice")

    def kill9_backend(self, pid):
        """kill -9 on one process of this server (the postmaster then restarts all of them)."""
        if pid not in children_of(self.pid):
            raise HarnessError(f"process {pid} is not a child of {self.name}")
        os.kill(pid, signal.SIGKILL)

    def reload(self, **settings):
        """Changes settings and sends SIGHUP to the postmaster."""
        self.settings.update(settings)
        self._write_settings()
        self.process.send_signal(signal.SIGHUP)

    def _abandon(self):
        if self.running():
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def destroy(self):
        """Ends the server whatever its state and removes its directory."""
        Server.alive.discard(self)
        self._abandon()
        if os.environ.get("OBSERV_KEEP") == "1":
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- talking --------------------------------------------------------------------------------------------------

    def conninfo(self, db="postgres", user="postgres", **params):
        """A libpq connection string; over the unix socket unless host= says otherwise."""
        return psycopg.conninfo.make_conninfo(
            **{"host": str(self.dir), "port": self.port, "dbname": db, "user": user, **params})

    def url(self, db="postgres", user="postgres", password=None, port=None):
        """A postgresql:// URL over TCP (tcp=True), as users write it into the agent's configuration."""
        if not self.tcp and port is None:
            raise HarnessError("url() needs a server with tcp=True")
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{port or self.port}/{db}"

    def connect(self, db="postgres", user="postgres", autocommit=True, **params):
        """A psycopg connection."""
        return psycopg.connect(self.conninfo(db, user, **params), autocommit=autocommit)

    def sql(self, db, query, params=None, user="postgres"):
        """Runs one query in a new connection; the rows as a list of tuples ([] when there are none to return)."""
        with self.connect(db, user) as conn:
            cursor = conn.execute(query, params)
            return cursor.fetchall() if cursor.description else []

    def wait_for_jobs(self, db, deadline=15):
        """Waits until every job has run well in the database, also while the extension is not there yet."""
        wait_until(lambda: self.value(db, """SELECT count(last_success) = (SELECT count(*) FROM observ_data._jobs() WHERE period IS NOT NULL)
                                             FROM observ.job_runs"""),
                   deadline, f"every job to run in {db}", retry_on=psycopg.errors.SyntaxErrorOrAccessRuleViolation)

    def value(self, db, query, params=None, user="postgres"):
        """First column of the first row, None without rows."""
        rows = self.sql(db, query, params, user)
        return rows[0][0] if rows else None

    def client_env(self):
        """Environment in which PostgreSQL's client programs find this server."""
        return clean_environment(PGHOST=str(self.dir), PGPORT=str(self.port), PGUSER="postgres",
                                 PGAPPNAME="harness")

    def run(self, program, *args, check=True, timeout=300, **kwargs):
        """Runs pg_dump, pg_restore, createdb ... against this server as the server's user."""
        return run_tool([self.installation.program(program), *args], check=check, timeout=timeout,
                        env=self.client_env(), cwd=self.dir, **server_identity(), **kwargs)

    def psql(self, db, *args, script=None, check=True, timeout=300):
        """psql -X -A -t with ON_ERROR_STOP; script goes to its standard input. CompletedProcess with text."""
        feed = {} if script is None else {"input": script}
        return self.run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", db, *args, check=check,
                        timeout=timeout, **feed)

    def create_database(self, name, extension=False, template=None):
        """CREATE DATABASE (and EXTENSION observ); returns name."""
        of = f" TEMPLATE {template}" if template else ""
        self.sql("postgres", f'CREATE DATABASE "{name}"{of}')
        if extension:
            self.sql(name, "CREATE EXTENSION observ")
        return name

    def drop_database(self, name):
        """DROP DATABASE IF EXISTS, whoever is connected."""
        self.sql("postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    # --- looking --------------------------------------------------------------------------------------------------

    def log_text(self, offset=0):
        """The server's log from byte offset on."""
        with open(self.log, "rb") as log:
            log.seek(offset)
            return log.read().decode("utf-8", "replace")

    def log_size(self):
        """Offset to hand to log_text() or wait_for_log() later."""
        return self.log.stat().st_size

    def wait_for_log(self, text, offset=0, deadline=DEFAULT_DEADLINE):
        """Waits until text stands in the log behind offset."""
        return wait_until(lambda: text in self.log_text(offset), deadline, f"{text!r} in the log of {self.name}")

    def processes(self, backend_type=None):
        """Rows (pid, backend_type, datname) of pg_stat_activity, for one backend_type or all."""
        return self.sql("postgres", "SELECT pid, backend_type, datname FROM pg_stat_activity "
                                    "WHERE %s::text IS NULL OR backend_type = %s ORDER BY backend_type, datname, pid",
                        (backend_type, backend_type))

    def worker_pid(self, backend_type, db=None):
        """Process id of a background worker, None when it does not run (or the server does not answer)."""
        with contextlib.suppress(psycopg.OperationalError):
            for pid, _, datname in self.processes(backend_type):
                if db is None or datname == db:
                    return pid
        return None

    def wait_for_worker(self, backend_type, db=None, other_than=None, deadline=DEFAULT_DEADLINE):
        """Waits for a worker (`observ launcher`, `observ scheduler`), other than the process other_than; its pid."""
        def there():
            pid = self.worker_pid(backend_type, db)
            return pid if pid != other_than else None
        return wait_until(there, deadline, f"{backend_type} of {db or 'the cluster'}")

    # --- copies ---------------------------------------------------------------------------------------------------

    def base_backup(self, standby=True, **options):
        """Takes a base backup and returns it as another Server, not yet started; a standby of this one by default."""
        target = new_directory("obs-copy-", options.get("fsync", False)) / "data"
        give_to_server(target.parent)
        try:
            self.run("pg_basebackup", "-D", target, "-c", "fast", "-X", "stream", "--no-sync",
                     *(["-R"] if standby else []))
            options.setdefault("settings", dict(self.settings))
            copy = Server(self.installation, preload=False, data_from=target, name=f"copy of {self.name}",
                          tcp=options.pop("tcp", self.tcp), **options)
        finally:
            shutil.rmtree(target.parent, ignore_errors=True)
        return copy

    def wait_for_replay(self, standby, deadline=DEFAULT_DEADLINE):
        """Waits until standby has replayed what this server has written by now."""
        lsn = self.value("postgres", "SELECT pg_current_wal_insert_lsn()::text")
        wait_until(lambda: standby.value("postgres", "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)), deadline,
                   f"{standby.name} to replay {lsn}")

    def promote(self, deadline=DEFAULT_DEADLINE):
        """Promotes this standby and waits until it takes writes."""
        self.sql("postgres", "SELECT pg_promote(false)")
        wait_until(lambda: not self.value("postgres", "SELECT pg_is_in_recovery()"), deadline,
                   f"{self.name} to be promoted", retry_on=psycopg.OperationalError)


class Agent:
    """A running obs-agent (or any other program under test) with its standard output and error in files."""

    alive = set()

    def __init__(self, argv, *, env=None, user=None, cwd="/"):
        self.argv = [str(a) for a in argv]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="obs-agent-", dir="/tmp"))
        self._out = self.dir / "stdout"
        self._err = self.dir / "stderr"
        identity = {}
        if user is not None:
            entry = pwd.getpwnam(user)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                                            env=clean_environment(**(env or {})), start_new_session=True, **identity)
        Agent.alive.add(self)

    @property
    def pid(self):
        """Process id of the agent."""
        return self.process.pid

    def running(self):
        """True while it lives."""
        return self.process.poll() is None

    def stdout(self):
        """What it has written to standard output so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    def stderr(self):
        """What it has written to standard error so far."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def wait_for_stderr(self, text, deadline=DEFAULT_DEADLINE):
        """Waits until text stands in its standard error."""
        return wait_until(lambda: text in self.stderr(), deadline, f"{text!r} from {self.argv[0]}")

    def wait(self, deadline=DEFAULT_DEADLINE):
        """Waits for its end; the exit code (negative: the signal that killed it)."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self.argv)} still runs after {deadline} s\n{self.stderr()}") from None

    def signal(self, number):
        """Sends it a signal."""
        self.process.send_signal(number)

    def kill9(self):
        """kill -9, and waits."""
        self.process.kill()
        self.process.wait()

    def stop(self, deadline=DEFAULT_DEADLINE):
        """SIGTERM and waits; the exit code."""
        if self.running():
            self.process.terminate()
        return self.wait(deadline)

    def destroy(self):
        """Ends it whatever its state and removes its files."""
        Agent.alive.discard(self)
        if self.running():
            self.kill9()
        shutil.rmtree(self.dir, ignore_errors=True)


def destroy_all():
    """Ends every server and agent that this process has started and not yet ended."""
    for thing in [*Agent.alive, *Server.alive]:
        thing.destroy()


atexit.register(destroy_all)
