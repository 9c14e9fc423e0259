"""One person, a dozen real shops, one call: signed out of all of them, on every device."""

from __future__ import annotations

import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Callable

import httpx
import pytest

from conftest import LIMITS
from harness import ACCEPTED, REPO, Service, Tenant, eventually, finished, make_database
from shops import Person, Shop, enrol, is_signed_in
from systems import (
    LIFE_S, Made, Place, actix_redis, axum_redis, axum_sqlite, better_auth, django_cache, django_cached_db,
    django_cookies, django_db, django_postgres, express, express_postgres, express_resave, flask, tables,
)  # fmt: skip

# No shop holds a request longer than this in these tests.
QUIET_TIME_S = 3


# What each software does when a request under way ends after its session was ended: a request that
# only reads its session, and one that changes it. A session comes back under its key ("resurrected"),
# under a new one ("ended_again"), or stays away.
SHOPS: dict[Callable[[Place], Made], tuple[str, str]] = {
    express: ("", "resurrected"),
    express_resave: ("resurrected", "resurrected"),
    express_postgres: ("", "resurrected"),
    flask: ("resurrected", "resurrected"),
    django_db: ("", ""),
    django_postgres: ("", ""),
    django_cache: ("", ""),
    django_cached_db: ("", ""),
    better_auth: ("", ""),
    axum_sqlite: ("", "resurrected"),
    axum_redis: ("", ""),
    actix_redis: ("", "ended_again"),
}
NAMES = [make.__name__ for make in SHOPS]


@dataclass
class Report:
    """What the service says of a termination."""

    termination: dict
    outcomes: list[dict]

    def of(self, system: str, person: Person) -> dict:
        (outcome,) = (o for o in self.outcomes if (o["system"], o["user"]["login"]) == (system, person.login))
        return outcome


@dataclass
class Street:
    """All shops, and the service whose people sign in to them."""

    tenant: Tenant
    shops: dict[str, Shop]
    systems: dict[str, list[str]]

    def sign_in(self, people: list[Person], group: str = "") -> dict[str, dict[Person, httpx.Client]]:
        """Signs everybody in to every shop; the browsers by shop and person."""
        everywhere = lambda shop: {person: shop.sign_in(person) for person in people}  # noqa: E731
        with ThreadPoolExecutor(len(self.shops)) as threads:
            browsers = dict(zip(self.shops, threads.map(everywhere, self.shops.values())))
        enrol(self.tenant, people, group)
        return browsers

    def terminate(self, group: str) -> None:
        accepted = self.tenant.box().session_termination.terminate_groups_sessions([self.tenant.group_id(group)])
        assert accepted.message == ACCEPTED

    def report(self) -> Report:
        """Waits until the newest termination is finished."""
        with self.tenant.http() as http:
            location = f"/v1/terminations/{self.tenant.termination_ids()[-1]}"
            termination = finished(http, location)
            outcomes = http.get(f"{location}/outcomes", params={"limit": 1000}).json()["entries"]
        return Report(termination, outcomes)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("street")
    place = Place(folder)
    made = {make.__name__: make(place) for make in [*SHOPS, django_cookies]}
    shops = {name: shop for name, (shop, _) in made.items()}
    systems = {name: [name + part for part in lines] for name, (_, lines) in made.items()}
    config = "".join(tables(name, lines, QUIET_TIME_S) for name, (_, lines) in made.items())
    service = Service(folder, make_database("sqlite", folder), LIMITS + config)
    try:
        for shop in shops.values():
            shop.ready()
        service.init().start()
        yield Street(service.tenant(), shops, systems)
        service.stop()
    finally:
        for shop in shops.values():
            shop.stop()
        service.drop()
        place.drop()


@dataclass
class Told:
    """How a termination went for some people: their browsers, and the report."""

    street: Street
    people: list[Person]
    bystander: Person
    browsers: dict[str, dict[Person, list[httpx.Client]]]
    report: Report


@pytest.fixture(scope="module")
def group_ended(street: Street) -> Told:
    """Two people with two devices each are ended, somebody else is not."""
    people, bystander = [Person.named(name) for name in ("ann", "bob")], Person.named("cyd")
    phones = street.sign_in(people, "Group")
    laptops, others = street.sign_in(people, "Group"), street.sign_in([bystander])
    street.terminate("Group")
    report = street.report()
    browsers = {
        shop: {person: [phones[shop][person], laptops[shop][person]] for person in people}
        | {bystander: [others[shop][bystander]]}
        for shop in street.shops
    }
    return Told(street, people, bystander, browsers, report)


@pytest.mark.parametrize("name", NAMES)
def test_people_are_signed_out_on_every_device_and_others_are_not(group_ended: Told, name: str) -> None:
    browsers = group_ended.browsers[name]
    for person in group_ended.people:
        assert not any(is_signed_in(browser) for browser in browsers[person])
    assert all(is_signed_in(browser) for browser in browsers[group_ended.bystander])


@pytest.mark.parametrize("name", NAMES)
def test_report_counts_both_devices_and_is_verified(group_ended: Told, name: str) -> None:
    for system in group_ended.street.systems[name]:
        for person in group_ended.people:
            outcome = group_ended.report.of(system, person)
            assert (outcome["outcome"], outcome["sessions_ended"]) == ("ended", 2), outcome
            assert (outcome["resurrected"], outcome["ended_again"]) == (0, 0), outcome
            assert "verified_at" in outcome


def test_sessions_in_signed_cookies_are_reported_with_their_latest_end(group_ended: Told) -> None:
    assert all(is_signed_in(b) for b in group_ended.browsers["django_cookies"][group_ended.people[0]])
    outcome = group_ended.report.of("django_cookies", group_ended.people[0])
    assert (outcome["outcome"], outcome["sessions_ended"]) == ("ends_by", 0)
    assert "verified_at" not in outcome
    asked_at = group_ended.report.termination["created_at"]
    assert 0 <= seconds_between(asked_at, outcome["ends_by"]) - LIFE_S <= 10


@pytest.fixture(scope="module")
def ended_with_requests_under_way(street: Street) -> Told:
    """In each shop, one person's request that reads and another's that writes are under way while both
    are ended, and go on when the shop refuses them elsewhere."""
    people = reader, writer = [Person.named(name) for name in ("reader", "writer")]
    bystander = Person.named("cyd")
    browsers = street.sign_in([*people, bystander], "")
    enrol(street.tenant, people, "Under way")
    stores = {name: street.shops[name] for name in NAMES}
    under_way = [
        shop.begin(browsers[name][person], request)
        for name, shop in stores.items()
        for person, request in ((reader, "/browse"), (writer, "/order"))
    ]

    def let_go(name: str) -> None:
        tabs = [stores[name].browser(browsers[name][person].cookies) for person in people]
        eventually(10, lambda: not any(is_signed_in(tab) for tab in tabs))
        stores[name].let_go()

    street.terminate("Under way")
    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(let_go, stores))
    for request in under_way:
        request.result(timeout=30)
    report = street.report()
    return Told(street, people, bystander, {n: {p: [b] for p, b in at.items()} for n, at in browsers.items()}, report)


@pytest.mark.parametrize("name", NAMES)
def test_session_that_a_request_under_way_saves_again_is_ended_again(
    ended_with_requests_under_way: Told, name: str
) -> None:
    told = ended_with_requests_under_way
    saved_again = next(seen for make, seen in SHOPS.items() if make.__name__ == name)
    for person, expected in zip(told.people, saved_again):
        assert not is_signed_in(told.browsers[name][person][0])
        for system in told.street.systems[name]:
            outcome = told.report.of(system, person)
            seen = {kind for kind in ("resurrected", "ended_again") if outcome[kind]}
            assert (outcome["outcome"], seen) == ("ended", {expected} - {""}), outcome
            assert "verified_at" in outcome
    assert is_signed_in(told.browsers[name][told.bystander][0])


@pytest.fixture(scope="module")
def ended_while_asking(street: Street) -> Told:
    """Somebody whose browsers ask every shop again and again, from before the call until the report."""
    ann = Person.named("ann")
    browsers = street.sign_in([ann], "Asking")
    over = Event()

    def ask(name: str) -> None:
        cookies = "; ".join(f"{key}={value}" for key, value in browsers[name][ann].cookies.items())
        tab = street.shops[name].browser()
        while not over.is_set():
            tab.get("/me", headers={"Cookie": cookies})

    with ThreadPoolExecutor(2 * len(NAMES)) as threads:
        asking = [threads.submit(ask, name) for name in NAMES for _ in range(2)]
        try:
            street.terminate("Asking")
            report = street.report()
        finally:
            over.set()
    assert all(tab.result() is None for tab in asking)
    return Told(street, [ann], ann, {name: {ann: [browsers[name][ann]]} for name in NAMES}, report)


@pytest.mark.parametrize("name", NAMES)
def test_browsers_that_ask_all_the_time_are_signed_out_too(ended_while_asking: Told, name: str) -> None:
    (ann,) = ended_while_asking.people
    assert not is_signed_in(ended_while_asking.browsers[name][ann][0])
    for system in ended_while_asking.street.systems[name]:
        outcome = ended_while_asking.report.of(system, ann)
        assert (outcome["outcome"], outcome["sessions_ended"]) == ("ended", 1), outcome


def test_documented_lines_are_those_that_were_run(street: Street) -> None:
    """All but the address, and what keeps these tests short."""
    own = {"url", "quiet_time_s"}
    document = (REPO / "docs" / "applications.md").read_text()
    written = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", document, re.DOTALL)))["systems"]
    run = {table["name"]: table for table in tomllib.loads(street.tenant.service.config.read_text())["systems"]}
    for table in written:
        kept = {key: value for key, value in run[table["name"]].items() if key not in own}
        assert {key: value for key, value in table.items() if key not in own} == kept
    assert {table["preset"] for table in run.values() if "preset" in table} == {
        table["preset"] for table in written if "preset" in table
    }


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
