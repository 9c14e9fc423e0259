"""What was accepted survives: `kill -9`, an unreachable system, and hands in the database."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from harness import RedisServer, Service, Tenant, all_events, eventually, finished, login, redis_cli

PEOPLE = 200


@pytest.fixture
def redis(tmp_path: Path):
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


def redis_system(redis: RedisServer) -> str:
    return (
        f'[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis.url}"\nprefix = "sess:"\n'
        'user_path = "user.login"\nquiet_time_s = 1\ntimeout_s = 5\n'
    )


def sign_in_everywhere(tenant: Tenant, redis: RedisServer, people: dict[str, str]) -> list[str]:
    """Two sessions a person in the registry, one in Redis. The registry's session ids."""
    commands = "".join(f'SET sess:{n} \'{{"user": {{"login": "{who}"}}}}\'\n' for n, who in enumerate(people))
    redis_cli(redis.url, feed=commands)
    assert redis_cli(redis.url, "dbsize") == [str(len(people))]
    sessions = [{"user_id": user_id, "device": device} for user_id in people.values() for device in ("phone", "laptop")]
    with tenant.http(tenant.app_token(tenant.app())) as app:
        reply = app.post("/v1/sessions", json={"sessions": sessions})
    assert reply.status_code == 201, reply.text
    return [session["session_id"] for session in reply.json()["sessions"]]


def active(tenant: Tenant, session_ids: list[str]) -> int:
    with tenant.http(tenant.app_token(tenant.app())) as app:
        replies = [app.post("/oauth2/introspect", data={"token": s}) for s in session_ids]
    return sum(reply.json()["active"] for reply in replies)


def assert_log_is_whole(service: Service, termination: dict, people: dict[str, str]) -> None:
    """No event of the termination is lost or doubled, no position is missing, the chain holds."""
    sql = f"SELECT event_type, body FROM events WHERE termination_id = '{termination['id']}'"
    types = Counter(row[0] for row in service.rows(sql))
    assert types == {
        "SESSION_TERMINATION_REQUESTED": 1,
        "SESSION_TERMINATION_OUTCOME": 2 * len(people),
        "SESSION_TERMINATION_DONE": 1,
    }
    positions = [int(row[0]) for row in service.rows("SELECT position FROM events ORDER BY position")]
    assert positions == list(range(1, len(positions) + 1))
    head = termination["chain_head"]
    verified = service.run("events", "verify", "--expect", f"{head['position']}:{head['hash']}")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_termination_accepted_before_a_crash_completes_after_it(kind: str, make_service, redis: RedisServer) -> None:
    service: Service = make_service(kind, redis_system(redis)).init().start()
    tenant = service.tenant()
    people = tenant.people([login(f"p{n}") for n in range(PEOPLE)], group="Team")
    session_ids = sign_in_everywhere(tenant, redis, people)
    assert active(tenant, session_ids[:3]) == 3
    token, group_id = tenant.developer_token(), tenant.group_id("Team")

    redis.stop()
    with tenant.http(token) as http:
        accepted = http.post("/2.0/groups/terminate_sessions", json={"group_ids": [group_id]})
        service.kill()
    assert accepted.status_code == 202
    redis.start()
    assert redis_cli(redis.url, "dbsize") == [str(PEOPLE)]

    service.start()
    assert active(tenant, session_ids[:3]) == 0
    with tenant.http(token) as http:
        termination = finished(http, accepted.headers["location"], deadline_s=60)
        events = all_events(http)
    assert termination["state"] == "done"
    assert {s["system"]: (s["ended"], s["sessions_ended"]) for s in termination["systems"]} == {
        "registry": (PEOPLE, 2 * PEOPLE),
        "shop": (PEOPLE, PEOPLE),
    }
    assert redis_cli(redis.url, "dbsize") == ["0"]
    outcomes = [e for e in events if e["event_type"] == "SESSION_TERMINATION_OUTCOME"]
    pairs = Counter((e["source"]["id"], e["additional_details"]["system"]) for e in outcomes)
    assert pairs == {(user_id, system): 1 for user_id in people.values() for system in ("registry", "shop")}
    assert len({e["event_id"] for e in events}) == len(events)
    assert_log_is_whole(service, termination, people)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_unreachable_system_holds_up_no_other_and_is_tried_again(kind: str, make_service, redis: RedisServer) -> None:
    service: Service = make_service(kind, redis_system(redis)).init().start()
    tenant = service.tenant()
    people = tenant.people([login("ann"), login("bob")])
    sign_in_everywhere(tenant, redis, people)
    redis.stop()
    with tenant.http() as http:
        accepted = http.post("/v1/terminations", json={"user_ids": list(people.values()), "reason": "test"})
        assert accepted.status_code == 202, accepted.text
        location = accepted.headers["location"]

        def reported() -> bool:
            systems = {s["system"]: s for s in http.get(location).json()["systems"]}
            return systems["registry"]["ended"] == 2 and systems["shop"]["unreachable"] == 2

        eventually(30, reported)
        assert http.get(location).json()["state"] == "running"
        detail = http.get(f"{location}/outcomes", params={"outcome": "unreachable"}).json()["entries"][0]["detail"]
        assert detail and str(redis.port) not in detail
        redis.start()
        termination = finished(http, location, deadline_s=60)
    assert termination["state"] == "done"
    assert redis_cli(redis.url, "dbsize") == ["0"]
    assert_log_is_whole(service, termination, people)


def test_shutdown_with_work_under_way_is_clean_and_the_work_goes_on(make_service, redis: RedisServer) -> None:
    service: Service = make_service("sqlite", redis_system(redis)).init().start()
    tenant = service.tenant()
    people = tenant.people([login("ann"), login("bob")])
    sign_in_everywhere(tenant, redis, people)
    with tenant.http() as http:
        accepted = http.post("/2.0/users/terminate_sessions", json={"user_ids": list(people.values())})
        service.stop()
        service.start()
        termination = finished(http, accepted.headers["location"])
    assert termination["state"] == "done"
    assert_log_is_whole(service, termination, people)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = replace(body, 'example.com', 'example.net') WHERE position = 3",
        "UPDATE events SET recorded_at = recorded_at - 1 WHERE position = 3",
        "UPDATE events SET event_type = 'EDIT_USER' WHERE position = 3",
        "DELETE FROM events WHERE position = 3",
    ],
)
def test_verify_names_the_first_event_that_was_tampered_with(statement: str, make_service) -> None:
    service: Service = make_service().init()
    tenant = service.tenant()
    tenant.people(["ann@example.com", "bob@example.com", "cyd@example.com"])
    assert service.run("events", "verify").returncode == 0
    with sqlite3.connect(service.folder / "lightsout.db") as database:
        assert database.execute(statement).rowcount == 1
    verified = service.run("events", "verify")
    assert verified.returncode == 7
    assert "event 3" in verified.stdout + verified.stderr


def test_verify_against_a_kept_head_finds_a_log_that_was_rewritten_or_cut_off(make_service) -> None:
    service: Service = make_service().init()
    tenant = service.tenant()
    tenant.people(["ann@example.com", "bob@example.com"])
    position, kept = service.rows("SELECT position, chain_hash FROM event_head")[0]
    assert service.run("events", "verify", "--expect", f"{position}:{kept}").returncode == 0
    assert service.run("events", "verify", "--expect", f"{position}:{'0' * 64}").returncode == 7
    assert service.run("events", "verify", "--expect", f"{int(position) + 1}:{kept}").returncode == 7
    with sqlite3.connect(service.folder / "lightsout.db") as database:
        # Cut off the last event, and mend the head as a careful hand would.
        before = database.execute("SELECT chain_hash FROM events WHERE position = ?", (int(position) - 1,)).fetchone()[0]
        database.execute("DELETE FROM events WHERE position = ?", (int(position),))
        database.execute("UPDATE event_head SET position = position - 1, chain_hash = ?", (before,))
    assert service.run("events", "verify").returncode == 0
    assert service.run("events", "verify", "--expect", f"{position}:{kept}").returncode == 7
