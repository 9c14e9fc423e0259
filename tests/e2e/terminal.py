"""A real terminal: a shell in tmux, typed into and read as a person would."""

from __future__ import annotations

import re
import subprocess
import uuid
from pathlib import Path

from harness import eventually

PROMPT = "ready>"


class Terminal:
    """A shell on a screen of 120 columns and 40 lines, on a tmux server of its own.

    The shell is dash: it has no line editor that mends a terminal which a command has left behind.
    """

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.socket = f"lightsout-{uuid.uuid4().hex[:12]}"
        rc = folder / "shrc"
        rc.write_text(f"PS1='{PROMPT} '\n")
        # The server is new, so the shell has this environment.
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "-c", str(folder),
                  "dash -i", env=env | {"ENV": str(rc)})
        eventually(20, lambda: self.screen().rstrip().endswith(PROMPT))

    def tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-L", self.socket, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=env)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def type(self, text: str) -> None:
        """Types a line."""
        self.tmux("send-keys", "-l", "--", text)
        self.press("Enter")

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def screen(self, history: bool = False) -> str:
        """What is shown now, and above it if asked for; a line that was wrapped is one line."""
        return self.tmux("capture-pane", "-p", "-J", *(["-S", "-"] if history else []))

    def clear(self) -> None:
        """Empties the screen and what was above it."""
        self.type("clear; tmux clear-history")
        eventually(20, lambda: self.screen(history=True).strip() == PROMPT)

    def shows(self, *texts: str, deadline_s: float = 30) -> str:
        """Waits until the screen shows all of the texts; the screen."""
        screen = ""

        def is_shown() -> bool:
            nonlocal screen
            screen = self.screen()
            return all(text in screen for text in texts)

        try:
            eventually(deadline_s, is_shown)
        except AssertionError as error:
            raise AssertionError(f"{error}: {texts} on\n{screen}") from None
        return screen

    def ends(self, deadline_s: float = 30) -> tuple[int, str]:
        """Waits until the command has ended and the shell can be typed into; its exit code, and the screen.

        The shell is asked for the code by keyboard, so that a terminal that was left without echo or
        with half a line fails here.
        """
        try:
            eventually(deadline_s, lambda: self.screen().rstrip().endswith(f"\n{PROMPT}"))
        except AssertionError as error:
            raise AssertionError(f"{error}: the prompt below\n{self.screen()}") from None
        screen = self.screen()
        self.type("echo code=$?")
        shown = self.shows(f"{PROMPT} echo code=$?\ncode=", deadline_s=10)
        code = re.search(r"^code=(\d+)$", shown, re.MULTILINE)
        assert code, shown
        self.clear()
        return int(code[1]), screen

    def close(self) -> None:
        # tmux leaves the file of its socket behind.
        path = Path(self.tmux("display-message", "-p", "#{socket_path}").strip())
        self.tmux("kill-server")
        path.unlink(missing_ok=True)
