"""Real OpenID Connect: npm oidc-provider signs people in at npm express-openid-connect, or at Apache with
mod_auth_openidc, and logout tokens put them out."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from pathlib import Path

import httpx
import pytest

from conftest import LIMITS
from harness import (
    ACCEPTED,
    HERE,
    Service,
    Tenant,
    eventually,
    finished,
    free_port,
    login,
    make_database,
    required,
)

QUIET_TIME_S = 3
CLIENT_ID, CLIENT_SECRET, PROBE_TOKEN = "wiki", "secret-of-the-wiki", "probe-secret-of-the-wiki"
KEYS = {
    "ES256": "crypto.generateKeyPairSync('ec', {namedCurve: 'P-256'})",
    "RS256": "crypto.generateKeyPairSync('rsa', {modulusLength: 2048})",
    "EdDSA": "crypto.generateKeyPairSync('ed25519')",
}


def new_jwk(algorithm: str) -> dict:
    script = f"const crypto = require('crypto'); console.log(JSON.stringify({KEYS[algorithm]}.privateKey.export({{format: 'jwk'}})))"
    made = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=60, check=True)
    # Without a kid: the provider names it by its thumbprint.
    return json.loads(made.stdout) | {"use": "sig", "alg": algorithm}


class Script:
    """A Node program that prints one line when it listens."""

    def __init__(self, name: str, given: dict, log: Path) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                ["node", str(HERE / "node" / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.process.stdin.write(json.dumps(given))
        self.process.stdin.close()
        assert self.process.stdout.readline(), f"{name} did not start: {log.read_text()}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()


APACHE = """
ServerRoot "{folder}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/httpd.pid
ErrorLog {folder}/apache.log
Mutex file:{folder} default
User www-data
Group www-data
DocumentRoot {folder}/www
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCProviderTokenEndpointAuth client_secret_post
OIDCIDTokenSignedResponseAlg {algorithm}
OIDCRedirectURI {url}/redirect_uri
OIDCCryptoPassphrase keyboard-cat
OIDCScope openid
<Location />
    AuthType openid-connect
    Require valid-user
</Location>
<Location /me>
    OIDCUnAuthAction 401
</Location>
"""


class Apache:
    """Apache with mod_auth_openidc; `/me` answers 401 where nobody is signed in, other pages sign in."""

    def __init__(self, given: dict) -> None:
        # Apache's processes run as another user, who may not read pytest's folders.
        self.folder = tempfile.TemporaryDirectory(prefix="apache-")
        folder = Path(self.folder.name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        for name in ("me", "login", "private"):
            (folder / "www" / name).write_text(json.dumps({"signedIn": True}))
        config = folder / "apache.conf"
        config.write_text(APACHE.format(folder=folder, modules="/usr/lib/apache2/modules", **given))
        log = (folder / "start.log").open("ab")
        command = ["apache2", "-DFOREGROUND", "-f", str(config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        eventually(20, lambda: self.answers(given["url"]))

    def answers(self, url: str) -> bool:
        assert self.process.poll() is None, "apache2 ended"
        try:
            return httpx.get(f"{url}/me").status_code == 401
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.folder.cleanup()


class Federation:
    """A service, a provider whose sessions live in Redis, and a relying party."""

    def __init__(
        self, folder: Path, database_kind: str, algorithm: str, probe: bool, ends_provider: bool, apache: bool
    ) -> None:
        redis, name = required("LIGHTSOUT_TEST_REDIS"), uuid.uuid4().hex[:8]
        provider_port, party_port = free_port(), free_port()
        self.issuer = f"http://127.0.0.1:{provider_port}"
        self.party = f"http://127.0.0.1:{party_port}"
        self.prefix = f"op-{name}:"
        logout_uri = f"{self.party}/redirect_uri?logout=backchannel" if apache else f"{self.party}/backchannel-logout"
        receiver = "mod_auth_openidc" if apache else "express_openid_connect"
        keys = folder / "provider-keys.json"
        jwks = {"keys": [new_jwk(algorithm)]}
        keys.write_text(json.dumps(jwks))
        systems = (
            f'[[systems]]\nname = "wiki"\nkind = "oidc_backchannel"\nissuer = "{self.issuer}"\n'
            f'client_id = "{CLIENT_ID}"\nlogout_uri = "{logout_uri}"\n'
            f'signing_keys = "{keys}"\nalgorithm = "{algorithm}"\nreceiver = "{receiver}"\n'
            f"quiet_time_s = {QUIET_TIME_S}\nclock_skew_s = 0\n"
        )
        if probe:
            systems += f'probe_url = "{self.party}/internal/sessions/{{sid}}"\nprobe_token = "{PROBE_TOKEN}"\n'
        if ends_provider:
            systems += (
                f'[[systems]]\nname = "provider"\nkind = "redis"\nurl = "{redis}"\nprefix = "{self.prefix}Session:"\n'
                f'user_path = "accountId"\nquiet_time_s = {QUIET_TIME_S}\nclock_skew_s = 0\n'
            )
        self.programs: list[Script | Apache] = []
        self.service = Service(folder, make_database(database_kind, folder), LIMITS + systems)
        self.service.init().start()
        self.tenant: Tenant = self.service.tenant()
        token = self.tenant.app_token(self.tenant.app(rights=["sessions.write"]))
        both = {
            "redis": redis,
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "algorithm": algorithm,
        }
        provider = both | {
            "port": provider_port,
            "prefix": self.prefix,
            "redirect_uri": f"{self.party}/{'redirect_uri' if apache else 'callback'}",
            "logout_uri": logout_uri,
            "jwks": jwks,
            "lightsout": self.service.url,
            "token": token,
        }
        party = both | {"port": party_port, "prefix": f"rp-{name}:", "url": self.party, "probe_token": PROBE_TOKEN}
        self.programs.append(Script("oidc_provider.mjs", provider, folder / "provider.log"))
        self.programs.append(Apache(party) if apache else Script("oidc_party.js", party, folder / "party.log"))

    def stop(self) -> None:
        for program in self.programs:
            program.stop()
        self.service.drop()

    def sign_in(self, who: str) -> httpx.Client:
        """A device on which somebody signs in at the party, by way of the provider."""
        browser = httpx.Client(follow_redirects=True, timeout=60)
        page = browser.get(f"{self.party}/login")
        assert page.status_code == 200 and page.url.path.startswith("/interaction/"), page.text
        done = browser.post(page.url, data={"login": who})
        assert done.json() == {"signedIn": True}, done.text
        assert self.is_in(browser)
        return browser

    def is_in(self, browser: httpx.Client) -> bool:
        """Whether a device is signed in at the party; asking signs nobody in."""
        return browser.get(f"{self.party}/me").status_code == 200

    def comes_back(self, browser: httpx.Client) -> bool:
        """Whether a device gets into the party again without anybody saying who they are."""
        page = browser.get(f"{self.party}/private")
        assert page.status_code == 200, page.text
        return not page.url.path.startswith("/interaction/")

    def end(self, who: str) -> dict:
        """Ends somebody's sessions over Box's wire; the outcomes by system."""
        message = self.tenant.box().session_termination.terminate_users_sessions([], [who]).message
        assert message == ACCEPTED
        with self.tenant.http() as http:
            location = f"/v1/terminations/{self.tenant.termination_ids()[-1]}"
            finished(http, location, deadline_s=60)
            return {o["system"]: o for o in http.get(f"{location}/outcomes").json()["entries"]}


@pytest.fixture
def federation(tmp_path: Path):
    made: list[Federation] = []

    def make(algorithm: str = "ES256", probe: bool = False, ends_provider: bool = False, database_kind: str = "sqlite", apache: bool = False) -> Federation:
        made.append(Federation(tmp_path, database_kind, algorithm, probe, ends_provider, apache))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("algorithm", list(KEYS))
def test_two_devices_are_put_out_and_a_bystander_is_not(federation, algorithm: str) -> None:
    f = federation(algorithm=algorithm)
    ann, bob = login("ann"), login("bob")
    f.tenant.people([ann, bob])
    a, b, bystander = f.sign_in(ann), f.sign_in(ann), f.sign_in(bob)
    outcome = f.end(ann)["wiki"]
    assert (outcome["outcome"], outcome["sessions_ended"]) == ("delivered_not_verified", 0), outcome
    assert "verified_at" not in outcome
    assert not f.is_in(a) and not f.is_in(b)
    assert f.is_in(bystander)


def test_what_the_probe_shows_gone_is_ended_and_verified(federation, database_kind: str) -> None:
    f = federation(probe=True, database_kind=database_kind)
    ann, bob = login("ann"), login("bob")
    f.tenant.people([ann, bob])
    a, b, bystander = f.sign_in(ann), f.sign_in(ann), f.sign_in(bob)
    outcome = f.end(ann)["wiki"]
    assert (outcome["outcome"], outcome["sessions_ended"]) == ("ended", 2), outcome
    assert outcome["verified_at"] and outcome["resurrected"] == 0
    assert not f.is_in(a) and not f.is_in(b)
    assert f.is_in(bystander)
    # Whoever signs in anew stays in.
    again = f.sign_in(ann)
    assert f.is_in(again) and not f.is_in(b)


def test_who_never_signed_in_there_is_unknown(federation) -> None:
    f = federation()
    ann = login("ann")
    f.tenant.people([ann])
    outcome = f.end(ann)["wiki"]
    assert outcome["outcome"] == "unknown_sessions"
    assert "POST /v1/sessions" in outcome["detail"]


def test_the_provider_signs_in_again_without_a_question_unless_its_session_ends_too(federation) -> None:
    f = federation(probe=True)
    ann = login("ann")
    f.tenant.people([ann])
    a = f.sign_in(ann)
    assert f.end(ann)["wiki"]["outcome"] == "ended"
    assert not f.is_in(a)
    assert f.comes_back(a), "the provider's own session was not ended"
    assert f.is_in(a)


def test_with_the_providers_store_as_a_second_system_nobody_comes_back(federation) -> None:
    f = federation(probe=True, ends_provider=True)
    ann, bob = login("ann"), login("bob")
    f.tenant.people([ann, bob])
    a, b, bystander = f.sign_in(ann), f.sign_in(ann), f.sign_in(bob)
    outcomes = f.end(ann)
    assert {name: (o["outcome"], o["sessions_ended"]) for name, o in outcomes.items() if name != "registry"} == {
        "wiki": ("ended", 2),
        "provider": ("ended", 2),
    }
    for device in (a, b):
        assert not f.is_in(device)
        assert not f.comes_back(device), "the provider asks who it is"
    assert f.is_in(bystander) and f.comes_back(bystander)


def test_a_party_that_was_down_is_told_when_it_is_back(federation) -> None:
    f = federation()
    ann = login("ann")
    f.tenant.people([ann])
    a = f.sign_in(ann)
    party = f.programs[1].process
    # Stopped, it takes connections and answers nothing.
    party.send_signal(19)
    try:
        assert f.tenant.box().session_termination.terminate_users_sessions([], [ann]).message == ACCEPTED
        location = f"/v1/terminations/{f.tenant.termination_ids()[-1]}"
        with f.tenant.http() as http:
            eventually(30, lambda: [s for s in http.get(location).json()["systems"] if s["system"] == "wiki"][0]["unreachable"])
    finally:
        party.send_signal(18)
    with f.tenant.http() as http:
        finished(http, location, deadline_s=60)
        outcomes = {o["system"]: o["outcome"] for o in http.get(f"{location}/outcomes").json()["entries"]}
    assert outcomes["wiki"] == "delivered_not_verified"
    assert not f.is_in(a)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_apache_with_mod_auth_openidc_puts_two_devices_out_and_no_bystander(federation, algorithm: str) -> None:
    f = federation(apache=True, algorithm=algorithm)
    ann, bob = login("ann"), login("bob")
    f.tenant.people([ann, bob])
    a, b, bystander = f.sign_in(ann), f.sign_in(ann), f.sign_in(bob)
    outcome = f.end(ann)["wiki"]
    assert outcome["outcome"] == "delivered_not_verified", outcome
    assert not f.is_in(a) and not f.is_in(b)
    assert f.is_in(bystander)
    # A second request tells it again, under a new jti, though nobody is signed in there any more.
    assert f.end(ann)["wiki"]["outcome"] == "delivered_not_verified"
