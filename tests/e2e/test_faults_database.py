"""The database goes away under load: stopped, cut off from one node, or without room on its disk."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from cluster import Cluster, Line, Postgres, through
from harness import eventually, login
from load import Caller, Load, Session, check_invariants
from soak import soak_s

STALE_AFTER_S = 2
# A stale node asks its database once more before it says so, for a second at most.
ASKS_S = 1


@pytest.fixture
def postgres():
    postgres = Postgres()
    yield postgres
    postgres.drop()


@pytest.fixture
def pair(tmp_path: Path, postgres: Postgres):
    """Two nodes on a PostgreSQL of the test's own."""
    cluster = Cluster(tmp_path, [postgres.url()] * 2).start()
    yield cluster
    cluster.end()


@pytest.fixture
def behind_line(tmp_path: Path, postgres: Postgres):
    """Two nodes, the second of which reaches PostgreSQL by a line that can break."""
    line = Line(postgres.port)
    cluster = Cluster(tmp_path, [postgres.url(), through(line, postgres.url())]).start()
    yield cluster, line
    cluster.end()
    line.close()


def caller_of(load: Load) -> Caller:
    return Caller(load, random.Random(3))


def a_session(load: Load) -> Session:
    return next(s for s in load.record.sessions if s.user_id in load.bystanders)


def refuses_to_say(load: Load, node: int) -> None:
    """Waits until a node says at /readyz that it is stale, within its stated limit; it then refuses to say
    who is signed in."""
    service, begun = load.cluster.nodes[node], time.monotonic()
    eventually(STALE_AFTER_S + 2 * ASKS_S, lambda: service.get("/readyz").status_code == 503)
    assert int(service.get("/readyz").headers["retry-after"]) > 0
    reply = caller_of(load).introspect(a_session(load), node)
    assert reply and reply.status == 503, reply
    assert time.monotonic() - begun < STALE_AFTER_S + 3 * ASKS_S


def everything_is_refused_cleanly(load: Load) -> None:
    """With its database gone, a node answers 503 to every kind of request, in bounded time."""
    caller, session = caller_of(load), a_session(load)
    for node in range(len(load.cluster.nodes)):
        begun = time.monotonic()
        assert caller.introspect(session, node).status == 503
        for path in ("/v1/terminations", "/2.0/users/terminate_sessions"):
            reply = caller.send("terminate", node, path, f'{{"user_ids": ["{session.user_id}"]}}', timeout_s=15)
            assert reply and reply.status == 503 and reply.retry_after, (node, path, reply)
        assert time.monotonic() - begun < 15
        assert load.cluster.nodes[node].get("/healthz").status_code == 200


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_stopped_and_started_under_load(mode: str, pair: Cluster, postgres: Postgres) -> None:
    with Load(pair) as load:
        postgres.stop(mode)
        for node in range(2):
            refuses_to_say(load, node)
        everything_is_refused_cleanly(load)
        postgres.start()
        load.proceeds(5)
    check_invariants(load)


@pytest.mark.soak
def test_postgres_stopped_and_started_for_minutes(pair: Cluster, postgres: Postgres) -> None:
    rng, end = random.Random(), time.monotonic() + soak_s(0.15)
    with Load(pair, people=200) as load:
        while time.monotonic() < end:
            load.proceeds(rng.randrange(1, 40))
            postgres.stop(rng.choice(["fast", "immediate"]))
            refuses_to_say(load, rng.randrange(2))
            postgres.start()
        load.proceeds(5)
    check_invariants(load)


def ends_at_the_first(load: Load, user_id: str) -> float:
    """Ends somebody at the first node; when it was accepted."""
    body = json.dumps({"user_ids": [user_id]})
    caller, accepted_at = caller_of(load), 0.0

    def is_accepted() -> bool:
        nonlocal accepted_at
        # What the other node held locked when it was cut off is given up within seconds.
        reply = caller.send("terminate", 0, "/2.0/users/terminate_sessions", body, timeout_s=15)
        accepted_at = time.monotonic()
        return bool(reply) and reply.status == 202

    eventually(15, is_accepted)
    return accepted_at


def break_and_mend(load: Load, line: Line, breaks: str, mends: str) -> None:
    """Cuts the second node off, ends sessions at the first meanwhile, and lets it come back."""
    caller = caller_of(load)
    (ann,) = load.tenant.people([login("ann")]).values()
    body = {"sessions": [{"user_id": ann, "session_id": uuid.uuid4().hex}]}
    assert caller.insist("register", "/v1/sessions", json.dumps(body))
    anns = Session(body["sessions"][0]["session_id"], ann, time.monotonic())
    eventually(5, lambda: says_active(caller, anns, 1))
    getattr(line, breaks)()
    accepted_at = ends_at_the_first(load, ann)
    # It knows this session, and does not hear of its end: it may say so for a moment only.
    eventually(10, lambda: not says_active(caller, anns, 1))
    assert load.record.last_active[anns.session_id, 1] < accepted_at + STALE_AFTER_S
    refuses_to_say(load, 1)
    accepted = load.counts()[0]
    eventually(30, lambda: load.counts()[0] >= accepted + 3)
    # It is not fresh, so it never says active, of whomever.
    bystander = a_session(load)
    for session in [anns, bystander, *list(load.watched)[:20]]:
        reply = caller.introspect(session, 1)
        assert reply and reply.status == 503, reply
    getattr(line, mends)()
    eventually(20, load.cluster.nodes[1].is_ready)
    eventually(20, lambda: says_active(caller, bystander, 1))
    assert not says_active(caller, anns, 1)


def says_active(caller: Caller, session: Session, node: int) -> bool:
    reply = caller.introspect(session, node)
    return bool(reply) and reply.body.get("active") is True


@pytest.mark.parametrize(("breaks", "mends"), [("cut", "heal"), ("hold", "heal"), ("hold", "forget")])
def test_node_that_is_cut_off_says_nothing_and_comes_back_by_itself(breaks: str, mends: str, behind_line) -> None:
    cluster, line = behind_line
    with Load(cluster) as load:
        break_and_mend(load, line, breaks, mends)
        load.proceeds(5)
    check_invariants(load)


@pytest.mark.soak
def test_node_cut_off_again_and_again_for_minutes(behind_line) -> None:
    cluster, line = behind_line
    rng, end = random.Random(), time.monotonic() + soak_s(0.15)
    with Load(cluster, people=200) as load:
        while time.monotonic() < end:
            load.proceeds(rng.randrange(1, 40), deadline_s=60)
            break_and_mend(load, line, *rng.choice([("cut", "heal"), ("hold", "heal"), ("hold", "forget")]))
        load.proceeds(5)
    check_invariants(load)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 160 MB, so that a disk can be full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size=160m,uid={os.geteuid()}"
    done = subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    assert done.returncode == 0, f"no small disk can be mounted (run as root, or with sudo): {done.stderr}"
    yield folder
    subprocess.run([*as_root, "umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Takes what room there is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return ballast
    raise AssertionError("a disk is never full")


def fill_and_free(load: Load, folder: Path) -> None:
    """Fills the disk until writing requests are refused, checks what goes on, and frees it."""
    caller, session = caller_of(load), a_session(load)
    later = load.record.answers["register", 503]
    ballast = fill(folder)
    eventually(30, lambda: load.record.answers["register", 503] > later + 3)
    # Nothing need be written to say who is signed in.
    assert caller.introspect(session, 0).body.get("active") is True
    ballast.unlink()
    load.proceeds(3)


def on_disk(tmp_path: Path, disk: Path) -> Cluster:
    return Cluster(tmp_path, [f"sqlite:{disk / 'lightsout.db'}"]).start()


def test_full_disk_refuses_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    cluster = on_disk(tmp_path, small_disk)
    try:
        with Load(cluster) as load:
            fill_and_free(load, small_disk)
            # And once more, with a crash while it is full.
            ballast = fill(small_disk)
            later = load.record.answers["register", 503]
            eventually(30, lambda: load.record.answers["register", 503] > later)
            cluster.nodes[0].kill()
            ballast.unlink()
            cluster.nodes[0].start()
            load.proceeds(3)
        check_invariants(load)
    finally:
        cluster.end()


@pytest.mark.soak
def test_full_disk_for_minutes(tmp_path: Path, small_disk: Path) -> None:
    cluster, end = on_disk(tmp_path, small_disk), time.monotonic() + soak_s(0.05)
    try:
        with Load(cluster, people=200) as load:
            while time.monotonic() < end:
                fill_and_free(load, small_disk)
        check_invariants(load)
    finally:
        cluster.end()
