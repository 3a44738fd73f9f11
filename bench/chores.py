"""What a complete agent has to do while it is measured: HTTP endpoints to check, logs that grow.

What belongs here: the world around an agent. What does not: agents, measurements.
"""

import json
import time

import surroundings

beside = surroundings.beside


class Endpoints(beside.Pages):
    """A web server that answers every request with 200 and a small JSON body."""

    content_type = "application/json"

    def answer(self, headers):
        return 200, b'{"status": "UP"}\n'

    def urls(self, count):
        """That many addresses."""
        return [f"http://127.0.0.1:{self.port}/health/{i}" for i in range(count)]


def json_line(number):
    """A line as logcore writes it, some 200 bytes; the number tells lines apart."""
    return json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{number % 1000:03d}Z", "level": "INFO", "logger": "shop.orders",
                       "message": f"order {number} accepted after {number % 97} ms",
                       "context": {"number": number, "user": f"u{number % 1000}", "path": f"/orders/{number % 50}", "duration_ms": number % 97}}) + "\n"


class Writers(beside.Beside):
    """Logs to which lines are appended at a rate, one thread for all of them."""

    def __init__(self, paths, lines_per_second):
        super().__init__()
        self.paths, self.rate = paths, lines_per_second
        self.written = 0
        for path in paths:
            path.touch()

    def run(self):
        files = [open(path, "a", buffering=1, encoding="utf-8") for path in self.paths]
        while not self.ended.wait(1 / self.rate):
            for file in files:
                file.write(json_line(self.written))
                self.written += 1
        for file in files:
            file.close()
