"""People sign in at apps: npm openid-client by discovery, Box's SDKs with their base URLs changed, and the command
line. Who agrees is a real browser."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from box_sdk_gen import BoxClient, BoxOAuth, NetworkSession, OAuthConfig
from box_sdk_gen.box.oauth import GetAuthorizeUrlOptions

from chromium import Browser, Tab
from console import Console, Someone, sign_in
from harness import BINARY, HERE, App, base_urls, command, environment

ALL = "manage_managed_users manage_groups manage_enterprise_properties"


class Party:
    """An app's redirect URI: it keeps the addresses that browsers come back to."""

    def __init__(self) -> None:
        self.came_back: Queue[str] = Queue()
        came_back = self.came_back

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback"):
                    came_back.put(self.path)
                page = b'<!doctype html><html lang="en"><title>Back</title><link rel="icon" href="data:,"><p>back</p>'
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.uri = f"http://{self.host}/callback"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> str:
        return f"http://{self.host}{self.came_back.get(timeout=20)}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class NodeClient:
    """node/oauth_clients.mjs, a line in and a line out."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(HERE / "node" / "oauth_clients.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def try_(self, op: str, **given: object) -> dict:
        self.process.stdin.write(json.dumps({"op": op, **given}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, op: str, **given: object):
        reply = self.try_(op, **given)
        assert "error" not in reply, (op, reply)
        return reply["value"]

    def refused(self, op: str, **given: object) -> str:
        reply = self.try_(op, **given)
        assert "error" in reply, (op, reply)
        return reply["error"]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=20)


@pytest.fixture
def party() -> Iterator[Party]:
    party = Party()
    yield party
    party.stop()


@pytest.fixture
def node() -> Iterator[NodeClient]:
    node = NodeClient()
    yield node
    node.stop()


@pytest.fixture
def admin(console: Console) -> Someone:
    return console.admin()


@pytest.fixture
def browser(console: Console, party: Party) -> Iterator[Browser]:
    with console.browser(hosts=[party.host]) as browser:
        yield browser


def agree(tab: Tab, url: str, admin: Someone, party: Party) -> str:
    """Signs in, agrees, and gives the address that the browser came back to."""
    tab.open(url)
    if tab.path == "/sign-in":
        sign_in(tab, admin)
        tab.lands(r"/api/oauth2/authorize\?.*")
    tab.press("Allow")
    back = party.next()
    tab.shows("back")
    return back


def redirecting(console: Console, party: Party, *flags: str) -> App:
    return console.tenant.app("--redirect-uri", party.uri, *flags)


@pytest.mark.parametrize("kind", ["public", "confidential"])
def test_openid_client_by_discovery(kind: str, console: Console, admin: Someone, party: Party, node: NodeClient, browser: Browser) -> None:
    url, tenant = console.service.url, console.tenant
    if kind == "public":
        made = tenant.service.admin("app", "--enterprise", tenant.enterprise_id, "--name", "on a laptop", "--public",
                                    "--redirect-uri", party.uri, *(a for s in ALL.split() for a in ("--scope", s)))
        client_id, secret = made["client_id"], None
    else:
        app = redirecting(console, party)
        client_id, secret = app.client_id, app.client_secret
    metadata = node.ask("discover", issuer=url, client_id=client_id, client_secret=secret, redirect_uri=party.uri)
    assert metadata["issuer"] == url and metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    tab = browser.tab()
    back = agree(tab, node.ask("authorize", scope="manage_managed_users manage_groups"), admin, party)
    first = node.ask("exchange", url=back)
    assert set((first["scope"] or "manage_managed_users manage_groups").split()) == {"manage_managed_users", "manage_groups"}
    assert node.ask("call", path="/2.0/users/me")["body"]["login"] == admin.login
    # A code is good once, and its second use takes back what the first gave.
    assert node.refused("exchange", url=back) == "invalid_grant"
    assert node.ask("call", path="/2.0/users/me", access_token=first["access_token"])["status"] == 401

    back = agree(tab, node.ask("authorize", scope=ALL), admin, party)
    one = node.ask("exchange", url=back)
    two = node.ask("refresh")
    assert two["refresh_token"] != one["refresh_token"] and two["access_token"] != one["access_token"]
    weaker = node.ask("downscope", scope="manage_groups")["access_token"]
    assert node.ask("call", path="/2.0/groups", access_token=weaker)["status"] == 200
    assert node.ask("call", path="/2.0/users", access_token=weaker)["status"] == 403
    three = node.ask("refresh")
    # The first refresh token is older than the immediate predecessor: the family is over.
    assert node.refused("refresh", refresh_token=one["refresh_token"]) == "invalid_grant"
    assert node.refused("refresh", refresh_token=three["refresh_token"]) == "invalid_grant"
    assert node.ask("call", path="/2.0/users/me", access_token=three["access_token"])["status"] == 401

    back = agree(tab, node.ask("authorize", scope=ALL), admin, party)
    last = node.ask("exchange", url=back)
    node.ask("revoke")
    assert node.refused("refresh", refresh_token=last["refresh_token"]) == "invalid_grant"
    assert node.ask("call", path="/2.0/users/me", access_token=last["access_token"])["status"] == 401


def test_who_does_not_agree_gives_nothing(console: Console, admin: Someone, party: Party, node: NodeClient, browser: Browser) -> None:
    app = redirecting(console, party)
    node.ask("discover", issuer=console.service.url, client_id=app.client_id, client_secret=app.client_secret, redirect_uri=party.uri)
    tab = browser.tab().open(node.ask("authorize", scope=ALL))
    sign_in(tab, admin)
    tab.press("Do not allow")
    back = party.next()
    query = parse_qs(urlsplit(back).query)
    assert query["error"] == ["access_denied"] and query["iss"] == [console.service.url] and "code" not in query
    assert node.refused("exchange", url=back) == "access_denied"


def test_an_address_that_is_not_registered_gets_nothing(console: Console, admin: Someone, party: Party, browser: Browser) -> None:
    app = redirecting(console, party)
    browser.foresee("status of 400")
    for uri in [f"{party.uri}/", f"{party.uri}?a=b", "https://evil.example/callback", party.uri.replace("127.0.0.1", "localhost")]:
        tab = browser.tab()
        tab.open(f"/api/oauth2/authorize?response_type=code&client_id={app.client_id}&redirect_uri={uri}", status=400)
        assert tab.url.startswith(console.service.url)
    assert party.came_back.empty()


def code_of(back: str) -> str:
    return parse_qs(urlsplit(back).query)["code"][0]


def test_box_python_sdk(console: Console, admin: Someone, party: Party, browser: Browser) -> None:
    app, url = redirecting(console, party), console.service.url
    auth = BoxOAuth(OAuthConfig(app.client_id, app.client_secret))
    session = NetworkSession(base_urls=base_urls(console.service))
    authorize = auth.get_authorize_url(options=GetAuthorizeUrlOptions(state="of-box"))
    tab = browser.tab()
    back = agree(tab, authorize.replace("https://account.box.com", url), admin, party)
    assert "state=of-box" in back
    token = auth.get_tokens_authorization_code_grant(code_of(back), network_session=session)
    assert token.refresh_token and token.token_type == "bearer"
    client = BoxClient(auth=auth, network_session=session)
    assert client.users.get_user_me().login == admin.login
    renewed = auth.refresh_token(network_session=session)
    assert renewed.refresh_token != token.refresh_token
    assert client.users.get_user_me().login == admin.login
    weaker = auth.downscope_token(["manage_groups"], network_session=session)
    with console.tenant.http(weaker.access_token) as http:
        assert (http.get("/2.0/groups").status_code, http.get("/2.0/users").status_code) == (200, 403)
    # What an SDK does when an access token is refused: it renews and repeats.
    ann = console.person("ann", password=None)
    client.session_termination.terminate_users_sessions([], [ann.login])
    access_token = auth.retrieve_token(network_session=session).access_token
    refresh_token = auth.retrieve_token(network_session=session).refresh_token
    auth.revoke_token(network_session=session)
    with console.tenant.http(access_token) as http:
        assert http.get("/2.0/users/me").status_code == 401
    # The whole sign-in is over, not only the token that the SDK names.
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": app.client_id, "client_secret": app.client_secret}
    assert httpx.post(f"{console.service.url}/oauth2/token", data=form).json()["error"] == "invalid_grant"


def test_box_node_sdk(console: Console, admin: Someone, party: Party, node: NodeClient, browser: Browser) -> None:
    app, url = redirecting(console, party), console.service.url
    authorize = node.ask("box", url=url, client_id=app.client_id, client_secret=app.client_secret)
    back = agree(browser.tab(), authorize.replace("https://account.box.com", url), admin, party)
    first = node.ask("box_exchange", code=code_of(back))
    assert node.ask("box_me") == admin.login
    assert node.ask("box_refresh") != first
    assert node.ask("box_me") == admin.login
    with console.tenant.http(node.ask("box_downscope", scopes=["manage_groups"])) as http:
        assert (http.get("/2.0/groups").status_code, http.get("/2.0/users").status_code) == (200, 403)
    access_token = node.ask("box_token")
    node.ask("box_revoke")
    with console.tenant.http(access_token) as http:
        assert http.get("/2.0/users/me").status_code == 401


# The command line


class Login:
    """`lightsout login` that waits for a browser."""

    def __init__(self, url: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [str(BINARY), "login", "--no-browser", "--profile", "mine", "--url", url],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        )
        self.address = ""
        while not self.address.startswith("http"):
            line = self.process.stderr.readline()
            assert line, f"it ended: {self.process.wait()}"
            self.address = line.strip()
        redirect = parse_qs(urlsplit(self.address).query)["redirect_uri"][0]
        self.host = urlsplit(redirect).netloc

    def ends(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return environment() | {"LIGHTSOUT_CONFIG_HOME": str(tmp_path / "config")}


def test_lightsout_login_through_the_browser(console: Console, admin: Someone, home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "config" / "profiles" / "mine.json"
    login = Login(console.service.url, home)
    with console.browser(hosts=[login.host]) as browser:
        tab = browser.tab().open(login.address)
        sign_in(tab, admin)
        tab.press("Allow").shows("You are signed in")
        assert not tab.look("command-line-signed-in")
    code, out, err = login.ends()
    assert code == 0 and f"user         {admin.login}" in out, (out, err)
    kept = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600 and kept["auth"] == "oauth" and kept["client_id"] == "lightsout-cli"
    assert kept["tokens"]["refresh_token"] not in out + err

    # Commands at the same time, with an access token that is over, renew once and all go on.
    kept["tokens"]["expires_at"] = "2026-01-02T03:04:05Z"
    file.write_text(json.dumps(kept))
    env = home | {"LIGHTSOUT_PROFILE": "mine"}
    all_at_once = [
        subprocess.Popen([str(BINARY), "whoami", "--json"], env=env, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    said = [(p.communicate(timeout=30)[0], p.returncode) for p in all_at_once]
    assert all(status == 0 and json.loads(text)["user"]["login"] == admin.login for text, status in said), said
    renewed = json.loads(file.read_text())["tokens"]
    assert renewed["refresh_token"] != kept["tokens"]["refresh_token"]
    assert command("users", "list", "--profile", "mine", env=home).returncode == 0

    done = command("logout", "--profile", "mine", env=home)
    assert done.returncode == 0 and "signed out" in done.stdout, done.stderr
    with console.tenant.http(renewed["access_token"]) as http:
        assert http.get("/2.0/users/me").status_code == 401, "the access token works after logout"
    form = {"grant_type": "refresh_token", "client_id": "lightsout-cli", "refresh_token": renewed["refresh_token"]}
    assert httpx.post(f"{console.service.url}/oauth2/token", data=form).json()["error"] == "invalid_grant"


def test_who_does_not_agree_has_no_profile(console: Console, admin: Someone, home: dict[str, str], tmp_path: Path) -> None:
    login = Login(console.service.url, home)
    with console.browser(hosts=[login.host]) as browser:
        browser.foresee("status of 400")
        tab = browser.tab().open(login.address)
        sign_in(tab, admin)
        tab.press("Do not allow").shows("You are not signed in")
        assert not tab.look("command-line-refused")
    code, _, err = login.ends()
    assert code == 3 and "access_denied" in err and not (tmp_path / "config").exists(), err


def test_whoever_is_ended_signs_in_again_at_the_command_line(console: Console, home: dict[str, str]) -> None:
    cora = console.person("cora", role="coadmin")
    login = Login(console.service.url, home)
    with console.browser(hosts=[login.host]) as browser:
        tab = browser.tab().open(login.address)
        sign_in(tab, cora)
        tab.press("Allow").shows("You are signed in")
    assert login.ends()[0] == 0
    assert command("whoami", "--profile", "mine", env=home).returncode == 0
    with console.tenant.http() as http:
        assert http.post("/v1/terminations", json={"user_ids": [cora.user_id]}).status_code == 202
    done = command("whoami", "--profile", "mine", env=home)
    assert done.returncode == 3, done.stdout
    assert "the sign-in is over: `lightsout login --profile mine` begins a new one" in done.stderr
    # There is nothing left to revoke, which is no failure.
    assert command("logout", "--profile", "mine", env=home).returncode == 0


def test_consent_page_in_both_themes(console: Console, admin: Someone, party: Party, browser: Browser) -> None:
    app = redirecting(console, party)
    tab = browser.tab().open(f"/api/oauth2/authorize?response_type=code&client_id={app.client_id}&redirect_uri={party.uri}")
    sign_in(tab, admin)
    tab.lands(r"/api/oauth2/authorize\?.*")
    found = tab.look("consent")
    assert not found, "\n".join(found)
    browser.foresee("status of 400")
    tab.open("/api/oauth2/authorize?response_type=code&client_id=nobody", status=400)
    found = tab.look("authorize-refused")
    assert not found, "\n".join(found)
