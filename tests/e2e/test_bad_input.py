"""Every refusal is one clear error, and changes nothing."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path

import httpx
import pytest

from harness import Service, Tenant, free_port, login

USERS, GROUPS = "/2.0/users/terminate_sessions", "/2.0/groups/terminate_sessions"
NOT_JSON = "Supported payload format is JSON"
NO_USERS, NO_GROUPS = "Users can not be NULL or EMPTY", "Groups can not be NULL or EMPTY"


@pytest.fixture(scope="module")
def tenant(service: Service) -> Tenant:
    """One enterprise for this file: no termination is accepted in it."""
    return service.tenant()


@pytest.fixture(scope="module")
def http(tenant: Tenant):
    with tenant.http() as client:
        yield client


def refused(reply: httpx.Response, status: int, code: str) -> dict:
    """Checks that a reply of Box's wire is a whole `ClientError`; the body."""
    body = reply.json()
    assert (reply.status_code, body["status"], body["code"], body["type"]) == (status, status, code, "error"), reply.text
    assert reply.headers["content-type"] == "application/json"
    assert body["request_id"] and body["message"] and body["help_url"]
    assert reply.headers["box-request-id"]
    return body


def unauthorized(reply: httpx.Response) -> None:
    """Checks that a reply is Box's 401: the older Box SDK for Node recognises a dead token by the empty body."""
    assert (reply.status_code, reply.content, reply.headers["content-length"]) == (401, b"", "0"), reply.text
    assert "content-type" not in reply.headers
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]
    assert reply.headers["box-request-id"]


def problem(reply: httpx.Response, status: int, code: str) -> dict:
    """Checks that a reply of our own wire is whole problem details; the body."""
    body = reply.json()
    assert (reply.status_code, body["status"], body["code"]) == (status, status, code), reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert body["request_id"] and body["detail"] and body["title"]
    return body


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (USERS, b"not json", NOT_JSON),
        (USERS, b"user_ids=1", NOT_JSON),
        (USERS, b'{"user_ids": ["1"', NOT_JSON),
        (USERS, b"\xff\xfe", NOT_JSON),
        (USERS, b"[]", NOT_JSON),
        (USERS, b'"1"', NOT_JSON),
        (USERS, b"", NO_USERS),
        (USERS, b"null", NO_USERS),
        (USERS, b"{}", NO_USERS),
        (USERS, b'{"user_ids": []}', NO_USERS),
        (USERS, b'{"user_ids": [], "user_logins": []}', NO_USERS),
        (USERS, b'{"user_ids": null, "user_logins": null}', NO_USERS),
        (USERS, b'{"userIDs": ["1"]}', NO_USERS),
        (USERS, b'{"user_ids": [1]}', "User id format is string"),
        (USERS, b'{"user_ids": [null]}', "User id format is string"),
        (USERS, b'{"user_ids": [""]}', "User id format is string"),
        (USERS, b'{"user_ids": "1"}', "User id format is string"),
        (USERS, b'{"user_ids": {"1": 2}}', "User id format is string"),
        (GROUPS, b"not json", NOT_JSON),
        (GROUPS, b"", NO_GROUPS),
        (GROUPS, b'{"group_ids": []}', NO_GROUPS),
        (GROUPS, b'{"group_ids": null}', NO_GROUPS),
        (GROUPS, b'{"group_ids": [1]}', "group id format is string"),
        (GROUPS, b'{"group_ids": "1"}', "group id format is string"),
    ],
)
def test_body_that_names_nobody_rightly_is_refused_in_box_s_words(
    path: str, content: bytes, message: str, http: httpx.Client, tenant: Tenant
) -> None:
    reply = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert refused(reply, 400, "bad_request")["message"] == message
    assert tenant.termination_ids() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_ids": []},
        {"user_ids": [1]},
        {"user_ids": "1"},
        {"users": ["1"]},
        {"user_ids": ["1"], "dry_run": "yes"},
        {"user_ids": ["1"], "reason": "x" * 501},
        [],
        None,
    ],
)
def test_own_wire_refuses_the_same_as_problem_details(body: object, http: httpx.Client, tenant: Tenant) -> None:
    problem(http.post("/v1/terminations", json=body), 400, "bad_request")
    assert tenant.termination_ids() == []


def test_more_than_ten_thousand_entries_are_refused(http: httpx.Client, tenant: Tenant) -> None:
    ids = [str(n) for n in range(10_001)]
    assert "10000" in refused(http.post(USERS, json={"user_ids": ids}), 400, "bad_request")["message"].replace(",", "")
    half = {"user_ids": ids[:5_001], "logins": ids[:5_000]}
    problem(http.post("/v1/terminations", json=half), 400, "bad_request")
    reply = refused(http.post(USERS, json={"user_ids": ids[:10_000]}), 404, "not_found")
    assert len(reply["context_info"]["errors"]) == 10_000
    assert tenant.termination_ids() == []


def test_unknown_and_foreign_ids_are_the_same_404(http: httpx.Client, service: Service, tenant: Tenant) -> None:
    stranger = service.tenant()
    theirs = login("theirs")
    their_id = stranger.people([theirs], group="Theirs")[theirs]
    ours = login("ours")
    our_id = tenant.people([ours])[ours]
    for body, named in [
        ({"user_ids": [our_id, their_id, "404404"]}, {their_id, "404404"}),
        ({"user_logins": [ours, theirs, "nobody@example.com"]}, {theirs, "nobody@example.com"}),
    ]:
        reply = refused(http.post(USERS, json=body), 404, "not_found")
        assert {e["value"] for e in reply["context_info"]["errors"]} == named
    their_group = stranger.group_id("Theirs")
    reply = refused(http.post(GROUPS, json={"group_ids": [their_group]}), 404, "not_found")
    assert [e["value"] for e in reply["context_info"]["errors"]] == [their_group]
    for path in [f"/2.0/users/{their_id}", f"/2.0/groups/{their_group}", f"/2.0/groups/{their_group}/memberships"]:
        refused(http.get(path), 404, "not_found")
    refused(http.delete(f"/2.0/users/{their_id}"), 404, "not_found")
    assert tenant.termination_ids() == stranger.termination_ids() == []


def test_foreign_terminations_and_sessions_are_not_found(http: httpx.Client, service: Service, tenant: Tenant) -> None:
    stranger = service.tenant()
    theirs = login("theirs")
    stranger.people([theirs])
    with stranger.http() as their_http, stranger.http(stranger.app_token(stranger.app())) as their_app:
        location = their_http.post(USERS, json={"user_logins": [theirs]}).headers["location"]
        session = their_app.post("/v1/sessions", json={"sessions": [{"login": theirs}]}).json()["sessions"][0]
    for path in [location, f"{location}/outcomes", f"{location}/events"]:
        problem(http.get(path), 404, "not_found")
    with tenant.http(tenant.app_token(tenant.app())) as app:
        problem(app.delete(f"/v1/sessions/{session['id']}"), 404, "not_found")
        assert app.post("/oauth2/introspect", data={"token": session["session_id"]}).json() == {"active": False}


@pytest.mark.parametrize("path", [USERS, "/v1/terminations"])
def test_body_over_the_limit_is_413(path: str, http: httpx.Client, tenant: Tenant) -> None:
    reply = http.post(path, json={"user_ids": ["1" * (3 * 1024 * 1024)]})
    assert reply.status_code == 413
    assert reply.json()["status"] == 413
    assert tenant.termination_ids() == []


@pytest.mark.parametrize("authorization", [None, "Bearer no-such-token", "Bearer", "Basic dXNlcjpwYXNz", "Bearer a b"])
def test_call_without_a_valid_token_is_401(authorization: str | None, service: Service) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for path in [USERS, "/v1/terminations"]:
        reply = httpx.post(f"{service.url}{path}", json={"user_ids": ["1"]}, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Bearer ")
        if path.startswith("/2.0"):
            unauthorized(reply)
        else:
            problem(reply, 401, "unauthorized")


def test_expired_token_is_401(service: Service) -> None:
    tenant = service.tenant()
    token = tenant.developer_token()
    expire = "UPDATE tokens SET expires_at = 1 WHERE user_id = '%s' RETURNING user_id" % tenant.admin_id
    assert tenant.service.rows(expire)
    with tenant.http(token) as http:
        reply = http.post(USERS, json={"user_ids": ["1"]})
    unauthorized(reply)


def test_revoked_token_is_401(tenant: Tenant) -> None:
    app = tenant.app()
    token = tenant.app_token(app)
    form = {"client_id": app.client_id, "client_secret": app.client_secret, "token": token}
    assert httpx.post(f"{tenant.service.url}/oauth2/revoke", data=form).status_code == 200
    with tenant.http(token) as http:
        unauthorized(http.post(USERS, json={"user_ids": ["1"]}))


@pytest.mark.parametrize(
    ("scope", "method", "path", "body"),
    [
        ("manage_groups", "POST", USERS, {"user_ids": ["1"]}),
        ("manage_managed_users", "POST", GROUPS, {"group_ids": ["1"]}),
        ("manage_managed_users", "GET", "/2.0/events?stream_type=admin_logs", None),
        ("manage_groups", "GET", "/2.0/users", None),
        ("manage_managed_users", "GET", "/2.0/groups", None),
        ("manage_managed_users", "POST", "/2.0/groups", {"name": "Team"}),
    ],
)
def test_wrong_scope_is_403(scope: str, method: str, path: str, body: dict | None, tenant: Tenant) -> None:
    with tenant.http(tenant.developer_token(scopes=[scope])) as http:
        refused(http.request(method, path, json=body), 403, "insufficient_scope")


def test_app_without_the_right_reaches_no_session(tenant: Tenant) -> None:
    with tenant.http(tenant.app_token(tenant.app(rights=[]))) as app:
        for reply in [
            app.post("/v1/sessions", json={"sessions": [{"login": "x@example.com"}]}),
            app.get("/v1/sessions", params={"user_id": "1"}),
            app.delete("/v1/sessions/none"),
        ]:
            problem(reply, 403, "access_denied_insufficient_permissions")
        reply = app.post("/oauth2/introspect", data={"token": "none"})
        assert (reply.status_code, reply.json()["error"]) == (403, "insufficient_scope")
        assert reply.json()["context_info"] == {"missing": {"right": "introspect"}}


@pytest.mark.parametrize(
    "session",
    [
        {},
        {"user_id": "404404"},
        {"user_id": 1},
        {"login": "nobody@example.com"},
        {"login": "{ann}", "session_id": "short"},
        {"login": "{ann}", "session_id": "x" * 513},
        {"login": "{ann}", "began_at": "yesterday"},
        {"login": "{ann}", "began_at": "2999-01-01T00:00:00Z"},
        {"login": "{ann}", "expires_at": "2001-01-01T00:00:00Z"},
        {"login": "{ann}", "colour": "red"},
    ],
)
def test_batch_with_one_wrong_session_registers_none(session: dict, tenant: Tenant) -> None:
    ann = login("ann")
    ann_id = tenant.people([ann])[ann]
    filled = {key: ann if value == "{ann}" else value for key, value in session.items()}
    with tenant.http(tenant.app_token(tenant.app())) as app:
        reply = app.post("/v1/sessions", json={"sessions": [{"login": ann}, filled]})
        assert reply.status_code in (400, 404), reply.text
        problem(reply, reply.status_code, "not_found" if reply.status_code == 404 else "bad_request")
        assert app.get("/v1/sessions", params={"user_id": ann_id}).json()["entries"] == []


def test_batch_over_a_thousand_sessions_is_refused(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    with tenant.http(tenant.app_token(tenant.app())) as app:
        problem(app.post("/v1/sessions", json={"sessions": [{"login": ann}] * 1_001}), 400, "bad_request")
        problem(app.post("/v1/sessions", json={"sessions": []}), 400, "bad_request")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", USERS, {"user_ids": ["1\0"]}),
        ("POST", USERS, {"user_logins": ["\0@example.com"]}),
        ("POST", GROUPS, {"group_ids": ["\0"]}),
        ("POST", "/v1/terminations", {"user_ids": ["1\0"]}),
        ("POST", "/v1/terminations", {"user_ids": ["1\0"], "skip_unknown": True}),
        ("POST", "/v1/terminations", {"user_ids": ["{ann}"], "reason": "\0"}),
        ("POST", "/v1/sessions", {"sessions": [{"login": "\0"}]}),
        ("POST", "/v1/sessions", {"sessions": [{"user_id": "\0"}]}),
        ("POST", "/v1/sessions", {"sessions": [{"user_id": "{ann}", "session_id": "0123456789abcdef\0"}]}),
        ("POST", "/v1/sessions", {"sessions": [{"user_id": "{ann}", "device": "\0", "address": "\0"}]}),
        ("POST", "/2.0/users", {"name": "Ann\0", "login": "ann2@example.com"}),
        ("POST", "/2.0/users", {"name": "Ann", "login": "ann2\0@example.com"}),
        ("POST", "/2.0/users", {"name": "Ann", "login": "{new}", "external_app_user_id": "\0"}),
        ("POST", "/2.0/users", {"name": "Ann", "login": "{new}", "job_title": "\0", "\0": 1}),
        ("PUT", "/2.0/users/{ann}", {"job_title": "\0", "external_app_user_id": "\0"}),
        ("POST", "/2.0/groups", {"name": "Team\0"}),
        ("POST", "/2.0/groups", {"name": "Team", "description": "\0"}),
        ("POST", "/2.0/group_memberships", {"user": {"id": "{ann}"}, "group": {"id": "\0"}}),
        ("GET", "/2.0/users/%00", None),
        ("GET", "/2.0/groups/%00/memberships", None),
        ("GET", "/2.0/users?filter_term=%00", None),
        ("GET", "/2.0/users?usemarker=true&marker=%00", None),
        ("GET", "/2.0/events?stream_type=admin_logs&event_type=%00", None),
        ("GET", "/v1/terminations/%00", None),
        ("GET", "/v1/terminations?marker=%00", None),
        ("DELETE", "/v1/sessions/%00", None),
    ],
)
def test_nul_character_is_no_server_error(
    method: str, path: str, body: dict | None, ann_and_app: tuple[str, httpx.Client]
) -> None:
    """PostgreSQL has no such character in a text; SQLite has."""
    ann_id, app = ann_and_app
    text = json.dumps(body).replace("{ann}", ann_id).replace("{new}", login("new"))
    reply = app.request(method, path.replace("{ann}", ann_id), content=text if body else None)
    assert reply.status_code < 500, reply.text


@pytest.fixture(scope="module")
def ann_and_app(service: Service):
    """The id of a user, and the HTTP client of an app with every right on the registry."""
    tenant, ann = service.tenant(), login("ann")
    ann_id = tenant.people([ann])[ann]
    with tenant.http(tenant.app_token(tenant.app())) as client:
        yield ann_id, client


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=10001", "usemarker=maybe", "limit=1&limit=2"],
)
def test_wrong_paging_is_400(query: str, http: httpx.Client) -> None:
    code = {"limit": "invalid_limit", "offset": "invalid_offset"}.get(query.split("=")[0], "bad_request")
    refused(http.get(f"/2.0/users?{query}"), 400, code)


@pytest.mark.parametrize(
    "query",
    ["", "stream_type=all", "stream_type=admin_logs&limit=501", "stream_type=admin_logs&stream_position=x",
     "stream_type=admin_logs&created_after=yesterday"],
)
def test_wrong_event_query_is_400(query: str, http: httpx.Client) -> None:
    refused(http.get(f"/2.0/events?{query}"), 400, "invalid_limit" if "limit=" in query else "bad_request")


def test_unknown_route_and_method_are_json_errors(http: httpx.Client) -> None:
    refused(http.get("/2.0/files"), 404, "not_found")
    reply = http.get(USERS.replace("users", "groups"))
    assert reply.status_code in (404, 405)
    reply = http.put(USERS, json={})
    refused(reply, 405, "method_not_allowed")
    assert reply.headers["allow"]
    problem(http.get("/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("version", ["2023.0", "2024.0,2025.0", ""])
def test_other_box_versions_are_refused(version: str, http: httpx.Client) -> None:
    refused(http.get("/2.0/users/me", headers={"box-version": version}), 400, "invalid_api_version")
    assert http.get("/2.0/users/me", headers={"box-version": "2024.0"}).status_code == 200


def test_taken_login_and_group_name_are_conflicts(http: httpx.Client) -> None:
    body = {"name": "Ann", "login": login("ann")}
    assert http.post("/2.0/users", json=body).status_code == 201
    refused(http.post("/2.0/users", json=body | {"login": body["login"].upper()}), 409, "user_login_already_used")
    assert http.post("/2.0/groups", json={"name": "Team"}).status_code == 201
    refused(http.post("/2.0/groups", json={"name": "team"}), 409, "invalid_parameter")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"client_id": "{id}", "client_secret": "{secret}"}, "invalid_request"),
        ({"grant_type": "password", "client_id": "{id}", "client_secret": "{secret}"}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "{id}", "client_secret": "{secret}"}, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "{id}", "client_secret": "wrong",
          "box_subject_type": "enterprise", "box_subject_id": "1"}, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "{id}", "client_secret": "{secret}",
          "box_subject_type": "enterprise", "box_subject_id": "404404"}, "invalid_grant"),
        ({"grant_type": "client_credentials", "client_id": "{id}", "client_secret": "{secret}",
          "box_subject_type": "user", "box_subject_id": "1"}, "unauthorized_client"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_id": "{id}", "client_secret": "{secret}",
          "assertion": "a.b.c"}, "invalid_grant"),
    ],
)
def test_refused_token_request_says_why_in_oauth_words(form: dict, error: str, tenant: Tenant) -> None:
    app = tenant.app()
    filled = {k: v.replace("{id}", app.client_id).replace("{secret}", app.client_secret) for k, v in form.items()}
    reply = httpx.post(f"{tenant.service.url}/oauth2/token", data=filled)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"] == error
    assert reply.json()["error_description"]


def test_caller_over_the_quota_waits_a_whole_number_of_seconds(make_service) -> None:
    service: Service = make_service(more="[limits]\ncalls_per_minute = 3\ntoken_requests_per_minute = 2\n").init().start()
    tenant = service.tenant()
    with tenant.http() as http:
        replies = [http.get("/2.0/users/me") for _ in range(4)]
    assert [r.status_code for r in replies] == [200, 200, 200, 429]
    refused(replies[3], 429, "rate_limit_exceeded")
    assert 1 <= int(replies[3].headers["retry-after"]) <= 60
    replies = [httpx.post(f"{service.url}/oauth2/token", data={}) for _ in range(3)]
    assert [r.status_code for r in replies] == [400, 400, 429]
    assert int(replies[2].headers["retry-after"]) >= 1


# Start and set-up


def fails_to_serve(service: Service) -> str:
    """Checks that the service does not start; what it says."""
    done = service.run("serve")
    assert done.returncode not in (0, None)
    assert "panicked" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("line", "unknown", "nearest"),
    [
        ("[limits]\ncals_per_minute = 1\n", "cals_per_minute", "calls_per_minute"),
        ("[sytems]\nname = 1\n", "sytems", "systems"),
        ('[[systems]]\nname = "shop"\nkind = "redis"\nurl = "redis://127.0.0.1"\nuser_pat = "a"\n', "user_pat", "user_path"),
    ],
)
def test_unknown_configuration_key_is_named_with_its_nearest(line: str, unknown: str, nearest: str, tmp_path: Path) -> None:
    said = fails_to_serve(Service(tmp_path, f"sqlite:{tmp_path / 'lightsout.db'}", line))
    assert unknown in said and nearest in said
    assert not (tmp_path / "lightsout.db").exists()


def test_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fails_to_serve(Service(tmp_path, f"sqlite:{tmp_path / 'lightsout.db'}", port=port))
    assert str(port) in said


def test_open_address_without_tls_or_proxy_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, f"sqlite:{tmp_path / 'lightsout.db'}")
    service.config.write_text(f'[server]\nlisten = "0.0.0.0:{free_port()}"\n')
    said = fails_to_serve(service)
    assert "tls" in said and "behind_proxy" in said


def test_database_of_a_newer_binary_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, f"sqlite:{tmp_path / 'lightsout.db'}").init()
    with sqlite3.connect(tmp_path / "lightsout.db") as database:
        database.execute("INSERT INTO schema_migrations (number, oldest_binary) VALUES (999, 999)")
    said = fails_to_serve(service)
    assert "too old" in said and "999" in said


def test_database_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    said = fails_to_serve(Service(tmp_path, f"postgres://nobody:hunter2@127.0.0.1:{free_port()}/none"))
    assert "database" in said
    assert "hunter2" not in said


def test_init_writes_a_configuration_that_explains_itself(tmp_path: Path) -> None:
    service = Service(tmp_path, "sqlite:lightsout.db")
    service.config.unlink()
    service.init()
    written = service.config.read_text()
    assert "[server]" in written and "#" in written
    assert (tmp_path / "lightsout.db").exists()
    assert service.init().config.read_text() == written


@pytest.mark.parametrize(
    "arguments",
    [
        ("enterprise", "--name", "X", "--admin-login", "{admin}", "--admin-name", "Ada"),
        ("app", "--enterprise", "404404", "--name", "x"),
        ("app", "--enterprise", "{enterprise}", "--name", "x", "--scope", "root_readwrite"),
        ("app", "--enterprise", "{enterprise}", "--name", "x", "--right", "everything"),
        ("token", "--login", "nobody@example.com"),
        ("key", "--client-id", "none", "--public-key", "none.pem"),
        ("import", "--enterprise", "{enterprise}", "none.csv"),
    ],
)
def test_wrong_set_up_is_refused_with_a_reason(arguments: tuple[str, ...], tenant: Tenant) -> None:
    names = {"admin": tenant.admin_login, "enterprise": tenant.enterprise_id}
    done = tenant.service.run("admin", *(a.format(**names) for a in arguments), "--json")
    assert done.returncode != 0
    assert done.stderr.strip() and "panicked" not in done.stderr
    assert not done.stdout.strip() or json.loads(done.stdout)
