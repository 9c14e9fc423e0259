"""Apps that keep their own sessions follow the barrier feed, by the examples in `docs/examples`."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Callable, Iterator

import httpx
import pytest

from gateway import Gateway, Mode
from harness import ACCEPTED, Service, Tenant, eventually, login
from shops import Person, Shop

SHOPS = {"express": (Shop.node, "barrier_shop.mjs"), "flask": (Shop.python, "barrier_shop.py")}
# Within this time a session is refused that was ended elsewhere; as a rule it is milliseconds.
REFUSED_WITHIN_S = 2
STALE_AFTER_S = 1.5

Open = Callable[..., Shop]


@pytest.fixture(params=SHOPS)
def open_shop(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Starts shops that follow a tenant's barriers at an address; they are stopped with the test."""
    make, script = SHOPS[request.param]
    shops: list[Shop] = []

    def open_at(tenant: Tenant, url: str, stale_after_s: float = 30, admit_when_stale: bool = False) -> Shop:
        app = tenant.app(scopes=[], rights=["feed"])
        known = {"clientId": app.client_id, "clientSecret": app.client_secret, "enterpriseId": tenant.enterprise_id}
        shop = make(script, url=url, app=known, staleAfterS=stale_after_s, admitWhenStale=admit_when_stale)
        shops.append(shop)
        shop.ready()
        eventually(20, lambda: not is_stale(shop))
        return shop

    yield open_at
    for shop in shops:
        shop.stop()


def is_stale(shop: Shop) -> bool:
    return httpx.get(f"{shop.url}/is-stale", timeout=20).json()


def status(browser: httpx.Client) -> int:
    return browser.get("/me").status_code


def terminate(tenant: Tenant, who: str) -> None:
    assert tenant.box().session_termination.terminate_users_sessions([], [who]).message == ACCEPTED


def test_ended_sessions_are_refused_at_once_and_new_ones_pass(tenant: Tenant, open_shop: Open) -> None:
    shop = open_shop(tenant, tenant.service.url)
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    browsers = [shop.sign_in(Person(who)) for who in (ann, ann.upper())]
    bystander = shop.sign_in(Person(bob))

    terminate(tenant, ann)
    accepted_at = time.monotonic()
    eventually(REFUSED_WITHIN_S, lambda: all(status(browser) == 401 for browser in browsers))
    print(f"refused {1000 * (time.monotonic() - accepted_at):.0f} ms after the answer")
    assert status(bystander) == 200

    new = shop.sign_in(Person(ann))
    terminate(tenant, bob)
    eventually(REFUSED_WITHIN_S, lambda: status(bystander) == 401)
    assert status(new) == 200
    assert all(status(browser) == 401 for browser in browsers)


def test_what_was_ended_before_the_app_began_is_refused(tenant: Tenant, open_shop: Open) -> None:
    ann = login("ann")
    tenant.people([ann])
    first = open_shop(tenant, tenant.service.url)
    browser = first.sign_in(Person(ann))
    terminate(tenant, ann)
    second = open_shop(tenant, tenant.service.url)
    # Flask's cookie is a session in every process of the shop; Express keeps its sessions in one.
    assert status(second.browser(browser.cookies)) == 401
    assert status(second.sign_in(Person(ann))) == 200


def test_restarted_service_is_followed_on(make_service: Callable[..., Service], open_shop: Open) -> None:
    service = make_service().init().start()
    tenant = service.tenant()
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    shop = open_shop(tenant, service.url, STALE_AFTER_S)
    browsers = {who: shop.sign_in(Person(who)) for who in (ann, bob)}
    terminate(tenant, ann)
    eventually(REFUSED_WITHIN_S, lambda: status(browsers[ann]) == 401)

    service.kill()
    eventually(20, lambda: status(browsers[bob]) == 503)
    assert browsers[bob].get("/me").headers["retry-after"] == "1"
    service.start()
    eventually(20, lambda: status(browsers[bob]) == 200)
    assert status(browsers[ann]) == 401
    terminate(tenant, bob)
    eventually(REFUSED_WITHIN_S, lambda: status(browsers[bob]) == 401)


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.SILENT])
def test_app_that_was_cut_off_hears_what_was_ended_meanwhile(tenant: Tenant, open_shop: Open, mode: Mode) -> None:
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    with closing(Gateway(tenant.service.port)) as gateway:
        shop = open_shop(tenant, f"http://127.0.0.1:{gateway.port}", STALE_AFTER_S)
        browsers = {who: shop.sign_in(Person(who)) for who in (ann, bob)}
        gateway.set(mode)
        eventually(20, lambda: is_stale(shop))
        terminate(tenant, ann)
        assert [status(browser) for browser in browsers.values()] == [503, 503]
        gateway.set(Mode.OPEN)
        eventually(20, lambda: not is_stale(shop))
        assert [status(browsers[who]) for who in (ann, bob)] == [401, 200]


def test_app_that_admits_when_stale_refuses_what_it_knows(tenant: Tenant, open_shop: Open) -> None:
    ann, bob, cyd = login("ann"), login("bob"), login("cyd")
    tenant.people([ann, bob, cyd])
    with closing(Gateway(tenant.service.port)) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        shop = open_shop(tenant, url, STALE_AFTER_S, admit_when_stale=True)
        browsers = {who: shop.sign_in(Person(who)) for who in (ann, bob, cyd)}
        # Express forgets a session that it has refused, so this one is not asked before.
        terminate(tenant, ann)
        terminate(tenant, cyd)
        eventually(REFUSED_WITHIN_S, lambda: status(browsers[cyd]) == 401)
        gateway.set(Mode.CLOSED)
        eventually(20, lambda: is_stale(shop))
        terminate(tenant, bob)
        assert [status(browsers[who]) for who in (ann, bob)] == [401, 200]
        gateway.set(Mode.OPEN)
        eventually(20, lambda: status(browsers[bob]) == 401)
