"""A world of receivers for notifications: web servers that answer as told, a proxy, addresses where nobody accepts.

What belongs here: what listens and keeps what it got. What does not: mail (mail_server.py), the tests.

    receiver = make_receiver()                      # fixture of conftest.py; make_receiver(tls=True): https, own CA (authority.file)
    receiver.url("/hook")                           -> "http://127.0.0.1:40123/hook"
    receiver.script("/hook", 503, Answer(429, headers={"Retry-After": "7"}), 200)   # in this order; the last one for ever
    receiver.script("/hook", lambda request: Answer(body=request.body))             # or what a function says
    receiver.script("/hook", Answer(hang="answer"))                                 # see Answer
    receiver.requests, receiver.got("/hook")        -> [Request]: method, path, query, headers, body, json, at, connection
    receiver.wait_for(3, "/hook")                   -> at least 3 of them, or it fails after the deadline
    receiver.stop(); receiver.start()               # the same port again: a loss of the network

Paths without a script are answered 200 "ok". A receiver is a proxy, too: a request for another host is answered by its path all the same
(Request.target has the host), CONNECT is a tunnel. One thread, several thousand requests per second; keep=False only counts them.
"""

import asyncio
import contextlib
import dataclasses
import email.utils
import http
import json
import re
import socket
import threading
import time
import urllib.parse

import harness

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
CHUNK = b"x" * 65536


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine, deadline=20):
        """Runs it there and returns what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(deadline)

    def close(self):
        """Ends what is left, then the thread."""
        async def cancel_all():
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.call(cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@dataclasses.dataclass
class Answer:
    """What is said. hang: "answer" (after the request is read), "header" (in the middle of it), "body" (in the middle of it): nothing more comes,
    the connection stays open. close: the same places, and the connection ends there ("reset" after the request: with RST). raw: these bytes and no
    HTTP. endless: a body without an end. delay: seconds before it begins."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict = dataclasses.field(default_factory=dict)
    hang: str = ""
    close: str = ""
    raw: bytes | None = None
    endless: bool = False
    delay: float = 0.0

    def head(self):
        """The header's bytes."""
        reason = http.HTTPStatus(self.status).phrase if self.status in set(http.HTTPStatus) else "Odd"
        fields = {"Date": email.utils.formatdate(usegmt=True)}
        if not self.endless:
            fields["Content-Length"] = str(len(self.body))
        fields |= self.headers
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Request:
    """A request as it came. Headers are read when they are asked for: their names in small letters."""

    def __init__(self, head, body, connection):
        self.head, self.body, self.connection, self.at = head, body, connection, time.time()
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self.method, self.target = method, target
        if target.startswith("http://"):
            target = "/" + target[7:].partition("/")[2]
        self.path, _, self.query = target.partition("?")

    @property
    def headers(self):
        """Names in small letters; the last one of several."""
        lines = self.head.decode("utf-8", "surrogateescape").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}

    @property
    def json(self):
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def form(self):
        """The body of a form: names and lists of values."""
        return urllib.parse.parse_qs(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body))

    def __repr__(self):
        return f"<{self.method} {self.target} {len(self.body)} bytes>"


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, receiver):
        self.receiver, self.buffer, self.transport, self.busy, self.tunnel = receiver, b"", None, False, None

    def connection_made(self, transport):
        self.transport = transport
        self.receiver.connections.add(self)
        self.receiver.connected += 1
        self.number = self.receiver.connected

    def connection_lost(self, exc):
        self.receiver.connections.discard(self)
        if self.tunnel:
            self.tunnel.close()

    def data_received(self, data):
        if self.tunnel:
            self.tunnel.write(data)
            return
        self.buffer += data
        if not self.busy:
            self.next_request()

    def next_request(self):
        """Answers what has come whole."""
        while not self.busy:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            length = LENGTH.search(head)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(self.buffer) < total:
                if b"100-continue" in head and len(self.buffer) == end + 4:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            request = Request(head, self.buffer[end + 4:total], self.number)
            self.buffer = self.buffer[total:]
            self.receiver.note(request)
            answer = self.receiver.next_answer(request)
            if request.method == "CONNECT" and answer is None:
                self.start(self.connect(request.target))
            elif answer is None:
                self.transport.write(self.receiver.usual())
            elif answer.hang or answer.close or answer.delay or answer.endless:
                self.start(self.be_difficult(answer))
            else:
                self.transport.write(answer.head() + answer.body if answer.raw is None else answer.raw)
                if answer.raw is not None:
                    self.transport.close()

    def start(self, coroutine):
        """Goes on in a task; further requests wait."""
        async def run():
            with contextlib.suppress(OSError):
                await coroutine
            self.busy = False
            if not self.tunnel:
                self.next_request()

        self.busy = True
        self.receiver.tasks.add(task := asyncio.get_running_loop().create_task(run()))
        task.add_done_callback(self.receiver.tasks.discard)

    async def be_difficult(self, answer):
        """Everything but a plain answer."""
        await asyncio.sleep(answer.delay)
        place, head = answer.hang or answer.close, answer.head()
        if place in ("header", "body"):
            self.transport.write(head[:len(head) // 2] if place == "header" else head + answer.body[:len(answer.body) // 2])
        elif not place:
            self.transport.write(head + answer.body)
        while answer.endless and not self.transport.is_closing():
            self.transport.write(CHUNK)
            await asyncio.sleep(0.001 if self.transport.get_write_buffer_size() > 1 << 20 else 0)
        if answer.hang:
            await asyncio.Event().wait()
        if answer.close == "reset":
            self.transport.abort()
        elif answer.close:
            self.transport.close()

    async def connect(self, target):
        """A tunnel to host:port."""
        host, _, port = target.rpartition(":")
        transport = self.transport

        class Back(asyncio.Protocol):
            """What comes from there."""

            def data_received(self, data):
                transport.write(data)

            def connection_lost(self, exc):
                transport.close()

        self.tunnel, _ = await asyncio.get_running_loop().create_connection(Back, host.strip("[]"), int(port))
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if self.buffer:
            self.tunnel.write(self.buffer)


class Silence(asyncio.Protocol):
    """Accepts, reads nothing and says nothing: a TLS handshake that never ends, a request that is never taken."""

    def __init__(self, receiver):
        self.receiver = receiver

    def connection_made(self, transport):
        self.transport = transport
        self.receiver.connections.add(self)
        asyncio.get_running_loop().call_soon(transport.pause_reading)  # asyncio begins to read after this

    def connection_lost(self, exc):
        self.receiver.connections.discard(self)


class Receiver:
    """See the head of this file. tls: a context for a server. port: 0 is any. silent: accepts and never says a word."""

    def __init__(self, tls=None, *, host="127.0.0.1", port=0, silent=False, keep=True):
        self.tls, self.host, self.silent, self.keep = tls, host, silent, keep
        self.requests, self.count, self.connected = [], 0, 0
        self.connections, self.tasks, self.scripts = set(), set(), {}
        self.port, self.server, self.made = port, None, (0, b"")
        self.thread = LoopThread()
        self.start()

    def start(self):
        """Listens, on the port of the last time if there was one."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        protocol = Silence if self.silent else Connection

        async def listen():
            sock = socket.socket(family, proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            self.port = sock.getsockname()[1]
            self.server = await asyncio.get_running_loop().create_server(lambda: protocol(self), sock=sock, backlog=1024,
                                                                        ssl=None if self.silent else self.tls)

        self.thread.call(listen())
        return self

    def stop(self):
        """Nobody listens here any more; connections end."""
        async def end():
            self.server.close()
            for task in list(self.tasks):
                task.cancel()
            for connection in list(self.connections):
                if connection.transport:
                    connection.transport.abort()

        self.thread.call(end())

    def close(self):
        """For good."""
        self.stop()
        self.thread.close()

    def url(self, path="/", host=None):
        """Its address."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def script(self, path, *answers):
        """What is answered there from now on: Answers, numbers (statuses), None (the usual) or functions of the request that return one of these."""
        self.scripts[path] = list(answers)

    def next_answer(self, request):
        """An Answer; None: the usual one."""
        script = self.scripts.get(request.path if request.method != "CONNECT" else "CONNECT")
        if not script:
            return None
        answer = script.pop(0) if len(script) > 1 else script[0]
        if callable(answer):
            answer = answer(request)
        return Answer(answer, b"") if isinstance(answer, int) else answer

    def usual(self):
        """200 ok, made once a second."""
        second = int(time.time())
        if self.made[0] != second:
            self.made = (second, Answer().head() + b"ok")
        return self.made[1]

    def note(self, request):
        """Keeps it."""
        self.count += 1
        if self.keep:
            self.requests.append(request)

    def got(self, path=None):
        """Requests for that path, or all."""
        return [request for request in list(self.requests) if path is None or request.path == path]

    def wait_for(self, n=1, path=None, deadline=harness.DEFAULT_DEADLINE):
        """At least n of them."""
        harness.wait_until(lambda: len(self.got(path)) >= n, deadline, f"{n} requests{' for ' + path if path else ''}")
        return self.got(path)


class Unaccepting:
    """An address whose connections don't even begin: its queue of connections is full. hung(): how many tried to no avail can't be told."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def url(self, path="/"):
        """Its address."""
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self):
        """For good."""
        for one in [*self.fillers, self.listener]:
            one.close()
