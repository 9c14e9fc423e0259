"""Ten times more requests at once than a service takes: the rest is refused at once, and it recovers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import LIMITS, Cluster, dropped, shared_database
from harness import HERE, eventually
from load import Load, check_invariants
from soak import soak_s

AT_ONCE = 40


def overload(load: Load, connections: int, seconds: float) -> dict:
    """Lets a crowd send for some seconds; what it was answered, and the most memory that was held."""
    (node,) = load.cluster.nodes
    command = [sys.executable, HERE / "crowd.py", str(node.port), load.token, str(connections), str(seconds)]
    crowd = subprocess.Popen([*command, ",".join(load.people)], stdout=subprocess.PIPE, text=True)
    most_mb = 0.0

    def is_over() -> bool:
        nonlocal most_mb
        most_mb = max(most_mb, node.resident_mb())
        return crowd.poll() is not None

    try:
        # What is being worked when it ends is answered within the longest wait for a connection.
        eventually(seconds + 30, is_over)
    finally:
        crowd.kill()
        crowd.wait()
    assert crowd.stdout
    return json.loads(crowd.stdout.read()) | {"most_mb": most_mb}


def survives(cluster: Cluster, seconds: float, connections: int, rounds: int = 1) -> None:
    with Load(cluster) as load:
        load.proceeds(20)
        first = overload(load, connections, seconds)
        # It answers again, and at once.
        begun = time.monotonic()
        load.proceeds(5, deadline_s=5)
        assert time.monotonic() - begun < 5
        # Buffers and the allocator's rest grow for a round or two.
        for _ in range(rounds - 1):
            first = overload(load, connections, seconds)
        again = overload(load, connections, seconds)
    print({name: {k: v for k, v in told.items() if k != "accepted"} for name, told in (("first", first), ("again", again))})
    for told in (first, again):
        assert not told["wrong"], told["wrong"]
        assert told["answers"]["503"] > 100 and told["answers"]["202"] > 0, told["answers"]
    # A connection has some KB; what stays with each is not its own.
    assert again["most_mb"] - first["most_mb"] < 20 + connections * 0.005, (first["most_mb"], again["most_mb"])
    check_invariants(load)
    known = {row[0] for row in cluster.rows("SELECT termination_id FROM terminations WHERE state = 'done'")}
    assert known.issuperset(first["accepted"] + again["accepted"])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_overload_is_refused_at_once_and_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, shared_database(kind, tmp_path, 1))
    cluster.nodes[0].env = {"LIGHTSOUT__SERVER__REQUESTS_MAX": str(AT_ONCE)}
    try:
        survives(cluster.start(), 3, 10 * AT_ONCE)
    finally:
        dropped(cluster)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_overload_for_minutes_with_the_limits_as_shipped(kind: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, shared_database(kind, tmp_path, 1))
    try:
        survives(cluster.start(), soak_s(0.02), 10_000, rounds=4)
    finally:
        dropped(cluster)


def test_caller_over_quota_is_told_when_to_come_again(tmp_path: Path) -> None:
    limits = LIMITS.replace("registrations_per_second = 100000", "registrations_per_second = 20")
    cluster = Cluster(tmp_path, shared_database("sqlite", tmp_path, 1), limits=limits)
    try:
        with Load(cluster.start()) as load:
            told = overload(load, 20, 2)
            assert not told["wrong"], told["wrong"]
            assert told["answers"]["429"] > 20 and told["answers"]["201"] > 0
            eventually(5, lambda: load.record.answers["register", 429] > 0)
        check_invariants(load)
    finally:
        dropped(cluster)
