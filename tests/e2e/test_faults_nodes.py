"""Nodes that are killed, halted and restarted under load."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from cluster import Cluster, Node, dropped, shared_database
from harness import eventually
from load import Caller, Load, check_invariants, lag_s
from soak import soak_s

NODES = {"sqlite": 1, "postgres": 3}


@pytest.fixture
def make_cluster(tmp_path: Path):
    made: list[Cluster] = []

    def make(kind: str, more: str = "") -> Cluster:
        made.append(Cluster(tmp_path, shared_database(kind, tmp_path, NODES[kind]), more))
        return made[-1].start()

    yield make
    for cluster in made:
        dropped(cluster)


def kill_in_turn(cluster: Cluster, load: Load, rng: random.Random) -> None:
    """Kills a node in the middle of whatever it does, and starts it again."""
    load.proceeds(rng.randrange(1, 12))
    victim = rng.choice(cluster.nodes)
    victim.kill()
    if len(cluster.nodes) > 1:
        load.proceeds(3)
    victim.start()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_nodes_lose_nothing_that_was_accepted(kind: str, make_cluster) -> None:
    cluster, rng = make_cluster(kind), random.Random(7)
    with Load(cluster) as load:
        for _ in range(4):
            kill_in_turn(cluster, load, rng)
        load.proceeds(3)
    check_invariants(load)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nodes_killed_for_minutes_lose_nothing_that_was_accepted(kind: str, make_cluster) -> None:
    cluster, rng, end = make_cluster(kind), random.Random(), time.monotonic() + soak_s(0.15)
    with Load(cluster, people=200) as load:
        while time.monotonic() < end:
            kill_in_turn(cluster, load, rng)
        load.proceeds(3)
    check_invariants(load)


def test_halted_node_holds_up_no_other_and_says_nothing_old_when_it_goes_on(make_cluster) -> None:
    cluster = make_cluster("postgres")
    halted = cluster.nodes[2]
    with Load(cluster) as load:
        caller = Caller(load, random.Random(1))
        try:
            eventually(60, lambda: is_halted_in_a_transaction(halted))
            halted_at = time.monotonic()
            # Its locks are given up, so the others are held up for a moment only.
            for user_id in load.people[:20]:
                body = json.dumps({"user_ids": [user_id]})
                eventually(15, lambda body=body: ends_at(caller, body))
            # Long enough for it to be stale.
            eventually(20, lambda: time.monotonic() > halted_at + 4)
        finally:
            halted.process.send_signal(signal.SIGCONT)
        load.proceeds(5)
    check_invariants(load)


def ends_at(caller: Caller, body: str) -> bool:
    reply = caller.send("terminate", 0, "/2.0/users/terminate_sessions", body, timeout_s=15)
    return bool(reply) and reply.status == 202


def is_halted_in_a_transaction(node: Node) -> bool:
    """Halts a node, and lets it go on unless it was in a transaction that others wait for."""
    assert node.process
    node.process.send_signal(signal.SIGSTOP)
    halted = f"client_port IN ({','.join(['0', *ports(node)])}) AND datname = current_database()"
    waited_for = "SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    idle = f"SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND {halted}"
    try:
        if node.rows(idle) != [("0",)]:
            eventually(1, lambda: node.rows(f"{idle} AND pid IN ({waited_for})") != [("0",)])
            return True
    except AssertionError:
        pass
    node.process.send_signal(signal.SIGCONT)
    return False


def ports(node: Node) -> list[str]:
    """The ports from which a process is connected."""
    assert node.process
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{node.process.pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [str(int(line[1].split(":")[1], 16)) for line in lines if f"socket:[{line[9]}]" in sockets]


def test_restart_of_every_node_in_turn_refuses_nobody_and_loses_nothing(make_cluster) -> None:
    cluster = make_cluster("postgres")
    with Load(cluster) as load:
        for node in cluster.nodes:
            node.stop()
            load.proceeds(3)
            node.start()
            load.proceeds(3)
    check_invariants(load)
    # In order all the time: nodes hear from each other at once, and not by asking twice a second.
    assert lag_s(load.record) < 0.5
