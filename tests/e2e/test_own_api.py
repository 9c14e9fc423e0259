"""The service's own interface: terminations, sessions, introspection, probes, the command line."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from harness import SCOPES, Service, Tenant, all_events, finished, login


@pytest.fixture
def app(tenant: Tenant):
    """The HTTP client of an app with every right on the registry."""
    with tenant.http(tenant.app_token(tenant.app())) as client:
        yield client


def register(app: httpx.Client, *sessions: dict) -> list[dict]:
    reply = app.post("/v1/sessions", json={"sessions": list(sessions)})
    assert reply.status_code == 201, reply.text
    return reply.json()["sessions"]


def is_active(app: httpx.Client, session_id: str) -> bool:
    reply = app.post("/oauth2/introspect", data={"token": session_id})
    assert reply.status_code == 200, reply.text
    if not reply.json()["active"]:
        assert reply.json() == {"active": False}
    return reply.json()["active"]


def stream(http: httpx.Client, path: str, headers: dict[str, str] | None = None) -> list[tuple[int, dict]]:
    """The events of a stream until it ends."""
    events, position = [], 0
    with http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("id:"):
                position = int(line.removeprefix("id:"))
            elif line.startswith("data:"):
                events.append((position, json.loads(line.removeprefix("data:"))))
    return events


def test_registered_session_is_refused_from_the_202_on(tenant: Tenant, app: httpx.Client) -> None:
    ann, bob = login("ann"), login("bob")
    people = tenant.people([ann, bob])
    own_id = f"the-app-s-own-{uuid.uuid4().hex}"
    ended, owned, spared = register(
        app, {"login": ann.upper(), "device": "phone"}, {"user_id": people[ann], "session_id": own_id}, {"login": bob}
    )
    assert ended["user_id"] == owned["user_id"] == people[ann]
    assert is_active(app, ended["session_id"]) and is_active(app, own_id) and is_active(app, spared["session_id"])
    with tenant.http() as http:
        reply = http.post("/2.0/users/terminate_sessions", json={"user_ids": [people[ann]]})
        assert reply.status_code == 202
        assert "retry-after" not in reply.headers
        assert not is_active(app, ended["session_id"]) and not is_active(app, own_id)
        assert is_active(app, spared["session_id"])
        termination = finished(http, reply.headers["location"])
    assert termination["state"] == "done"
    assert termination["systems"][0]["sessions_ended"] == 2
    listed = app.get("/v1/sessions", params={"user_id": people[ann]}).json()
    assert listed["entries"] == []


def test_late_and_repeated_registrations_revive_nothing(tenant: Tenant, app: httpx.Client) -> None:
    ann = login("ann")
    own_id = f"the-app-s-own-{uuid.uuid4().hex}"
    began_at = "2020-01-02T03:04:05Z"
    tenant.people([ann])
    assert register(app, {"login": ann, "session_id": own_id})[0]["state"] == "active"
    with tenant.http() as http:
        reply = http.post("/2.0/users/terminate_sessions", json={"user_logins": [ann]})
        finished(http, reply.headers["location"])
    repeated, late = register(app, {"login": ann, "session_id": own_id}, {"login": ann, "began_at": began_at})
    assert (repeated["state"], late["state"]) == ("ended", "ended")
    assert not is_active(app, own_id)


def test_one_session_is_ended_by_its_handle(tenant: Tenant, app: httpx.Client) -> None:
    ann = login("ann")
    tenant.people([ann])
    phone, laptop = register(app, {"login": ann, "device": "phone"}, {"login": ann, "device": "laptop"})
    assert app.delete(f"/v1/sessions/{phone['id']}").status_code == 204
    assert not is_active(app, phone["session_id"])
    assert is_active(app, laptop["session_id"])
    listed = app.get("/v1/sessions", params={"user_id": phone["user_id"]}).json()["entries"]
    assert [(s["id"], s["device"]) for s in listed] == [(laptop["id"], "laptop")]


def test_deleted_and_deactivated_users_lose_their_sessions(tenant: Tenant, app: httpx.Client) -> None:
    logins = [login("ann"), login("bob")]
    people = tenant.people(logins)
    ann, bob = register(app, *({"login": who} for who in logins))
    with tenant.http() as http:
        assert http.put(f"/2.0/users/{people[logins[0]]}", json={"status": "inactive"}).status_code == 200
        assert http.delete(f"/2.0/users/{people[logins[1]]}").status_code == 204
    assert not is_active(app, ann["session_id"])
    assert not is_active(app, bob["session_id"])
    assert len(tenant.termination_ids()) == 2


def test_termination_is_followed_as_a_stream_that_resumes(tenant: Tenant) -> None:
    people = tenant.people([login("ann"), login("bob")])
    with tenant.http() as http:
        reply = http.post("/v1/terminations", json={"user_ids": list(people.values()), "reason": "left the company"})
        assert reply.status_code == 202
        assert reply.json()["reason"] == "left the company"
        path = f"{reply.headers['location']}/events"
        events = stream(http, path)
        types = [event["event_type"] for _, event in events]
        assert types[0] == "SESSION_TERMINATION_REQUESTED"
        assert types[-1] == "SESSION_TERMINATION_DONE"
        assert types.count("SESSION_TERMINATION_OUTCOME") == 2
        assert stream(http, path, {"Last-Event-ID": str(events[1][0])}) == events[2:]


def test_same_idempotency_key_names_the_same_termination(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    headers = {"Idempotency-Key": "k1"}
    with tenant.http() as http:
        first = http.post("/v1/terminations", json={"logins": [ann]}, headers=headers)
        second = http.post("/v1/terminations", json={"logins": [ann]}, headers=headers)
        other = http.post("/v1/terminations", json={"logins": [ann], "reason": "x"}, headers=headers)
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert other.status_code == 409
    assert len(tenant.termination_ids()) == 1


def test_unknown_and_forbidden_entries_are_skipped_where_the_caller_asks(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    body = {"logins": [ann, "nobody@example.com"], "user_ids": [tenant.admin_id], "group_ids": ["404404"]}
    with tenant.http(tenant.app_token(tenant.app())) as http:
        assert http.post("/v1/terminations", json=body).status_code == 404
        assert http.post("/v1/terminations", json=body | {"skip_unknown": True}).status_code == 403
        reply = http.post("/v1/terminations", json=body | {"skip_unknown": True, "skip_not_permitted": True})
    assert reply.status_code == 202
    assert reply.json()["people"] == 1
    assert sorted((s["kind"], s["value"], s["reason"]) for s in reply.json()["skipped"]) == [
        ("group_id", "404404", "unknown"),
        ("login", "nobody@example.com", "unknown"),
        ("user_id", tenant.admin_id, "not_permitted"),
    ]


def test_import_repeated_changes_nothing_and_names_the_lines_it_rejects(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    file = tenant.service.folder / f"{ann}.csv"
    file.write_text(f"login,name,role,groups\n{ann},Ann,user,Team;Sales\n,nobody,user,\n{bob},Bob,owner,Team\n")
    with tenant.http() as http:
        before = len(all_events(http))
        for _ in range(2):
            done = tenant.service.run("admin", "import", "--enterprise", tenant.enterprise_id, str(file), "--json")
            assert "3" in done.stdout and "4" in done.stdout, done.stdout
        made = [e["event_type"] for e in all_events(http)[before:]]
    assert sorted(made) == ["GROUP_ADD_USER", "GROUP_ADD_USER", "GROUP_CREATION", "GROUP_CREATION", "NEW_USER"]


def test_probes_answer_and_metrics_count_requests(service: Service) -> None:
    assert httpx.get(f"{service.url}/healthz").status_code == 200
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    metrics = httpx.get(f"{service.url}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "lightsout_http_request_seconds" in metrics.text


def test_log_holds_no_tokens_logins_or_session_ids(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    token = tenant.app_token(tenant.app(scopes=SCOPES))
    with tenant.http(token) as http:
        session_id = register(http, {"login": ann})[0]["session_id"]
        reply = http.post("/2.0/users/terminate_sessions", json={"user_logins": [ann]})
        finished(http, reply.headers["location"])
    log = tenant.service.log.read_text()
    for secret in [token, ann, session_id]:
        assert secret not in log


def test_database_holds_no_token_secret_or_session_id_in_clear(make_service) -> None:
    service: Service = make_service().init().start()
    tenant = service.tenant()
    app = tenant.app()
    token = tenant.app_token(app)
    with tenant.http(token) as http:
        tenant.people(["ann@example.com"])
        session_id = register(http, {"login": "ann@example.com"})[0]["session_id"]
    service.stop()
    files = [file.read_bytes() for file in service.folder.glob("lightsout.db*")]
    assert any(b"ann@example.com" in content for content in files)
    for secret in [token, app.client_secret, session_id]:
        assert not any(secret.encode() in content for content in files)
