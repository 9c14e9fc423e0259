"""Our client's requests beside those of Box's own SDKs for the same call, byte for byte where it matters.

The command line drives our client. Every difference that is meant stands here as an assertion with its
reason; all else is the same.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from box_sdk_gen import BoxCCGAuth, BoxClient, BoxDeveloperTokenAuth, BoxJWTAuth, CCGConfig, JWTConfig, NetworkSession
from box_sdk_gen.networking.base_urls import BaseUrls

from capture import TOKEN, Capture, Request
from harness import ACCEPTED, command, node
from test_python_sdk import WAYS

CLIENT_ID, CLIENT_SECRET, ENTERPRISE, USER, KEY_ID = "app_1", "hush & sh=h +ü", "12", "34", "k7"
BOX_AUDIENCE = "https://api.box.com/oauth2/token"
SDKS = ["python", "node"]


@dataclass
class Call:
    """One call, as each client takes it."""

    python: str
    node: str
    lightsout: str
    ids: list[str]
    logins: list[str]

    def body(self) -> dict[str, list[str]]:
        if self.lightsout == "groups":
            return {"group_ids": self.ids}
        return {"user_ids": self.ids, "user_logins": self.logins}


USERS = ("terminate_users_sessions", "terminateUsersSessions", "users")
GROUPS = ("terminate_groups_sessions", "terminateGroupsSessions", "groups")
CALLS = {
    "users": Call(*USERS, ["123", "456"], ["Ann+1@acme.example", "jürgen@acme.example"]),
    "users by id": Call(*USERS, ["123"], []),
    "users by login": Call(*USERS, [], ["ann@acme.example"]),
    "groups": Call(*GROUPS, ["9", "10"], []),
}


@dataclass
class App:
    """The key of an app, and the file that Box's console gives out for it."""

    public: str
    config: str
    file: Path


@pytest.fixture(scope="module")
def app(key_pair: tuple[str, str, Path], tmp_path_factory: pytest.TempPathFactory) -> App:
    private, passphrase, public = key_pair
    assert private.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    key = {"publicKeyID": KEY_ID, "privateKey": private, "passphrase": passphrase}
    settings = {"clientID": CLIENT_ID, "clientSecret": CLIENT_SECRET, "appAuth": key}
    file = tmp_path_factory.mktemp("app") / "box-config.json"
    file.write_text(json.dumps({"boxAppSettings": settings, "enterpriseID": ENTERPRISE}))
    return App(public.read_text(), file.read_text(), file)


@pytest.fixture(scope="module")
def box():
    with Capture() as capture:
        yield capture


def send(client: str, way: str, call: Call, box: Capture, app: App, as_user: str | None = None) -> list[Request]:
    """Makes one call with one of the clients; the requests that it sent."""
    {"python": by_python, "node": by_node, "lightsout": by_lightsout}[client](way, call, box, app, as_user)
    return box.take()


def by_python(way: str, call: Call, box: Capture, app: App, as_user: str | None) -> None:
    if way == "developer token":
        auth = BoxDeveloperTokenAuth(token=TOKEN)
    elif way.startswith("ccg"):
        auth = BoxCCGAuth(CCGConfig(CLIENT_ID, CLIENT_SECRET, enterprise_id=ENTERPRISE))
    else:
        auth = BoxJWTAuth(JWTConfig.from_config_json_string(app.config))
    auth = auth.with_user_subject(USER) if way.endswith("user") else auth
    session = NetworkSession(base_urls=BaseUrls(base_url=box.url, upload_url=box.url, oauth_2_url=box.url))
    client = BoxClient(auth=auth, network_session=session)
    client = client.with_as_user_header(as_user) if as_user else client
    assert getattr(client.session_termination, call.python)(*call.body().values()).message == ACCEPTED


def by_node(way: str, call: Call, box: Capture, app: App, as_user: str | None) -> None:
    body = {"userIds": call.ids, "userLogins": call.logins} if call.lightsout == "users" else {"groupIds": call.ids}
    given: dict = {"url": box.url, "method": call.node, "body": body, "asUser": as_user}
    if way == "developer token":
        given["token"] = TOKEN
    elif way.startswith("ccg"):
        given["ccg"] = {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "enterpriseId": ENTERPRISE}
    else:
        given["jwt"] = app.config
    if way.endswith("user"):
        given["userId"] = USER
    assert node("terminate.js", given) == {"message": ACCEPTED}


def by_lightsout(way: str, call: Call, box: Capture, app: App, as_user: str | None) -> None:
    arguments = [call.lightsout, "terminate-sessions", "--yes", "--wire", "box", "--url", box.url]
    arguments += [a for i in call.ids for a in ("--id", i)] + [a for login in call.logins for a in ("--login", login)]
    subject = ["--user", USER] if way.endswith("user") else []
    if way == "developer token":
        arguments += ["--token", TOKEN]
    elif way.startswith("ccg"):
        arguments += ["--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET]
        arguments += subject or ["--enterprise", ENTERPRISE]
    else:
        arguments += ["--jwt", str(app.file), *subject]
    done = command(*arguments, *(["--as-user", as_user] if as_user else []))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert ACCEPTED in done.stdout


def split(requests: list[Request], way: str) -> tuple[Request | None, Request]:
    """The token request, where the way has one, and the call: nothing else was sent."""
    expected = 1 if way == "developer token" else 2
    assert len(requests) == expected, requests
    return (None if expected == 1 else requests[0]), requests[-1]


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CALLS)
def test_call_is_the_one_that_the_sdk_sends(name: str, way: str, sdk: str, box: Capture, app: App) -> None:
    call = CALLS[name]
    _, theirs = split(send(sdk, way, call, box, app), way)
    _, ours = split(send("lightsout", way, call, box, app), way)
    assert (ours.method, ours.path, ours.query) == (theirs.method, theirs.path, theirs.query)
    assert (ours.method, ours.path, ours.query) == ("POST", f"/2.0/{call.lightsout}/terminate_sessions", "")
    for header in ["content-type", "authorization", "accept", "host"]:
        assert ours.headers[header] == theirs.headers[header], header
    assert ours.headers["authorization"] == f"Bearer {TOKEN}"
    assert ours.headers["content-type"] == "application/json"
    # Field by field, in the same order and with the same values.
    assert list(ours.json().items()) == list(theirs.json().items()) == list(call.body().items())
    assert is_sized(ours) and is_sized(theirs)


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "developer token"])
def test_token_request_is_the_one_that_the_sdk_sends(way: str, sdk: str, box: Capture, app: App) -> None:
    theirs, _ = split(send(sdk, way, CALLS["users"], box, app), way)
    ours, _ = split(send("lightsout", way, CALLS["users"], box, app), way)
    assert ours and theirs
    assert (ours.method, ours.path, ours.query) == (theirs.method, theirs.path, theirs.query)
    assert (ours.method, ours.path, ours.query) == ("POST", "/oauth2/token", "")
    for header in ["content-type", "accept", "host"]:
        assert ours.headers[header] == theirs.headers[header], header
    assert ours.headers["content-type"] == "application/x-www-form-urlencoded"
    # The secret travels in the form alone.
    assert "authorization" not in ours.headers and "authorization" not in theirs.headers
    form, its = ours.form(), theirs.form()
    assert form.keys() == its.keys()
    assert {k: v for k, v in form.items() if k != "assertion"} == {k: v for k, v in its.items() if k != "assertion"}
    credentials = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    kind, subject = ("user", USER) if way.endswith("user") else ("enterprise", ENTERPRISE)
    if way.startswith("ccg"):
        grant = {"grant_type": "client_credentials", "box_subject_type": kind, "box_subject_id": subject}
        assert form == grant | credentials
    else:
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": form["assertion"]}
        assert form == grant | credentials
    assert is_sized(ours) and is_sized(theirs)


@pytest.mark.parametrize("way", ["jwt enterprise", "jwt user"])
def test_assertion_says_what_the_sdks_say(way: str, box: Capture, app: App) -> None:
    clients = [*SDKS, "lightsout", "lightsout"]
    found = {}
    for number, client in enumerate(clients):
        token_request, _ = split(send(client, way, CALLS["groups"], box, app), way)
        assert token_request
        assertion = token_request.form()["assertion"]
        found[number] = (jwt.get_unverified_header(assertion), verified(assertion, app))
    (python_header, python), (node_header, its), (header, ours), (_, again) = found.values()

    assert header == python_header == {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
    # Ours names its key, which Box calls essential where an app has several; the Node SDK does not.
    assert node_header == {"alg": "RS256"}

    kind, subject = ("user", USER) if way.endswith("user") else ("enterprise", ENTERPRISE)
    who = {"iss": CLIENT_ID, "sub": subject, "box_sub_type": kind}
    for claims in (python, its, ours, again):
        assert {name: claims[name] for name in who} == who
        assert 16 <= len(claims["jti"]) <= 128
        assert claims["exp"] == int(claims["exp"]) and 0 < claims["exp"] - time.time() <= 60
    assert len({claims["jti"] for claims in (python, its, ours, again)}) == len(clients)

    assert ours.keys() == python.keys() == {*who, "aud", "jti", "exp"}
    # Ours has no iat: Box allows it no clock that is a second ahead. The Node SDK sends one.
    assert its.keys() == {*ours, "iat"}

    # All sign for Box, wherever the request goes: `--wire box` says that Box answers in the end. (At
    # a service ours signs for the service's own address, so that nobody there can use it at Box.)
    assert ours["aud"] == python["aud"] == its["aud"] == BOX_AUDIENCE


def verified(assertion: str, app: App) -> dict:
    """The claims, if the app's key has signed them and they hold now."""
    return jwt.decode(assertion, app.public, algorithms=["RS256"], options={"verify_aud": False})


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("way", ["developer token", "ccg enterprise", "jwt enterprise"])
def test_as_user_goes_along_with_the_call(way: str, sdk: str, box: Capture, app: App) -> None:
    for name in ["users", "groups"]:
        token_request, theirs = split(send(sdk, way, CALLS[name], box, app, as_user=USER), way)
        our_token_request, ours = split(send("lightsout", way, CALLS[name], box, app, as_user=USER), way)
        assert ours.headers["as-user"] == theirs.headers["as-user"] == USER
        if token_request and our_token_request:
            # The SDKs send it to the token endpoint, too, which documents none; ours gets a token as
            # the app that it is.
            assert "as-user" in token_request.headers and "as-user" not in our_token_request.headers


@pytest.mark.parametrize("name", CALLS)
def test_what_differs_is_meant(name: str, box: Capture, app: App) -> None:
    way, call = "ccg enterprise", CALLS[name]
    requests = {client: send(client, way, call, box, app) for client in ["python", "node", "lightsout"]}
    for ours in requests["lightsout"]:
        # It names us, and does not pass for one of Box's SDKs.
        agent = ours.headers["user-agent"]
        assert agent.startswith("lightsout/") and "lightsout-client/" in agent and "box" not in agent.lower()
        # Nothing else goes along: no X-Box-UA, which is about Box's SDKs, and no Accept-Encoding, as
        # the answers are short.
        basis = {"host", "user-agent", "accept", "content-type", "content-length"}
        assert ours.headers.keys() == basis | ({"authorization"} if "2.0" in ours.path else set())
    for sdk in SDKS:
        for theirs in requests[sdk]:
            assert {"x-box-ua", "accept-encoding", "connection"} <= theirs.headers.keys()
    # Compact JSON in UTF-8, to the byte as the Node SDK's; the Python SDK adds spaces and escapes.
    ours, its, python = (requests[client][-1].body for client in ["lightsout", "node", "python"])
    assert ours == its == json.dumps(call.body(), separators=(",", ":"), ensure_ascii=False).encode()
    assert python == json.dumps(call.body()).encode()
    # The forms are the same to the byte.
    assert requests["lightsout"][0].body == requests["python"][0].body == requests["node"][0].body


def is_sized(request: Request) -> bool:
    """Whether the body's length is said before it, as Box's clients all do; no chunks."""
    return request.headers["content-length"] == str(len(request.body)) and "transfer-encoding" not in request.headers
