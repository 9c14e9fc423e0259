"""Old and new beside each other on one PostgreSQL, either restarted at any time."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from cluster import Cluster, Node, dropped, shared_database
from harness import BINARY, REPO, psql
from load import Load, check_invariants
from soak import soak_s

# The version before the index in memory and the barrier feed.
OLD = os.environ.get("LIGHTSOUT_OLD_COMMIT", "460152d")


@pytest.fixture
def cluster(tmp_path: Path):
    cluster = Cluster(tmp_path, shared_database("postgres", tmp_path, 3))
    yield cluster
    dropped(cluster)


def run(*command: str | Path, timeout_s: float = 60) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=REPO)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def old_binary() -> Path:
    """The old version, built in a folder of its own; `LIGHTSOUT_OLD_BIN` is one that is built already."""
    if given := os.environ.get("LIGHTSOUT_OLD_BIN"):
        return Path(given)
    source, target = REPO / ".test" / f"source-{OLD}", REPO / ".test" / f"target-{OLD}"
    if not (target / "debug" / "lightsout").exists():
        if not source.exists():
            run("git", "worktree", "add", "--detach", source, OLD)
        manifest = source / "Cargo.toml"
        run("cargo", "build", "--manifest-path", manifest, "--bin", "lightsout", "--target-dir", target, timeout_s=3600)
        run("git", "worktree", "remove", "--force", source)
    return target / "debug" / "lightsout"


def restart(node: Node, binary: Path, rng: random.Random) -> None:
    """Puts a node on a binary, after an end in order or a crash."""
    if rng.random() < 0.5:
        node.stop()
    else:
        node.kill()
    node.binary = binary
    node.start()


@pytest.mark.soak
def test_old_and_new_share_one_schema_and_either_restarts_at_any_time(cluster: Cluster, old_binary: Path) -> None:
    rng, end = random.Random(), time.monotonic() + soak_s(0.15)
    for node in cluster.nodes:
        node.binary = old_binary
    with Load(cluster.start(), people=200) as load:
        restart(cluster.nodes[0], BINARY, rng)
        while time.monotonic() < end:
            load.proceeds(rng.randrange(1, 20), deadline_s=60)
            restart(rng.choice(cluster.nodes), rng.choice([old_binary, BINARY]), rng)
        for node in cluster.nodes:
            restart(node, BINARY, rng)
            load.proceeds(3, deadline_s=60)
    check_invariants(load)


def test_node_goes_on_beside_a_newer_schema_until_that_is_too_new(cluster: Cluster) -> None:
    first, second, third = cluster.nodes
    with Load(cluster.start(), people=20) as load:
        migrations = "SELECT max(number) FROM schema_migrations"
        newer = int(cluster.rows(migrations)[0][0]) + 1
        # As a newer version leaves it, which says that this one may go on.
        psql(first.database, f"INSERT INTO schema_migrations VALUES ({newer}, 1)")
        second.kill()
        second.start()
        load.proceeds(3)
        # And one that says that it may not: whoever runs goes on, and nobody starts.
        psql(first.database, f"INSERT INTO schema_migrations VALUES ({newer + 1}, {newer + 1})")
        third.kill()
        refused = third.run("serve")
        assert refused.returncode == 1 and "too old for the database" in refused.stderr, refused.stderr
        load.proceeds(3)
        psql(first.database, f"DELETE FROM schema_migrations WHERE number >= {newer}")
        third.start()
    check_invariants(load)
