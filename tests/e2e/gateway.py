"""A TCP gateway before a server: it lets connections through, refuses them, or takes them and says nothing."""

from __future__ import annotations

import socket
import threading
from enum import Enum


class Mode(Enum):
    OPEN = "open"
    # Nobody listens: a connection is refused at once.
    CLOSED = "closed"
    # A connection is taken, and what it sends is never answered.
    SILENT = "silent"


class Gateway:
    """Listens on a port of its own before `port`; every change of the mode breaks the connections there are."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.mode = Mode.CLOSED
        self.sockets: list[socket.socket] = []
        # Kept bound for as long as the gateway lives, so that nobody else gets the port.
        self.listener = self.bound(0)
        self.port = self.listener.getsockname()[1]
        self.set(Mode.OPEN)

    def bound(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def set(self, mode: Mode) -> None:
        was, self.mode = self.mode, mode
        if mode is Mode.CLOSED:
            # A socket that is bound and does not listen keeps the port, and refuses connections.
            closed, self.listener = self.listener, self.bound(self.port)
            end(closed)
        elif was is Mode.CLOSED:
            self.listener.listen()
            threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        while self.sockets:
            end(self.sockets.pop())

    def close(self) -> None:
        self.set(Mode.CLOSED)
        self.listener.close()

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            if self.mode is Mode.OPEN:
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Copies bytes until one of the two ends."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    end(source)
    end(sink)


def end(connection: socket.socket) -> None:
    """Ends a socket, whoever waits on it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
