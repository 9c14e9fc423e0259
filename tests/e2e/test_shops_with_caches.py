"""Shops that know a session by more than its row: what ending the row does, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import LIMITS
from harness import Tenant, eventually, finished, redis_cli
from shops import Person, enrol, is_signed_in
from systems import Place, better_auth, django_cached_db, tables

QUIET_TIME_S = 2
COOKIE_CACHE_S = 7


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    place.drop()


def end(tenant: Tenant, person: Person) -> dict[str, dict]:
    """Ends somebody; the outcomes by system."""
    tenant.box().session_termination.terminate_users_sessions([], [person.login])
    with tenant.http() as http:
        location = f"/v1/terminations/{tenant.termination_ids()[-1]}"
        finished(http, location)
        return {o["system"]: o for o in http.get(f"{location}/outcomes").json()["entries"]}


def test_django_session_of_an_ended_row_lives_on_in_a_cache_that_is_not_configured(place: Place, make_service) -> None:
    shop, lines = django_cached_db(place)
    only_rows = {"_rows": lines["_rows"]}
    tenant = make_service("sqlite", LIMITS + tables("shop", only_rows, QUIET_TIME_S)).init().start().tenant()
    try:
        ann = Person.named("ann")
        browser = shop.ready().sign_in(ann)
        enrol(tenant, [ann])
        outcomes = end(tenant, ann)
        # The report names the place that was looked at, and is right about that place.
        assert set(outcomes) == {"registry", "shop_rows"}
        assert (outcomes["shop_rows"]["outcome"], outcomes["shop_rows"]["sessions_ended"]) == ("ended", 1)
        # Django reads its cache first. It needs a system of its own, as in test_shops.py.
        assert is_signed_in(browser)
        redis_cli(shop.given["redis"], "flushdb")
        assert not is_signed_in(browser)
    finally:
        shop.stop()


def test_better_auth_cookie_cache_is_dead_by_the_time_that_is_reported(place: Place, make_service) -> None:
    shop, lines = better_auth(place, COOKIE_CACHE_S)
    both = {"": lines[""], "_cookies": f'kind = "stateless"\nlife_s = {COOKIE_CACHE_S}\n'}
    tenant = make_service("sqlite", LIMITS + tables("better_auth", both, QUIET_TIME_S)).init().start().tenant()
    try:
        ann = Person.named("ann")
        browser = shop.ready().sign_in(ann)
        enrol(tenant, [ann])
        outcomes = end(tenant, ann)
        # The row is gone, and the shop still trusts its signed copy of it in the cookie.
        assert (outcomes["better_auth"]["outcome"], outcomes["better_auth"]["sessions_ended"]) == ("ended", 1)
        assert outcomes["better_auth_cookies"]["outcome"] == "ends_by"
        assert is_signed_in(browser)
        eventually(30, lambda: not is_signed_in(browser))
        assert datetime.now(UTC) <= datetime.fromisoformat(outcomes["better_auth_cookies"]["ends_by"])
    finally:
        shop.stop()
