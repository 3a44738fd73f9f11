"""What goes on beside a test or a measurement: a loop in a thread of its own, a small web server.

What belongs here: beginning, ending. What does not: what is done meanwhile (each test's own). Used by bench/ too.
"""

import http.server
import threading


class Beside:
    """Runs run() in a thread while a `with` block lasts. run() ends soon after self.ended is set: it waits on that in place of sleeping."""

    def __init__(self):
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """What is to be done."""
        raise NotImplementedError

    def stop(self):
        """Ends it; a second time does nothing."""
        self.ended.set()
        self._thread.join(10)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Pages:
    """A web server on a free port of 127.0.0.1; answer() says what to each request."""

    content_type = "text/plain; version=0.0.4"

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Hands requests on."""

            def do_GET(self):  # noqa: N802  (the library's name)
                status, body = outer.answer(self.headers)
                self.send_response(status)
                self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nobody wants to read it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/metrics"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, headers):
        """(status, bytes)"""
        raise NotImplementedError

    def close(self):
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
