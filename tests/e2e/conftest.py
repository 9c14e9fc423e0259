"""Fixtures: a service on each database, a new enterprise for each test, an RSA key pair."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import BINARY, Service, Tenant, make_database

# The quota of the token endpoint counts by address, and all tests come from one.
LIMITS = "[limits]\ntoken_requests_per_minute = 100000\n"


def pytest_sessionstart() -> None:
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: run ./test e2e, which builds it", returncode=1)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def service(database_kind: str, tmp_path_factory: pytest.TempPathFactory):
    """A service whose only system is the registry; tests share it, each in an enterprise of its own."""
    folder = tmp_path_factory.mktemp(f"service-{database_kind}")
    service = Service(folder, make_database(database_kind, folder), LIMITS)
    service.init().start()
    yield service
    try:
        service.stop()
    finally:
        service.drop()


@pytest.fixture
def tenant(service: Service) -> Tenant:
    return service.tenant()


@pytest.fixture
def make_service(tmp_path: Path):
    """Makes services that one test has for itself; they are ended with it."""
    made: list[Service] = []

    def make(kind: str = "sqlite", more: str = "") -> Service:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        limits = "" if "[limits]" in more else LIMITS
        made.append(Service(folder, make_database(kind, folder), limits + more))
        return made[-1]

    yield make
    for service in made:
        service.drop()


@pytest.fixture(scope="session")
def chromium():
    """One Chromium for all tests; each has a context of its own."""
    from chromium import Chromium

    chromium = Chromium()
    yield chromium
    chromium.stop()


@pytest.fixture(scope="session")
def console(chromium, tmp_path_factory: pytest.TempPathFactory):
    """A service with its console, a shop and an outside provider."""
    from console import Console

    console = Console(tmp_path_factory.mktemp("console"), chromium)
    yield console
    console.stop()


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """An encrypted private key (PKCS#8, PEM), its passphrase, and the file of the public key."""
    folder = tmp_path_factory.mktemp("key")
    private, public, passphrase = folder / "private.pem", folder / "public.pem", "correct horse battery"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-aes256",
            "-pass", f"pass:{passphrase}", "-out", str(private))
    openssl("pkey", "-in", str(private), "-passin", f"pass:{passphrase}", "-pubout", "-out", str(public))
    return private.read_text(), passphrase, public


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
