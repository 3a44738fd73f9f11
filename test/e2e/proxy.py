"""A TCP proxy that misbehaves on request: the network between an agent and its database.

What belongs here: forwarding bytes, cutting, stalling, refusing. What does not: knowledge of the protocol; a test that must
cut at a message (right after COMMIT, say) hands in a filter function.

    proxy = TcpProxy(("127.0.0.1", server.port))         # or a unix socket path
    server.url("metrics", port=proxy.port)
    proxy.stall(); proxy.resume()                        # connections stay, nothing passes
    proxy.cut()                                          # connections are reset
    proxy.refuse(); proxy.accept()                       # new connections are reset at once
    proxy.filter = lambda direction, data: data          # direction: "up" (to the server) or "down"; raise Cut to reset
"""

import contextlib
import socket
import struct
import threading


class Cut(Exception):
    """Raised by a filter: both sides of this connection are reset, the data at hand is not passed on."""


class TcpProxy:
    """Listens on 127.0.0.1:port and forwards to target, an (address, port) pair or the path of a unix socket."""

    def __init__(self, target):
        self.target = target
        self.filter = None
        self.connections = 0
        self.bytes = {"up": 0, "down": 0}
        self._flow = threading.Event()
        self._flow.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._pairs = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closed = False
        threading.Thread(target=self._accept_loop, daemon=True).start()

    # --- orders ---------------------------------------------------------------------------------------------------

    def stall(self):
        """From now on no byte passes; connections stay open and new ones are accepted."""
        self._flow.clear()

    def resume(self):
        """Undoes stall()."""
        self._flow.set()

    def cut(self):
        """Resets every connection there is; returns how many."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._reset(pair)
        return len(pairs)

    def refuse(self):
        """New connections are reset as soon as they are made."""
        self._refusing = True

    def accept(self):
        """Undoes refuse()."""
        self._refusing = False

    def close(self):
        """Ends the proxy and all its connections."""
        self._closed = True
        # shutdown() is what wakes accept(); close() alone would leave the thread waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._flow.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- forwarding -----------------------------------------------------------------------------------------------

    def _accept_loop(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset_socket(client)
                continue
            try:
                upstream = self._connect()
            except OSError:
                _reset_socket(client)
                continue
            pair = (client, upstream)
            with self._lock:
                self._pairs.add(pair)
                self.connections += 1
            for direction, source, sink in (("up", client, upstream), ("down", upstream, client)):
                threading.Thread(target=self._pump, args=(direction, source, sink, pair), daemon=True).start()

    def _connect(self):
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target, timeout=None)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.target))
        return sock

    def _pump(self, direction, source, sink, pair):
        try:
            while True:
                data = source.recv(65536)
                self._flow.wait()
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                if self.filter is not None:
                    data = self.filter(direction, data)
                sink.sendall(data)
                self.bytes[direction] += len(data)
        except (Cut, OSError):
            self._reset(pair)

    def _reset(self, pair):
        with self._lock:
            self._pairs.discard(pair)
        for sock in pair:
            _reset_socket(sock)


def _reset_socket(sock):
    """Closes with RST instead of FIN (TCP), waking a thread that reads from it."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # shutdown() would send a FIN to the peer of a TCP socket before close() sends the RST; only a reader in another
        # thread needs the wake-up, and SHUT_RD gives it without a packet.
        sock.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        sock.close()
