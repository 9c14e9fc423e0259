"""Load on a cluster, a record of everything that was promised meanwhile, and the check that it was kept."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from urllib.parse import urlencode

from cluster import Cluster
from harness import eventually, login

# What a request may be answered while something is broken; everything else is strange.
GOOD, LATER = (200, 201, 202), (429, 503)


@dataclass
class Session:
    """A session that was answered `active`, when it was sent and when that was known."""

    session_id: str
    user_id: str
    known: float


@dataclass
class Termination:
    """A termination that was answered 202."""

    termination_id: str
    user_ids: list[str]
    sent: float
    accepted: float
    node: int


@dataclass
class Record:
    """What was promised, by whom and when; times are of this process's steady clock."""

    sessions: list[Session] = field(default_factory=list)
    terminations: list[Termination] = field(default_factory=list)
    # When the newest check began that a node answered with active.
    last_active: dict[tuple[str, int], float] = field(default_factory=dict)
    answers: Counter = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)


class Load:
    """People who sign in, are checked, and are signed out, until it is stopped.

    Of the people, every fourth is a bystander, who is never signed out. Each request goes to a node by
    chance and is repeated as an SDK does it, so it may go to another node the next time.
    """

    def __init__(self, cluster: Cluster, people: int = 40, seed: int = 1, pause_s: float = 0.002) -> None:
        self.cluster = cluster
        self.pause_s = pause_s
        self.seed = seed
        self.tenant = cluster.tenant()
        ids = list(self.tenant.people([login(f"p{n}") for n in range(people)]).values())
        self.bystanders, self.people = set(ids[: people // 4]), ids[people // 4 :]
        rights = ["sessions.write", "sessions.read", "introspect"]
        self.token = self.tenant.app_token(self.tenant.app(rights=rights))
        self.record = Record()
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.of_user: dict[str, deque[Session]] = {user_id: deque(maxlen=20) for user_id in ids}
        # Sessions that are worth a look: those that were just ended.
        self.watched: deque[Session] = deque(maxlen=100)
        self.threads: list[threading.Thread] = []

    # Running

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.stopped.clear()
        # Two of each that writes: one may wait for a node that does not answer.
        kinds = {self.register_one: 2, self.terminate_some: 2, self.introspect_one: 3}
        for n, work in enumerate(work for work, times in kinds.items() for _ in range(times)):
            self.threads.append(threading.Thread(target=self.repeat, args=(work, n), daemon=True))
        for thread in self.threads:
            thread.start()
        self.proceeds(5)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a request is not answered"
        self.threads = []

    def is_done(self) -> bool:
        """Whether every termination is finished."""
        return self.cluster.rows("SELECT count(*) FROM terminations WHERE finished_at IS NULL") == [("0",)]

    def repeat(self, work, n: int) -> None:
        caller = Caller(self, random.Random(f"{self.seed} {n}"))
        while not self.stopped.wait(self.pause_s):
            try:
                work(caller)
            except Exception as error:  # Or the thread ends, and nobody knows.
                self.strange(f"{work.__name__}: {error!r}")

    def counts(self) -> tuple[int, int, int]:
        with self.lock:
            return len(self.record.terminations), len(self.record.sessions), self.record.answers["introspect", 200]

    def proceeds(self, by: int, deadline_s: float = 40) -> None:
        """Waits until so many more terminations, registrations and checks were answered well."""
        wanted = [count + by for count in self.counts()]
        eventually(deadline_s, lambda: all(now >= then for now, then in zip(self.counts(), wanted, strict=True)))

    def strange(self, what: str) -> None:
        with self.lock:
            self.record.strange.append(what)

    # What people do

    def register_one(self, caller: Caller) -> None:
        user_id = caller.random.choice([*self.people, *self.bystanders])
        session_id = uuid.uuid4().hex
        body = {"sessions": [{"user_id": user_id, "session_id": session_id}]}
        reply = caller.insist("register", "/v1/sessions", json.dumps(body))
        if not reply or reply.body["sessions"][0]["state"] != "active":
            return
        session = Session(session_id, user_id, time.monotonic())
        with self.lock:
            self.record.sessions.append(session)
            self.of_user[user_id].append(session)

    def terminate_some(self, caller: Caller) -> None:
        user_ids = caller.random.sample(self.people, caller.random.choice([1, 1, 1, 3, 10]))
        if caller.random.random() < 0.5:
            path, headers = "/v1/terminations", {"idempotency-key": uuid.uuid4().hex}
        else:
            path, headers = "/2.0/users/terminate_sessions", {}
        asked = time.monotonic()
        reply = caller.insist("terminate", path, json.dumps({"user_ids": user_ids}), **headers)
        if not reply:
            return
        # With a key a repeat is the first attempt's termination: it ends nothing that began since then.
        sent = asked if headers else reply.sent
        termination = Termination(
            reply.location.rsplit("/", 1)[1], user_ids, sent, time.monotonic(), reply.node
        )
        with self.lock:
            self.record.terminations.append(termination)
            for user_id in user_ids:
                self.watched.extend(self.of_user[user_id])

    def introspect_one(self, caller: Caller) -> None:
        with self.lock:
            known = self.watched if self.watched and caller.random.random() < 0.7 else self.record.sessions[-500:]
            if not known:
                return
            session = caller.random.choice(known)
        caller.introspect(session, caller.random.randrange(len(self.cluster.nodes)))

    def note_check(self, session: Session, node: int, sent: float, is_active: bool) -> None:
        if not is_active and session.user_id in self.bystanders:
            self.strange(f"node {node} refuses a session that nobody ended")
        with self.lock:
            if is_active:
                before = self.record.last_active.get((session.session_id, node), 0.0)
                self.record.last_active[session.session_id, node] = max(before, sent)


@dataclass
class Reply:
    """An answer: its status, its body, who gave it, and when it was asked for."""

    status: int
    body: dict
    location: str
    retry_after: str | None
    node: int
    sent: float


class Caller:
    """One thread's connections, one to each node."""

    def __init__(self, load: Load, rng: random.Random) -> None:
        self.load = load
        self.random = rng
        self.connections: dict[int, http.client.HTTPConnection] = {}

    def send(self, kind: str, node: int, path: str, body: str, timeout_s: float = 3, **headers: str) -> Reply | None:
        """One attempt; nothing if there was no whole answer."""
        port = self.load.cluster.nodes[node].port
        connection = self.connections.setdefault(node, http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s))
        is_form = path == "/oauth2/introspect"
        sent = time.monotonic()
        try:
            connection.request("POST", path, body, {
                "authorization": f"Bearer {self.load.token}",
                "content-type": "application/x-www-form-urlencoded" if is_form else "application/json",
                **headers,
            })
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            with self.load.lock:
                self.load.record.answers[kind, "none"] += 1
            return None
        with self.load.lock:
            self.load.record.answers[kind, reply.status] += 1
        answer = Reply(reply.status, {}, reply.getheader("location", ""), reply.getheader("retry-after"), node, sent)
        try:
            answer.body = json.loads(text)
            assert answer.status in GOOD or answer.status in LATER and int(answer.retry_after or "") > 0
        except (ValueError, AssertionError):
            self.load.strange(f"{kind} at node {node}: {reply.status} {reply.headers.items()} {text[:300]!r}")
        return answer

    def insist(self, kind: str, path: str, body: str, **headers: str) -> Reply | None:
        """Repeats a request until it is taken, or the load is stopped. `sent` is of the last attempt."""
        pause_s = 0.05
        while True:
            node = self.random.randrange(len(self.load.cluster.nodes))
            reply = self.send(kind, node, path, body, **headers)
            if reply and reply.status in GOOD:
                return reply
            if self.load.stopped.wait(pause_s):
                return None
            pause_s = min(2 * pause_s, 0.5)

    def introspect(self, session: Session, node: int, timeout_s: float = 3) -> Reply | None:
        form = urlencode({"token": session.session_id})
        # Once more, as every client does where a connection that was kept turns out to be closed.
        for _ in range(2):
            reply = self.send("introspect", node, "/oauth2/introspect", form, timeout_s=timeout_s)
            if reply:
                break
        if reply and reply.status == 200:
            self.load.note_check(session, node, reply.sent, reply.body["active"])
        return reply


# What must hold


def check_invariants(load: Load, stale_after_s: float = 2, deadline_s: float = 60) -> None:
    """After any fault, with every node up again: nothing promised is lost, nothing is done twice."""
    load.stop()
    load.cluster.resume()
    record = load.record
    assert not record.strange, f"{len(record.strange)} answers, first: {record.strange[:3]}"
    assert record.terminations and record.sessions
    eventually(deadline_s, load.is_done)
    assert_nothing_lost(load)
    assert_log_is_whole(load.cluster)
    assert_refused_in_time(record, stale_after_s)
    assert_all_nodes_agree(load)


def assert_nothing_lost(load: Load) -> None:
    """Every accepted termination is done, with a verified outcome and one event for each person."""
    rows = load.cluster.rows
    states = {row[0]: row[1:] for row in rows("SELECT termination_id, state, people FROM terminations")}
    for termination in load.record.terminations:
        assert states.get(termination.termination_id) == ("done", str(len(termination.user_ids))), termination
    accepted = [t.termination_id for t in load.record.terminations]
    assert len(set(accepted)) == len(accepted), "two requests share a termination"
    verified = Counter(
        termination_id
        for termination_id, state, verified_at in rows("SELECT termination_id, state, verified_at FROM outcomes")
        if state in ("ended", "nothing_found") and verified_at not in ("", "None")
    )
    assert verified == {termination_id: int(people) for termination_id, (_, people) in states.items()}
    assert rows("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == [("0",)]
    told: Counter = Counter()
    for termination_id, kind, *body in rows(
        "SELECT termination_id, event_type, body FROM events WHERE termination_id IS NOT NULL"
    ):
        event = json.loads("|".join(body))
        who = (event["source"]["id"], event["additional_details"]["system"]) if kind.endswith("OUTCOME") else ()
        told[termination_id, kind, who] += 1
    assert set(told.values()) == {1}, [what for what, times in told.items() if times > 1][:3]
    kinds = Counter((termination_id, kind.removeprefix("SESSION_TERMINATION_")) for termination_id, kind, _ in told)
    for termination_id, (_, people) in states.items():
        counts = tuple(kinds[termination_id, kind] for kind in ("REQUESTED", "OUTCOME", "DONE"))
        assert counts == (1, int(people), 1), (termination_id, counts)


def assert_log_is_whole(cluster: Cluster) -> None:
    """No position is missing, and the chain holds."""
    positions = [int(row[0]) for row in cluster.rows("SELECT position FROM events ORDER BY position")]
    assert positions == list(range(1, len(positions) + 1))
    verified = cluster.nodes[0].run("events", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def ends(record: Record) -> dict[str, list[Termination]]:
    """The terminations that must have ended each session: it was known before they were asked for."""
    by_user: dict[str, list[Termination]] = {}
    for termination in record.terminations:
        for user_id in termination.user_ids:
            by_user.setdefault(user_id, []).append(termination)
    found = {s.session_id: [t for t in by_user.get(s.user_id, []) if s.known < t.sent] for s in record.sessions}
    return {session_id: terminations for session_id, terminations in found.items() if terminations}


def assert_refused_in_time(record: Record, stale_after_s: float) -> None:
    """No check that began after the 202 said active: at once on the node that answered it, and on the
    others when their time to hear of it was over."""
    ended = ends(record)
    for (session_id, node), sent in record.last_active.items():
        for termination in ended.get(session_id, []):
            late_s = sent - termination.accepted
            allowed_s = 0 if node == termination.node else stale_after_s
            assert late_s <= allowed_s, f"node {node} said active {late_s:.3f} s after node {termination.node}'s 202"


def lag_s(record: Record) -> float:
    """The longest time after a 202 that a check began which another node answered with active."""
    ended = ends(record)
    times = [s - t.accepted for (session_id, _), s in record.last_active.items() for t in ended.get(session_id, [])]
    return max(times, default=0.0)


def assert_all_nodes_agree(load: Load, sample: int = 150) -> None:
    """Every node refuses what was ended, and knows the sessions of those whom nobody ended."""
    ended, caller = ends(load.record), Caller(load, random.Random(load.seed))
    of_bystanders = [s for s in load.record.sessions if s.user_id in load.bystanders][-sample:]
    over = [s for s in load.record.sessions if s.session_id in ended]
    over = caller.random.sample(over, min(sample, len(over)))
    for node in range(len(load.cluster.nodes)):
        for session, wanted in [(s, True) for s in of_bystanders] + [(s, False) for s in over]:
            reply = caller.introspect(session, node)
            assert reply and reply.body.get("active") is wanted, (node, session, wanted, reply)
