"""The command line at Box, played by a server that keeps the requests; and at servers that refuse or are busy."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from capture import TOKEN, Answer, Capture
from harness import ACCEPTED, command

END = ("users", "terminate-sessions")
SAID = f"accepted     Box says: {ACCEPTED}\n"
ANN = {"type": "user", "id": "12", "login": "ann@acme.example", "name": "Ann"}


@pytest.fixture
def box():
    with Capture() as capture:
        yield capture


def ask(box: Capture, *arguments: str | Path, feed: str | None = None) -> CompletedProcess[str]:
    return command(*arguments, "--wire", "box", "--url", box.url, "--token", TOKEN, feed=feed)


def posted(box: Capture) -> list[dict]:
    return [request.json() for request in box.requests if request.method == "POST"]


def knows(box: Capture, *people: dict) -> None:
    """Gives Box these people, by id and in one page of the list."""
    box.answers["GET /2.0/users"] = Answer(200, {"entries": people, "total_count": len(people), "limit": 1000})
    for person in people:
        box.answers[f"GET /2.0/users/{person['id']}"] = Answer(200, person)


def test_box_says_that_it_accepted_and_no_more(box: Capture) -> None:
    done = ask(box, *END, "--id", "12")
    assert (done.returncode, done.stdout, done.stderr) == (0, SAID, "")
    in_json = ask(box, *END, "--id", "12", "--json")
    assert in_json.returncode == 0 and json.loads(in_json.stdout) == {"message": ACCEPTED}
    assert len(box.requests) == len(posted(box)) == 2


def test_following_at_box_gives_no_verdict(box: Capture) -> None:
    box.answers["GET /2.0/events"] = Answer(403, {"code": "access_denied_insufficient_permissions", "message": "no"})
    for whom in [(*END, "--id", "12"), ("groups", "terminate-sessions", "--id", "9", "--yes")]:
        done = ask(box, *whom, "--follow")
        assert done.returncode == 5, done.stdout + done.stderr
        accepted, events, verdict = done.stdout.splitlines()
        assert accepted == SAID.strip() and events.startswith("events       could not be read: ")
        assert verdict == "verdict      unknown: Box does not say whether their sessions have ended"
    in_json = json.loads(ask(box, *END, "--id", "12", "--follow", "--json").stdout)
    assert (in_json["verdict"], in_json["message"], in_json["events"]) == ("unknown", ACCEPTED, [])
    assert "403" in in_json["events_error"], in_json
    assert len(posted(box)) == 3


@pytest.mark.parametrize("flags", [["--reason", "drill"], ["--skip-not-permitted"]])
def test_what_box_lacks_is_refused_before_anything_is_sent(flags: list[str], box: Capture) -> None:
    for whom in [(*END, "--id", "12"), ("groups", "terminate-sessions", "--id", "9")]:
        done = ask(box, *whom, *flags)
        assert done.returncode == 2 and "these need a lightsout service" in done.stderr, done.stderr
    group = ask(box, "groups", "terminate-sessions", "--id", "9", "--skip-unknown")
    assert group.returncode == 2 and "leave an unknown one out yourself" in group.stderr, group.stderr
    assert box.requests == []


def test_address_of_box_itself_needs_no_wire() -> None:
    done = command(*END, "--url", "https://api.box.com/2.0/", "--token", TOKEN, "--id", "12", "--reason", "drill")
    assert done.returncode == 2 and "Box takes no --reason" in done.stderr, done.stderr


def test_dry_run_looks_everybody_up_and_ends_nobody(box: Capture) -> None:
    knows(box, ANN, {"type": "user", "id": "13", "login": "annie@acme.example"})
    done = ask(box, *END, "--id", "13", "--login", "ANN@acme.example", "--dry-run")
    assert done.returncode == 0 and "would end    2 people; nothing was changed" in done.stdout, done.stdout + done.stderr
    assert "sessions     unknown: Box does not list them" in done.stdout
    unknown = ask(box, *END, "--id", "404", "--login", "ghost@acme.example", "--id", "13", "--dry-run")
    assert unknown.returncode == 4 and "would end    1 person" in unknown.stdout, unknown.stdout + unknown.stderr
    for name in ["404", "ghost@acme.example"]:
        assert f"unknown      {name}" in unknown.stdout
    assert posted(box) == []


def test_unknown_people_are_left_out_where_that_is_asked_for(box: Capture) -> None:
    knows(box, ANN)
    whom = ("--login", "ann@acme.example", "--login", "ghost@acme.example", "--id", "404")
    done = ask(box, *END, *whom, "--skip-unknown")
    assert done.returncode == 5 and SAID in done.stdout, done.stderr
    for name in ["404", "ghost@acme.example"]:
        assert f"left out     {name}: not known at Box" in done.stderr, done.stderr
    (body,) = posted(box)
    assert body.get("user_ids", []) == [] and body["user_logins"] == ["ann@acme.example"]
    nobody = ask(box, *END, "--id", "404", "--skip-unknown")
    assert nobody.returncode == 4 and len(posted(box)) == 1, nobody.stderr


def test_group_at_box_is_chosen_by_name_and_its_members_are_counted(box: Capture) -> None:
    groups = [{"type": "group", "id": "9", "name": "Sales"}, {"type": "group", "id": "10", "name": "Sales EMEA"}]
    box.answers["GET /2.0/groups"] = Answer(200, {"entries": groups, "total_count": 2, "limit": 1000})
    members = {"entries": [], "total_count": 11, "limit": 1}
    box.answers["GET /2.0/groups/9/memberships"] = Answer(200, members)
    end = ("groups", "terminate-sessions", "--name")
    wrong = ask(box, *end, "sales", "--yes")
    assert wrong.returncode == 4 and "near: Sales, Sales EMEA" in wrong.stderr, wrong.stderr
    many = ask(box, *end, "Sales")
    assert many.returncode == 2 and "the sessions of 11 people; add --yes" in many.stderr, many.stderr
    dry = ask(box, *end, "Sales", "--dry-run")
    assert dry.returncode == 0 and "would end    11 people" in dry.stdout, dry.stdout
    assert posted(box) == []
    done = ask(box, *end, "Sales", "--yes")
    assert done.returncode == 0 and posted(box) == [{"group_ids": ["9"]}], done.stderr


def test_long_list_is_split_for_box_and_each_answer_is_said(box: Capture) -> None:
    ids = [str(n) for n in range(1, 2_502)]
    feed = "\n".join(ids)
    refused = ask(box, *END, "--from-file", "-", feed=feed)
    assert refused.returncode == 2 and "2,501 people" in refused.stderr and box.requests == [], refused.stderr
    followed = ask(box, *END, "--from-file", "-", "--yes", "--follow", feed=feed)
    assert followed.returncode == 2 and "leave --follow out" in followed.stderr and box.requests == [], followed.stderr
    done = ask(box, *END, "--from-file", "-", "--yes", feed=feed)
    assert done.returncode == 0 and done.stdout == SAID * 3, done.stdout + done.stderr
    parts = sorted((body["user_ids"] for body in posted(box)), key=len, reverse=True)
    assert [len(part) for part in parts] == [1_000, 1_000, 501]
    assert sorted((i for part in parts for i in part), key=int) == ids


@pytest.mark.parametrize("status, code", [(429, "rate_limit_exceeded"), (503, "unavailable")])
@pytest.mark.parametrize("wire", ["box", "lightsout"])
def test_busy_server_has_the_code_of_one_that_cannot_be_reached(wire: str, status: int, code: str, box: Capture) -> None:
    busy = Answer(status, {"type": "error", "status": status, "code": code, "message": "later"}, retry_after_s=3_600)
    for route in ["POST /2.0/users/terminate_sessions", "POST /v1/terminations", "GET /2.0/users/me"]:
        box.answers[route] = busy
    for arguments in [(*END, "--id", "12"), ("whoami",)]:
        done = command(*arguments, "--wire", wire, "--url", box.url, "--token", TOKEN)
        assert done.returncode == 6 and "; try again after 20" in done.stderr, done.stderr
        assert str(status) in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    # What would take an hour is not waited for, and nothing is sent twice.
    assert len(box.requests) == 2


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "null"])
def test_answer_that_is_not_json_is_still_told_by_its_status(body: str, box: Capture) -> None:
    for status, exit_code in [(400, 1), (401, 3), (403, 3), (404, 4)]:
        box.answers["POST /2.0/users/terminate_sessions"] = Answer(status, body)
        done = ask(box, *END, "--id", "12")
        assert done.returncode == exit_code and str(status) in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1 and TOKEN not in done.stderr, done.stderr


@pytest.mark.parametrize("body", ["", "OK"])
def test_accepted_without_a_message_is_accepted(body: str, box: Capture) -> None:
    box.answers["POST /2.0/users/terminate_sessions"] = Answer(202, body)
    done = ask(box, *END, "--id", "12")
    assert done.returncode == 0 and done.stdout.startswith("accepted     "), done.stdout + done.stderr
    assert len(box.requests) == 1
