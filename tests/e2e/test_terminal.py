"""The command line in a real terminal: the question, the bar, Ctrl-C, a secret that is typed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from harness import BINARY, RedisServer, Tenant, environment, login
from terminal import PROMPT, Terminal

QUESTION = "This ends every session of 11 people. Type their number to go on:"


@pytest.fixture
def open_terminal(tmp_path: Path):
    """Opens terminals with an environment; they are closed with the test."""
    opened: list[Terminal] = []

    def open_one(env: dict[str, str]) -> Terminal:
        opened.append(Terminal(env, tmp_path))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def eleven(tenant: Tenant) -> list[str]:
    logins = [login(f"p{n}") for n in range(11)]
    tenant.people(logins, group="Team")
    return logins


def test_more_than_ten_people_are_ended_only_by_their_number(tenant: Tenant, eleven: list[str], open_terminal) -> None:
    terminal = open_terminal(environment(tenant))
    end = f"{BINARY} groups terminate-sessions --id {tenant.group_id('Team')}"
    for answer in ["12", "yes", ""]:
        terminal.type(end)
        terminal.shows(QUESTION)
        terminal.type(answer)
        code, screen = terminal.ends()
        assert code == 1 and "error: nothing was ended: the answer was not 11" in screen, screen
        assert tenant.termination_ids() == []

    terminal.type(end)
    terminal.shows(QUESTION)
    terminal.press("C-c")
    code, screen = terminal.ends()
    assert code == 130 and "nothing was ended" in screen and tenant.termination_ids() == [], screen

    terminal.type(end)
    terminal.shows(QUESTION)
    terminal.type("11")
    code, screen = terminal.ends()
    (termination,) = tenant.termination_ids()
    assert code == 0 and f"termination  {termination}" in screen and "people       11" in screen, screen


def test_ten_people_are_ended_without_a_question(tenant: Tenant, eleven: list[str], open_terminal) -> None:
    terminal = open_terminal(environment(tenant))
    logins = " ".join(f"--login {login}" for login in eleven[:10])
    terminal.type(f"{BINARY} users terminate-sessions {logins}")
    code, screen = terminal.ends()
    assert code == 0 and "people       10" in screen and "Type their number" not in screen, screen
    assert len(tenant.termination_ids()) == 1


def test_list_comes_from_stdin_and_the_answer_from_the_terminal(
    tenant: Tenant, eleven: list[str], open_terminal, tmp_path: Path
) -> None:
    (tmp_path / "people.txt").write_text("\n".join(eleven) + "\n")
    terminal = open_terminal(environment(tenant))
    # The output goes to a file: the question is still seen, and not in the file.
    end = f"cat people.txt | {BINARY} users terminate-sessions --from-file - --json > answer.json"
    terminal.type(end)
    terminal.shows(QUESTION)
    terminal.type("10")
    code, screen = terminal.ends()
    assert code == 1 and "nothing was ended" in screen and tenant.termination_ids() == []
    assert (tmp_path / "answer.json").read_text() == ""

    terminal.type(end)
    terminal.shows(QUESTION)
    terminal.type("11")
    code, _ = terminal.ends()
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert code == 0 and [answer["id"]] == tenant.termination_ids() and answer["people"] == 11


def test_what_somebody_should_know_stands_above_the_question(tenant: Tenant, eleven: list[str], open_terminal) -> None:
    terminal = open_terminal(environment(tenant))
    logins = " ".join(f"--login {login}" for login in [*eleven[:10], tenant.admin_login, "ghost@example.com"])
    terminal.type(f"{BINARY} users terminate-sessions --skip-unknown {logins}")
    screen = terminal.shows(QUESTION)
    for warning in ["you are among them", "an admin or coadmin is among them", "1 person left out"]:
        assert f"warning: {warning}" in screen, screen
    terminal.press("C-c")
    assert terminal.ends()[0] == 130 and tenant.termination_ids() == []


def test_bar_follows_and_ctrl_c_stops_only_the_following(make_service, open_terminal, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    system = f'\n[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis.url}"\nuser_path = "user"\nquiet_time_s = 0\n'
    service = make_service(more=system).init().start()
    tenant = service.tenant()
    ann = login("ann")
    tenant.people([ann])
    terminal = open_terminal(environment(tenant))

    terminal.type(f"{BINARY} users terminate-sessions --login {ann} --follow")
    screen = terminal.shows("final", "0/1 people", "waiting      shop: the system did not answer")
    (termination,) = tenant.termination_ids()
    assert f"accepted     {termination}, 1 person" in screen and f"[{'':40}]" in screen, screen
    terminal.press("C-c")
    code, screen = terminal.ends()
    go_on = f"the termination goes on; follow it with: lightsout terminations follow {termination}"
    assert code == 130 and screen.rstrip().endswith(f"\n{go_on}\n{PROMPT}"), screen

    follow = f"{BINARY} terminations follow {termination}"
    terminal.type(follow)
    terminal.shows("0/1 people")
    terminal.press("C-c")
    assert terminal.ends()[0] == 130

    terminal.type(follow)
    terminal.shows("0/1 people")
    redis.start()
    try:
        code, screen = terminal.ends(deadline_s=60)
    finally:
        redis.stop()
    assert code == 0 and "done: every end is verified" in screen and f"[{40 * '='}] 1/1 people" in screen, screen
    assert tenant.termination_ids() == [termination]


@pytest.mark.parametrize("kind", ["developer token", "client secret"])
def test_secret_is_asked_for_and_never_shown(kind: str, tenant: Tenant, open_terminal, tmp_path: Path) -> None:
    if kind == "developer token":
        # At a service a person would sign in with a browser.
        secret, flags, question = tenant.developer_token(), "--wire box", "Developer token:"
    else:
        app = tenant.app()
        secret, question = app.client_secret, "Client secret:"
        flags = f"--client-id {app.client_id} --enterprise {tenant.enterprise_id}"
    terminal = open_terminal(environment() | {"LIGHTSOUT_CONFIG_HOME": str(tmp_path / "config")})
    login_ = f"{BINARY} login --profile mine --url {tenant.service.url} {flags}"
    profile = tmp_path / "config" / "profiles" / "mine.json"

    terminal.type(login_)
    terminal.shows(question)
    terminal.type("wrong")
    code, screen = terminal.ends()
    assert code != 0 and "the profile was not kept" in screen and "wrong" not in screen and not profile.exists(), screen

    terminal.type(login_)
    terminal.shows(question)
    terminal.type(secret)
    screen = terminal.shows(str(profile))
    assert secret not in terminal.screen(history=True)
    code, screen = terminal.ends()
    assert code == 0 and "user         " in screen, screen
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600 and secret in profile.read_text()
    terminal.type(f"{BINARY} whoami --profile mine")
    code, screen = terminal.ends()
    assert code == 0 and "profile      mine" in screen and secret not in screen, screen


def test_interrupt_at_the_question_for_a_secret_leaves_the_terminal_as_it_was(open_terminal, tmp_path: Path) -> None:
    terminal = open_terminal(environment() | {"LIGHTSOUT_CONFIG_HOME": str(tmp_path / "config")})
    terminal.type(f"{BINARY} login --profile mine --wire box --url http://127.0.0.1:1")
    terminal.shows("Developer token:")
    terminal.press("C-c")
    # What is typed next is seen again.
    code, _ = terminal.ends()
    assert code == 130 and not (tmp_path / "config").exists()


def test_interrupt_of_a_sign_in_with_a_browser_keeps_nothing(open_terminal, tmp_path: Path) -> None:
    terminal = open_terminal(environment() | {"LIGHTSOUT_CONFIG_HOME": str(tmp_path / "config")})
    terminal.type(f"{BINARY} login --no-browser --profile mine --url http://127.0.0.1:1")
    terminal.shows("to sign in, open this address", "/api/oauth2/authorize?response_type=code")
    terminal.press("C-c")
    code, screen = terminal.ends()
    assert code == 130 and "nobody was signed in, and nothing was kept" in screen, screen
    assert not (tmp_path / "config").exists()
