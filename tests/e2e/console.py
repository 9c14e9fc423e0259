"""A service with its console, a shop, an outside OpenID provider, and people with passwords."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from chromium import Browser, Chromium, Tab, totp
from conftest import LIMITS
from harness import BINARY, Service, Tenant, eventually, free_port, login, make_database, required
from shops import Person, Shop
from test_oidc import Script, new_jwk

PASSWORD = "correct horse battery staple"
PROVIDER_ID, PROVIDER_SECRET = "lightsout-console", "secret-of-the-console"
QUIET_TIME_S = 2
MANY = "sign_ins_per_minute = 100000\nsign_ins_of_account_per_hour = 100000\n"


class Console:
    """A service, and what stands around it."""

    def __init__(self, folder: Path, chromium: Chromium, database_kind: str = "sqlite") -> None:
        self.chromium = chromium
        redis, name = required("LIGHTSOUT_TEST_REDIS"), uuid.uuid4().hex[:8]
        prefix = f"console-shop-{name}:"
        self.shop_system = (
            f'[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis}"\nprefix = "{prefix}"\n'
            f'user_path = "user.login"\nsubject = "login"\nbegan_at_path = "beganAt"\n'
            f"quiet_time_s = {QUIET_TIME_S}\nclock_skew_s = 0\n\n"
        )
        self.issuer = f"http://127.0.0.1:{free_port()}"
        self.domain = f"acme-{name}.example"
        self.service = Service(folder, make_database(database_kind, folder))
        self.service.init()
        self.tenant: Tenant = self.service.tenant()
        self.service.configure(LIMITS + MANY + self.shop_system + self.provider_settings())
        self.shop = Shop.node("shop.js", redis=redis, prefix=prefix, index=None)
        self.provider = Script("oidc_provider.mjs", self.provider_given(redis), folder / "provider.log")
        self.shop.ready()
        self.service.start()

    def provider_settings(self) -> str:
        return (
            f'[[sign_in.providers]]\nname = "acme"\ntitle = "Acme ID"\nissuer = "{self.issuer}"\n'
            f'client_id = "{PROVIDER_ID}"\nclient_secret = "{PROVIDER_SECRET}"\n'
            f'enterprise = "{self.tenant.enterprise_id}"\ndomains = ["{self.domain}"]\n\n'
        )

    def provider_given(self, redis: str) -> dict:
        return {
            "port": urlsplit(self.issuer).port,
            "issuer": self.issuer,
            "client_id": PROVIDER_ID,
            "client_secret": PROVIDER_SECRET,
            "algorithm": "ES256",
            "jwks": {"keys": [new_jwk("ES256")]},
            "prefix": f"console-op-{uuid.uuid4().hex[:8]}:",
            "redirect_uri": f"{self.service.url}/sign-in/provider/acme/callback",
            "email": True,
        }

    def stop(self) -> None:
        self.shop.stop()
        self.provider.stop()
        self.service.drop()

    # People

    def person(self, name: str, role: str = "user", password: str | None = PASSWORD, group: str = "") -> Someone:
        """Somebody new, with a password unless it is None."""
        who = login(name)
        user_id = self.tenant.people([who], group)[who]
        if role != "user":
            with self.tenant.http() as http:
                reply = http.put(f"/2.0/users/{user_id}", json={"role": role})
                assert reply.status_code == 200, reply.text
        if password:
            self.set_password(who, password)
        return Someone(who, user_id, password or "")

    def admin(self) -> Someone:
        """The primary admin."""
        self.set_password(self.tenant.admin_login, PASSWORD)
        return Someone(self.tenant.admin_login, self.tenant.admin_id, PASSWORD)

    def set_password(self, who: str, password: str) -> None:
        command = [BINARY, "admin", "set-password", "--login", who, "--config", self.service.config]
        done = subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    # Browsers

    def browser(self, **options: object) -> Browser:
        return Browser(self.chromium, self.service, hosts=options.pop("hosts", []), **options)

    def session_of(self, someone: Someone) -> str:
        """The cookie of a sign-in by plain HTTP."""
        with httpx.Client(base_url=self.service.url, timeout=60) as http:
            page = http.get("/sign-in")
            csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
            form = {"csrf": csrf, "login": someone.login, "password": someone.password, "return_to": "/console"}
            reply = http.post("/sign-in", data=form)
            assert reply.status_code == 303, f"{reply.status_code}: {reply.text}"
            return reply.cookies["lightsout_session"]

    def signed_in(self, someone: Someone, **options: object) -> Browser:
        """A browser in which somebody is signed in already."""
        browser = self.browser(**options)
        browser.set_cookie("lightsout_session", self.session_of(someone))
        return browser

    # What is there

    def termination_of(self, tab: Tab) -> dict:
        """The termination that a page shows, by the API."""
        with self.tenant.http() as http:
            reply = http.get(f"/v1/terminations/{tab.path.rsplit('/', 1)[1]}")
            assert reply.status_code == 200, reply.text
            return reply.json()

    def sign_in_at_shop(self, someone: Someone):
        return self.shop.sign_in(Person(someone.login))


class Someone:
    """A person with a login, an id and a password, and a second factor once there is one."""

    def __init__(self, login: str, user_id: str, password: str) -> None:
        self.login = login
        self.user_id = user_id
        self.password = password
        self.secret = ""
        self.last_step = 0

    def code(self) -> str:
        """A code that was not used before: of the next step, where this one's is used up."""
        step = max(int(time.time() // 30), self.last_step + 1)
        self.last_step = step
        # A service takes the step before and after its own.
        eventually(40, lambda: time.time() // 30 >= step - 1)
        return totp(self.secret, step * 30)


def sign_in(tab: Tab, someone: Someone) -> None:
    """Fills in the form of the sign-in page."""
    tab.fill("Login", someone.login).fill("Password", someone.password).press("Sign in")

