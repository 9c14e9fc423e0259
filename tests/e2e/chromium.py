"""A real Chromium: one process for all tests, a context of its own for each, driven by browser/driver.mjs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import subprocess
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from harness import HERE, REPO, Service

SCREENSHOTS = REPO / ".test" / "screenshots"
# Longer than anything takes on a busy machine: what is waited for comes, or the test fails.
TIMEOUT_MS = 20_000


class Chromium:
    """The browser's process."""

    def __init__(self) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            ["node", str(HERE / "browser" / "driver.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **given: object) -> object:
        self.process.stdin.write(json.dumps({"op": op, **given}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the browser's driver ended"
        reply = json.loads(line)
        assert "error" not in reply, f"{op} {given}: {reply['error']}"
        return reply["value"]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Browser:
    """A person's browser: cookies, tabs, and the problems that were seen. Used as a context, it fails at its
    end if there were problems that the test did not foresee."""

    def __init__(self, chromium: Chromium, service: Service, hosts: list[str] | None = None, **options: object) -> None:
        self.chromium = chromium
        self.service = service
        self.name = uuid.uuid4().hex
        self.foreseen: list[str] = []
        hosts = [urlsplit(service.url).netloc, *(hosts or [])]
        self.ask("context", options=options, hosts=hosts, timeout_ms=TIMEOUT_MS)

    def ask(self, op: str, **given: object) -> object:
        return self.chromium.ask(op, context=self.name, **given)

    def tab(self) -> Tab:
        return Tab(self)

    def foresee(self, *patterns: str) -> None:
        """These problems are what the test is about: a refused form is an error in the console, too."""
        self.foreseen += patterns

    def cookies(self) -> dict[str, dict]:
        return {cookie["name"]: cookie for cookie in self.ask("cookies")}

    def set_cookie(self, name: str, value: str) -> None:
        self.ask("add_cookies", cookies=[{"name": name, "value": value, "url": self.service.url}])

    def clear_cookies(self) -> None:
        self.ask("clear_cookies")

    def close(self) -> list[str]:
        """The problems that were not foreseen."""
        problems = self.ask("close")["problems"]
        return [p for p in problems if not any(re.search(pattern, p) for pattern in self.foreseen)]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        problems = self.close()
        assert kind or not problems, problems


class Tab:
    """One page of a browser, with what a person does there. Whatever is waited for fails at a deadline."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.name = uuid.uuid4().hex
        self.ask("page")

    def ask(self, op: str, **given: object) -> object:
        return self.browser.ask(op, page=self.name, **given)

    def open(self, path: str, status: int = 200) -> Tab:
        """Goes to an address, which answers this status in the end."""
        url = path if path.startswith("http") else f"{self.browser.service.url}{path}"
        answered = self.ask("open", url=url)["status"]
        assert answered == status, f"{path}: {answered}, {self.url}\n{self.text()}"
        return self

    def fill(self, label: str, text: str) -> Tab:
        self.ask("fill", label=label, text=text)
        return self

    def fill_in(self, selector: str, text: str) -> Tab:
        self.ask("fill_in", selector=selector, text=text)
        return self

    def check(self, label: str) -> Tab:
        self.ask("check", label=label)
        return self

    def press(self, name: str, role: str = "button", within: str | None = None) -> Tab:
        """Presses a button or follows a link, by what it is called."""
        self.ask("press", role=role, name=name, within=within)
        return self

    def follow(self, name: str, within: str | None = None) -> Tab:
        return self.press(name, role="link", within=within)

    def click(self, selector: str) -> Tab:
        self.ask("click", selector=selector)
        return self

    def double_press(self, name: str) -> Tab:
        self.ask("double", role="button", name=name, within=None)
        return self

    def lands(self, path: str) -> str:
        """Waits until the page's path and query match; the address."""
        return self.ask("lands", path=path)

    def shows(self, text: str, selector: str | None = None) -> Tab:
        """Waits until a text stands on the page, or in a part of it."""
        try:
            self.ask("shows", text=text, selector=selector)
        except AssertionError as error:
            raise AssertionError(f"{text!r} is not shown at {self.url}:\n{self.text()}") from error
        return self

    def appears(self, selector: str) -> Tab:
        self.ask("appears", selector=selector)
        return self

    def hides(self, selector: str) -> Tab:
        self.ask("hides", selector=selector)
        return self

    def key(self, *keys: str) -> Tab:
        for key in keys:
            self.ask("key", key=key)
        return self

    def type(self, text: str) -> Tab:
        self.ask("type", text=text)
        return self

    def back(self) -> int | None:
        return self.ask("back")

    def reload(self) -> int:
        return self.ask("reload")

    def text(self, selector: str = "body") -> str:
        return self.ask("text", selector=selector)

    def texts(self, selector: str) -> list[str]:
        return self.ask("texts", selector=selector)

    def count(self, selector: str) -> int:
        return self.ask("count", selector=selector)

    def attribute(self, selector: str, name: str) -> str | None:
        return self.ask("attribute", selector=selector, name=name)

    def evaluate(self, expression: str) -> object:
        return self.ask("evaluate", script=expression)

    def focused(self) -> dict:
        return self.ask("focused")

    def download(self, name: str, role: str = "link") -> dict:
        return self.ask("download", role=role, name=name)

    @property
    def url(self) -> str:
        return self.ask("url")

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def picture(self, name: str) -> None:
        self.ask("picture", name=name, folder=str(SCREENSHOTS))

    def look(self, name: str) -> list[str]:
        """What axe finds, and what is too wide, at both widths in both themes; a picture of each is kept."""
        return self.ask("look", name=name, folder=str(SCREENSHOTS))


# Second factors (RFC 6238)


def totp(secret: str, at_s: float, step_s: int = 30) -> str:
    """The six digits of a moment."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(at_s // step_s)), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


