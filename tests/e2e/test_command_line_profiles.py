"""Profiles: `lightsout login`, `whoami` and `logout`, and which of flags, environment and profile counts."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from harness import Tenant, command
from test_python_sdk import jwt_config

WAYS = ["developer token", "token on stdin", "ccg enterprise", "ccg user", "secret on stdin", "jwt enterprise", "jwt user"]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The variable that keeps a test's profiles apart."""
    return {"LIGHTSOUT_CONFIG_HOME": str(tmp_path / "config")}


def profile(tmp_path: Path, name: str) -> Path:
    return tmp_path / "config" / "profiles" / f"{name}.json"


def credentials(way: str, tenant: Tenant, key_pair, tmp_path: Path) -> tuple[list[str], str | None, str]:
    """Flags, standard input, and what of it is secret."""
    if "token" in way:
        token = tenant.developer_token()
        return ([], token + "\n", token) if way.endswith("stdin") else (["--token", token], None, token)
    app = tenant.app("--user-tokens", "--may-end-admins")
    subject = ["--user", tenant.admin_id] if way.endswith("user") else []
    if way.startswith("jwt"):
        file = tmp_path / "box-config.json"
        file.write_text(jwt_config(tenant, app, key_pair))
        return ["--jwt", str(file), *subject], None, key_pair[1]
    flags = ["--client-id", app.client_id, *(subject or ["--enterprise", tenant.enterprise_id])]
    if way.endswith("stdin"):
        return flags, app.client_secret, app.client_secret
    return [*flags, "--client-secret", app.client_secret], None, app.client_secret


@pytest.mark.parametrize("way", WAYS)
def test_login_keeps_a_profile_that_whoami_uses_and_logout_forgets(
    way: str, tenant: Tenant, key_pair, home: dict[str, str], tmp_path: Path
) -> None:
    flags, feed, secret = credentials(way, tenant, key_pair, tmp_path)
    made = command("login", "--profile", "mine", "--url", tenant.service.url, *flags, env=home, feed=feed)
    assert made.returncode == 0, made.stderr
    file = profile(tmp_path, "mine")
    assert f"profile      mine, in {file}" in made.stdout and f"server       {tenant.service.url}" in made.stdout
    assert secret not in made.stdout + made.stderr
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]

    for known in (["--profile", "mine"], []):
        env = home if known else home | {"LIGHTSOUT_PROFILE": "mine"}
        me = command("whoami", *known, "--json", env=env)
        assert me.returncode == 0 and secret not in me.stdout + me.stderr, me.stderr
        answer = json.loads(me.stdout)
        assert (answer["profile"], answer["url"]) == ("mine", tenant.service.url)
        assert answer["user"]["enterprise"]["id"] == tenant.enterprise_id
        is_admin = way.endswith("user") or "token" in way
        assert (answer["user"]["id"] == tenant.admin_id) == is_admin

    gone = command("logout", "--profile", "mine", env=home)
    assert gone.returncode == 0 and "its secret still works" in gone.stdout and not file.exists()
    assert command("logout", "--profile", "mine", env=home).returncode == 2
    after = command("whoami", "--profile", "mine", env=home)
    assert after.returncode == 2 and "there is no profile mine, and no other" in after.stderr, after.stderr


def test_profile_that_has_no_name_is_the_default(tenant: Tenant, home: dict[str, str], tmp_path: Path) -> None:
    made = command("login", "--url", tenant.service.url, "--token", tenant.developer_token(), env=home)
    assert made.returncode == 0 and profile(tmp_path, "default").exists(), made.stderr
    for arguments in [("whoami",), ("users", "list"), ("users", "show", tenant.admin_id)]:
        done = command(*arguments, env=home)
        assert done.returncode == 0 and tenant.admin_login in done.stdout, done.stderr
    other = command("whoami", "--profile", "other", env=home)
    assert other.returncode == 2 and "there is no profile other; those that are there: default" in other.stderr, other.stderr


def test_profile_is_kept_only_if_it_works(tenant: Tenant, home: dict[str, str], tmp_path: Path) -> None:
    wrong = command("login", "--profile", "mine", "--url", tenant.service.url, "--token", "nonsense", env=home)
    assert wrong.returncode == 3 and "the profile was not kept" in wrong.stderr, wrong.stderr
    app = tenant.app()
    ccg = ("--client-id", app.client_id, "--enterprise", tenant.enterprise_id, "--client-secret", "not-it")
    refused = command("login", "--profile", "mine", "--url", tenant.service.url, *ccg, env=home)
    assert refused.returncode == 3 and "not-it" not in refused.stderr, refused.stderr
    away = command("login", "--profile", "mine", "--url", "http://127.0.0.1:1", "--token", "x", env=home)
    assert away.returncode == 6, away.stderr
    nothing = command("login", "--profile", "mine", "--url", tenant.service.url, env=home)
    assert nothing.returncode == 2 and "no secret was given" in nothing.stderr, nothing.stderr
    nobody = command("login", "--profile", "mine", "--url", tenant.service.url, "--client-id", "app_1", env=home)
    assert nobody.returncode == 2 and "--enterprise or --user" in nobody.stderr, nobody.stderr
    assert not profile(tmp_path, "mine").exists()
    outside = command("login", "--profile", "../x", "--url", tenant.service.url, "--token", tenant.developer_token(), env=home)
    assert outside.returncode == 2 and "no name for a profile" in outside.stderr, outside.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_profile_beside_other_credentials_is_refused(tenant: Tenant, home: dict[str, str]) -> None:
    token = tenant.developer_token()
    made = command("login", "--profile", "mine", "--url", tenant.service.url, "--token", token, env=home)
    assert made.returncode == 0, made.stderr
    beside = [
        (["--url", tenant.service.url], {}),
        (["--token", token], {}),
        (["--client-id", "app_1", "--client-secret", "s", "--enterprise", "1"], {}),
        ([], {"LIGHTSOUT_URL": tenant.service.url}),
        ([], {"LIGHTSOUT_TOKEN": token}),
    ]
    for flags, env in beside:
        refused = command("whoami", "--profile", "mine", *flags, env=home | env)
        assert refused.returncode == 2 and "a profile says where to go and as whom" in refused.stderr, (flags, env)
    # An address without credentials must not send a profile's secret there.
    elsewhere = command("whoami", "--url", tenant.service.url, env=home)
    assert elsewhere.returncode == 2 and "say who you are" in elsewhere.stderr, elsewhere.stderr


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_profile_that_others_may_read_is_refused(mode: int, tenant: Tenant, home: dict[str, str], tmp_path: Path) -> None:
    made = command("login", "--profile", "mine", "--url", tenant.service.url, "--token", tenant.developer_token(), env=home)
    assert made.returncode == 0, made.stderr
    file = profile(tmp_path, "mine")
    file.chmod(mode)
    refused = command("whoami", "--profile", "mine", env=home)
    assert refused.returncode == 1 and f"run: chmod 600 {file}" in refused.stderr, refused.stderr
    file.chmod(0o600)
    assert command("whoami", "--profile", "mine", env=home).returncode == 0


def test_nobody_is_wrong_usage_that_says_what_to_do(home: dict[str, str]) -> None:
    done = command("whoami", env=home)
    assert done.returncode == 2 and "`lightsout login`, or --token" in done.stderr, done.stderr


def test_asking_on_behalf_of_a_user(tenant: Tenant) -> None:
    ann = f"ann-{tenant.enterprise_id}@example.com"
    ann_id = tenant.people([ann])[ann]
    me = command("whoami", "--as-user", ann_id, "--json", tenant=tenant)
    assert me.returncode == 0 and json.loads(me.stdout)["user"]["login"] == ann, me.stderr
    refused = command("users", "terminate-sessions", "--id", ann_id, "--as-user", ann_id, tenant=tenant)
    assert refused.returncode == 3 and tenant.termination_ids() == [], refused.stderr
