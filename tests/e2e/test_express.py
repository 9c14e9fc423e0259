"""A real Express shop with its sessions in a real Redis: signed-in browsers are put out."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from conftest import LIMITS
from harness import ACCEPTED, Service, Tenant, eventually, finished, login, make_database, redis_cli, required
from shops import Person, Shop, is_signed_in

QUIET_TIME_S = 3


@pytest.fixture(scope="module", params=["scan", "index"])
def shop_service(request: pytest.FixtureRequest, database_kind: str, tmp_path_factory: pytest.TempPathFactory):
    """A service and its shop; the shop keeps a set of each user's sessions, or does not."""
    redis, name = required("LIGHTSOUT_TEST_REDIS"), uuid.uuid4().hex[:8]
    prefix = f"shop-{name}:"
    index = f"sessions-of-{name}:{{subject}}" if request.param == "index" else None
    system = (
        f'[[systems]]\nname = "shop"\nkind = "redis"\nurl = "{redis}"\nprefix = "{prefix}"\n'
        f'user_path = "user.login"\nsubject = "login"\nbegan_at_path = "beganAt"\n'
        f"quiet_time_s = {QUIET_TIME_S}\nclock_skew_s = 0\n" + (f'user_index = "{index}"\n' if index else "")
    )
    folder: Path = tmp_path_factory.mktemp("shop")
    service = Service(folder, make_database(database_kind, folder), LIMITS + system)
    shop = Shop.node("shop.js", redis=redis, prefix=prefix, index=index)
    try:
        shop.ready()
        service.init().start()
        yield service, shop
        service.stop()
    finally:
        shop.stop()
        service.drop()


@pytest.fixture
def tenant(shop_service: tuple[Service, Shop]) -> Tenant:
    return shop_service[0].tenant()


@pytest.fixture
def shop(shop_service: tuple[Service, Shop]) -> Shop:
    return shop_service[1]


def newest(tenant: Tenant) -> str:
    return f"/v1/terminations/{tenant.termination_ids()[-1]}"


def system(termination: dict, name: str) -> dict:
    return next(s for s in termination["systems"] if s["system"] == name)


def test_cookies_are_refused_after_group_termination(tenant: Tenant, shop: Shop) -> None:
    team, stranger = [login(n) for n in ("ann", "bob", "cyd")], login("dan")
    tenant.people(team, group="Team")
    tenant.people([stranger])
    browsers = [shop.sign_in(Person(who)) for who in team for _ in range(2)]
    bystander = shop.sign_in(Person(stranger))

    client = tenant.box()
    assert client.session_termination.terminate_groups_sessions([tenant.group_id("Team")]).message == ACCEPTED
    eventually(10, lambda: all(b.get("/me").status_code == 401 for b in browsers))
    assert bystander.get("/me").json() == {"login": stranger}

    with tenant.http() as http:
        termination = finished(http, newest(tenant))
        assert termination["state"] == "done"
        assert termination["people"] == 3
        ended = system(termination, "shop")
        assert (ended["ended"], ended["sessions_ended"], ended["resurrected"]) == (3, 6, 0)
        outcomes = http.get(f"{newest(tenant)}/outcomes").json()["entries"]
        in_shop = [o for o in outcomes if o["system"] == "shop"]
        assert sorted(o["user"]["login"] for o in in_shop) == sorted(team)
        assert all(o["outcome"] == "ended" and o["sessions_ended"] == 2 and o["verified_at"] for o in in_shop)
    assert all(b.get("/me").status_code == 401 for b in browsers)
    assert bystander.get("/me").json() == {"login": stranger}


def test_session_saved_again_by_a_request_under_way_is_ended_again(tenant: Tenant, shop: Shop) -> None:
    ann = login("ann")
    tenant.people([ann])
    browser = shop.sign_in(Person(ann))
    order = shop.begin(browser, "/order")
    tenant.box().session_termination.terminate_users_sessions([], [ann])
    other_tab = shop.browser(browser.cookies)
    eventually(10, lambda: not is_signed_in(other_tab))
    shop.let_go()
    # The shop answers when the session is saved: it is back.
    assert order.result(timeout=30).json() == {"orders": 1}

    with tenant.http() as http:
        termination = finished(http, newest(tenant))
    assert browser.get("/me").status_code == 401
    ended = system(termination, "shop")
    assert (ended["ended"], ended["sessions_ended"], ended["resurrected"]) == (1, 1, 1)
    assert termination["state"] == "done"


def test_sign_in_after_the_end_is_spared(tenant: Tenant, shop: Shop) -> None:
    ann = login("ann")
    tenant.people([ann])
    old = shop.sign_in(Person(ann))
    tenant.box().session_termination.terminate_users_sessions([], [ann])
    new = shop.sign_in(Person(ann))
    with tenant.http() as http:
        termination = finished(http, newest(tenant))
    assert (old.get("/me").status_code, new.get("/me").status_code) == (401, 200)
    ended = system(termination, "shop")
    assert (ended["sessions_ended"], ended["resurrected"], ended["ended_again"]) == (1, 0, 0)


def test_user_is_compared_whole(tenant: Tenant, shop: Shop) -> None:
    ann = login("ann")
    longer = f"{ann}.org"
    tenant.people([ann, longer])
    other = shop.sign_in(Person(longer))
    tenant.box().session_termination.terminate_users_sessions([], [ann])
    with tenant.http() as http:
        termination = finished(http, newest(tenant))
    assert system(termination, "shop")["nothing_found"] == 1
    assert other.get("/me").status_code == 200


def test_values_that_are_no_sessions_of_ours_are_left_alone(tenant: Tenant, shop: Shop) -> None:
    ann = login("ann")
    tenant.people([ann])
    key = f"{shop.given['prefix']}not-json-{uuid.uuid4().hex}"
    redis_cli(shop.given["redis"], "set", key, f'{{"user": {{"login": "{ann}"')
    tenant.box().session_termination.terminate_users_sessions([], [ann])
    with tenant.http() as http:
        assert finished(http, newest(tenant))["state"] == "done"
    assert redis_cli(shop.given["redis"], "exists", key) == ["1"]


def test_dry_run_counts_the_sessions_and_ends_none(tenant: Tenant, shop: Shop) -> None:
    ann = login("ann")
    tenant.people([ann])
    browsers = [shop.sign_in(Person(ann)) for _ in range(2)]
    with tenant.http() as http:
        reply = http.post("/v1/terminations", json={"logins": [ann], "dry_run": True})
    assert reply.status_code == 200
    assert {s["system"]: s["sessions"] for s in reply.json()["systems"]} == {"registry": 0, "shop": 2}
    assert tenant.termination_ids() == []
    assert all(b.get("/me").status_code == 200 for b in browsers)
