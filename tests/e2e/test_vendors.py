"""The calls that the recipes for Okta, Entra and Slack make, beside those of each vendor's own published client.

Both go to a server on loopback that answers as the vendor documents. Every difference that is meant stands
here as an assertion with its reason; all else is the same. Nothing here has run at the vendors themselves.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from capture import Answer, Capture, Request
from conftest import openssl
from harness import HERE, finished, login

TOKEN = "the-token"


@dataclass
class Vendor:
    """What the vendor answers, the system's keys, and what is meant to differ."""

    base: str
    keys: str
    # By "METHOD path", where {login} is the login as the client writes it in a path.
    answers: dict[str, object]
    outcome: str
    # Of these calls, in this order; the client is asked to make the same.
    calls: list[str]
    statuses: dict[str, int] = field(default_factory=dict)


ID = "00u1abcdEFGH"
VALID_FROM = "2099-01-01T00:00:00Z"
VENDORS = {
    "okta": Vendor(
        "",
        f'recipe = "okta"\nsecrets = {{ token = "{TOKEN}" }}\n',
        {
            "GET /api/v1/users/{login}": {"id": ID, "status": "ACTIVE", "profile": {"login": "{login}"}},
            f"DELETE /api/v1/users/{ID}/sessions": "",
        },
        "delivered_not_verified",
        ["GET /api/v1/users/{login}", f"DELETE /api/v1/users/{ID}/sessions"],
        {f"DELETE /api/v1/users/{ID}/sessions": 204},
    ),
    "entra": Vendor(
        "/v1.0",
        'recipe = "entra"\nsecrets = {{ client_secret = "hush & +ü" }}\n'
        'parameters = {{ tenant = "t-1", client_id = "c-1", login_url = "{url}" }}\n',
        {
            "POST /t-1/oauth2/v2.0/token": {"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN},
            "GET /v1.0/users/{login}": {"id": ID, "userPrincipalName": "{login}"},
            f"POST /v1.0/users/{ID}/revokeSignInSessions": {"value": True},
            f"GET /v1.0/users/{ID}": {"signInSessionsValidFromDateTime": "{valid_from}"},
        },
        "ends_by",
        [
            "GET /v1.0/users/{login}",
            f"POST /v1.0/users/{ID}/revokeSignInSessions",
            f"GET /v1.0/users/{ID}",
        ],
    ),
    "slack": Vendor(
        "/api",
        f'recipe = "slack"\nsecrets = {{ token = "{TOKEN}" }}\n',
        {
            "POST /api/users.lookupByEmail": {"ok": True, "user": {"id": ID, "profile": {"email": "{login}"}}},
            "POST /api/admin.users.session.resetBulk": {"ok": True},
        },
        "ended",
        [
            "POST /api/users.lookupByEmail",
            "POST /api/admin.users.session.list",
            "POST /api/admin.users.session.list",
            "POST /api/admin.users.session.resetBulk",
        ],
    ),
}


class Played(Capture):
    """A capture that speaks TLS, because Graph's client gives its token to https only, and has a state."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        self.answers = Answers()

    def play(self, name: str, who: str) -> Vendor:
        vendor = VENDORS[name]
        self.answers = Answers(taken=self.requests)
        for call, body in vendor.answers.items():
            text = body if isinstance(body, str) else json.dumps(body).replace("{login}", who)
            answer = Answer(vendor.statuses.get(call, 200), text)
            self.answers[call.replace("{login}", who)] = answer
        return vendor


class Answers(dict):
    """Answers by method and decoded path. What was ordered to end is over when it is asked for next."""

    def __init__(self, taken: list[Request] | None = None) -> None:
        super().__init__()
        self.taken = taken
        self.ordered = False

    def get(self, call: str, missing: Answer) -> Answer:
        call = unquote(call)
        self.ordered |= call.endswith(("resetBulk", "revokeSignInSessions"))
        if call.endswith("session.list"):
            return Answer(200, {"ok": True, **self.page()})
        answer = super().get(call, missing)
        if isinstance(answer.body, str):
            valid_from = f'"{VALID_FROM}"' if self.ordered else '"2020-01-01T00:00:00Z"'
            return Answer(answer.status, answer.body.replace('"{valid_from}"', valid_from))
        return answer

    def page(self) -> dict:
        """Two pages with one session of the person on each; none once it was ordered."""
        form = dict(parse_qsl(self.taken[-1].body.decode())) if self.taken else {}
        session = {"user_id": ID, "team_id": "T1", "session_id": 7 if "cursor" in form else 6}
        following = "" if "cursor" in form else "second+page="
        live = [] if self.ordered else [session]
        return {"active_sessions": live, "response_metadata": {"next_cursor": following}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", str(key), "-out", str(certificate))
    return certificate, key


@pytest.fixture
def played(certificate: tuple[Path, Path]):
    with Played(*certificate) as capture:
        yield capture


def theirs(name: str, played: Played, who: str, certificate: Path) -> list[Request]:
    """What the vendor's own client sends."""
    vendor = played.play(name, who)
    played.take()
    played.answers.taken = played.requests
    given = {"vendor": name, "url": played.url, "login": who, "id": ID}
    environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(certificate)}
    done = subprocess.run(["node", str(HERE / "node" / "vendors.js")], input=json.dumps(given),
                          capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    requests = played.take()
    calls = [f"{request.method} {unquote(request.path)}" for request in requests]
    assert calls == [call.replace("{login}", who) for call in vendor.calls]
    return requests


def ours(name: str, played: Played, who: str, certificate: Path, make_service) -> list[Request]:
    """What the service sends when the person's sessions are ended by Box's wire."""
    vendor = played.play(name, who)
    keys = vendor.keys.replace("{url}", played.url).replace("{{", "{").replace("}}", "}")
    system = (
        f'[[systems]]\nname = "{name}"\nkind = "http"\nquiet_time_s = 1\n'
        f'base_url = "{played.url}{vendor.base}"\nca_file = "{certificate}"\n{keys}'
    )
    service = make_service("sqlite", system).init().start()
    tenant = service.tenant()
    tenant.people([who])
    played.take()
    played.answers.taken = played.requests
    tenant.box().session_termination.terminate_users_sessions([], [who])
    with tenant.http() as http:
        location = f"/v1/terminations/{tenant.termination_ids()[0]}"
        finished(http, location)
        outcomes = http.get(f"{location}/outcomes").json()["entries"]
    found = {outcome["system"]: outcome for outcome in outcomes}[name]
    assert found["outcome"] == vendor.outcome, found
    if name == "slack":
        assert (found["sessions_ended"], found["resurrected"]) == (2, 0)
    for secret in [TOKEN, "hush"]:
        assert secret not in service.log.read_text()
    service.stop()
    return played.take()


def same(request: Request, other: Request) -> bool:
    """Whether both are the same call to the same person, body and all."""
    return (request.method, unquote(request.path), meant(request)) == (other.method, unquote(other.path), meant(other))


def meant(request: Request) -> tuple:
    """Query and body, as the server understands them."""
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    body = sorted(parse_qsl(request.body.decode(), strict_parsing=bool(request.body))) if form else request.body
    return sorted(parse_qsl(request.query)), body or b""


@pytest.mark.parametrize("name", VENDORS)
def test_calls_are_those_of_the_vendors_own_client(
    name: str, played: Played, certificate: tuple[Path, Path], make_service
) -> None:
    who = login("ann+x")
    client = theirs(name, played, who, certificate[0])
    mine = ours(name, played, who, certificate[0], make_service)
    mine = [request for request in mine if not request.path.endswith("/token")]
    for wanted in client:
        found = [request for request in mine if same(request, wanted)]
        assert found, (wanted, mine)
        for request in found:
            compare(name, request, wanted)
    # And it makes no other calls than the client was asked for.
    for request in mine:
        assert any(same(request, wanted) for wanted in client), (request.method, request.path, request.body)


def compare(name: str, ours: Request, theirs: Request) -> None:
    """What the vendor acts on, beside method, path, query and body."""
    # The same to the byte, but for the comma in a query, which Graph's client sends as it is: RFC 3986
    # allows both in a query, and a server decodes both to the same.
    assert ours.path == theirs.path
    assert ours.query.replace("%2C", ",") == theirs.query.replace("%2C", ",")
    scheme, _, credential = ours.headers["authorization"].partition(" ")
    assert (scheme, credential) == tuple(theirs.headers["authorization"].split(" "))
    assert scheme == ("SSWS" if name == "okta" else "Bearer")
    assert ours.headers["accept"].startswith("application/json")
    if ours.body:
        kind, its = (request.headers["content-type"].split(";")[0] for request in (ours, theirs))
        assert kind == its
        assert ours.headers["content-length"] == str(len(ours.body))
    # It names us, and does not pass for the vendor's client.
    assert ours.headers["user-agent"].startswith("lightsout/")


def test_entras_token_request_is_the_documented_one(
    played: Played, certificate: tuple[Path, Path], make_service
) -> None:
    # Graph's client takes its token from elsewhere, so this is compared with the published text:
    # learn.microsoft.com, "OAuth 2.0 client credentials flow", first case.
    requests = ours("entra", played, login("ann"), certificate[0], make_service)
    tokens = [request for request in requests if request.path.endswith("/token")]
    assert [(request.method, request.path, request.query) for request in tokens] == [("POST", "/t-1/oauth2/v2.0/token", "")]
    assert tokens[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in tokens[0].headers
    assert tokens[0].form() == {
        "grant_type": "client_credentials",
        "client_id": "c-1",
        "client_secret": "hush & +ü",
        "scope": "https://graph.microsoft.com/.default",
    }
