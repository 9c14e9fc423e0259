"""Runs the real service, set up through its command line only, as an operator does it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar
from urllib.parse import urlsplit

import httpx
from box_sdk_gen import BoxClient, BoxDeveloperTokenAuth, NetworkSession
from box_sdk_gen.networking.auth import Authentication
from box_sdk_gen.networking.base_urls import BaseUrls

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
BINARY = Path(os.environ.get("LIGHTSOUT_BIN", "target/debug/lightsout"))
BINARY = BINARY if BINARY.is_absolute() else REPO / BINARY

ACCEPTED = "Request is successful, please check the admin events for the status of the job"
SCOPES = ["manage_managed_users", "manage_groups", "manage_enterprise_properties"]
RIGHTS = ["sessions.write", "sessions.read", "introspect"]

T = TypeVar("T")


def eventually(deadline_s: float, condition: Callable[[], T]) -> T:
    """Asks again until the condition gives something true, and returns that; fails at the deadline."""
    end, pause_s = time.monotonic() + deadline_s, 0.01
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not true within {deadline_s} s"
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.2)


# Below those that outgoing connections are given, so that nobody takes one before it is listened on.
PORTS = iter(random.sample(range(12_000, 32_000), 20_000))


def free_port() -> int:
    for port in PORTS:
        with socket.socket() as s, suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def required(name: str) -> str:
    """An address that `./test` hands over; without it the tests fail, they are never skipped."""
    assert name in os.environ, f"{name} is not set: run ./test e2e, which starts what the tests need"
    return os.environ[name]


# Databases


def make_database(kind: str, folder: Path) -> str:
    """A new, empty database, and its address as the configuration has it."""
    if kind == "sqlite":
        return f"sqlite:{folder / 'lightsout.db'}"
    server = required("LIGHTSOUT_TEST_POSTGRES")
    name = f"e2e_{uuid.uuid4().hex[:12]}"
    psql(server, f"CREATE DATABASE {name}")
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def drop_database(url: str) -> None:
    if not url.startswith("sqlite:"):
        psql(required("LIGHTSOUT_TEST_POSTGRES"), f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")


def psql(url: str, sql: str) -> list[str]:
    """The lines that a statement answers."""
    command = ["psql", url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# The service


class Service:
    """One `lightsout serve`, its folder, its database and its configuration file."""

    def __init__(self, folder: Path, database: str, more: str = "", port: int | None = None) -> None:
        self.folder = folder
        self.database = database
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "lightsout.toml"
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(more)

    def configure(self, more: str) -> None:
        """Writes the configuration file; a service that runs keeps the one that it started with."""
        self.config.write_text(
            f'[server]\nlisten = "127.0.0.1:{self.port}"\npublic_url = "{self.url}"\n\n'
            f'[database]\nurl = "{self.database}"\n\n{more}'
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command on this configuration, to its end."""
        command = [BINARY, *arguments, "--config", self.config]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=self.folder)

    def admin(self, *arguments: str) -> dict:
        """An `admin` command that must succeed; what it prints."""
        done = self.run("admin", *arguments, "--json")
        assert done.returncode == 0, f"admin {arguments}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout)

    def init(self) -> Service:
        done = self.run("admin", "init")
        assert done.returncode == 0, done.stderr
        return self

    def start(self) -> Service:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.config], stdout=log, stderr=log, cwd=self.folder
            )
        eventually(30, self.is_ready)
        return self

    def is_ready(self) -> bool:
        assert self.process and self.process.poll() is None, f"the service ended:\n{self.log.read_text()}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Ends the service at once, as `kill -9` does."""
        assert self.process
        self.process.kill()
        self.process.wait(timeout=30)
        self.process = None

    def stop(self) -> None:
        """Ends the service as an operator does, if it runs."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(timeout=40) == 0, f"shutdown failed:\n{self.log.read_text()}"
            self.process = None

    def drop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(timeout=30)
        drop_database(self.database)

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        """Reads the database past the service, columns as text."""
        if self.database.startswith("sqlite:"):
            # A connection of sqlite3 that only leaves its `with` stays open, and holds the files.
            path = self.database.removeprefix("sqlite:")
            with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
                return [tuple(str(column) for column in row) for row in connection.execute(sql)]
        return [tuple(line.split("|")) for line in psql(self.database, sql)]

    def tenant(self) -> Tenant:
        """A new enterprise with its admin; tests that have one each do not meet."""
        login = f"admin-{uuid.uuid4().hex[:8]}@example.com"
        made = self.admin("enterprise", "--name", f"Enterprise of {login}", "--admin-login", login, "--admin-name", "Ada Admin")
        return Tenant(self, made["enterprise_id"], made["admin_id"], login)


@dataclass
class App:
    """An app's credentials."""

    client_id: str
    client_secret: str


@dataclass
class Tenant:
    """An enterprise of a service."""

    service: Service
    enterprise_id: str
    admin_id: str
    admin_login: str

    def app(self, *flags: str, scopes: list[str] = SCOPES, rights: list[str] = RIGHTS) -> App:
        arguments = ["app", "--enterprise", self.enterprise_id, "--name", "tests", *flags]
        arguments += [a for scope in scopes for a in ("--scope", scope)]
        arguments += [a for right in rights for a in ("--right", right)]
        made = self.service.admin(*arguments)
        return App(made["client_id"], made["client_secret"])

    def developer_token(self, login: str | None = None, scopes: list[str] | None = None) -> str:
        arguments = ["token", "--login", login or self.admin_login]
        arguments += [a for scope in scopes or [] for a in ("--scope", scope)]
        return self.service.admin(*arguments)["access_token"]

    def app_token(self, app: App, **subject: str) -> str:
        """A token by client credentials; the enterprise's if no subject is given."""
        form = {
            "grant_type": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "box_subject_type": "enterprise",
            "box_subject_id": self.enterprise_id,
        }
        reply = httpx.post(f"{self.service.url}/oauth2/token", data=form | subject)
        assert reply.status_code == 200, reply.text
        return reply.json()["access_token"]

    def people(self, logins: list[str], group: str = "") -> dict[str, str]:
        """Imports plain users, all into one group if it is named; their ids by login."""
        lines = ["login,name,groups", *(f"{login},{login.split('@')[0]},{group}" for login in logins)]
        file = self.service.folder / f"people-{uuid.uuid4().hex[:8]}.csv"
        file.write_text("\n".join(lines) + "\n")
        self.service.admin("import", "--enterprise", self.enterprise_id, str(file))
        rows = self.service.rows(f"SELECT login, user_id FROM users WHERE enterprise_id = '{self.enterprise_id}'")
        return {login: user_id for login, user_id in rows if login in logins}

    def group_id(self, name: str) -> str:
        sql = f"SELECT group_id FROM groups WHERE enterprise_id = '{self.enterprise_id}' AND name = '{name}'"
        return self.service.rows(sql)[0][0]

    def http(self, token: str | None = None) -> httpx.Client:
        """A plain HTTP client with a token, the admin's if none is given."""
        headers = {"Authorization": f"Bearer {token or self.developer_token()}"}
        return httpx.Client(base_url=self.service.url, headers=headers, timeout=60)

    def box(self, auth: Authentication | None = None) -> BoxClient:
        """Box's own SDK, told nothing but the base URLs."""
        auth = auth or BoxDeveloperTokenAuth(token=self.developer_token())
        return BoxClient(auth=auth, network_session=NetworkSession(base_urls=base_urls(self.service)))

    def termination_ids(self) -> list[str]:
        """The enterprise's terminations, oldest first."""
        sql = f"SELECT termination_id FROM terminations WHERE enterprise_id = '{self.enterprise_id}' ORDER BY created_at"
        return [row[0] for row in self.service.rows(sql)]


def base_urls(service: Service) -> BaseUrls:
    return BaseUrls(base_url=service.url, upload_url=service.url, oauth_2_url=f"{service.url}/api/oauth2")


def login(name: str) -> str:
    """A login that no other test uses: logins are unique in a service."""
    return f"{name}-{uuid.uuid4().hex[:8]}@example.com"


def finished(http: httpx.Client, location: str, deadline_s: float = 30) -> dict:
    """Waits until a termination is finished; the termination."""

    termination: dict = {}

    def is_finished() -> bool:
        reply = http.get(location)
        assert reply.status_code == 200, reply.text
        termination.update(reply.json())
        return termination["state"] != "running"

    try:
        eventually(deadline_s, is_finished)
    except AssertionError as error:
        raise AssertionError(f"{error}: {json.dumps(termination)}") from None
    return termination


def all_events(http: httpx.Client, stream: str = "admin_logs", limit: int = 500, **query: str) -> list[dict]:
    """Pages through an event stream to its end."""
    events, position = [], "0"
    while True:
        params = {"stream_type": stream, "stream_position": position, "limit": limit, **query}
        reply = http.get("/2.0/events", params=params)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert page["chunk_size"] == len(page["entries"])
        events += page["entries"]
        if not page["entries"]:
            return events
        position = page["next_stream_position"]


# The command line


def command(
    *arguments: str | Path,
    tenant: Tenant | None = None,
    token: str | None = None,
    env: dict[str, str] | None = None,
    feed: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs `lightsout` to its end, away from any terminal, and as the tenant's admin if one is given."""
    known = environment(tenant, token) | (env or {})
    given: dict = {"input": feed} if feed is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=120, env=known, **given)


def environment(tenant: Tenant | None = None, token: str | None = None) -> dict[str, str]:
    """The variables that say where to go and as whom; what this machine's user has set is left out."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTSOUT_")}
    known["LIGHTSOUT_CONFIG_HOME"] = "/nonexistent"
    if tenant:
        known |= {"LIGHTSOUT_URL": tenant.service.url, "LIGHTSOUT_TOKEN": token or tenant.developer_token()}
    return known


# Redis


class RedisServer:
    """A redis-server of one test, which keeps its data over a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        log = (self.folder / "redis.log").open("ab")
        self.process = subprocess.Popen([*command, "--dir", str(self.folder)], stdout=log, stderr=log)
        log.close()
        eventually(20, lambda: redis_cli(self.url, "ping", check=False) == ["PONG"])
        return self

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=20)
            self.process = None


def redis_cli(url: str, *arguments: str, feed: str | None = None, check: bool = True) -> list[str]:
    """The lines that a Redis command answers."""
    command = ["redis-cli", "-u", url, "--no-auth-warning", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input=feed)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# Node


def node(script: str, given: dict) -> dict:
    """Runs a script under `node/` with a JSON object on its standard input; the object it prints."""
    command = ["node", str(HERE / "node" / script)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{script}: {done.stderr}\n{done.stdout}"
    return json.loads(done.stdout.splitlines()[-1])
