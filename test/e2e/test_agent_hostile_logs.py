"""Log lines that nobody should write: through a real agent into a real table, and entries of the fuzzer's corpus into jsonb.

What belongs here: what PostgreSQL makes of entries. What does not: which entry comes of which line (test/unit/test_log_*.c).
"""

import json
import subprocess
import time

from agent_config import Setup
from harness import ROOT, wait_until

SERVER = {"tcp": True}

GOOD = 1000
ESC = "\x1b"


def json_line(**fields):
    """A line of compact JSON."""
    return json.dumps(fields, separators=(",", ":")).encode()


# Name, bytes as a writer might leave them (whole lines), entries that must come of them: part of the message, and what holds for the context.
HOSTILE = [
    ("T16 a long line", b'{"message":"' + b"long " * 200_000 + b'"}', ["long long"], "context -> 'observ' ->> 'truncated' = 'true'"),
    ("T16 a huge line", b"huge " * 4_000_000, ["huge huge"], "(context -> 'observ' ->> 'bytes')::bigint = 20000000"),
    ("T18 bytes that are no UTF-8", b"latin1 caf\xe9 \xff\xfe \xed\xa0\x80", ["latin1 caf\ufffd"], "(context -> 'observ' ->> 'bad_bytes')::int = 6"),
    ("T18 in JSON", b'{"message":"json caf\xe9","k\xff":"\xc3("}', ["json caf\ufffd"], "context ->> E'k\ufffd' = E'\ufffd('"),
    ("T19 NUL", b"nul a\0b", ["nul a\ufffdb"], "true"),
    ("T19 escaped NUL", b'{"message":"escaped a\\u0000b","k\\u0000":"\\u0000"}', ["escaped a\ufffdb"], "context ->> E'k\ufffd' = E'\ufffd'"),
    ("T19 lone surrogates", b'{"message":"lone \\ud800","k":"\\udc00 \\ud83d\\ude00"}', ["lone \ufffd"], "context ->> 'k' = E'\ufffd \U0001f600'"),
    ("T20 CRLF, BOM, empty lines", b"\xef\xbb\xbfcrlf one\r\n\r\n\n   \ncrlf two\r", ["crlf one", "crlf two"], "context IS NULL"),
    ("T21 nested deeply", b'{"deep":' * 200_000, ["deep"], "context -> 'observ' ? 'parse_error'"),
    ("T21 nested deeply, whole", b'{"deep2":' * 5000 + b"1" + b"}" * 5000, ["deep2"], "context -> 'observ' ? 'parse_error'"),
    ("T21 numbers", b'{"message":"numbers","n":1e999999,"m":-1e-999999,"l":' + b"9" * 200_000 + b"}", ["numbers"], "true"),
    ("T21 small numbers", b'{"message":"refused","n":1e999999,"o":NaN,"p":1e308}', ["refused"], "context ->> 'n' = '1e999999' AND context ->> 'o' = 'NaN'"),
    ("T21 keys twice", b'{"message":"twice","k":1,"k":2}', ["twice"], "context ->> 'k' = '2'"),
    ("T21 many keys", b'{"message":"many",' + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}", ["many"], "context -> 'observ' ? 'parse_error'"),
    ("T22 an array", b'[{"message":"array one"},{"message":"array two"}]', ["array one", "array two"], "true"),
    ("T22 two objects", b'{"message":"object one"}{"message":"object two"} {"mess', ["object one", "object two", '{"mess'], "true"),
    ("terminal escapes", f"{ESC}[31mescape{ESC}[0m {ESC}]0;title\x07{ESC}[2J end\x07\x08".encode(), ["escape  end\ufffd\ufffd"], "true"),
    ("terminal escapes in JSON", json_line(message=f"{ESC}[1mbold{ESC}[0m \x9b2J"), ["bold \ufffd2J"], "context IS NULL"),
    ("text that looks like COPY and SQL", b"\\N\t\\.\t'; DROP TABLE x; -- $$ {} \\\\ \"", ["DROP TABLE x"], "true"),
    ("text that looks like an array", b'{NULL,"a\\"b",c}', ["{NULL,"], "true"),
    ("an object that does not end", b'{\n  "message": "unended",', ["unended"], "context -> 'observ' ? 'parse_error'"),
]


def good_line(n):
    """A numbered line as logcore writes it."""
    return json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": "INFO", "logger": "good", "message": f"good {n}", "context": {"n": n}}).encode()


def test_good_lines_among_hostile_ones_all_arrive(server, observ_db, tmp_path, run_agent):
    log = tmp_path / "app.log"
    log.touch()
    setup = Setup(tmp_path, server.url(observ_db))
    setup.config.write_text(setup.config.read_text() + f"  log_files:\n    - {log}\n")
    agent = run_agent(*setup.args())
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics") > 0, 30, "the agent to have begun")
    with open(log, "ab") as file:
        for n in range(1, GOOD + 1):
            file.write(good_line(n) + b"\n")
            # Each one some times, always between two good ones.
            if n % 15 == 0:
                file.write(HOSTILE[n // 15 % len(HOSTILE)][1] + b"\n")
    good = "SELECT count(*), count(DISTINCT context ->> 'n') FROM observ.log_entries WHERE logger = 'good' AND message = 'good ' || (context ->> 'n')"
    wait_until(lambda: server.sql(observ_db, good)[0] == (GOOD, GOOD), 60, "all good lines")
    for name, _, messages, holds in HOSTILE:
        for message in messages:
            # Of one that came several times each holds.
            query = f"SELECT count(*) > 0 AND bool_and(coalesce({holds}, false)) FROM observ.log_entries WHERE logger IS NULL AND strpos(message, %s) > 0"
            wait_until(lambda q=query, m=message: server.value(observ_db, q, (m,)), 20, f"{name}: {message}")
    odd = server.sql(observ_db, "SELECT message FROM observ.log_entries WHERE message ~ E'[\\x01-\\x08\\x0b-\\x1f\\x7f\u0080-\u009f]' LIMIT 1")
    assert odd == []
    assert server.value(observ_db, "SELECT count(*) FROM observ.quarantine") == 0
    assert agent.running() and agent.stop() == 0


MAIN = """
#include <stdint.h>
#include <stdio.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int main(int n, char **names)
{
	static uint8_t bytes[1 << 20];
	for (int i = 1; i < n; i++) {
		FILE *file = fopen(names[i], "rb");
		LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
		fclose(file);
	}
	return 0;
}
"""


def test_entries_of_the_fuzzer_s_corpus_are_what_jsonb_takes(server, fresh_db, tmp_path):
    """What the fuzzer's own checker accepts, PostgreSQL accepts: not a row is refused."""
    (tmp_path / "main.c").write_text(MAIN)
    program, out = tmp_path / "corpus", tmp_path / "entries"
    core = [ROOT / f"src/core/{name}.c" for name in ("hash", "slice")] + sorted((ROOT / "src/core").glob("log_*.c"))
    subprocess.run(["cc", "-O1", "-g", "-std=gnu11", f"-I{ROOT}/src", tmp_path / "main.c", ROOT / "test/fuzz/fuzz_log_lines.c", *core, "-o", program], check=True)
    # Finds of earlier runs of make fuzz, too.
    files = [f for d in ("test/fuzz/corpus/log_lines", "build/fuzz/fuzz_log_lines.corpus") for f in sorted((ROOT / d).glob("*"))]
    for i in range(0, len(files), 500):
        subprocess.run([program, *files[i:i + 500]], check=True, env={"OBSERV_FUZZ_OUT": str(out)})
    entries = out.read_bytes().count(b"\n")
    assert entries > len(list((ROOT / "test/fuzz/corpus/log_lines").glob("*")))
    server.sql(fresh_db, "CREATE TABLE entry (message text NOT NULL, context jsonb)")
    with server.connect(fresh_db) as connection, connection.cursor() as cursor, open(out, "rb") as file:
        with cursor.copy("COPY entry FROM STDIN") as copy:
            while data := file.read(1 << 16):
                copy.write(data)
    assert server.value(fresh_db, "SELECT count(*) FROM entry") == entries
    assert server.value(fresh_db, "SELECT count(*) FROM entry WHERE jsonb_typeof(context) <> 'object'") == 0
    print(f"{len(files)} files, {entries} entries")
