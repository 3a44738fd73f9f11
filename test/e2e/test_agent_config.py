"""The configuration and the command line: what is wrong is said with file, line and key; exit codes."""

import os

import pytest

URL = "postgresql://u:secret@127.0.0.1:1/db"


def check(run_agent, tmp_path, text, *args, env=None):
    path = tmp_path / "config.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    agent = run_agent("--check-config", "--config", path, *args, env=env)
    return agent.wait(20), agent.stdout(), agent.stderr().replace(str(path), "config.yml")


def test_defaults_and_everything(run_agent, tmp_path):
    code, out, err = check(run_agent, tmp_path, f"monitoring:\n  postgres_url: {URL}\n")
    assert (code, err) == (0, "")
    assert "enabled: false" in out and "collection_interval: 60 s" in out
    assert "secret" not in out
    code, out, err = check(run_agent, tmp_path, f"""
app: {{name: x, ports: [1, 2]}}
monitoring:
  enabled: yes
  postgres_url: "{URL}"
  collection_interval: 10
  health_checks:
    - url: http://localhost:8080/health
    - {{url: "https://[::1]:443/x?y=1", interval: 30, timeout: 2}}
  log_files:
    - /var/log/{{app}}/{{port}}.log
other: [1]
""", "--app-name", "shop")
    assert (code, err) == (0, "")
    assert "health_checks: 2\n" in out
    assert "http://localhost:8080/health each 10 s, timeout 5 s" in out
    assert "https://[::1]:443/x?y=1 each 30 s, timeout 2 s" in out
    assert "/var/log/shop/{port}.log" in out


FULL = f"""
monitoring:
  enabled: true
  postgres_url: "{URL}"
  collection_interval: 10
  adaptive: yes
  health_checks:
    - url: http://localhost:8080/health
    - {{url: "https://[::1]:443/x?y=1", interval: 30, timeout: 2, method: POST, body: '{{"a":1}}', expected_status: [200, 201-204, "301"],
       headers: {{Accept: a/b, X-Number: 5}}, body_contains: up, body_not_contains: down, body_regex: "a{{1,3}}b",
       json_path: '$.status == "UP"', max_latency_ms: 100, follow_redirects: off, verify_tls: no, ip_family: 6}}
    - {{url: "https://me:${{PW}}@api.example.com/x?token=${{PW}}", headers: ["Authorization: Bearer ${{PW}}"], ip_family: any, max_latency_ms: 500}}
    - {{url: "tcp://localhost:25", name: "smtp of {{app}}"}}
    - {{url: "postgresql://u:${{PW}}@h:5433/d?password=hunter2", max_lag: 10}}
    - {{url: "redis://:${{PW}}@h:6379"}}
    - {{url: "redis:///run/redis.sock", failure_threshold: 1, cooldown: 60}}
    - {{url: "unit:nginx.service"}}
  log_files:
    - /var/log/{{app}}/*.log
    - {{path: /x, start_at: beginning, timezone: "+02:00", level: warn}}
  log_max_line_bytes: 2048
  log_deleted_max_mb: 0
  scrape:
    - http://localhost:9100/metrics
    - {{url: "http://u:hunter2@localhost/m", job: "9", layer: business, interval: 5, timeout: 1, max_series: 5, allow: [a_*, b], deny: [c]}}
  statsd: {{socket: "/run/{{app}}.sock", max_series: 7}}
  spool_max_mb: 1
  collect: {{containers: true, disks: true, interfaces: true, units: true, peers: false}}
  units: [nginx.service, "app-*.service"]
"""


def test_every_key(run_agent, tmp_path):
    """What each key of the configuration comes to; a name never shows a password nor what a variable holds."""
    code, out, err = check(run_agent, tmp_path, FULL, "--app-name", "shop", env={"PW": "hunter2"})
    assert (code, err) == (0, "")
    assert "hunter2" not in out and "secret" not in out
    breaker = ", breaker opens after 3 failures for 30 s"
    for line in ("collection_interval: 10 s, 5 to 30 s between samples (adaptive)",
                 "http://localhost:8080/health each 10 s, timeout 5 s, GET, status 200-399" + breaker,
                 "https://[::1]:443/x?y=1 each 30 s, timeout 2 s, POST, status 200, 201-204, 301" + breaker,
                 "https://me@api.example.com/x?token=${PW} each 10 s, timeout 5 s, GET, status 200-399" + breaker,
                 "smtp of shop each 10 s, timeout 5 s" + breaker,
                 "postgresql://u@h:5433/d each 10 s, timeout 5 s" + breaker,
                 "redis://h:6379 each 10 s",
                 "redis:///run/redis.sock each 10 s, timeout 5 s, breaker opens after 1 failures for 60 s",
                 "unit:nginx.service each 10 s",
                 "/var/log/shop/*.log from its end, time zone of this machine, level info where a line has none",
                 "/x from its beginning, time zone +02:00, level warn where a line has none",
                 "localhost:9100 (layer application) each 10 s, timeout 2 s, at most 2000 series",
                 "9 (layer business) each 5 s, timeout 1 s, at most 5 series, only a_*, b, without c",
                 "statsd: /run/shop.sock, at most 7 series",
                 "collect: machine, containers, disks, interfaces, units\n",
                 "units: nginx.service, app-*.service",
                 "spool: at most 1 MiB"):
        assert line in out


def test_null_is_not_given(run_agent, tmp_path):
    code, out, _ = check(run_agent, tmp_path, f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n  log_files: ~\n  enabled: null\n")
    assert code == 0 and "enabled: false" in out


WRONG = {
    "unknown key": (f"monitoring:\n  postgres_url: {URL}\n  colection_interval: 10\n",
                    'config.yml:3: monitoring.colection_interval: unknown key; did you mean "collection_interval"?'),
    "unknown key far from any": (f"monitoring:\n  postgres_url: {URL}\n  frobnicate: 10\n", "config.yml:3: monitoring.frobnicate: unknown key\n"),
    "missing url": ("monitoring:\n  enabled: true\n", "config.yml:1: monitoring.postgres_url: is required"),
    "missing section": ("app: 1\n", "config.yml:1: monitoring: this section is missing or empty"),
    "empty file": ("", "config.yml:1: monitoring: this section is missing or empty"),
    "section is a list": ("monitoring: [1]\n", "config.yml:1: monitoring: must be a mapping"),
    "top level is a list": ("- monitoring\n", "config.yml:1: the top level must be a mapping"),
    "interval too small": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: 5\n",
                           "config.yml:3: monitoring.collection_interval: must be between 10 and 86400 seconds, not 5"),
    "interval negative": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: -60\n", "config.yml:3: monitoring.collection_interval: must be between"),
    "interval huge": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: 99999999999999999999\n", "config.yml:3: monitoring.collection_interval: must be between"),
    "interval quoted": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: '60'\n", "config.yml:3: monitoring.collection_interval: must be a whole number"),
    "interval with unit": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: 60s\n", "config.yml:3: monitoring.collection_interval: must be a whole number"),
    "interval a fraction": (f"monitoring:\n  postgres_url: {URL}\n  collection_interval: 10.5\n", "config.yml:3: monitoring.collection_interval: must be a whole number"),
    "enabled a word": (f"monitoring:\n  postgres_url: {URL}\n  enabled: maybe\n", "config.yml:3: monitoring.enabled: must be true or false"),
    "enabled quoted": (f"monitoring:\n  postgres_url: {URL}\n  enabled: 'true'\n", "config.yml:3: monitoring.enabled: must be true or false"),
    "enabled a list": (f"monitoring:\n  postgres_url: {URL}\n  enabled: [true]\n", "config.yml:3: monitoring.enabled: must be true or false"),
    "twice": (f"monitoring:\n  postgres_url: {URL}\n  enabled: true\n  enabled: false\n", "config.yml:4: monitoring.enabled: given twice (first on line 3)"),
    "section twice": (f"monitoring:\n  postgres_url: {URL}\nmonitoring:\n  enabled: true\n", "config.yml:3: monitoring: given twice (first on line 1)"),
    "url a number": ("monitoring:\n  postgres_url: 5\n", "config.yml:2: monitoring.postgres_url: must be a string"),
    "url of something else": ("monitoring:\n  postgres_url: mysql://root:hunter2@h/d\n", "config.yml:2: monitoring.postgres_url: is no PostgreSQL connection string"),
    "url with a bad option": ("monitoring:\n  postgres_url: postgresql://u:hunter2@h/d?sslmood=x\n", "config.yml:2: monitoring.postgres_url: is no PostgreSQL connection string"),
    "url with a raw password": ("monitoring:\n  postgres_url: 'postgresql://u:hunter2%zz@h/d'\n", "config.yml:2: monitoring.postgres_url: is no PostgreSQL connection string"),
    "url with a bad port": ("monitoring:\n  postgres_url: postgresql://u:hunter2@h:99999/d\n", "config.yml:2: monitoring.postgres_url: the port must be"),
    "url empty": ("monitoring:\n  postgres_url: ''\n", "config.yml:2: monitoring.postgres_url: is no PostgreSQL connection string"),
    "variable unset": ("monitoring:\n  postgres_url: postgresql://u:${OBS_NOT_SET}@h/d\n",
                       "config.yml:2: monitoring.postgres_url: environment variable OBS_NOT_SET is not set"),
    "variable unfinished": ("monitoring:\n  postgres_url: postgresql://u:${OBS@h/d\n", "config.yml:2: monitoring.postgres_url: ${ without"),
    "checks no list": (f"monitoring:\n  postgres_url: {URL}\n  health_checks: http://x\n", "config.yml:3: monitoring.health_checks: must be a list"),
    "check no mapping": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - http://x\n", "config.yml:4: monitoring.health_checks[0]: must be a mapping"),
    "check without url": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - timeout: 3\n", "config.yml:4: monitoring.health_checks[0].url: is required"),
    "check of ftp": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: ftp://x\n", "config.yml:4: monitoring.health_checks[0].url: must be an http"),
    "check without host": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: http:///x\n", "config.yml:4: monitoring.health_checks[0].url: must be"),
    "check with a bad port": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: http://h:x/\n", "config.yml:4: monitoring.health_checks[0].url: must be"),
    "check with an @ in the password": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: http://u:hunter2@x@h/\n",
                                        "config.yml:4: monitoring.health_checks[0].url: has an @ in its user or password, which is written %40"),
    "check with a line feed": (f'monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: "http://h/\\r\\nX: y"\n', "config.yml:4: monitoring.health_checks[0].url: must be"),
    "check with an unknown key": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: http://h\n      timout: 1\n",
                                  'config.yml:5: monitoring.health_checks[0].timout: unknown key; did you mean "timeout"?'),
    "check timeout zero": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - {{url: 'http://h', timeout: 0}}\n",
                           "config.yml:4: monitoring.health_checks[0].timeout: must be between 1 and 300 seconds, not 0"),
    "secret in a target": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: postgresql://u:hunter2%zz@h/d\n",
                           "config.yml:4: monitoring.health_checks[0].url: is no PostgreSQL connection string"),
    "two checks of one name": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: http://h/\n    - url: http://h/\n",
                               "config.yml:5: monitoring.health_checks[1].name: another check goes by it"),
    "regex that eats memory": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - {{url: 'http://h', body_regex: '((a{{1,99}}){{1,99}}){{1,99}}'}}\n",
                               "config.yml:4: monitoring.health_checks[0].body_regex: is too large"),
    "key of another kind": (f"monitoring:\n  postgres_url: {URL}\n  health_checks:\n    - url: tcp://h:1\n      verify_tls: false\n",
                            "config.yml:5: monitoring.health_checks[0].verify_tls: has no meaning for a target of this kind"),
    "statsd without socket": (f"monitoring:\n  postgres_url: {URL}\n  statsd:\n    max_series: 5\n", "config.yml:3: monitoring.statsd.socket: is required"),
    "socket too long": (f"monitoring:\n  postgres_url: {URL}\n  statsd: {{socket: /{'x' * 200}}}\n", "config.yml:3: monitoring.statsd.socket: must be at most 107 bytes"),
    "logs no list": (f"monitoring:\n  postgres_url: {URL}\n  log_files: /x\n", "config.yml:3: monitoring.log_files: must be a list"),
    "logs a number": (f"monitoring:\n  postgres_url: {URL}\n  log_files: [/x, 5]\n", "config.yml:3: monitoring.log_files[1]: must be a string"),
    "alias": (f"x: &a 10\nmonitoring:\n  postgres_url: {URL}\n  collection_interval: *a\n", "config.yml:4: aliases (*name) are not supported here"),
    "key that is none": (f"monitoring:\n  postgres_url: {URL}\n  ? [a]\n  : 1\n", "config.yml:3: a key must be a plain word"),
    "tab": ("monitoring:\n\tenabled: true\n", "config.yml:2: not valid YAML: "),
    "bad indentation": ("monitoring:\n  enabled: true\n postgres_url: x\n", "config.yml:3: not valid YAML: "),
    "unclosed quote": ('monitoring:\n  postgres_url: "x\n', "not valid YAML: "),
    "not UTF-8": (b"monitoring:\n  postgres_url: \xff\xfe\n", "not valid YAML: "),
    "second document": (f"monitoring:\n  postgres_url: {URL}\n---\nx: 1\n", "config.yml:3: more than one YAML document"),
    "depth": ("monitoring: " + "[" * 100000, "config.yml:1: nested too deeply"),
    "depth elsewhere": ("app: " + "[" * 100000, "config.yml:1: nested too deeply"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(run_agent, tmp_path, case):
    text, message = WRONG[case]
    code, out, err = check(run_agent, tmp_path, text)
    assert code == 3
    assert message in err
    assert out == ""
    assert "hunter2" not in err


# One wrong value each, in a check, in a log file, in a scrape target, in the section itself: key, value, what is said.
VALUES = [
    ("health_checks", "expected_status", "99", "must be a status from 100 to 599"),
    ("health_checks", "expected_status", "[200, 299-200]", "must be a status from 100 to 599"),
    ("health_checks", "expected_status", "[]", "must be a status from 100 to 599"),
    ("health_checks", "headers", "5", "must be a mapping (name: value) or a list"),
    ("health_checks", "headers", "[x]", "must be the name of a header, a colon and a value"),
    ("health_checks", "headers", '{x: "a\\nb: c"}', "must be the name of a header, a colon and a value"),
    ("health_checks", "body", "5", "must be a string"),
    ("health_checks", "body_regex", "'a{1'", "is no POSIX extended regular expression"),
    ("health_checks", "json_path", "x", "must begin with $"),
    ("health_checks", "ip_family", "5", "must be 4, 6 or any"),
    ("health_checks", "method", "get", "must be one of GET, HEAD"),
    ("health_checks", "cooldown", "90", "must be between 1 and 60 seconds, not 90"),
    ("health_checks", "failure_threshold", "0", "must be between 1 and 100, not 0"),
    ("health_checks", "max_latency_ms", "0", "must be between 1 and 300000 milliseconds, not 0"),
    ("health_checks", "url", "tcp://localhost", "must be tcp://HOST:PORT"),
    ("health_checks", "url", "redis://h:x", "must be redis://"),
    ("health_checks", "url", "redis://:hunter2/x@h", "must be redis://"),
    ("health_checks", "url", "unit:nginx", "must be unit:NAME.service"),
    ("log_files", "path", "x.log", "must be an absolute path"),
    ("log_files", "start_at", "middle", "must be end or beginning"),
    ("log_files", "timezone", "Europe/Berlinn", "must be UTC, an offset such as +02:00, or a name"),
    ("log_files", "timezone", "../../../etc/passwd", "must be UTC, an offset such as +02:00, or a name"),
    ("log_files", "level", "loud", "must be a level"),
    ("scrape", "url", "localhost:9100", "must be an http:// or https:// address"),
    ("scrape", "layer", "x", "must be one of application, business, system"),
    ("scrape", "allow", "a", "must be a list of strings"),
    ("scrape", "deny", "[a*b]", "must be the name of a metric"),
    (None, "statsd", "{socket: x}", "must be an absolute path"),
    (None, "spool_max_mb", "0", "must be between 1 and 4096 MiB, not 0"),
    (None, "adaptive", "5", "must be true or false"),
    (None, "collect", "[peers]", "must be a mapping"),
    (None, "collect", "{peers: 1}", "must be true or false"),
    (None, "units", "['a b']", "must be the name of a unit"),
    (None, "log_max_line_bytes", "5", "must be between 1024 and 1048576 bytes, not 5"),
]


@pytest.mark.parametrize("within, key, value, message", VALUES)
def test_wrong_value(run_agent, tmp_path, within, key, value, message):
    known = {"health_checks": "url: http://h/", "log_files": "path: /x", "scrape": "url: http://h/"}
    if within is None:
        text = f"  {key}: {value}\n"
    elif known[within].startswith(key + ":"):
        text = f"  {within}:\n    - {key}: {value}\n"
    else:
        text = f"  {within}:\n    - {known[within]}\n      {key}: {value}\n"
    code, out, err = check(run_agent, tmp_path, f"monitoring:\n  postgres_url: {URL}\n{text}")
    assert (code, out) == (3, "")
    assert message in err and f".{key}" in err and len(err.splitlines()) == 1
    assert "hunter2" not in err


def test_every_error_is_reported(run_agent, tmp_path):
    code, _, err = check(run_agent, tmp_path, "monitoring:\n  enabled: 3\n  collection_interval: 1\n  nonsense: 1\n  health_checks: [{url: x, timeout: 900}]\n")
    assert code == 3
    assert len(err.splitlines()) == 6  # enabled, interval, nonsense, url, timeout, postgres_url
    assert "config.yml:3: monitoring.collection_interval" in err and "monitoring.postgres_url: is required" in err


def test_bombs_are_defused(run_agent, tmp_path):
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join(['*a' + str(i - 1)] * 10)}]\n" for i in range(1, 30))
    code, _, err = check(run_agent, tmp_path, laughs + f"monitoring:\n  postgres_url: {URL}\n")
    assert (code, err) == (0, "")  # never expanded, and not ours
    code, _, err = check(run_agent, tmp_path, laughs + f"monitoring:\n  postgres_url: {URL}\n  log_files: *a29\n")
    assert code == 3 and "aliases" in err
    code, _, err = check(run_agent, tmp_path, "# " + "x" * 2_000_000)
    assert code == 3 and "larger than 1 MiB" in err
    code, _, err = check(run_agent, tmp_path, f"monitoring:\n  postgres_url: {URL}\n  log_files: [{'a,' * 20000}a]\n")
    assert code == 3 and "too many entries" in err


def test_variables_are_expanded(run_agent, tmp_path):
    code, _, err = check(run_agent, tmp_path, "monitoring:\n  postgres_url: ${OBS_URL}\n", env={"OBS_URL": URL})
    assert (code, err) == (0, "")
    code, _, err = check(run_agent, tmp_path, "monitoring:\n  postgres_url: postgresql://u:${OBS_PW}@h/d\n", env={"OBS_PW": "a%zzhunter2"})
    assert code == 3 and "hunter2" not in err


@pytest.mark.parametrize("args, message", [
    ((), "--config is required"),
    (("--config", "/x"), "--app-name is required"),
    (("--config",), "a value is missing after: --config"),
    (("--frob",), "unknown option: --frob"),
    (("--once", "extra"), "unexpected argument: extra"),
    (("--once", "--check-config"), "--config is required"),
    (("--config", "/x", "--app-name", "a/b"), "--app-name must be"),
    (("--config", "/x", "--app-name", ""), "--app-name must be"),
    (("--config", "/x", "--app-name", "a", "--vps-name", "a\nb"), "--vps-name must be"),
    (("--config", "/x", "--app-name", "a", "--json"), "--json goes with --once"),
])
def test_usage(run_agent, args, message):
    agent = run_agent(*args)
    assert agent.wait(20) == 2
    assert message in agent.stderr() and "--help" in agent.stderr()


def test_unreadable_file(run_agent, tmp_path):
    for path in ("/does/not/exist.yml", tmp_path):
        agent = run_agent("--config", path, "--app-name", "a")
        assert agent.wait(20) == 3
        assert str(path) in agent.stderr()
    os.mkfifo(tmp_path / "fifo")
    agent = run_agent("--config", tmp_path / "fifo", "--app-name", "a")
    assert agent.wait(20) == 3 and "is not a regular file" in agent.stderr()


def test_disabled_ends_with_its_own_code(run_agent, tmp_path):
    path = tmp_path / "config.yml"
    path.write_text(f"monitoring:\n  postgres_url: {URL}\n")
    agent = run_agent("--config", path, "--app-name", "a")
    assert agent.wait(20) == 4
    assert "monitoring.enabled is not true" in agent.stderr()


def test_help_and_version(run_agent):
    agent = run_agent("--help")
    assert agent.wait(20) == 0
    for word in ("--config", "--app-name", "--vps-name", "--once", "--json", "--check-config", "--proc-root", "--state-dir", "exit codes"):
        assert word in agent.stdout()
    agent = run_agent("--version")
    assert agent.wait(20) == 0 and agent.stdout().startswith("obs-agent ")


def test_journal_prefixes(run_agent):
    agent = run_agent("--frob", env={"JOURNAL_STREAM": "8:1"})
    assert agent.wait(20) == 2 and agent.stderr().startswith("<3>unknown option")
