"""Many followers of the barrier feed in a process of its own: descriptors are limited, and so is one core.

Arguments: port, token, number of followers, id of the person they wait for. Prints `caught up` when each
has had its first heartbeat, then one JSON object with the instants, by the machine's steady clock, at
which the first and the last of them heard of that person.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

OPENING_AT_ONCE = 500


class Follower(asyncio.Protocol):
    def __init__(self, request: bytes, person: bytes) -> None:
        self.request, self.person, self.kept = request, person, b""
        loop = asyncio.get_running_loop()
        self.caught_up, self.heard = loop.create_future(), loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        data = self.kept + data
        if self.person in data and not self.heard.done():
            self.heard.set_result(time.monotonic())
        if b"event: heartbeat" in data and not self.caught_up.done():
            self.caught_up.set_result(None)
        self.kept = data[-64:]

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.caught_up, self.heard):
            if not future.done():
                future.set_exception(ConnectionError(f"the stream ended: {error} {self.kept!r}"))
                # Somebody else's failure may be told first.
                future.exception()


async def main(port: int, token: str, count: int, person: str) -> None:
    request = (
        f"GET /v1/barriers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Accept: text/event-stream\r\n\r\n"
    ).encode()
    opening, loop = asyncio.Semaphore(OPENING_AT_ONCE), asyncio.get_running_loop()

    async def follow() -> Follower:
        async with opening:
            _, follower = await loop.create_connection(
                lambda: Follower(request, f'"user_id":"{person}"'.encode()), "127.0.0.1", port
            )
            await follower.caught_up
            return follower

    followers = await asyncio.gather(*(follow() for _ in range(count)))
    print("caught up", flush=True)
    heard = await asyncio.gather(*(follower.heard for follower in followers))
    print(json.dumps({"first": min(heard), "last": max(heard)}), flush=True)


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
