"""What a complete agent has to do while it is measured: HTTP endpoints to check, logs that grow.

What belongs here: the world around an agent. What does not: agents, measurements.
"""

import http.server
import json
import threading
import time


class Endpoints:
    """A web server that answers every request with 200 and a small JSON body."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            """Says that all is well."""

            def do_GET(self):  # noqa: N802  (the library's name)
                body = b'{"status": "UP"}\n'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nobody wants to read it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def urls(self, count):
        """That many addresses."""
        return [f"http://127.0.0.1:{self._server.server_address[1]}/health/{i}" for i in range(count)]


def json_line(number):
    """A line as logcore writes it, some 200 bytes; the number tells lines apart."""
    return json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{number % 1000:03d}Z", "level": "INFO", "logger": "shop.orders",
                       "message": f"order {number} accepted after {number % 97} ms",
                       "context": {"number": number, "user": f"u{number % 1000}", "path": f"/orders/{number % 50}", "duration_ms": number % 97}}) + "\n"


class Writers:
    """Logs to which lines are appended at a rate, one thread for all of them."""

    def __init__(self, paths, lines_per_second):
        self.paths, self.rate = paths, lines_per_second
        self.written = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        files = [open(path, "a", buffering=1, encoding="utf-8") for path in self.paths]
        while not self._end.wait(1 / self.rate):
            for file in files:
                file.write(json_line(self.written))
                self.written += 1
        for file in files:
            file.close()

    def __enter__(self):
        for path in self.paths:
            path.touch()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(10)
