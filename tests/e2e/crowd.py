"""More requests at once than a service can work, from a process of its own.

Arguments: port, token, number of connections, seconds, ids of people joined by commas. Each connection
sends a request as soon as the one before is answered. Prints one JSON object: how often each status was
answered, answers that are wrong, and the terminations that were accepted.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
import uuid
from collections import Counter

GOOD, LATER = (200, 201, 202), (429, 503)


class Crowd:
    def __init__(self, port: int, token: str, people: list[str]) -> None:
        self.port, self.token, self.people = port, token, people
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.accepted: list[str] = []

    def request(self, n: int) -> bytes:
        person, kind = self.people[n % len(self.people)], n % 4
        if kind == 0:
            path, body = "/v1/terminations", json.dumps({"user_ids": [person]})
        elif kind == 3:
            path, body = "/oauth2/introspect", f"token={uuid.uuid4().hex}"
        else:
            path, body = "/v1/sessions", json.dumps({"sessions": [{"user_id": person}]})
        content = "x-www-form-urlencoded" if kind == 3 else "json"
        return (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/{content}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def send(self, n: int, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while time.monotonic() < until:
            n += 1
            writer.write(self.request(n))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await reader.readexactly(int(headers["content-length"]))
            status = int(head.split()[1])
            self.answers[status] += 1
            if status == 202:
                self.accepted.append(headers["location"].rsplit("/", 1)[1])
            waits = headers.get("retry-after", "")
            if status not in (*GOOD, *LATER) or (status in LATER) != waits.isdigit():
                self.wrong.append(head)
        writer.close()


async def main(port: int, token: str, connections: int, seconds: float, people: str) -> None:
    crowd, until = Crowd(port, token, people.split(",")), time.monotonic() + seconds
    ended = await asyncio.gather(*(crowd.send(n, until) for n in range(connections)), return_exceptions=True)
    crowd.wrong += [repr(error) for error in ended if error]
    print(json.dumps({"answers": crowd.answers, "wrong": crowd.wrong[:5], "accepted": crowd.accepted}))


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
