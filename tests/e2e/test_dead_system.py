"""Five systems, one of them dead: the others finish in their usual time, and it is ended when it is back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import LIMITS
from gateway import Gateway, Mode
from harness import Service, Tenant, eventually, finished, make_database
from shops import Person, Shop, enrol, is_signed_in
from systems import Place, axum_sqlite, express, express_postgres, flask, tables

QUIET_TIME_S = 2
LIVING = ["registry", "flask", "axum_sqlite", "express_postgres"]


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    place.drop()


@pytest.fixture
def gateway(place: Place):
    gateway = Gateway(place.server.port)
    yield gateway
    gateway.close()


@pytest.fixture
def shops(place: Place, gateway: Gateway):
    """The shops, and the tables of their systems; the service reaches the first by the gateway only."""
    made = {make.__name__: make(place) for make in (express, flask, axum_sqlite, express_postgres)}
    config = "".join(tables(name, lines, QUIET_TIME_S) for name, (_, lines) in made.items() if name != "express")
    direct = made["express"][1][""]
    through = direct.replace(f":{place.server.port}/", f":{gateway.port}/") + "timeout_s = 2\n"
    assert direct != through.replace("timeout_s = 2\n", "")
    shops = {name: shop for name, (shop, _) in made.items()}
    try:
        for shop in shops.values():
            shop.ready()
        yield shops, config + tables("express", {"": through}, QUIET_TIME_S)
    finally:
        for shop in shops.values():
            shop.stop()


class Registered:
    """Somebody's session in the registry, as a browser has it."""

    def __init__(self, tenant: Tenant, person: Person) -> None:
        self.app = tenant.http(tenant.app_token(tenant.app()))
        reply = self.app.post("/v1/sessions", json={"sessions": [{"login": person.login}]})
        assert reply.status_code == 201, reply.text
        self.session_id = reply.json()["sessions"][0]["session_id"]

    def is_active(self) -> bool:
        return self.app.post("/oauth2/introspect", data={"token": self.session_id}).json()["active"]


def everywhere(tenant: Tenant, shops: dict[str, Shop], person: Person) -> dict[str, httpx.Client | Registered]:
    """Signs somebody in to every shop, and registers a session."""
    enrol(tenant, [person])
    return {name: shop.sign_in(person) for name, shop in shops.items()} | {"registry": Registered(tenant, person)}


def lives(session: httpx.Client | Registered) -> bool:
    return session.is_active() if isinstance(session, Registered) else is_signed_in(session)


def terminate(tenant: Tenant, person: Person) -> str:
    tenant.box().session_termination.terminate_users_sessions([], [person.login])
    return f"/v1/terminations/{tenant.termination_ids()[-1]}"


def seconds(location: str, http: httpx.Client) -> dict[str, float]:
    """How long after the request each system that is verified was so."""
    asked_at = datetime.fromisoformat(http.get(location).json()["created_at"])
    outcomes = http.get(f"{location}/outcomes").json()["entries"]
    verified = {o["system"]: o["verified_at"] for o in outcomes if "verified_at" in o}
    return {system: (datetime.fromisoformat(at) - asked_at).total_seconds() for system, at in verified.items()}


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.SILENT], ids=lambda mode: mode.value)
def test_dead_system_holds_up_no_other_and_is_ended_when_it_is_back(
    mode: Mode, shops: tuple[dict[str, Shop], str], gateway: Gateway, make_service
) -> None:
    stores, config = shops
    service: Service = make_service("sqlite", LIMITS + config)
    tenant = service.init().start().tenant()
    ann, bob = Person.named("ann"), Person.named("bob")
    anns, bobs = everywhere(tenant, stores, ann), everywhere(tenant, stores, bob)

    with tenant.http() as http:
        location = terminate(tenant, ann)
        assert finished(http, location)["state"] == "done"
        usual = seconds(location, http)
        assert set(usual) == {*LIVING, "express"}
        assert not any(lives(session) for session in anns.values())

        gateway.set(mode)
        location = terminate(tenant, bob)
        eventually(20, lambda: set(seconds(location, http)) == set(LIVING))
        took = seconds(location, http)
        for system in LIVING:
            assert took[system] < usual[system] + 1.5, (usual, took)
        assert [name for name, session in bobs.items() if lives(session)] == ["express"]

        def dead() -> dict:
            return http.get(f"{location}/outcomes", params={"outcome": "unreachable"}).json()["entries"][0]

        eventually(20, lambda: attempts(service, "express") >= 2)
        assert (dead()["system"], dead()["sessions_ended"]) == ("express", 0)
        assert "did not answer" in dead()["detail"]

        gateway.set(Mode.OPEN)
        termination = finished(http, location)
        assert termination["state"] == "done"
        assert not any(lives(session) for session in bobs.values())
        outcomes = http.get(f"{location}/outcomes").json()["entries"]
        (back,) = (o for o in outcomes if o["system"] == "express")
        assert (back["outcome"], back["sessions_ended"]) == ("ended", 1)
        assert "verified_at" in back


def attempts(service: Service, system: str) -> int:
    """How often the newest job of a system was worked."""
    rows = service.rows(f"SELECT attempt FROM jobs WHERE system = '{system}' AND finished_at IS NULL")
    return max((int(attempt) for (attempt,) in rows), default=0)
