"""Clocks that are set back, jump forward, or differ between nodes (libfaketime stands before the kernel's)."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from cluster import LIMITS, Cluster, dropped, shared_database
from harness import RedisServer, eventually, login, redis_cli
from load import Caller, Load, check_invariants
from soak import soak_s

HOUR_S = 3600
# Tokens and what else is made outlives the hours that clocks jump here.
LONG_LIVES = "\n[lives]\ntoken_min = 1000\n"


class Clock:
    """The wall clock of one node, seconds off the machine's. The steady clock is left alone."""

    def __init__(self, folder: Path, name: str, off_s: int = 0) -> None:
        self.file = folder / name
        self.set(off_s)

    def set(self, off_s: int) -> None:
        # Read at each look at the clock, so it is written in one step.
        new = self.file.with_suffix(".new")
        new.write_text(f"{off_s:+d}s\n")
        new.rename(self.file)

    def environment(self) -> dict[str, str]:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        assert libraries, "libfaketime is missing: run ./test e2e, which installs it"
        return {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def with_clocks(tmp_path: Path):
    """Makes clusters whose nodes have clocks of their own."""
    made: list[Cluster] = []

    def make(kind: str, offs_s: list[int], more: str = "") -> tuple[Cluster, list[Clock]]:
        cluster = Cluster(tmp_path, shared_database(kind, tmp_path, len(offs_s)), more, LIMITS + LONG_LIVES)
        made.append(cluster)
        clocks = [Clock(tmp_path, f"clock-{n}", off_s) for n, off_s in enumerate(offs_s)]
        for node, clock in zip(cluster.nodes, clocks, strict=True):
            node.env = clock.environment()
        return cluster.start(), clocks

    yield make
    for cluster in made:
        dropped(cluster)


def signs_in(caller: Caller, user_id: str, node: int) -> bool:
    """Whether a sign-in that brings no `began_at` is taken."""
    reply = caller.send("register", node, "/v1/sessions", json.dumps({"sessions": [{"user_id": user_id}]}))
    assert reply and reply.status == 201, reply
    return reply.body["sessions"][0]["state"] == "active"


def is_ended(caller: Caller, user_id: str, node: int) -> None:
    body = json.dumps({"user_ids": [user_id]})
    reply = caller.send("terminate", node, "/2.0/users/terminate_sessions", body)
    assert reply and reply.status == 202, reply


def sets(clock: Clock, off_s: int, load: Load) -> None:
    """Sets a clock when nothing is under way: a job that waits is called back once a minute only."""
    load.stop()
    eventually(30, load.is_done)
    clock.set(off_s)
    load.start()


def newcomers(load: Load, count: int) -> list[str]:
    return list(load.tenant.people([login(f"new{n}") for n in range(count)]).values())


def test_clock_set_back_and_forward_accepts_nothing_that_was_ended(with_clocks) -> None:
    cluster, (clock,) = with_clocks("sqlite", [0])
    with Load(cluster) as load:
        caller = Caller(load, random.Random(1))
        before, during, after = newcomers(load, 3)
        is_ended(caller, before, 0)
        eventually(5, lambda: signs_in(caller, before, 0))

        sets(clock, -HOUR_S, load)
        load.proceeds(5)
        # Whoever was ended before is refused until the clock has caught up; nobody else is.
        assert not signs_in(caller, before, 0)
        assert signs_in(caller, during, 0)
        is_ended(caller, during, 0)
        eventually(5, lambda: signs_in(caller, during, 0))

        sets(clock, 0, load)
        eventually(5, lambda: signs_in(caller, before, 0))
        load.proceeds(5)

        sets(clock, HOUR_S, load)
        load.proceeds(5)
        is_ended(caller, after, 0)
        eventually(5, lambda: signs_in(caller, after, 0))
        sets(clock, 0, load)
        assert not signs_in(caller, after, 0)
        load.proceeds(5)
    check_invariants(load)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_clocks_that_jump_for_minutes_accept_nothing_that_was_ended(kind: str, with_clocks) -> None:
    cluster, clocks = with_clocks(kind, [0] if kind == "sqlite" else [0, 0])
    rng, end = random.Random(), time.monotonic() + soak_s(0.05)
    with Load(cluster, people=200) as load:
        while time.monotonic() < end:
            rng.choice(clocks).set(rng.randrange(-HOUR_S, HOUR_S))
            load.proceeds(rng.randrange(1, 20))
        for clock in clocks:
            clock.set(0)
    check_invariants(load, deadline_s=120)


def test_clocks_ten_seconds_apart_accept_nothing_and_lock_nobody_out_for_longer(with_clocks) -> None:
    cluster, _ = with_clocks("postgres", [0, 10])
    behind, ahead = 0, 1
    with Load(cluster) as load:
        caller = Caller(load, random.Random(1))
        ann, bob, cyd = newcomers(load, 3)
        assert signs_in(caller, bob, ahead)
        is_ended(caller, ann, ahead)
        ended_at = time.monotonic()
        is_ended(caller, bob, behind)
        is_ended(caller, cyd, behind)
        # Ended by the clock that is behind, a sign-in is taken by either at once.
        eventually(2, lambda: signs_in(caller, cyd, behind))
        assert signs_in(caller, cyd, ahead)
        eventually(2, lambda: signs_in(caller, ann, ahead))
        # Ended by the clock that is ahead, she waits for the other to get there, and no longer.
        eventually(12, lambda: signs_in(caller, ann, behind))
        assert 8 < time.monotonic() - ended_at < 13
        load.proceeds(10)
    check_invariants(load)


@pytest.mark.soak
def test_termination_that_waits_goes_on_when_the_clock_is_set_back(with_clocks, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path).start()
    try:
        system = (
            f'\n[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis.url}"\nprefix = "sess:"\n'
            'user_path = "user.login"\nquiet_time_s = 3\ntimeout_s = 5\n'
        )
        cluster, (clock,) = with_clocks("sqlite", [0], system)
        tenant, who = cluster.tenant(), login("ann")
        (user_id,) = tenant.people([who]).values()
        redis_cli(redis.url, feed=f"SET sess:1 '{{\"user\": {{\"login\": \"{who}\"}}}}'\n")
        with tenant.http() as http:
            accepted = http.post("/v1/terminations", json={"user_ids": [user_id]})
            eventually(10, lambda: redis_cli(redis.url, "dbsize") == ["0"])
            clock.set(-HOUR_S)
            eventually(90, lambda: http.get(accepted.headers["location"]).json()["state"] == "done")
    finally:
        redis.stop()
