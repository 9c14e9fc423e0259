"""Real shops that people are signed in to: each is a process that the test starts."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import randrange

import httpx

from harness import HERE, Tenant, eventually, login

RUST = HERE.parent / "apps" / "target" / "debug"


@dataclass(frozen=True)
class Person:
    """Somebody with an account in every shop: by login in some, by number in others."""

    login: str
    number: str = field(default_factory=lambda: str(randrange(1, 2**31)))

    @classmethod
    def named(cls, name: str) -> Person:
        return cls(login(name))


class Shop:
    """A shop's process. It reads a JSON object from standard input and prints the port that it serves."""

    def __init__(self, *command: str | Path, **given: object) -> None:
        self.given = given
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(given))
        self.process.stdin.close()
        self.url = ""
        self.threads = ThreadPoolExecutor(8)

    @classmethod
    def node(cls, script: str, **given: object) -> Shop:
        return cls("node", HERE / "node" / script, **given)

    @classmethod
    def python(cls, script: str, **given: object) -> Shop:
        return cls(sys.executable, HERE / "python" / script, **given)

    @classmethod
    def rust(cls, binary: str, **given: object) -> Shop:
        assert (RUST / binary).exists(), f"{binary} is missing: run ./test e2e, which builds it"
        return cls(RUST / binary, **given)

    def ready(self) -> Shop:
        """Waits until the shop serves."""
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} did not start"
        self.url = f"http://127.0.0.1:{json.loads(line)['port']}"
        return self

    def browser(self, cookies: httpx.Cookies | None = None) -> httpx.Client:
        """A browser, with another one's cookies if they are given."""
        return httpx.Client(base_url=self.url, timeout=60, cookies=cookies, headers={"Origin": self.url})

    def sign_in(self, person: Person) -> httpx.Client:
        """A browser that is signed in."""
        browser = self.browser()
        self.post_credentials(browser, person)
        assert browser.get("/me").json() == {"login": person.login}
        return browser

    def post_credentials(self, browser: httpx.Client, person: Person) -> None:
        reply = browser.post(f"/login/{person.login}", params={"id": person.number})
        assert reply.status_code == 200, reply.text

    def begin(self, browser: httpx.Client, request: str) -> Future[httpx.Response]:
        """Sends a request that is under way until `let_go`, and waits until it has read its session."""
        before = self.under_way()
        sent = self.threads.submit(browser.post, request)
        eventually(10, lambda: self.under_way() == before + 1)
        return sent

    def under_way(self) -> int:
        return httpx.get(f"{self.url}/under-way", timeout=60).json()

    def let_go(self) -> None:
        assert httpx.post(f"{self.url}/let-go", timeout=60).status_code == 200

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()
        self.threads.shutdown()


class BetterAuthShop(Shop):
    """A shop whose people sign up and in with e-mail address and password."""

    def post_credentials(self, browser: httpx.Client, person: Person) -> None:
        given = {"email": person.login, "password": "correct horse battery", "name": "Person"}
        if browser.post("/api/auth/sign-in/email", json=given).status_code != 200:
            reply = self.browser().post("/api/auth/sign-up/email", json=given)
            assert reply.status_code == 200, reply.text
            assert browser.post("/api/auth/sign-in/email", json=given).status_code == 200


def is_signed_in(browser: httpx.Client) -> bool:
    reply = browser.get("/me")
    assert reply.status_code in (200, 401), reply.text
    return reply.status_code == 200


def enrol(tenant: Tenant, people: list[Person], group: str = "") -> None:
    """Makes people known to the service by login and number."""
    lines = ["login,name,groups,external_id"]
    lines += [f"{person.login},Person,{group},{person.number}" for person in people]
    file = tenant.service.folder / "people.csv"
    file.write_text("\n".join(lines) + "\n")
    tenant.service.admin("import", "--enterprise", tenant.enterprise_id, str(file))
