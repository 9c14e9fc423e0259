"""What the command line shows and follows: people, groups, terminations, events; completions and manual pages."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from capture import Answer, Capture
from harness import BINARY, RedisServer, Tenant, command, environment, eventually, login

AWAY = "waiting      the server does not answer; following goes on when it does"
BACK = "waiting      the server is back"

COUNTED = ["ended", "nothing_found", "waiting", "unreachable", "ends_by", "delivered_not_verified", "unknown_sessions",
           "no_subject", "gave_up", "sessions_ended", "resurrected", "ended_again"]
TERMINATION = {
    "id": "t_1",
    "state": "running",
    "people": 1,
    "created_at": "2026-01-02T03:04:05Z",
    "cutoff": "2026-01-02T03:04:05Z",
    "asked_by": {"type": "user", "id": "9", "login": "admin@acme.example"},
    "systems": [{"system": "registry"} | {counted: 0 for counted in COUNTED}],
}


class Running:
    """A command under way, and what it has said so far."""

    def __init__(self, folder: Path, *arguments: str, tenant: Tenant | None = None) -> None:
        self.stdout, self.stderr = folder / "stdout", folder / "stderr"
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [BINARY, *arguments], stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment(tenant)
            )

    def lines(self) -> list[str]:
        """The whole lines of its output."""
        return self.stdout.read_text().split("\n")[:-1]

    def says(self, text: str, deadline_s: float = 30) -> None:
        """Waits until it says something beside its output."""
        eventually(deadline_s, lambda: text in self.stderr.read_text())

    def ends(self, deadline_s: float = 60) -> int:
        return self.process.wait(timeout=deadline_s)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.ends()


@contextmanager
def running(folder: Path, *arguments: str, tenant: Tenant | None = None):
    under_way = Running(folder, *arguments, tenant=tenant)
    try:
        yield under_way
    finally:
        under_way.process.kill()
        under_way.process.wait(timeout=30)


def shop(redis: RedisServer) -> str:
    return f'\n[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis.url}"\nuser_path = "user"\nquiet_time_s = 0\n'


def test_users_are_listed_and_shown(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    people = tenant.people([ann, bob], group="Sales")
    listed = command("users", "list", tenant=tenant)
    assert listed.returncode == 0 and len(listed.stdout.splitlines()) == 3, listed.stdout
    assert f"{people[ann]}  {ann}  {ann.split('@')[0]}  user  active" in listed.stdout.splitlines()
    found = command("users", "list", "--filter", ann[:8].upper(), "--json", tenant=tenant)
    assert [json.loads(line)["login"] for line in found.stdout.splitlines()] == [ann]

    token = tenant.app_token(tenant.app())
    with tenant.http(token) as app:
        made = app.post("/v1/sessions", json={"sessions": [{"user_id": people[ann], "device": "phone"}]})
    assert made.status_code == 201, made.text
    for who in (ann, ann.upper(), people[ann]):
        shown = command("users", "show", who, tenant=tenant, token=token)
        assert shown.returncode == 0 and "group        Sales, as member" in shown.stdout, shown.stdout
        assert "sessions     1 session\n" in shown.stdout and "phone" in shown.stdout, shown.stdout
    whole = json.loads(command("users", "show", bob, "--json", tenant=tenant, token=token).stdout)
    assert (whole["user"]["login"], whole["sessions"]) == (bob, [])
    assert [m["group"]["name"] for m in whole["memberships"]] == ["Sales"]
    # A person's token has no right to the registry's sessions; the rest is shown all the same.
    by_admin = command("users", "show", ann, tenant=tenant)
    assert by_admin.returncode == 0 and "Sales, as member\nsessions     unknown: only an app" in by_admin.stdout, by_admin.stdout
    assert json.loads(command("users", "show", ann, "--json", tenant=tenant).stdout)["sessions"] is None
    for unknown in ("ghost@example.com", "404404"):
        refused = command("users", "show", unknown, tenant=tenant)
        assert refused.returncode == 4 and unknown in refused.stderr and not refused.stdout, refused.stderr


def test_groups_and_their_members_are_listed(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob], group="Sales")
    tenant.people([bob], group="Support")
    listed = command("groups", "list", tenant=tenant)
    assert sorted(line.split("  ")[1] for line in listed.stdout.splitlines()) == ["Sales", "Support"]
    found = command("groups", "list", "--filter", "sup", "--json", tenant=tenant)
    assert [json.loads(line)["name"] for line in found.stdout.splitlines()] == ["Support"]
    for which in (("--name", "Sales"), ("--id", tenant.group_id("Sales"))):
        members = command("groups", "members", *which, tenant=tenant)
        assert sorted(line.split("  ")[1] for line in members.stdout.splitlines()) == sorted([ann, bob])
    in_json = command("groups", "members", "--name", "Support", "--json", tenant=tenant)
    assert [json.loads(line)["user"]["login"] for line in in_json.stdout.splitlines()] == [bob]
    wrong = command("groups", "members", "--name", "sales", tenant=tenant)
    assert wrong.returncode == 4 and "near: Sales" in wrong.stderr, wrong.stderr
    assert command("groups", "members", tenant=tenant).returncode == 2


def test_terminations_are_listed_newest_first_up_to_a_limit(tenant: Tenant) -> None:
    people = tenant.people([login(f"p{n}") for n in range(3)])
    for number, user_id in enumerate(people.values()):
        done = command("users", "terminate-sessions", "--id", user_id, "--reason", f"drill {number}", tenant=tenant)
        assert done.returncode == 0, done.stderr
    for limit, expected in [([], ["drill 2", "drill 1", "drill 0"]), (["--limit", "2"], ["drill 2", "drill 1"]), (["--limit", "0"], [])]:
        listed = command("terminations", "list", *limit, "--json", tenant=tenant)
        assert [json.loads(line)["reason"] for line in listed.stdout.splitlines()] == expected
    shown = command("terminations", "list", "--limit", "1", tenant=tenant)
    assert f"1 person  done: every end is verified  by {tenant.admin_login}  drill 2" in shown.stdout, shown.stdout
    missing = command("terminations", "show", "t_404", tenant=tenant)
    assert missing.returncode == 4, missing.stderr


def test_open_outcomes_are_those_that_are_no_verified_end(make_service, tmp_path: Path) -> None:
    tenant = make_service(more=shop(RedisServer(tmp_path))).init().start().tenant()
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    assert command("users", "terminate-sessions", "--login", ann, "--login", bob, tenant=tenant).returncode == 0
    (termination,) = tenant.termination_ids()

    def outcomes(*flags: str) -> list[dict]:
        done = command("terminations", "outcomes", termination, *flags, "--json", tenant=tenant)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    eventually(30, lambda: [o["system"] for o in outcomes("--open")] == ["shop", "shop"])
    assert sorted((o["system"], o["user"]["login"]) for o in outcomes()) == sorted(
        (system, who) for system in ("registry", "shop") for who in (ann, bob)
    )
    eventually(30, lambda: {o["outcome"] for o in outcomes("--open")} == {"unreachable"})
    shown = command("terminations", "outcomes", termination, "--open", tenant=tenant)
    assert f"shop         {ann}: unreachable: " in shown.stdout and "registry" not in shown.stdout, shown.stdout


def test_events_are_followed_from_anywhere_and_say_how_to_go_on(tenant: Tenant, tmp_path: Path) -> None:
    people = tenant.people([login("ann"), login("bob"), login("cyd")])
    ann, bob, cyd = people.values()

    def end(user_id: str) -> None:
        assert command("users", "terminate-sessions", "--id", user_id, "--follow", tenant=tenant).returncode == 0

    end(ann)
    follow = ("events", "follow", "--type", "SESSION_TERMINATION_DONE", "--json")
    with running(tmp_path, *follow, "--from", "start", tenant=tenant) as follower:
        eventually(30, lambda: len(follower.lines()) == 1)
        end(bob)
        eventually(30, lambda: len(follower.lines()) == 2)
        assert follower.interrupt() == 130
        first = [json.loads(line) for line in follower.lines()]
        said = follower.stderr.read_text()
    assert [e["event_type"] for e in first] == ["SESSION_TERMINATION_DONE"] * 2
    assert [e["additional_details"]["termination_id"] for e in first] == tenant.termination_ids()
    position, flags = said.strip().removeprefix("to go on: lightsout events follow --from ").split(" ", 1)
    assert flags == "--type SESSION_TERMINATION_DONE"
    assert position.isdigit(), said

    end(cyd)
    with running(tmp_path, *follow, "--from", position, tenant=tenant) as follower:
        # The page of the last event may come again.
        newest = tenant.termination_ids()[-1]
        eventually(30, lambda: any(newest in line for line in follower.lines()))
        assert follower.interrupt() == 130
        ended = [json.loads(line)["additional_details"]["termination_id"] for line in follower.lines()]
    assert ended[-1] == newest

    with running(tmp_path, "events", "follow", "--from", "start", tenant=tenant) as follower:
        eventually(30, lambda: any("SESSION_TERMINATION_OUTCOME" in line for line in follower.lines()))
        assert follower.interrupt() == 130
        requested = next(line for line in follower.lines() if "SESSION_TERMINATION_REQUESTED" in line)
    assert f"by {tenant.admin_login}" in requested, requested


def test_events_are_followed_only_by_who_may_read_them(tenant: Tenant) -> None:
    weak = tenant.developer_token(scopes=["manage_groups"])
    refused = command("events", "follow", "--from", "start", tenant=tenant, token=weak)
    assert refused.returncode == 3 and not refused.stdout, refused.stderr
    wrong = command("events", "follow", "--from", "yesterday", tenant=tenant)
    assert wrong.returncode == 2 and "now, start or a position" in wrong.stderr and not wrong.stdout, wrong.stderr


def test_follower_of_events_outlives_a_restart_of_the_service(make_service, tmp_path: Path) -> None:
    service = make_service().init().start()
    tenant = service.tenant()
    ann, bob = tenant.people([login("ann"), login("bob")]).values()
    done = ("events", "follow", "--from", "start", "--type", "SESSION_TERMINATION_DONE", "--json")
    with running(tmp_path, *done, tenant=tenant) as follower:
        assert command("users", "terminate-sessions", "--id", ann, tenant=tenant).returncode == 0
        eventually(30, lambda: len(follower.lines()) == 1)
        service.kill()
        follower.says("following goes on when it does")
        service.start()
        assert command("users", "terminate-sessions", "--id", bob, tenant=tenant).returncode == 0
        eventually(60, lambda: len(follower.lines()) == 2)
        assert follower.interrupt() == 130
        events = [json.loads(line) for line in follower.lines()]
    assert [e["additional_details"]["termination_id"] for e in events] == tenant.termination_ids()


# Said of the store while it is stopped, if that takes long enough.
WAITING = "  waiting      shop: "


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_follower_outlives_a_restart_of_the_service(flags: list[str], make_service, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    service = make_service(more=shop(redis)).init().start()
    tenant = service.tenant()
    ann = login("ann")
    tenant.people([ann])
    with running(tmp_path, "users", "terminate-sessions", "--login", ann, "--follow", *flags, tenant=tenant) as follower:
        eventually(30, tenant.termination_ids)
        (termination,) = tenant.termination_ids()
        if flags:
            eventually(30, lambda: any('"registry"' in line and "OUTCOME" in line for line in follower.lines()))
        else:
            follower.says(f"accepted     {termination}, 1 person")
        service.kill()
        if not flags:
            follower.says(AWAY)
        service.start()
        if not flags:
            follower.says(BACK)
        redis.start()
        try:
            assert follower.ends() == 0, follower.stderr.read_text()
        finally:
            redis.stop()
        said, lines = follower.stderr.read_text(), follower.lines()
    if flags:
        # Every event once, in spite of the break, between the termination as it was accepted and as it ended.
        accepted, *events, done = [json.loads(line) for line in lines]
        assert (accepted["id"], accepted["state"]) == (termination, "running") and done["state"] == "done"
        assert sorted(e["event_type"].removeprefix("SESSION_TERMINATION_") for e in events) == ["DONE", "OUTCOME", "OUTCOME", "REQUESTED"]
        assert said == "" or said.startswith(WAITING) and said.count("\n") == 1, said
    else:
        assert "done: every end is verified" in "\n".join(lines)
        assert (said.count(AWAY), said.count(BACK)) == (1, 1) and said.endswith("  final        1/1 people\n"), said


@pytest.mark.parametrize("silent", ["stream", "look-up", "opening"])
def test_interrupt_is_heard_while_the_server_says_nothing(silent: str, tmp_path: Path) -> None:
    with Capture() as server:
        server.answers["POST /v1/terminations"] = Answer(202, TERMINATION)
        look_up = "GET /v1/terminations/t_1"
        server.answers[look_up] = Answer(200, TERMINATION, silent="answer" if silent == "look-up" else None)
        server.answers[f"{look_up}/events"] = Answer(200, silent="answer" if silent == "opening" else "stream")
        arguments = ["users", "terminate-sessions", "--id", "12", "--follow", "--url", server.url, "--token", "t"]
        with running(tmp_path, *arguments) as follower:
            follower.says("accepted     t_1, 1 person")
            for path in ["/v1/terminations/t_1", "/v1/terminations/t_1/events"]:
                eventually(30, lambda: any(request.path == path for request in server.requests))
            follower.process.send_signal(signal.SIGINT)
            assert follower.ends(deadline_s=10) == 130
            assert "lightsout terminations follow t_1" in follower.stderr.read_text()


def test_stream_that_begins_late_is_waited_for(tmp_path: Path) -> None:
    with Capture() as server:
        server.answers["POST /v1/terminations"] = Answer(202, TERMINATION)
        server.answers["GET /v1/terminations/t_1"] = Answer(200, TERMINATION)
        server.answers["GET /v1/terminations/t_1/events"] = Answer(200, silent="answer")
        arguments = ["users", "terminate-sessions", "--id", "12", "--follow", "--url", server.url, "--token", "t"]

        def asked(path: str) -> int:
            return sum(request.path == path for request in server.requests)

        with running(tmp_path, *arguments):
            # The follower looks at the termination now and then; that must not begin the stream anew.
            eventually(30, lambda: asked("/v1/terminations/t_1") >= 3)
            assert asked("/v1/terminations/t_1/events") == 1


def test_completions_and_manual_pages_are_written(tmp_path: Path) -> None:
    script = command("completions", "bash")
    assert script.returncode == 0, script.stderr
    checked = subprocess.run(["bash", "-n"], input=script.stdout, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, "")
    asked = 'COMP_WORDS=(lightsout users ""); COMP_CWORD=2; _lightsout lightsout "" users; echo "${COMPREPLY[@]}"'
    offered = subprocess.run(["bash", "-c", f"{script.stdout}\n{asked}"], capture_output=True, text=True, timeout=30)
    assert {"list", "show", "terminate-sessions"} <= set(offered.stdout.split()), offered.stdout + offered.stderr
    assert command("completions", "tcsh").returncode == 2

    folder = tmp_path / "share" / "man1"
    written = command("man", "--dir", folder)
    assert written.returncode == 0, written.stderr
    pages = [Path(line) for line in written.stdout.splitlines()]
    assert sorted(pages) == sorted(folder.iterdir()) and len(pages) > 20
    page = (folder / "lightsout-users-terminate-sessions.1").read_text()
    assert ".TH lightsout-users-terminate-sessions 1" in page and "from\\-file" in page
    main = command("man")
    assert main.returncode == 0 and main.stdout.strip() == (folder / "lightsout.1").read_text().strip()


@pytest.mark.parametrize(("flags", "path", "says"), [
    ((), "/v1/terminations", "some of it may have been accepted: look with: lightsout terminations list"),
    (("--wire", "box"), "/2.0/users/terminate_sessions", "Box may have accepted it, and then it goes on"),
])
def test_interrupt_while_it_is_sent_says_that_it_may_be_accepted(
    flags: tuple[str, ...], path: str, says: str, tmp_path: Path
) -> None:
    with Capture() as server:
        server.answers[f"POST {path}"] = Answer(202, silent="answer")
        arguments = ["users", "terminate-sessions", "--id", "12", *flags, "--url", server.url, "--token", "t"]
        with running(tmp_path, *arguments) as sender:
            eventually(30, lambda: any(request.path == path for request in server.requests))
            assert sender.interrupt() == 130
            assert says in sender.stderr.read_text()


def test_output_that_cannot_be_written_does_not_hide_what_may_be_accepted(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "users", "terminate-sessions", "--login", ann], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, env=environment(tenant))
    assert done.returncode == 1 and len(tenant.termination_ids()) == 1, done.stderr
    assert "cannot write the output" in done.stderr and "look with: lightsout terminations list" in done.stderr
