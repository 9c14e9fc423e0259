"""Backup and restore as docs/operating.md has it: what was ended after the backup stays ended."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from cluster import Cluster, dropped, shared_database
from harness import eventually, psql, required
from load import Caller, Load, Session, assert_log_is_whole


def run(*command: str | Path, **more) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, done.stderr


def backup(cluster: Cluster, file: Path) -> None:
    database = cluster.nodes[0].database
    if database.startswith("sqlite:"):
        run("sqlite3", database.removeprefix("sqlite:"), f"VACUUM INTO '{file}'", umask=0o077)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    else:
        run("pg_dump", "--format=custom", "--file", file, database)


def restore(cluster: Cluster, file: Path) -> None:
    """With every node stopped."""
    database = cluster.nodes[0].database
    if database.startswith("sqlite:"):
        there = Path(database.removeprefix("sqlite:"))
        for leftover in ("-wal", "-shm"):
            there.with_name(there.name + leftover).unlink(missing_ok=True)
        shutil.copy(file, there)
        os.chmod(there, 0o600)
    else:
        name = urlsplit(database).path[1:]
        psql(required("LIGHTSOUT_TEST_POSTGRES"), f"DROP DATABASE {name}")
        psql(required("LIGHTSOUT_TEST_POSTGRES"), f"CREATE DATABASE {name}")
        run("pg_restore", "--exit-on-error", "--dbname", database, file)


def signed_in(caller: Caller, user_id: str) -> Session:
    session = Session(f"a session of {user_id}", user_id, 0)
    body = {"sessions": [{"user_id": user_id, "session_id": session.session_id}]}
    reply = caller.insist("register", "/v1/sessions", json.dumps(body))
    assert reply and reply.body["sessions"][0]["state"] == "active"
    return session


def ended(caller: Caller, user_id: str) -> None:
    assert caller.insist("terminate", "/v1/terminations", json.dumps({"user_ids": [user_id]}))


def is_active(caller: Caller, session: Session) -> bool:
    reply = caller.introspect(session, 0)
    assert reply and reply.status == 200, reply
    return reply.body["active"]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_restored_backup_refuses_what_was_ended_after_it(kind: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, shared_database(kind, tmp_path, 1 if kind == "sqlite" else 2))
    try:
        cluster.start()
        restores_and_refuses(cluster, tmp_path / "backup")
    finally:
        dropped(cluster)


def restores_and_refuses(cluster: Cluster, file: Path) -> None:
    service = cluster.nodes[0]
    with Load(cluster) as load:
        caller = Caller(load, random.Random(1))
        ann, bob, cyd = load.tenant.people([f"{name}@{load.tenant.enterprise_id}.example" for name in ("ann", "bob", "cyd")]).values()
        anns, bobs, app = signed_in(caller, ann), signed_in(caller, bob), load.tenant.app(rights=["sessions.write", "introspect", "feed"])
        load.proceeds(5)
        # At any time: people sign in and are signed out meanwhile.
        backup(cluster, file)
        load.proceeds(5)
        ended(caller, ann)
        assert not is_active(caller, anns)
        cyds = signed_in(caller, cyd)
    eventually(30, load.is_done)
    position, head = cluster.rows("SELECT position, chain_hash FROM event_head")[0]

    restore_all(cluster, file)
    caller = Caller(load, random.Random(2))
    # Why the next step is needed: the backup knows nothing of her end.
    assert is_active(caller, anns) and is_active(caller, bobs)
    stop_all(cluster)
    raised = service.run("admin", "raise-generations")
    assert raised.returncode == 0, raised.stderr
    for node in cluster.nodes:
        node.start()

    refused = Caller(load, random.Random(3)).send("introspect", 0, "/oauth2/introspect", "token=any")
    assert refused and refused.status == 401
    load.token = load.tenant.app_token(app)
    caller = Caller(load, random.Random(4))
    assert not any(is_active(caller, session) for session in (anns, bobs, cyds))
    assert not any(is_active(caller, session) for session in load.record.sessions[-100:])
    # Under the ids that were ended, and under new ones: the former stay refused, people sign in again.
    again = caller.insist("register", "/v1/sessions", json.dumps({"sessions": [{"user_id": ann}]}))
    assert again and again.body["sessions"][0]["state"] == "active"
    if len(cluster.nodes) == 1:
        # What was under way in the backup is finished; on PostgreSQL when the leases in it run out.
        eventually(30, load.is_done)
    assert_log_is_whole(cluster)
    # The kept head is of a log that is no more.
    assert service.run("events", "verify", "--expect", f"{position}:{head}").returncode == 7
    followers_hear_again(load, int(position), {ann, bob, cyd, *load.people, *load.bystanders})


def stop_all(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.stop()


def restore_all(cluster: Cluster, file: Path) -> None:
    stop_all(cluster)
    restore(cluster, file)
    for node in cluster.nodes:
        node.start()


def followers_hear_again(load: Load, position: int, people: set[str]) -> None:
    """Whoever followed the log that is no more is told of everybody."""
    for node in load.cluster.nodes:
        headers = {"authorization": f"Bearer {load.token}"}
        reply = httpx.get(f"{node.url}/v1/barriers", params={"after": position, "wait_s": 5}, headers=headers, timeout=20)
        assert reply.status_code == 200, reply.text
        assert people <= {barrier["user_id"] for barrier in reply.json()["barriers"]}
        assert reply.json()["position"] < position
