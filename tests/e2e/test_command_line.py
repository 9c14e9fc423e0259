"""The command line as people and scripts use it: ending sessions, exit codes, TLS, logs."""

from __future__ import annotations

import json
import signal
import sqlite3
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from conftest import openssl
from harness import BINARY, Tenant, command, environment, eventually, login

def test_users_are_ended_and_followed_to_the_verdict(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    people = tenant.people([ann, bob])
    dry = command("users", "terminate-sessions", "--login", ann, "--dry-run", tenant=tenant)
    assert dry.returncode == 0 and "would end    1 person;" in dry.stdout, dry.stdout + dry.stderr
    assert tenant.termination_ids() == []

    done = command("users", "terminate-sessions", "--login", ann.upper(), "--id", people[bob], "--reason", "drill",
                   "--follow", tenant=tenant)
    assert done.returncode == 0 and "done: every end is verified" in done.stdout, done.stdout + done.stderr
    (termination,) = tenant.termination_ids()
    shown = command("terminations", "show", termination, "--json", tenant=tenant)
    assert json.loads(shown.stdout)["reason"] == "drill"
    listed = command("terminations", "list", tenant=tenant)
    assert termination in listed.stdout
    followed = command("terminations", "follow", termination, "--json", tenant=tenant)
    events = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [e.get("event_type") for e in events[-2:]] == ["SESSION_TERMINATION_DONE", None]
    assert events[-1]["state"] == "done"


def test_groups_are_ended_by_id(tenant: Tenant) -> None:
    tenant.people([login("ann")], "Sales")
    done = command("groups", "terminate-sessions", "--id", tenant.group_id("Sales"), "--follow", tenant=tenant)
    assert done.returncode == 0 and "people       1" in done.stdout, done.stdout + done.stderr


def test_each_kind_of_failure_has_its_exit_code(tenant: Tenant) -> None:
    end = ("users", "terminate-sessions", "--login")
    ann = login("ann")
    tenant.people([ann])
    assert command(*end, ann, tenant=tenant, token="nonsense").returncode == 3
    weak = tenant.developer_token(scopes=["manage_groups"])
    refused = command(*end, ann, tenant=tenant, token=weak)
    assert refused.returncode == 3 and "manage_managed_users" in refused.stderr, refused.stderr
    unknown = command(*end, "ghost@example.com", tenant=tenant)
    assert unknown.returncode == 4 and "ghost@example.com" in unknown.stderr, unknown.stderr
    unreached = command(*end, ann, "--url", "http://127.0.0.1:1", "--token", "x")
    assert unreached.returncode == 6 and unreached.stderr.startswith("error: could not reach http://127.0.0.1:1"), unreached.stderr
    assert command("users", "terminate-sessions", "--token", "x").returncode == 2
    assert command("no-such-command").returncode == 2
    for done in (refused, unknown, unreached):
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_service_speaks_tls_with_its_own_certificate(make_service, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate))
    service = make_service()
    text = service.config.read_text()
    tls = f'[server.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n\n[database]'
    service.config.write_text(text.replace("[database]", tls).replace("http://", "https://"))
    service.init()
    process = subprocess.Popen([BINARY, "serve", "--config", service.config], cwd=service.folder)
    try:
        trusted = ssl.create_default_context(cafile=certificate)
        url = service.url.replace("http://", "https://")

        def is_ready() -> bool:
            try:
                return httpx.get(f"{url}/readyz", verify=trusted, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        eventually(30, is_ready)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{service.url}/readyz", timeout=5)
    finally:
        process.terminate()
        assert process.wait(timeout=40) == 0


def test_log_is_one_json_object_a_line_where_asked_for(make_service) -> None:
    service = make_service(more='[log]\nformat = "json"\n')
    service.init().start()
    service.stop()
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    # Whether the index says that it is loaded before the end is a matter of milliseconds.
    said = [line["fields"]["message"] for line in lines if line["fields"]["message"] != "index loaded"]
    assert said == ["listening", "stopping"], lines


def test_configuration_is_checked_without_serving(make_service) -> None:
    service = make_service()
    assert service.run("serve", "--check-config").returncode == 0
    service.config.write_text(service.config.read_text() + '\n[[systems]]\nname = "x"\nkind = "fax"\n')
    wrong = service.run("serve", "--check-config")
    assert wrong.returncode == 1 and "fax" in wrong.stderr and "redis" in wrong.stderr, wrong.stderr


def test_secret_of_a_system_stands_in_the_environment_or_a_file(make_service, tmp_path: Path) -> None:
    password = tmp_path / "redis-url"
    password.write_text("redis://127.0.0.1:1/0\n")
    system = f'\n[[systems]]\nname = "shop"\nkind = "redis"\nurl = {{ file = "{password}" }}\nuser_path = "user"\n'
    service = make_service(more=system)
    done = service.run("serve", "--check-config")
    assert done.returncode == 0, done.stderr
    service.config.write_text(service.config.read_text().replace(f'file = "{password}"', 'env = "NO_SUCH_NAME"'))
    missing = service.run("serve", "--check-config")
    assert missing.returncode == 1 and "NO_SUCH_NAME" in missing.stderr, missing.stderr


def test_somebody_who_was_left_out_is_told_and_has_its_exit_code(tenant: Tenant) -> None:
    done = command("users", "terminate-sessions", "--login", "ghost@example.com", "--skip-unknown", "--follow", tenant=tenant)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "nobody was ended, 1 left out" in done.stdout and "ghost@example.com: not known here" in done.stdout


def test_ending_oneself_says_that_it_was_accepted(tenant: Tenant) -> None:
    done = command("users", "terminate-sessions", "--login", tenant.admin_login, "--follow", tenant=tenant)
    (termination,) = tenant.termination_ids()
    assert done.returncode == 5 and "accepted, and it goes on" in done.stderr, done.stdout + done.stderr
    assert f"with a new one: lightsout terminations follow {termination}" in done.stderr, done.stderr


def test_interrupted_follower_says_how_to_go_on(make_service) -> None:
    system = '\n[[systems]]\nname = "shop"\nkind = "redis"\nurl = "redis://127.0.0.1:1/0"\nuser_path = "user"\n'
    service = make_service(more=system).init().start()
    tenant = service.tenant()
    ann = login("ann")
    tenant.people([ann])
    env = environment(tenant)
    arguments = [BINARY, "users", "terminate-sessions", "--login", ann, "--follow"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as follower:
        assert follower.stderr
        said = [follower.stderr.readline(), follower.stderr.readline()]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(timeout=30) == 130
        assert "accepted     t_" in said[0] and "waiting      shop: the system did not answer" in said[1], said
        assert "lightsout terminations follow t_" in follower.stderr.read()
    (termination,) = tenant.termination_ids()
    shown = command("terminations", "show", termination, tenant=tenant)
    assert f"{ann}: unreachable: " in shown.stdout, shown.stdout


def test_reader_who_stops_early_ends_the_command_quietly(tenant: Tenant) -> None:
    tenant.people([login("ann")], "Sales")
    for _ in range(3):
        command("groups", "terminate-sessions", "--id", tenant.group_id("Sales"), tenant=tenant)
    env = environment(tenant)
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {BINARY} terminations list | true"], env=env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.parametrize("expect", ["3:abcd", "0:" + 64 * "a", "abc", "1:" + 64 * "x"])
def test_expectation_that_proves_nothing_is_wrong_usage(expect: str, make_service) -> None:
    service = make_service().init()
    service.tenant()
    done = service.run("events", "verify", "--expect", expect)
    assert done.returncode == 2 and "POSITION:HASH" in done.stderr, done.stdout + done.stderr


def test_verify_makes_no_database_and_names_a_missing_head(make_service) -> None:
    service = make_service()
    missing = service.run("events", "verify")
    assert missing.returncode == 1 and "there is no database" in missing.stderr, missing.stderr
    service.init()
    assert service.run("events", "verify").returncode == 7
    service.tenant()
    assert service.run("events", "verify").returncode == 0
    with sqlite3.connect(service.database.removeprefix("sqlite:")) as connection:
        connection.execute("DELETE FROM event_head")
    headless = service.run("events", "verify")
    assert headless.returncode == 7 and "head of the log is missing" in headless.stdout, headless.stdout


@pytest.mark.parametrize("wrong", ['url = "http://h"\nuser_path = "u"',
                                   'url = "redis://h"\nuser_path = ""'])
def test_system_that_cannot_work_is_refused_at_the_check(wrong: str, make_service) -> None:
    service = make_service(more=f'\n[[systems]]\nname = "shop"\nkind = "redis"\n{wrong}\n')
    done = service.run("serve", "--check-config")
    assert done.returncode == 1 and "system shop" in done.stderr, done.stdout + done.stderr
