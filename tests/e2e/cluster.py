"""Several nodes of the real service on one database, and what stands between them and it.

A PostgreSQL of the test's own can be stopped and started, and a line between a node and its PostgreSQL
can be cut, held and mended. `load.py` has the load and what must hold after every fault.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import httpx

from harness import BINARY, Service, Tenant, drop_database, eventually, free_port, make_database, psql

# One caller makes the whole load, and what is tested is not the quotas.
LIMITS = (
    "[limits]\ntoken_requests_per_minute = 100000\ncalls_per_minute = 1000000\n"
    "introspections_per_second = 1000000\nregistrations_per_second = 100000\nfeeds_per_minute = 100000\n"
)


# Nodes


class Node(Service):
    """One `lightsout serve` among several; it may have a binary, an environment and limits of its own."""

    binary: Path = BINARY
    # Before the command: `prlimit`, for one.
    before: tuple[str, ...] = ()

    def start(self, wait: bool = True) -> Node:
        command = [*self.before, self.binary, "serve", "--config", self.config]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=os.environ | getattr(self, "env", {})
            )
        if wait:
            eventually(30, self.is_ready)
        return self

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=20)

    def resident_mb(self) -> float:
        """The memory that the process holds now."""
        assert self.process
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


class Cluster:
    """Nodes with the same configuration on one database."""

    def __init__(self, folder: Path, databases: list[str], more: str = "", limits: str = LIMITS) -> None:
        """One node for each address of the database: they lead to the same, on different lines perhaps."""
        self.folder = folder
        self.nodes: list[Node] = []
        for n, database in enumerate(databases):
            (folder / f"node-{n}").mkdir()
            self.nodes.append(Node(folder / f"node-{n}", database, limits + more))

    def start(self) -> Cluster:
        self.nodes[0].init()
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            eventually(30, node.is_ready)
        return self

    def tenant(self) -> Tenant:
        return self.nodes[0].tenant()

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        return self.nodes[0].rows(sql)

    def resume(self) -> None:
        """Starts every node that does not run, and waits until all are ready."""
        for node in self.nodes:
            if node.process is None:
                node.start(wait=False)
        for node in self.nodes:
            eventually(30, node.is_ready)

    def end(self) -> None:
        for node in self.nodes:
            if node.process:
                node.process.kill()
                node.process.wait(timeout=30)
                node.process = None


def shared_database(kind: str, folder: Path, nodes: int) -> list[str]:
    """A new database, its address once for each node."""
    return [make_database(kind, folder)] * nodes


def dropped(cluster: Cluster) -> None:
    cluster.end()
    drop_database(cluster.nodes[0].database)


# PostgreSQL


class Postgres:
    """A PostgreSQL of one test, made and run as `./test` does it."""

    def __init__(self) -> None:
        self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
        # Not under pytest's folder, which only its owner may enter: PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="lightsout-postgres-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres")
        self.port = free_port()
        self.run("initdb", "-D", self.data, "-U", "lightsout", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()
        psql(self.url("postgres"), "CREATE DATABASE lightsout")

    def url(self, database: str = "lightsout", port: int | None = None) -> str:
        return f"postgres://lightsout@127.0.0.1:{port or self.port}/{database}"

    def run(self, program: str, *arguments: str | Path) -> None:
        command = [self.bin / program, *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        out = self.folder / "out"
        with out.open("wb") as log:
            done = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=60, cwd="/")
        assert done.returncode == 0, f"{program}: {out.read_text()}"

    def start(self) -> None:
        settings = f"-p {self.port} -h 127.0.0.1 -c unix_socket_directories= -c max_connections=100"
        self.run("pg_ctl", "-D", self.data, "-l", self.data / "log", "-o", settings, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends every connection and shuts down in order, `immediate` is as if the machine died."""
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def drop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)


# The line between


class Line:
    """A TCP proxy before a server's port, which can break in the ways in which a network breaks."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.flow = flowing()
        self.is_cut = False
        self.lock = threading.Lock()
        self.sockets: list[socket.socket] = []
        self.gates: list[threading.Event] = [self.flow]
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def cut(self) -> None:
        """Resets every connection there is, and every one that is made."""
        with self.lock:
            self.is_cut = True
            while self.sockets:
                reset(self.sockets.pop())

    def hold(self) -> None:
        """Lets no byte through from now on; connections stay open, and new ones are taken."""
        self.flow.clear()

    def heal(self) -> None:
        """Lets everything through again, what was held back first."""
        with self.lock:
            self.is_cut = False
        self.flow.set()

    def forget(self) -> None:
        """Lets new connections through; those there are stay silent for ever, as behind a firewall that
        forgot them."""
        with self.lock:
            self.is_cut = False
            self.flow.clear()
            self.flow = flowing()
            self.gates.append(self.flow)

    def close(self) -> None:
        self.listener.close()
        self.cut()
        for gate in self.gates:
            gate.set()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    reset(client)
                    continue
                gate = self.flow
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                # The server is down: so is its port, for whoever comes this way.
                reset(client)
                continue
            with self.lock:
                self.sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=copy, args=(*pair, gate), daemon=True).start()


def flowing() -> threading.Event:
    flow = threading.Event()
    flow.set()
    return flow


def copy(source: socket.socket, sink: socket.socket, gate: threading.Event) -> None:
    """Copies bytes, while the gate is open, until one of the two ends."""
    try:
        while data := source.recv(65536):
            gate.wait()
            sink.sendall(data)
    except OSError:
        pass
    gate.wait()
    for connection in (source, sink):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def reset(connection: socket.socket) -> None:
    """Ends a connection as a reset does."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes whoever reads it, which closing alone does not.
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    connection.close()


def through(line: Line, url: str) -> str:
    """The address of a database by a line."""
    return url.replace(f":{line.target}/", f":{line.port}/")
