"""Apache's two resource-server modules ask the service about sessions, with the settings of docs/resource-servers.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from conftest import LIMITS
from harness import REPO, App, Service, Tenant, eventually, free_port, login, make_database
from test_faults_clocks import Clock

DOCUMENT = (REPO / "docs" / "resource-servers.md").read_text()
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
# What the document states: how long an answer may be kept, and the rounding of `exp`.
CACHE_S, ROUNDING_S = 2, 1
# What a busy machine adds to the stated time.
SLACK_S = 1
# The certificate authority, as the document has it.
AUTHORITY = "/etc/ssl/lightsout-ca.pem"


def documented(language: str, word: str) -> str:
    """The document's one block in a language that has a word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return block


@dataclass(frozen=True)
class Module:
    """One of Apache's modules, and its settings in the document."""

    name: str
    settings: str
    # How it spells "claim" where it requires one.
    claim: str
    reads_exp: bool

    @property
    def names_authority(self) -> bool:
        """Whether it has a setting for a certificate authority; else it trusts what the system trusts."""
        return AUTHORITY in self.settings

    def refuses_within_s(self, ahead_s: int) -> int:
        """The stated time from the 202 on, by an Apache whose clock is ahead of the service's."""
        return max(0, CACHE_S + ROUNDING_S - ahead_s) if self.reads_exp else CACHE_S


OPENIDC = Module("auth_openidc", documented("apache", "AuthType oauth20"), "claim", reads_exp=True)
OAUTH2 = Module("oauth2", documented("apache", "AuthType oauth2\n"), "oauth2_claim", reads_exp=False)
both = pytest.mark.parametrize("module", [OPENIDC, OAUTH2], ids=lambda module: module.name)


# The service


class TlsService(Service):
    """A service that speaks TLS itself."""

    def configure(self, more: str) -> None:
        self.url = f"https://127.0.0.1:{self.port}"
        tls = f'[server.tls]\ncertificate = "{self.folder}/cert.pem"\nkey = "{self.folder}/key.pem"\n'
        super().configure(more + tls)


def make_certificates(folder: Path) -> None:
    """An authority, and the certificate that it signs for the service."""
    key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = [*key, "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"]
    service = [*key, "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-subj", "/CN=lightsout", "-keyout", "key.pem",
               "-out", "cert.pem", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    for arguments in (authority, service):
        # Valid since yesterday, so for an Apache whose clock is behind as well.
        command = ["faketime", "-f", "-1d", "openssl", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
        assert done.returncode == 0, done.stderr


@dataclass
class Site:
    """The service, an enterprise, and the app that signs its people in."""

    tenant: Tenant
    registrar: httpx.Client
    admin: httpx.Client

    def person(self) -> Person:
        who = login("ann")
        return Person(self, who, self.tenant.people([who])[who])

    def resource_app(self) -> App:
        """The app of the resource server, made by the document's command."""
        enterprise = {"--enterprise 12": f"--enterprise {self.tenant.enterprise_id}"}
        made = self.run(documented("sh", "--right introspect"), enterprise)
        return App(made["client_id"], made["client_secret"])

    def set_cache(self, app: App, seconds: str) -> None:
        changes = {"app_1": app.client_id, "--seconds 2": f"--seconds {seconds}"}
        self.run(documented("sh", "introspection-cache"), changes)

    def run(self, command: str, changes: dict[str, str]) -> dict:
        program, admin, *arguments = shlex.split(replaced(command, changes))
        assert (program, admin) == ("lightsout", "admin")
        return self.tenant.service.admin(*arguments)


@dataclass
class Person:
    site: Site
    login: str
    user_id: str

    def sign_in(self) -> str:
        """Registers a session; its id."""
        reply = self.site.registrar.post("/v1/sessions", json={"sessions": [{"user_id": self.user_id}]})
        assert reply.status_code == 201, reply.text
        return reply.json()["sessions"][0]["session_id"]

    def end_sessions(self) -> None:
        reply = self.site.admin.post("/2.0/users/terminate_sessions", json={"user_ids": [self.user_id], "user_logins": []})
        assert reply.status_code == 202, reply.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("resource-servers")
    make_certificates(folder)
    service = TlsService(folder, make_database("sqlite", folder), LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        # The tests' own HTTP client trusts the authority by this.
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        try:
            tenant = service.init().start().tenant()
            token = tenant.app_token(tenant.app(scopes=[], rights=["sessions.write"]))
            with tenant.http(token) as registrar, tenant.http() as admin:
                yield Site(tenant, registrar, admin)
            service.stop()
        finally:
            service.drop()


# Apache

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
LoadModule headers_module {modules}/mod_headers.so
LoadModule {module}_module {modules}/mod_{module}.so
Header set X-User "expr=%{{REMOTE_USER}}"
{settings}
"""
# Exchanges the system's trust store for a folder, for one program alone.
WITH_TRUST_STORE = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/ssl/certs && exec "$@"']


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} is not in:\n{text}"
        text = text.replace(old, new)
    return text


class Apache:
    """An Apache with one of the modules, which lets registered sessions in at `/private`."""

    def __init__(
        self,
        site: Site,
        module: Module,
        app: App,
        ahead_s: int = 0,
        changes: dict[str, str] | None = None,
        is_trusted: bool = True,
    ) -> None:
        # Apache's processes run as another user, who may not read pytest's folders.
        self.temporary = tempfile.TemporaryDirectory(prefix="apache-", ignore_cleanup_errors=True)
        folder = self.folder = Path(self.temporary.name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        (folder / "www" / "private").write_text("private")
        (folder / "certs").mkdir()
        authority = folder / "certs" / "ca-certificates.crt"
        shutil.copy(site.tenant.service.folder / "ca.pem", authority)
        names = {
            "https://lightsout.example.com": site.tenant.service.url,
            "app_1": app.client_id,
            "SECRET": app.client_secret,
        }
        # The changes come last: an app's id in them may begin with `app_1` as well.
        settings = replaced(module.settings, names | (changes or {})).replace(AUTHORITY, str(authority))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/private"
        config = folder / "apache.conf"
        given = {"folder": folder, "port": port, "modules": "/usr/lib/apache2/modules", "module": module.name}
        config.write_text(APACHE.format(**given, settings=settings))
        clock = Clock(folder, "clock", ahead_s).environment() if ahead_s else {}
        command = ["env", *(f"{name}={value}" for name, value in clock.items()), "apache2", "-DFOREGROUND", "-f", config]
        if is_trusted and not module.names_authority:
            command = [*WITH_TRUST_STORE, authority.parent, *command]
        with (folder / "start.log").open("ab") as log:
            self.process = subprocess.Popen([*AS_ROOT, *command], stdout=log, stderr=log)
        try:
            eventually(20, self.is_ready)
            assert abs(self.clock_s() - time.time() - ahead_s) < 1.5
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Apache:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log(self) -> str:
        files = [self.folder / "start.log", self.folder / "apache.log"]
        return "".join(file.read_text() for file in files if file.exists())

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"apache2 ended:\n{self.log()}"
        try:
            return httpx.get(self.url).status_code == 401
        except httpx.TransportError:
            return False

    def clock_s(self) -> float:
        return parsedate_to_datetime(httpx.get(self.url).headers["date"]).timestamp()

    def user(self, session: str, by_cookie: bool = False) -> str | None:
        """Whom a session lets in, by the name that Apache gives them; nobody if it is refused."""
        headers = {"Cookie": f"session={session}"} if by_cookie else {"Authorization": f"Bearer {session}"}
        reply = httpx.get(self.url, headers=headers, timeout=20)
        assert reply.status_code in (200, 401), f"{reply.status_code}\n{self.log()}"
        return reply.headers["x-user"] if reply.status_code == 200 else None

    def stop(self) -> None:
        # What it wrote is shown where a test fails.
        print(self.log())
        subprocess.run([*AS_ROOT, "kill", str(self.process.pid)], check=True)
        self.process.wait(timeout=20)
        self.temporary.cleanup()


def stays(seconds: float, condition: Callable[[], bool]) -> None:
    """Asks again and again, and fails at once where the condition is not true."""
    end = time.monotonic() + seconds

    def is_over() -> bool:
        assert condition()
        return time.monotonic() > end

    eventually(seconds + 10, is_over)


def ask(site: Site, app: App, session: str) -> dict:
    """The service's own answer."""
    form, credentials = {"token": session}, (app.client_id, app.client_secret)
    reply = httpx.post(f"{site.tenant.service.url}/oauth2/introspect", data=form, auth=credentials)
    assert reply.status_code == 200, reply.text
    return reply.json()


# Tests


@both
@pytest.mark.parametrize("ahead_s", [0, 3, -3], ids=["same_clock", "apache_3_s_ahead", "apache_3_s_behind"])
def test_ended_session_is_refused_within_the_stated_time(site: Site, module: Module, ahead_s: int) -> None:
    ann, bob = site.person(), site.person()
    phone, laptop, bystander = ann.sign_in(), ann.sign_in(), bob.sign_in()
    with Apache(site, module, site.resource_app(), ahead_s) as apache:
        # Longer than any answer is kept.
        stays(CACHE_S + ROUNDING_S, lambda: (apache.user(phone), apache.user(bystander)) == (ann.login, bob.login))
        # Apache keeps a new answer for the longest time: one of a moment before the end.
        assert apache.user(laptop, by_cookie=True) == ann.login
        ann.end_sessions()

        def is_refused() -> bool:
            assert apache.user(bystander) == bob.login
            return apache.user(phone) is None and apache.user(laptop, by_cookie=True) is None

        eventually(module.refuses_within_s(ahead_s) + SLACK_S, is_refused)
        again = ann.sign_in()
        assert apache.user(again) == ann.login and apache.user(again, by_cookie=True) == ann.login
        assert apache.user(phone) is None and apache.user("never-registered-id") is None
        assert apache.user(site.tenant.developer_token()) is None, "a token of the service is no session"


def test_ended_session_stays_accepted_where_the_time_is_not_limited(site: Site) -> None:
    ann, unlimited = site.person(), site.resource_app()
    site.set_cache(unlimited, "off")
    session = ann.sign_in()
    with (
        Apache(site, OPENIDC, unlimited) as openidc,
        # It does not read `exp`, so the app's limit is no help.
        Apache(site, OAUTH2, site.resource_app(), changes={"&expiry=2": ""}) as oauth2,
    ):
        assert openidc.user(session) == oauth2.user(session) == ann.login
        ann.end_sessions()
        stays(5, lambda: openidc.user(session) == oauth2.user(session) == ann.login)


def test_interval_limits_the_time_by_apaches_clock_alone(site: Site) -> None:
    ann, unlimited = site.person(), site.resource_app()
    site.set_cache(unlimited, "off")
    session = ann.sign_in()
    interval = documented("apache", f"OIDCOAuthTokenIntrospectionInterval {CACHE_S}")
    with Apache(site, OPENIDC, unlimited, -3, {"</Location>": f"{interval}</Location>"}) as apache:
        assert apache.user(session) == ann.login
        ann.end_sessions()
        eventually(CACHE_S + ROUNDING_S + SLACK_S, lambda: apache.user(session) is None)


@both
def test_credentials_may_come_in_the_form(site: Site, module: Module) -> None:
    ann = site.person()
    with Apache(site, module, site.resource_app(), changes={"client_secret_basic": "client_secret_post"}) as apache:
        assert apache.user(ann.sign_in()) == ann.login


@both
def test_sessions_of_one_app_alone_are_let_in(site: Site, module: Module) -> None:
    ann, app = site.person(), site.resource_app()
    session = ann.sign_in()
    answer = ask(site, app, session)
    assert list(answer) == list(json.loads(documented("json", "active")))
    assert answer["exp"] < answer["session_expires_at"]
    (line,) = re.findall(r"^ *Require .*\n", module.settings, re.MULTILINE)
    required = documented("apache", "RequireAll").replace("Require claim", f"Require {module.claim}")
    for client_id, user in ((answer["client_id"], ann.login), (app.client_id, None)):
        with Apache(site, module, app, changes={line: required.replace("app_2", client_id)}) as apache:
            assert apache.user(session) == user


@both
def test_wrong_secret_and_unknown_authority_let_nobody_in(site: Site, module: Module) -> None:
    ann, app = site.person(), site.resource_app()
    session = ann.sign_in()
    with Apache(site, module, App(app.client_id, "wrong")) as apache:
        assert apache.user(session) is None and apache.user(site.person().sign_in()) is None
    changes = {"OIDCCABundlePath": "#OIDCCABundlePath"} if module.names_authority else {}
    with Apache(site, module, app, changes=changes, is_trusted=False) as apache:
        assert apache.user(session) is None
        assert "certificate" in apache.log()
    assert ask(site, app, session)["active"]


def test_service_that_is_away_lets_nobody_in_for_longer(site: Site) -> None:
    ann, app = site.person(), site.resource_app()
    session = ann.sign_in()
    with Apache(site, OPENIDC, app) as openidc, Apache(site, OAUTH2, app) as oauth2:
        assert openidc.user(session) == oauth2.user(session) == ann.login
        site.tenant.service.stop()
        try:
            eventually(CACHE_S + ROUNDING_S + SLACK_S, lambda: openidc.user(session) is oauth2.user(session) is None)
        finally:
            site.tenant.service.start()
        assert openidc.user(session) == oauth2.user(session) == ann.login
