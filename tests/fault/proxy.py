"""A TCP proxy that loses, holds back or cuts off what a rule says, between a client and a server.

It knows no protocol: a rule is bytes that a request must contain.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Literal

How = Literal["cut", "lose", "hold"]
"""What becomes of a request.

cut: it never reaches the server, and the connection breaks; lose: the server does it, and the
connection breaks instead of its reply; hold: it reaches the server when the test says so, whether
or not the client still waits.
"""

WAIT_S = 20.0


class Rule:
    """What is to happen to the next request with these bytes in it; it happens once."""

    def __init__(self, pattern: bytes, how: How) -> None:
        self.pattern = pattern
        self.how = how
        self.reply = b""
        self._struck = threading.Event()
        self._go_on = threading.Event()
        self._answered = threading.Event()

    def struck(self) -> None:
        """Return once the request has come."""
        assert self._struck.wait(WAIT_S), f"no request with {self.pattern!r} came"

    def go_on(self) -> bytes:
        """Let a request that is held back reach the server, and return the server's reply."""
        self._go_on.set()
        assert self._answered.wait(WAIT_S), f"no reply to {self.pattern!r}"
        return self.reply


class _Line:
    """One connection through the proxy; a thread a direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._waiting: Rule | None = None
        for run in (self._upwards, self._downwards):
            threading.Thread(target=run, name="proxy", daemon=True).start()

    def _upwards(self) -> None:
        try:
            while data := self._client.recv(1 << 16):
                rule = self._proxy.take(data)
                if rule is not None:
                    rule._struck.set()
                    if rule.how == "cut":
                        break
                    self._waiting = rule
                    if rule.how == "hold":
                        rule._go_on.wait(WAIT_S)
                self._server.sendall(data)
                if rule is not None:
                    # A server that finds its client gone may not do what it has not read yet.
                    rule._answered.wait(WAIT_S)
        except OSError:
            pass
        self.close()

    def _downwards(self) -> None:
        try:
            while data := self._server.recv(1 << 16):
                rule, self._waiting = self._waiting, None
                if rule is None:
                    self._client.sendall(data)
                    continue
                rule.reply = data
                rule._answered.set()
                if rule.how == "lose":
                    break
                self._client.sendall(data)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        for end in (self._client, self._server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Proxy:
    """Listens on a port of its own for one server."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._mutex = threading.Lock()
        self._rules: list[Rule] = []
        self._lines: list[_Line] = []
        self._listen()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()

    def cut(self) -> None:
        """Break every connection that is open."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.close()

    def refuse(self) -> None:
        """Break every connection, and take no more."""
        try:
            # Wakes the thread that accepts, which a close alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def on(self, pattern: bytes, how: How) -> Rule:
        """Strike the next request that contains the pattern."""
        rule = Rule(pattern, how)
        with self._mutex:
            self._rules.append(rule)
        return rule

    def take(self, data: bytes) -> Rule | None:
        """Return the rule for a request, which is used up by that."""
        with self._mutex:
            for rule in self._rules:
                if rule.pattern in data:
                    self._rules.remove(rule)
                    return rule
        return None

    def _listen(self) -> None:
        threading.Thread(
            target=self._accept, args=(self._listener,), name="proxy", daemon=True
        ).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lines.append(_Line(self, client, server))
