"""What the Python shops share: what the test tells them, requests that wait, and a threaded server."""

from __future__ import annotations

import json
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# What the test hands over on standard input.
given: dict[str, str] = json.load(sys.stdin)


class Gate:
    """Holds requests until they are let go."""

    def __init__(self) -> None:
        self.waiting: list[threading.Event] = []

    def wait(self) -> None:
        event = threading.Event()
        self.waiting.append(event)
        event.wait()

    def under_way(self) -> int:
        return len(self.waiting)

    def let_go(self) -> None:
        while self.waiting:
            self.waiting.pop().set()


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve(app) -> None:
    """Serves a WSGI application on a free port, and says which."""
    with make_server("127.0.0.1", 0, app, Threaded, Quiet) as server:
        print(json.dumps({"port": server.server_port}), flush=True)
        server.serve_forever()
