"""What the managers and auth classes of Box's SDKs do with tokens: they request, refresh, narrow and revoke them, and
get new ones after a 401 without a body. The SDKs are unmodified, and know nothing but the addresses."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from box_sdk_gen import BoxAPIError, BoxCCGAuth, BoxClient, BoxJWTAuth, BoxOAuth, CCGConfig, JWTConfig
from box_sdk_gen import NetworkSession, OAuthConfig
from box_sdk_gen.managers.authorization import AuthorizeUserResponseType, RequestAccessTokenGrantType
from box_sdk_gen.networking.base_urls import BaseUrls
from box_sdk_gen.schemas.access_token import AccessToken

from capture import Answer, Capture
from harness import HERE, App, Tenant
from pages import session_of
from test_python_sdk import jwt_config

# Generated from Box's specification: boxsdk 10 (Python), box-node-sdk 10, and box-typescript-sdk-gen 1 before it.
GENERATED = ["boxsdk", "box-node-sdk", "box-typescript-sdk-gen"]
# box-node-sdk 3, the generation before those, written by hand.
OLDER = "box-node-sdk-3"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


# What an SDK sends


@dataclass
class Sent:
    """A request and its answer; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]
    status: int
    answer_headers: dict[str, str]
    answer: bytes

    def __str__(self) -> str:
        grant = self.form.get("grant_type", "").rpartition(":")[2]
        return " ".join(filter(None, [self.method, self.path, grant, str(self.status)]))


class Relay:
    """Stands between an SDK and a server, passes everything on, and keeps it."""

    def __init__(self, url: str) -> None:
        self.sent: list[Sent] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self, urlsplit(url).netloc))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def take(self) -> list[Sent]:
        """What was sent since it was asked last."""
        taken, self.sent = self.sent, []
        return taken

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def handler(relay: Relay, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            connection = HTTPConnection(host, timeout=60)
            connection.putrequest(self.command, self.path, skip_accept_encoding=True)
            for name, value in headers.items():
                if name not in ("host", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            reply = connection.getresponse()
            answer = reply.read()
            connection.close()
            is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
            form = dict(parse_qsl(body.decode())) if is_form else {}
            answer_headers = {name.lower(): value for name, value in reply.getheaders()}
            relay.sent.append(Sent(self.command, self.path, headers, form, reply.status, answer_headers, answer))
            self.send_response_only(reply.status)
            for name, value in answer_headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = pass_on

        def log_message(self, *_: object) -> None:
            """Says nothing: what matters is kept."""

    return Handler


# The SDKs


@dataclass
class Refused(Exception):
    """An error of an SDK."""

    status: int | None
    code: str | None
    expired: bool
    message: str


class PythonSdk:
    """boxsdk, with the operations of `node/sdk_managers.js`."""

    def connect(self, url: str, way: str, client_id: str, client_secret: str, enterprise_id: str, **given: str) -> None:
        if way == "oauth":
            self.auth = BoxOAuth(OAuthConfig(client_id, client_secret))
        elif way == "ccg":
            self.auth = BoxCCGAuth(CCGConfig(client_id, client_secret, enterprise_id=enterprise_id))
        else:
            self.auth = BoxJWTAuth(JWTConfig.from_config_json_string(given["jwt_config"]))
        self.session = NetworkSession(base_urls=BaseUrls(base_url=url, upload_url=url, oauth_2_url=f"{url}/api/oauth2"))
        self.client = BoxClient(auth=self.auth, network_session=self.session)

    def me(self) -> str:
        return self.client.users.get_user_me().id

    def manager_authorize(self, client_id: str) -> None:
        self.client.authorization.authorize_user(AuthorizeUserResponseType.CODE, client_id)

    def manager_request(self, grant_type: str, **fields: str) -> dict:
        return pair(self.client.authorization.request_access_token(RequestAccessTokenGrantType(grant_type), **fields))

    def manager_refresh(self, **fields: str) -> dict:
        return pair(self.client.authorization.refresh_access_token(**fields))

    def manager_revoke(self, **fields: str) -> None:
        self.client.authorization.revoke_access_token(**fields)

    def exchange(self, code: str) -> dict:
        return pair(self.auth.get_tokens_authorization_code_grant(code, network_session=self.session))

    def refresh(self) -> dict:
        return pair(self.auth.refresh_token(network_session=self.session))

    def downscope(self, scopes: list[str]) -> dict:
        return pair(self.auth.downscope_token(scopes, network_session=self.session))

    def revoke(self) -> None:
        self.auth.revoke_token(network_session=self.session)

    def stored(self) -> dict | None:
        token = self.auth.token_storage.get()
        return token and pair(token)

    def store(self, **token: str) -> None:
        self.auth.token_storage.store(AccessToken(**token))

    def ask(self, op: str, **given: object):
        try:
            return getattr(self, op)(**given)
        except BoxAPIError as error:
            info = error.response_info
            raise Refused(info.status_code, info.body.get("error"), False, error.message) from error

    def stop(self) -> None:
        """It runs in this process."""


def pair(token: AccessToken) -> dict:
    return {"access_token": token.access_token, "refresh_token": token.refresh_token}


class NodeSdk:
    """`node/sdk_managers.js` with one of its packages, a line in and a line out."""

    def __init__(self, package: str) -> None:
        command = ["node", str(HERE / "node" / "sdk_managers.js"), package]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, op: str, **given: object):
        self.process.stdin.write(json.dumps({"op": op, **given}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.process.wait(timeout=20)}"
        reply = json.loads(line)
        if "refused" in reply:
            raise Refused(**reply["refused"])
        return reply["value"]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Client:
    """A client of one SDK, whose requests are kept."""

    def __init__(self, sdk: PythonSdk | NodeSdk, relay: Relay) -> None:
        self.sdk = sdk
        self.relay = relay

    def ask(self, op: str, **given: object):
        return self.sdk.ask(op, **given)

    def refused(self, op: str, **given: object) -> Refused:
        with pytest.raises(Refused) as refused:
            self.ask(op, **given)
        return refused.value

    def took(self) -> list[str]:
        """The requests since it was asked last, each with the grant type and the status of the answer."""
        return [str(sent) for sent in self.relay.take()]


# The app, and who signs in at it


@pytest.fixture
def app(tenant: Tenant) -> App:
    return tenant.app("--redirect-uri", "http://127.0.0.1/callback", "--box-audience")


@pytest.fixture(scope="session")
def idle() -> Iterator[defaultdict[str, list[PythonSdk | NodeSdk]]]:
    """The SDKs that no test uses now: a process of Node takes a while to start."""
    idle: defaultdict[str, list[PythonSdk | NodeSdk]] = defaultdict(list)
    yield idle
    for sdk in chain(*idle.values()):
        sdk.stop()


@pytest.fixture
def connect(tenant: Tenant, app: App, key_pair, idle) -> Iterator[Callable[..., Client]]:
    """Makes clients of the app: of its service account, or of whoever signs in."""
    used: list[tuple[str, Client]] = []

    def make(package: str, way: str, url: str = tenant.service.url, file: Path | None = None) -> Client:
        sdk = idle[package].pop() if idle[package] else PythonSdk() if package == "boxsdk" else NodeSdk(package)
        client = Client(sdk, Relay(url))
        used.append((package, client))
        given = {"url": client.relay.url, "way": way, "enterprise_id": tenant.enterprise_id, **credentials(app)}
        if way == "jwt":
            given["jwt_config"] = jwt_config(tenant, app, key_pair)
        if file:
            given["file"] = str(file)
        client.ask("connect", **given)
        return client

    yield make
    for package, client in used:
        client.relay.stop()
        idle[package].append(client.sdk)


@pytest.fixture
def code(tenant: Tenant, app: App) -> Callable[[], str]:
    """Authorization codes: the admin signs in once, and allows the app each time."""
    http = httpx.Client(base_url=tenant.service.url, cookies={"lightsout_session": session_of(tenant)}, timeout=60)

    def allow() -> str:
        question = {"response_type": "code", "client_id": app.client_id}
        page = http.get("/api/oauth2/authorize", params=question)
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
        form = {"csrf": csrf, "decision": "allow"}
        reply = http.post("/api/oauth2/authorize", params=question, data=form)
        assert reply.status_code == 303, reply.text
        return parse_qs(urlsplit(reply.headers["location"]).query)["code"][0]

    return allow


def credentials(app: App) -> dict[str, str]:
    return {"client_id": app.client_id, "client_secret": app.client_secret}


def by_client_credentials(tenant: Tenant, app: App) -> dict[str, str]:
    subject = {"box_subject_type": "enterprise", "box_subject_id": tenant.enterprise_id}
    return {"grant_type": "client_credentials", **subject, **credentials(app)}


def by_code(app: App, code: str) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": code, **credentials(app)}


def is_alive(tenant: Tenant, token: str) -> bool:
    with tenant.http(token) as http:
        status = http.get("/2.0/users/me").status_code
    assert status in (200, 401)
    return status == 200


def may_do_less(tenant: Tenant, token: str) -> bool:
    with tenant.http(token) as http:
        return [http.get(path).status_code for path in ["/2.0/groups", "/2.0/users"]] == [200, 403]


def end(tenant: Tenant, user_id: str) -> None:
    with tenant.http() as http:
        assert http.post("/2.0/users/terminate_sessions", json={"user_ids": [user_id]}).status_code == 202


# The managers


@pytest.mark.parametrize("package", GENERATED)
def test_manager_requests_narrows_and_revokes_tokens(package: str, tenant: Tenant, app: App, connect) -> None:
    client = connect(package, "ccg")
    client.ask("me")
    own = client.ask("stored")["access_token"]
    client.took()

    token = client.ask("manager_request", **by_client_credentials(tenant, app))["access_token"]
    exchange = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    narrowed = client.ask("manager_request", scope="manage_groups", **exchange)["access_token"]
    assert len({own, token, narrowed}) == 3
    assert may_do_less(tenant, narrowed)
    client.ask("manager_revoke", token=token, **credentials(app))
    assert [is_alive(tenant, t) for t in [token, narrowed, own]] == [False, False, True]

    # The client's own token is in the header of every request, also while it is revoked and when it is dead.
    client.ask("manager_revoke", token=own, **credentials(app))
    assert not is_alive(tenant, own)
    assert is_alive(tenant, client.ask("manager_request", **by_client_credentials(tenant, app))["access_token"])
    sent = client.relay.take()
    assert [s.headers["authorization"] for s in sent] == 5 * [f"Bearer {own}"]
    assert [str(s) for s in sent] == [
        "POST /oauth2/token client_credentials 200",
        "POST /oauth2/token token-exchange 200",
        "POST /oauth2/revoke 200",
        "POST /oauth2/revoke 200",
        "POST /oauth2/token client_credentials 200",
    ]


@pytest.mark.parametrize("package", [*GENERATED, OLDER])
def test_manager_exchanges_a_code_and_refreshes_the_pair(package: str, tenant: Tenant, app: App, connect, code) -> None:
    client = connect(package, "ccg")
    client.ask("me")
    client.took()
    first = client.ask("manager_request", **by_code(app, code()))
    other = client.ask("manager_request", **by_code(app, code()))
    second = client.ask("manager_refresh", refresh_token=first["refresh_token"], **credentials(app))
    assert len({*first.values(), *other.values(), *second.values()}) == 6
    assert is_alive(tenant, second["access_token"])
    # The old refresh token is used up. If it comes again, its sign-in ends, and no other.
    refused = client.refused("manager_refresh", refresh_token=first["refresh_token"], **credentials(app))
    assert (refused.status, refused.code) == (400, "invalid_grant")
    assert [is_alive(tenant, p["access_token"]) for p in [first, second, other]] == [False, False, True]

    third = client.ask("manager_refresh", refresh_token=other["refresh_token"], **credentials(app))
    client.ask("manager_revoke", token=third["refresh_token"], **credentials(app))
    assert not is_alive(tenant, third["access_token"])
    refused = client.refused("manager_refresh", refresh_token=third["refresh_token"], **credentials(app))
    assert (refused.status, refused.code) == (400, "invalid_grant")

    sent = client.relay.take()
    assert [str(s) for s in sent] == [
        "POST /oauth2/token authorization_code 200",
        "POST /oauth2/token authorization_code 200",
        "POST /oauth2/token refresh_token 200",
        "POST /oauth2/token refresh_token 400",
        "POST /oauth2/token refresh_token 200",
        "POST /oauth2/revoke 200",
        "POST /oauth2/token refresh_token 400",
    ]
    assert {s.headers.get("authorization", "")[:7] for s in sent} == {"" if package == OLDER else "Bearer "}
    # The client's own token lives on.
    client.ask("me")
    assert client.took() == ["GET /2.0/users/me 200"]


@pytest.mark.parametrize("package", GENERATED)
def test_token_in_the_header_does_not_replace_the_secret(package: str, tenant: Tenant, app: App, connect) -> None:
    client = connect(package, "ccg")
    client.ask("me")
    own = client.ask("stored")["access_token"]
    client.took()
    wrong = {"client_secret": "wrong"}
    assert client.refused("manager_revoke", token=own, **credentials(app) | wrong).status == 400
    refused = client.refused("manager_request", **by_client_credentials(tenant, app) | wrong)
    assert (refused.status, refused.code) == (400, "invalid_client")
    assert client.took() == ["POST /oauth2/revoke 400", "POST /oauth2/token client_credentials 400"]
    assert is_alive(tenant, own)


@pytest.mark.parametrize("package", GENERATED)
def test_manager_is_led_to_the_sign_in_page(package: str, app: App, connect) -> None:
    client = connect(package, "ccg")
    client.ask("manager_authorize", client_id=app.client_id)
    _, asked, led = client.relay.take()
    assert asked.path.startswith("/api/oauth2/authorize?") and asked.status == 303
    assert led.path.startswith("/sign-in?") and led.status == 200


# The auth classes


@pytest.mark.parametrize("package", GENERATED)
def test_auth_classes_refresh_narrow_and_revoke(package: str, tenant: Tenant, connect, code) -> None:
    for way, grant in {"ccg": "client_credentials", "jwt": "jwt-bearer", "oauth": None}.items():
        client = connect(package, way)
        if way == "oauth":
            client.ask("exchange", code=code())
        who = client.ask("me")
        old, new = client.ask("stored"), client.ask("refresh")
        assert client.ask("stored") == new
        assert old["access_token"] != new["access_token"]
        assert is_alive(tenant, new["access_token"])
        narrowed = client.ask("downscope", scopes=["manage_groups"])["access_token"]
        assert may_do_less(tenant, narrowed)
        client.ask("revoke")
        assert not is_alive(tenant, new["access_token"])
        assert not is_alive(tenant, narrowed)
        assert not [s for s in client.relay.take() if s.path.startswith("/oauth2/") and "authorization" in s.headers]
        if grant:
            assert client.ask("me") == who
            assert client.took() == [f"POST /oauth2/token {grant} 200", "GET /2.0/users/me 200"]
        else:
            refused = client.refused("refresh")
            assert (refused.status, refused.code) == (400, "invalid_grant")


# After an end


def test_after_an_end_a_client_gets_a_new_token_and_goes_on(tenant: Tenant, app: App, connect, code) -> None:
    grants = {"ccg": "client_credentials", "jwt": "jwt-bearer", "oauth": "refresh_token"}
    clients = {(package, way): connect(package, way) for package in GENERATED for way in grants}
    of_people = [client for (_, way), client in clients.items() if way == "oauth"]
    for client in of_people:
        client.ask("exchange", code=code())
    before = {key: client.ask("me") for key, client in clients.items()}
    old = {key: client.ask("stored") for key, client in clients.items()}
    service_account, admin = before["boxsdk", "ccg"], before["boxsdk", "oauth"]
    assert before == {(package, way): admin if way == "oauth" else service_account for package, way in clients}
    end(tenant, service_account)
    # A person's access token expires before the sign-in does: a dead one takes its place.
    dead = old["boxsdk", "ccg"]["access_token"]
    for client in of_people:
        client.ask("store", **client.ask("stored") | {"access_token": dead})
    for client in clients.values():
        client.took()

    # All at once, because boxsdk and box-node-sdk wait for one to three seconds before they repeat a call.
    with ThreadPoolExecutor(len(clients)) as pool:
        after = dict(zip(clients, pool.map(lambda client: client.ask("me"), clients.values())))
    assert after == before
    for (package, way), client in clients.items():
        sent = client.relay.take()
        renewed = ["GET /2.0/users/me 401", f"POST /oauth2/token {grants[way]} 200", "GET /2.0/users/me 200"]
        assert [str(s) for s in sent] == renewed, package
        refused = sent[0]
        assert (refused.answer, refused.answer_headers["content-length"]) == (b"", "0")
        assert "content-type" not in refused.answer_headers
        assert refused.answer_headers["www-authenticate"].startswith('Bearer realm="Service", error="invalid_token"')
        new = client.ask("stored")["access_token"]
        assert new not in [old[package, way]["access_token"], dead]
        assert is_alive(tenant, new)

    # A person whose sessions were ended has to sign in again: the refresh token is dead, too. The SDKs say so at once.
    end(tenant, admin)
    for client in of_people:
        refused = client.refused("me")
        assert (refused.status, refused.code) == (400, "invalid_grant")
        assert client.took() == ["GET /2.0/users/me 401", "POST /oauth2/token refresh_token 400"]


# The older Node SDK


def test_older_node_sdk_knows_by_the_empty_401_that_its_token_is_dead(tenant: Tenant, connect, tmp_path: Path) -> None:
    file = tmp_path / "jwt.json"
    by_credentials, by_assertion = connect(OLDER, "ccg"), connect(OLDER, "jwt", file=file)
    service_account = by_credentials.ask("me")
    assert by_assertion.ask("me") == service_account
    old = json.loads(file.read_text())["accessToken"]
    by_credentials.took(), by_assertion.took()
    end(tenant, service_account)
    for client in [by_credentials, by_assertion]:
        refused = client.refused("me")
        assert (refused.status, refused.expired) == (401, True), refused.message
        assert client.took() == ["GET /2.0/users/me 401"]

    # The store is empty, so a program that starts again gets a new token.
    assert not file.exists()
    next_run = connect(OLDER, "jwt", file=file)
    assert next_run.ask("me") == service_account
    assert next_run.took() == ["POST /oauth2/token jwt-bearer 200", "GET /2.0/users/me 200"]
    assert json.loads(file.read_text())["accessToken"] != old
    # A program that goes on drops the token from its memory by a revoke, which is no error for a dead one.
    by_credentials.ask("revoke")
    assert by_credentials.ask("me") == service_account
    assert by_credentials.took() == [
        "POST /oauth2/revoke 200",
        "POST /oauth2/token client_credentials 200",
        "GET /2.0/users/me 200",
    ]


def test_older_node_sdk_renews_a_person_s_token_and_forgets_it_after_the_end(
    tenant: Tenant, app: App, connect, code, tmp_path: Path
) -> None:
    file = tmp_path / "oauth.json"
    signed_in = connect(OLDER, "ccg").ask("manager_request", **by_code(app, code()))
    # The token is an hour old. This SDK renews by its clock.
    stored = {
        "accessToken": signed_in["access_token"],
        "refreshToken": signed_in["refresh_token"],
        "accessTokenTTLMS": 3_600_000,
        "acquiredAtMS": int(1000 * time.time()) - 3_600_000,
    }
    file.write_text(json.dumps(stored))
    client = connect(OLDER, "oauth", file=file)
    assert client.ask("me") == tenant.admin_id
    assert client.took() == ["POST /oauth2/token refresh_token 200", "GET /2.0/users/me 200"]
    assert json.loads(file.read_text())["refreshToken"] != signed_in["refresh_token"]
    assert may_do_less(tenant, client.ask("downscope", scopes=["manage_groups"])["access_token"])
    client.took()
    end(tenant, tenant.admin_id)
    refused = client.refused("me")
    assert (refused.status, refused.expired) == (401, True), refused.message
    assert client.took() == ["GET /2.0/users/me 401"]
    assert not file.exists()


def test_older_node_sdk_keeps_a_dead_token_where_the_401_has_a_body(connect, tmp_path: Path) -> None:
    """The reason why the service's 401 has none. The server here is a stand-in."""
    file = tmp_path / "jwt.json"
    with Capture() as box:
        box.answers["GET /2.0/users/me"] = Answer(401, {"type": "error", "status": 401, "code": "unauthorized"})
        client = connect(OLDER, "jwt", url=box.url, file=file)
        refused = client.refused("me")
        assert (refused.status, refused.expired) == (401, False)
        assert file.exists()
