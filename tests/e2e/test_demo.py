"""The first minute: `lightsout demo` for a person at a terminal, and for a script."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness import BINARY, eventually
from terminal import PROMPT, Terminal

PROOF = "500 of 500 ended sessions refused, 9,500 of 9,500 others active"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in/link/[\w-]{43}")


def intact(stdout: str, folder: Path) -> None:
    """What the demo says about proving it is right: the log verifies, up to the head that was printed."""
    line = next(line for line in stdout.splitlines() if "prove it" in line)
    head = re.search(r"log head +(\S+)", stdout)
    assert head, stdout
    proof = [BINARY, *line.split("prove it")[1].split()[1:], "--expect", head[1]]
    verified = subprocess.run(proof, capture_output=True, text=True, timeout=60, cwd=folder)
    assert verified.returncode == 0 and verified.stdout.startswith("intact:"), verified.stdout + verified.stderr


@contextmanager
def staying(folder: Path):
    """A demo that stays without a terminal: its process, and the file of what it prints."""
    out = folder / "out"
    with out.open("w") as file:
        demo = subprocess.Popen([BINARY, "demo", "--console"], stdout=file, stderr=subprocess.PIPE, cwd=folder)
    try:
        eventually(60, lambda: "Press Ctrl-C" in out.read_text())
        yield demo, out
    finally:
        if demo.poll() is None:
            demo.kill()
        demo.wait(timeout=30)
        demo.stderr.close()


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_demo_without_a_terminal_proves_it_and_ends(options: list[str], tmp_path: Path) -> None:
    done = subprocess.run([BINARY, "demo", *options], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert PROOF in done.stdout and "every end is verified" in done.stdout and "/sign-in/link/" not in done.stdout
    assert "50/50 people" in done.stderr and "\x1b" not in done.stdout + done.stderr
    intact(done.stdout, tmp_path)


def test_demo_that_runs_once_ends_on_a_terminal_too(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [BINARY, "demo", "--once"]
    with subprocess.Popen(command, stdout=follower, stderr=follower, cwd=tmp_path, close_fds=True) as demo:
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 65_536)
            except OSError:  # The terminal's other end was closed.
                break
            if not chunk:
                break
            shown += chunk
        assert demo.wait(timeout=60) == 0
    os.close(leader)
    text = shown.decode()
    assert "[====" in text and "50/50" in text and PROOF in text and "/sign-in/link/" not in text, text


def test_demo_on_a_terminal_stays_until_it_is_interrupted(tmp_path: Path) -> None:
    terminal = Terminal(dict(os.environ), tmp_path)
    try:
        terminal.type(f"{BINARY} demo")
        screen = terminal.shows("Press Ctrl-C to stop.", PROOF, deadline_s=60)
        link = LINK.search(screen)
        assert link, screen
        with httpx.Client(follow_redirects=True) as browser:
            assert "admin@demo.example" in browser.get(link[0]).text
        terminal.press("C-c")
        code, screen = terminal.ends()
        assert code == 0, screen
        intact(screen, tmp_path)
    finally:
        terminal.close()
    assert PROMPT not in screen.split("log head")[1].split("prove it")[0]


def test_link_opens_the_console_once(tmp_path: Path) -> None:
    with staying(tmp_path) as (demo, out):
        link = LINK.search(out.read_text())
        assert link, out.read_text()
        with ThreadPoolExecutor(8) as pool, httpx.Client(follow_redirects=True) as browser:
            ahead = browser.get(link[0], headers={"Sec-Purpose": "prefetch"})
            assert ahead.status_code == 503 and not browser.cookies.get("lightsout_session")
            answers = list(pool.map(lambda _: httpx.get(link[0]), range(8)))
            assert sorted(answer.status_code for answer in answers) == [303] + [404] * 7
            (entered,) = (answer for answer in answers if answer.status_code == 303)
            browser.cookies.update(entered.cookies)
            page = browser.get(str(entered.url.join(entered.headers["location"])))
            assert page.url.path == "/console" and "admin@demo.example" in page.text
            shown = re.search(r"http://\S+/console/terminations/\S+", out.read_text())
            assert shown and "500" in browser.get(shown[0]).text
            again = httpx.get(link[0])
            assert again.status_code == 404 and "This link has expired" in again.text
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=40) == 0
        intact(out.read_text(), tmp_path)
        with pytest.raises(httpx.ConnectError):
            httpx.get(link[0])


def test_demo_takes_nothing_from_the_environment(tmp_path: Path) -> None:
    other = tmp_path / "production.db"
    env = dict(os.environ) | {"LIGHTSOUT__DATABASE__URL": f"sqlite:{other}"}
    done = subprocess.run([BINARY, "demo"], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=env)
    assert done.returncode == 0 and not other.exists(), done.stderr
