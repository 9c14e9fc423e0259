"""Nodes that are killed, halted and restarted under load."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from cluster import Cluster, dropped, shared_database
from harness import eventually
from load import Load, check_invariants, lag_s
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


def test_halted_node_says_nothing_old_when_it_goes_on(make_cluster) -> None:
    cluster = make_cluster("postgres")
    halted = cluster.nodes[2]
    with Load(cluster) as load:
        assert halted.process
        halted.process.send_signal(signal.SIGSTOP)
        try:
            halted_at = time.monotonic()
            # Long enough for it to be stale, and for its leases to be worked by others.
            eventually(20, lambda: time.monotonic() > halted_at + 4)
        finally:
            halted.process.send_signal(signal.SIGCONT)
        load.proceeds(5)
    check_invariants(load)


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
