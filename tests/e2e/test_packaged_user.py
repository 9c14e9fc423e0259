"""The order of docs/operating.md: root sets the service up and looks after it, another user runs it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest

from harness import BINARY, eventually, free_port

NOBODY = 65_534
SECRETS = (
    '[[sign_in.providers]]\nname = "corp"\nissuer = "https://id.acme.example"\nclient_id = "lightsout"\n'
    'client_secret = { env = "CORP_CLIENT_SECRET" }\nenterprise = "1"\n\n'
    '[[systems]]\nname = "shop"\nkind = "redis"\nurl = { env = "SHOP_REDIS" }\nuser_path = "user"\n\n'
    '[[systems]]\nname = "tokens"\nkind = "stateless"\nlife_s = 900\n'
)
ENVIRONMENT = {"CORP_CLIENT_SECRET": "x", "SHOP_REDIS": "redis://127.0.0.1:1/0"}


class Machine:
    """A machine with a configuration of root's, and a folder for the service's data."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc" / "lightsout.toml"
        self.state = root / "state"
        self.binary = root / "lightsout"
        self.port = free_port()
        self.config.parent.mkdir(mode=0o755)
        self.state.mkdir(mode=0o700)
        shutil.copy(BINARY, self.binary)

    def run(self, *arguments: str, user: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [self.binary, *arguments, "--config", self.config]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, user=user, group=user,
                              extra_groups=[], cwd=self.state if user or "init" in arguments else self.root,
                              env=os.environ | (env or {}), umask=0o022)

    def admin(self, *arguments: str) -> str:
        done = self.run("admin", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def configure(self, more: str = "") -> None:
        """What an operator changes in the file that `admin init` wrote."""
        text = self.config.read_text()
        text = text.replace('#url = "sqlite:lightsout.db"', f'url = "sqlite:{self.state}/lightsout.db"', 1)
        text = text.replace('#listen = "127.0.0.1:8787"', f'listen = "127.0.0.1:{self.port}"', 1)
        self.config.write_text(text + "\n" + more)

    def give_to_the_service(self) -> None:
        """What systemd does with the unit's StateDirectory when its owner is another one."""
        if self.state.stat().st_uid != NOBODY:
            for path in [self.state, *self.state.iterdir()]:
                os.chown(path, NOBODY, NOBODY)

    def serve(self, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """The unit: it checks the configuration, then serves."""
        self.give_to_the_service()
        checked = self.run("serve", "--check-config", user=NOBODY, env=env)
        assert checked.returncode == 0, checked.stderr
        process = subprocess.Popen([self.binary, "serve", "--config", self.config], user=NOBODY, group=NOBODY,
                                   extra_groups=[], cwd=self.state, env=os.environ | (env or {}),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def is_ready() -> bool:
            assert process.poll() is None, "the service ended"
            try:
                return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        eventually(30, is_ready)
        return process

    def owners(self) -> set[int]:
        return {path.stat().st_uid for path in self.state.iterdir()}


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(timeout=40) == 0


@pytest.fixture
def machine():
    root = Path(tempfile.mkdtemp(prefix="lightsout-machine-"))
    root.chmod(0o755)
    yield Machine(root)
    shutil.rmtree(root)


def new_user(machine: Machine, token: str, login: str) -> int:
    answer = httpx.post(f"http://127.0.0.1:{machine.port}/2.0/users", json={"name": "Ann", "login": login},
                        headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


def token(machine: Machine) -> str:
    return machine.admin("token", "--login", "ada@acme.example").split()[1]


def test_root_administers_what_another_user_runs(machine: Machine) -> None:
    machine.admin("init")
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o644
    machine.configure()
    machine.admin("enterprise", "--name", "Acme", "--admin-login", "ada@acme.example", "--admin-name", "Ada")
    service = machine.serve()
    # Beside the service that runs.
    assert new_user(machine, token(machine), "ann@acme.example") == 201
    stop(service)
    # While it is stopped.
    later = token(machine)
    assert machine.owners() == {NOBODY}
    service = machine.serve()
    assert new_user(machine, later, "bob@acme.example") == 201
    service.kill()
    service.wait(timeout=30)
    # After it was killed: the log is still beside the database.
    last = token(machine)
    assert machine.owners() == {NOBODY}
    service = machine.serve()
    assert new_user(machine, last, "cleo@acme.example") == 201
    stop(service)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in machine.state.iterdir())


def test_database_that_root_makes_belongs_to_the_owner_of_its_folder(machine: Machine) -> None:
    machine.give_to_the_service()
    machine.admin("init")
    assert machine.owners() == {NOBODY}
    machine.configure()
    stop(machine.serve())


def test_administration_needs_no_secret_of_a_system_or_a_provider(machine: Machine) -> None:
    machine.admin("init")
    machine.configure(SECRETS)
    made = machine.admin("enterprise", "--name", "Acme", "--admin-login", "ada@acme.example", "--admin-name", "Ada")
    enterprise = made.split()[1]
    people = machine.root / "people.csv"
    people.write_text("login,aliases\nann@acme.example,shop=ann\nbob@acme.example,mail=bob\n")
    imported = machine.run("admin", "import", "--enterprise", enterprise, str(people))
    assert imported.returncode == 5, imported.stderr
    assert "1 new" in imported.stdout and 'no system is named "mail"' in imported.stdout, imported.stdout
    assert machine.run("events", "verify").returncode == 0
    # A system fails for itself, and no other one.
    assert machine.run("systems", "check", "tokens").returncode == 0
    every = machine.run("systems", "check")
    assert every.returncode == 6 and "has no SHOP_REDIS" in every.stdout and "tokens\n" in every.stdout, every.stdout
    # The service needs all of them.
    for missing in ENVIRONMENT:
        given = {name: value for name, value in ENVIRONMENT.items() if name != missing}
        for command in [["serve", "--check-config"], ["serve"]]:
            refused = machine.run(*command, env=given)
            assert refused.returncode == 1 and missing in refused.stderr, refused.stderr
    stop(machine.serve(env=ENVIRONMENT))
    # Nobody gets far without the database.
    machine.config.write_text('[database]\nurl = { env = "NO_SUCH_URL" }\n')
    refused = machine.run("admin", "raise-generations")
    assert refused.returncode == 1 and "NO_SUCH_URL" in refused.stderr, refused.stderr


def test_secret_that_everybody_can_read_is_warned_of(machine: Machine) -> None:
    machine.admin("init")
    quiet = machine.run("serve", "--check-config")
    assert quiet.returncode == 0 and quiet.stderr == "", quiet.stderr
    machine.configure('[[systems]]\nname = "shop"\nkind = "redis"\nurl = "redis://:hunter2@127.0.0.1:1/0"\nuser_path = "user"\n')
    loud = machine.run("serve", "--check-config")
    assert loud.returncode == 0 and "systems.shop.url" in loud.stderr and "hunter2" not in loud.stderr, loud.stderr
    machine.config.chmod(0o640)
    assert machine.run("serve", "--check-config").stderr == ""
