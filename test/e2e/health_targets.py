"""Targets for health checks: web servers that are well, slow, wrong or silent; certificates; something that speaks redis.

What belongs here: what answers. What does not: the agent, the checks, what their rows must be (test_agent_health.py).
"""

import http.server
import json
import socket
import ssl
import subprocess
import threading


def openssl(directory, *args):
    """One call of openssl in the directory."""
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    """A certificate authority of our own, and certificates of it."""

    def __init__(self, directory):
        self.dir = directory
        openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
                "-subj", "/CN=test authority")
        self.file = directory / "ca.pem"

    def certificate(self, name, names="DNS:localhost,IP:127.0.0.1", days=20):
        """Makes NAME.pem and NAME.key; days -1: expired a day ago. Returns a context for a server."""
        (self.dir / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        openssl(self.dir, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(self.dir, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                "-days", str(days), "-extfile", f"{name}.ext")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / f"{name}.pem", self.dir / f"{name}.key")
        return context


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path; /switch as the server's `status` says."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def answer(self, status=200, body=b"hello\n", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        """Every method."""
        length = int(self.headers.get("Content-Length", 0))
        request = self.rfile.read(length).decode()
        self.server.seen.append((self.command, self.path, dict(self.headers), request, self.client_address))
        path, _, argument = self.path.partition("?")
        {"/status": lambda: self.answer(int(argument)),
         "/switch": lambda: self.answer(self.server.status),
         "/json": lambda: self.answer(body=json.dumps({"status": "UP", "queue": 42, "items": [{"id": 1}]}).encode()),
         "/slow": lambda: (self.server.stopping.wait(float(argument)), self.answer()),
         "/hang": lambda: self.server.stopping.wait(60),
         "/half": self.half,
         "/reset": self.reset,
         "/flaky": self.flaky,
         "/big": lambda: self.answer(body=b"x" * 3_000_000),
         "/long": lambda: self.answer(body=b"a" * int(argument) + b"\n"),
         "/to": lambda: self.answer(302, Location=argument),
         "/headers": self.headers_without_end,
         "/drip": self.drip,
         "/loop": lambda: self.answer(302, Location="/loop"),
         "/cookie": lambda: self.answer(302, Location="/crumbs", Set_Cookie="a=b"),
         "/crumbs": lambda: self.answer(200 if "a=b" in self.headers.get("Cookie", "") else 400),
         }.get(path, self.answer)()

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def half(self):
        """Says more than it has, and hangs up."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"only this")
        self.close_connection = True

    def headers_without_end(self):
        """Never comes to the body."""
        self.send_response(200)
        self.flush_headers()
        while not self.server.stopping.is_set():
            self.wfile.write(b"X-More: " + b"m" * 4000 + b"\r\n")

    def drip(self):
        """A byte now and then."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        while not self.server.stopping.wait(0.2):
            self.wfile.write(b".")

    def reset(self):
        """RST instead of an answer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def flaky(self):
        """Every other connection is cut."""
        self.server.flaky_calls += 1
        if self.server.flaky_calls % 2:
            self.reset()
        else:
            self.answer()

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *args):
        pass


class Web(http.server.ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1; context: TLS."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context=None, port=0):
        self.context, self.seen, self.status, self.flaky_calls = context, [], 200, 0
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def finish_request(self, request, client_address):
        try:
            if self.context:
                request.settimeout(30)
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass  # a client that went away, or that did not trust us

    def url(self, path="/", host="localhost"):
        return f"{'https' if self.context else 'http'}://{host}:{self.port}{path}"

    def close(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()


class Listener:
    """Accepts connections and hands each to a function in a thread of its own."""

    def __init__(self, serve, path=None, accept=True):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.socket.listen(20)
        self.port = None if path else self.socket.getsockname()[1]
        self.serve, self.open = serve, []
        if accept:
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.open:
            connection.close()


def silent(connection):
    """Never says anything."""
    connection.recv(1)
    threading.Event().wait(60)


def redis(password=None, refuse=b""):
    """A function for Listener: the three commands that matter, in RESP; `refuse`: the answer to PING."""

    def serve(connection):
        stream, known = connection.makefile("rb"), password is None
        while line := stream.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int(stream.readline()[1:])
                words.append(stream.read(length))
                stream.readline()
            if words[0].upper() == b"AUTH":
                known = password is not None and words[-1] == password.encode()
                reply = b"+OK" if known else b"-ERR wrong, you said " + words[-1]
            elif not known:
                reply = b"-NOAUTH Authentication required."
            else:
                reply = refuse or b"+PONG"
            connection.sendall(reply + b"\r\n")

    return serve
