"""A server that keeps the bytes of every request, and answers what it was told to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from harness import ACCEPTED

TOKEN = "captured-token"


@dataclass
class Request:
    """A request as it came; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), f"a field is there twice: {self.body!r}"
        return dict(pairs)


@dataclass
class Answer:
    """What is answered; a text is sent as it is, all else as JSON."""

    status: int
    body: object = None
    retry_after_s: int | None = None
    # Nothing at all is answered, or a stream begins that stays silent.
    silent: Literal["answer", "stream"] | None = None


class Capture:
    """Speaks as Box does: a token, and 202 for a termination; other answers by method and path."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        token = {"access_token": TOKEN, "expires_in": 3600, "token_type": "bearer", "restricted_to": []}
        accepted = Answer(202, {"message": ACCEPTED})
        self.answers = {
            "POST /oauth2/token": Answer(200, token),
            "POST /2.0/users/terminate_sessions": accepted,
            "POST /2.0/groups/terminate_sessions": accepted,
        }
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Capture:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take(self) -> list[Request]:
        """The requests since it was asked last."""
        taken, self.requests = self.requests, []
        return taken


def handler(capture: Capture) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            assert len(headers) == len(self.headers), f"a header is there twice: {self.headers}"
            body = self.rfile.read(int(headers.get("content-length", 0)))
            capture.requests.append(Request(self.command, url.path, url.query, headers, body))
            missing = Answer(404, {"status": 404, "code": "not_found", "message": "Not Found"})
            answer = capture.answers.get(f"{self.command} {url.path}", missing)
            if answer.silent == "answer":
                self.close_connection = True
                capture.closing.wait()
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            if answer.silent == "stream":
                self.close_connection = True
                self.end_headers()
                capture.closing.wait()
                return
            self.send_header("Content-Length", str(len(text.encode())))
            if answer.retry_after_s is not None:
                self.send_header("Retry-After", str(answer.retry_after_s))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_DELETE = take

        def log_message(self, *_: object) -> None:
            """Says nothing: what matters is kept."""

    return Handler
