"""Five systems, one of them dead: the others finish in their usual time, and it is ended when it is back."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import LIMITS
from gateway import Gateway, Mode
from harness import Service, Tenant, eventually, finished
from shops import Person, Shop, enrol, is_signed_in
from systems import Place, axum_sqlite, express, express_postgres, flask, tables

QUIET_TIME_S = 2
SHOPS = (express, flask, axum_sqlite, express_postgres)


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    place.drop()


@dataclass
class Street:
    """The shops, and a service that reaches the store of one of them by a gateway only."""

    tenant: Tenant
    shops: dict[str, Shop]
    gateway: Gateway
    behind: str

    def sign_in(self, person: Person) -> dict[str, httpx.Client | Registered]:
        """Signs somebody in to every shop, and registers a session."""
        enrol(self.tenant, [person])
        browsers = {name: shop.sign_in(person) for name, shop in self.shops.items()}
        return browsers | {"registry": Registered(self.tenant, person)}

    def terminate(self, person: Person) -> str:
        self.tenant.box().session_termination.terminate_users_sessions([], [person.login])
        return f"/v1/terminations/{self.tenant.termination_ids()[-1]}"

    def attempts(self) -> int:
        """How often the open job of the dead system was worked."""
        sql = f"SELECT attempt FROM jobs WHERE system = '{self.behind}' AND finished_at IS NULL"
        return max((int(attempt) for (attempt,) in self.tenant.service.rows(sql)), default=0)


@pytest.fixture(params=["express", "express_postgres"])
def street(request: pytest.FixtureRequest, place: Place, make_service):
    made = {make.__name__: make(place) for make in SHOPS}
    port = urlsplit(tomllib.loads(dedent(made[request.param][1][""]))["url"]).port
    gateway = Gateway(port)
    config = ""
    for name, (_, lines) in made.items():
        if name == request.param:
            lines = {"": lines[""].replace(f":{port}/", f":{gateway.port}/") + "timeout_s = 2\n"}
        config += tables(name, lines, QUIET_TIME_S)
    shops = {name: shop for name, (shop, _) in made.items()}
    service: Service = make_service("sqlite", LIMITS + config)
    try:
        for shop in shops.values():
            shop.ready()
        yield Street(service.init().start().tenant(), shops, gateway, request.param)
    finally:
        gateway.close()
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


def lives(session: httpx.Client | Registered) -> bool:
    return session.is_active() if isinstance(session, Registered) else is_signed_in(session)


def seconds(location: str, http: httpx.Client) -> dict[str, float]:
    """How long after the request each system that is verified was so."""
    asked_at = datetime.fromisoformat(http.get(location).json()["created_at"])
    outcomes = http.get(f"{location}/outcomes").json()["entries"]
    verified = {o["system"]: o["verified_at"] for o in outcomes if "verified_at" in o}
    return {system: (datetime.fromisoformat(at) - asked_at).total_seconds() for system, at in verified.items()}


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.SILENT], ids=lambda mode: mode.value)
def test_dead_system_holds_up_no_other_and_is_ended_when_it_is_back(mode: Mode, street: Street) -> None:
    ann, bob = Person.named("ann"), Person.named("bob")
    anns, bobs = street.sign_in(ann), street.sign_in(bob)
    living = set(anns) - {street.behind}

    with street.tenant.http() as http:
        location = street.terminate(ann)
        assert finished(http, location)["state"] == "done"
        usual = seconds(location, http)
        assert set(usual) == set(anns)
        assert not any(lives(session) for session in anns.values())

        street.gateway.set(mode)
        location = street.terminate(bob)
        eventually(20, lambda: set(seconds(location, http)) == living)
        took = seconds(location, http)
        assert all(took[system] < usual[system] + 1.5 for system in living), (usual, took)
        assert [name for name, session in bobs.items() if lives(session)] == [street.behind]

        eventually(20, lambda: street.attempts() >= 2)
        (dead,) = http.get(f"{location}/outcomes", params={"outcome": "unreachable"}).json()["entries"]
        assert (dead["system"], dead["sessions_ended"]) == (street.behind, 0)
        assert "did not answer" in dead["detail"]

        street.gateway.set(Mode.OPEN)
        assert finished(http, location)["state"] == "done"
        assert not any(lives(session) for session in bobs.values())
        (back,) = (o for o in http.get(f"{location}/outcomes").json()["entries"] if o["system"] == street.behind)
        assert (back["outcome"], back["sessions_ended"]) == ("ended", 1)
        assert "verified_at" in back
        # An attempt failed, and whoever reads the count is told.
        assert "earlier attempt failed" in back["detail"]
