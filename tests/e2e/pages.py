"""How heavy the console's pages are, and how fast, with 100,000 people and 1,000,000 sessions: `just pages`.

It fills a database, starts the binary of LIGHTSOUT_BIN, and prints for each page the bytes over the wire and the
time to the first byte of sequential requests on one connection, beside a bare `GET /healthz` in the same run."""

from __future__ import annotations

import argparse
import hashlib
import socket
import sqlite3
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx

from harness import BINARY, Service, Tenant, eventually, make_database

LIMITS = "[limits]\ncalls_per_minute = 10000000\ntoken_requests_per_minute = 100000\n"
PASSWORD = "correct horse battery staple"
DAY_MS = 86_400_000
SESSIONS = "(user_id, session_hash, client_id, generation, began_at, registered_at, expires_at, device, address)"
DEVICES = ["Firefox 140 on Linux", "Chrome 148 on Windows", "Safari 19 on iPhone"]


# Filling


def user_id(n: int) -> str:
    return str(100_000_000_000_000 + n)


def session_hash(n: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(f"session-{n}".encode()).digest()).decode().rstrip("=")


def statements(tenant: Tenant, series: str, people: int) -> list[str]:
    """People, and three groups: of everybody, of a tenth, of a thousandth."""
    enterprise, now = tenant.enterprise_id, int(time.time() * 1000)
    made = [
        f"""INSERT INTO users (user_id, enterprise_id, login, login_folded, name, name_folded, role, status,
                               profile, created_at, modified_at)
            SELECT CAST(100000000000000 + n AS TEXT), '{enterprise}', 'person' || n || '@bench.example',
                   'person' || n || '@bench.example', 'Person ' || n, 'person ' || n, 'user', 'active',
                   '{{}}', {now}, {now}
            FROM {series}"""
    ]
    for group, each in [("everybody", 1), ("tenth", 10), ("thousandth", 1000)]:
        made += [
            f"""INSERT INTO groups (group_id, enterprise_id, name, name_folded, profile, created_at, modified_at)
                VALUES ('9{each}', '{enterprise}', '{group}', '{group}', '{{}}', {now}, {now})""",
            f"""INSERT INTO memberships (membership_id, group_id, user_id, role, permissions, created_at, modified_at)
                SELECT '{group}-' || n, '9{each}', CAST(100000000000000 + n AS TEXT), 'member', '{{}}', {now}, {now}
                FROM {series} WHERE n % {each} = 0""",
        ]
    return made


def rows(client_id: str, people: int, sessions: int) -> Iterator[tuple]:
    now = int(time.time() * 1000)
    for n in range(sessions):
        began = now - n % (20 * DAY_MS)
        yield (user_id(n % people), session_hash(n), client_id, 0, began, began, now + 10 * DAY_MS,
               DEVICES[n % len(DEVICES)], f"192.0.2.{n % 256}")


def fill(tenant: Tenant, client_id: str, people: int, sessions: int) -> None:
    url = tenant.service.database
    if url.startswith("sqlite:"):
        series = f"(WITH RECURSIVE s(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM s WHERE n < {people - 1}) SELECT n FROM s)"
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            for statement in statements(tenant, series, people):
                connection.execute(statement)
            # In the order of the key: the table is kept by it.
            connection.executemany(f"INSERT INTO sessions {SESSIONS} VALUES (?,?,?,?,?,?,?,?,?)", rows(client_id, people, sessions))
            connection.execute("ANALYZE")
        return
    series = f"generate_series(0, {people - 1}) AS series(n)"
    run = ["psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"]
    for statement in statements(tenant, series, people):
        subprocess.run([*run, statement], check=True)
    copy = subprocess.Popen([*run, f"COPY sessions {SESSIONS} FROM STDIN"], stdin=subprocess.PIPE, text=True)
    for row in rows(client_id, people, sessions):
        copy.stdin.write("\t".join(map(str, row)) + "\n")
    copy.stdin.close()
    assert copy.wait() == 0
    subprocess.run([*run, "ANALYZE"], check=True)


# Measuring


class Wire:
    """One connection, whose bytes are counted."""

    def __init__(self, service: Service, cookie: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (
            f"Host: 127.0.0.1:{service.port}\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n"
            f"Accept-Encoding: gzip, deflate, br\r\nCookie: lightsout_session={cookie}\r\n\r\n"
        )

    def get(self, path: str) -> tuple[int, float, int, bytes]:
        """Status, seconds to the first byte, bytes of the answer, and the body as it was sent."""
        request = f"GET {path} HTTP/1.1\r\n{self.head}".encode()
        begun = time.perf_counter()
        self.socket.sendall(request)
        got = self.socket.recv(65536)
        first = time.perf_counter() - begun
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        lengths = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
        while len(body) < lengths[0] if lengths else not body.endswith(b"\r\n0\r\n\r\n"):
            part = self.more()
            got, body = got + part, body + part
        return int(lines[0].split()[1]), first, len(got), body

    def more(self) -> bytes:
        part = self.socket.recv(65536)
        assert part, "the service closed the connection"
        return part


def session_of(tenant: Tenant) -> str:
    command = [BINARY, "admin", "set-password", "--login", tenant.admin_login, "--config", tenant.service.config]
    subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True)
    with httpx.Client(base_url=tenant.service.url, timeout=60) as http:
        csrf = http.get("/sign-in").text.split('name="csrf" value="')[1].split('"')[0]
        form = {"csrf": csrf, "login": tenant.admin_login, "password": PASSWORD, "return_to": "/console"}
        return http.post("/sign-in", data=form).cookies["lightsout_session"]


def assets(wire: Wire) -> int:
    """The bytes of what a first visit loads besides the page."""
    page = wire.get("/console")[3].decode(errors="replace")
    named = {part.split('"')[0] for part in page.split('"/console/assets/')[1:]}
    assert named, "the page names no assets, or is compressed"
    return sum(wire.get(f"/console/assets/{name}")[2] for name in named)


def measure(service: Service, paths: dict[str, str], cookie: str, requests: int) -> None:
    signed_in, stranger = Wire(service, cookie), Wire(service, "")
    more = assets(signed_in)
    print("| page | first visit, bytes | later visit, bytes | first byte p50, ms | p99, ms |\n|---|---|---|---|---|")
    for name, path in ({"`GET /healthz`": "/healthz"} | paths | {"`GET /healthz` again": "/healthz"}).items():
        wire = stranger if path.startswith("/sign-in") else signed_in
        for _ in range(5):
            wire.get(path)
        answers = [wire.get(path) for _ in range(requests)]
        assert all(status == 200 for status, *_ in answers), (path, answers[0][0], answers[0][3][:300])
        times = sorted(1000 * first for _, first, *_ in answers)
        size = max(size for _, _, size, _ in answers)
        first_visit = "" if "healthz" in path else f"{size + more:,}"
        print(f"| {name} | {first_visit} | {size:,} | {times[len(times) // 2]:.2f} | {times[len(times) * 99 // 100]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightsout-pages-") as folder:
        service = Service(Path(folder), make_database(given.database, Path(folder)), LIMITS)
        try:
            tenant = service.init().tenant()
            client_id = tenant.app().client_id
            begun = time.monotonic()
            fill(tenant, client_id, given.people, given.sessions)
            print(f"{given.people:,} people and {given.sessions:,} sessions in {given.database}, "
                  f"filled in {time.monotonic() - begun:.0f} s; binary {BINARY}; {given.requests} requests each\n")
            begun = time.monotonic()
            service.start()
            print(f"started in {time.monotonic() - begun:.1f} s\n")
            ann = user_id(given.people // 2)
            with tenant.http() as http:
                done = http.post("/v1/terminations", json={"user_ids": [ann]}).headers["location"]
                eventually(60, lambda: http.get(done).json()["state"] == "done")
            person = user_id(given.people // 3)
            measure(service, {
                "sign-in": "/sign-in?was=signed_out",
                "find, empty": "/console",
                "find, a login": "/console?q=person77",
                "find, nothing": "/console?q=nobody",
                "person": f"/console/people/{person}",
                "group of a thousandth": "/console/groups/91000",
                "group of everybody": "/console/groups/91",
                "end, one person": f"/console/end?user={person}",
                "end, a thousandth": "/console/end?group=91000",
                "end, everybody": "/console/end?group=91",
                "terminations": "/console/terminations",
                "termination": f"/console/terminations/{done.rsplit('/', 1)[1]}",
                "log": "/console/log",
                "systems": "/console/systems",
                "apps": "/console/apps",
                "account": "/console/account",
            }, session_of(tenant), given.requests)
        finally:
            service.drop()


if __name__ == "__main__":
    main()
