"""Every page of the console at two widths in two themes: axe finds nothing, nothing is wider than the window,
and a picture of each is kept in .test/screenshots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chromium import Browser, Tab
from console import PASSWORD, Console, Someone, sign_in
from harness import eventually, login


@pytest.fixture(scope="module")
def world(console: Console) -> dict:
    """People, groups, sessions and terminations, so that pages have something to show."""
    ann = console.person("ann.marlowe")
    group = login("Sales")
    console.tenant.people([login(f"member{n}") for n in range(14)] + [ann.login], group)
    for _ in range(3):
        console.sign_in_at_shop(ann)
    with console.signed_in(ann) as browser:
        browser.tab().open("/console/account")
    with console.tenant.http() as http:
        reply = http.post("/v1/terminations", json={"logins": [ann.login], "reason": "laptop stolen on the train"})
        done = reply.headers["location"]
        eventually(30, lambda: http.get(done).json()["state"] == "done")
    console.sign_in_at_shop(ann)
    console.tenant.app(rights=["sessions.write"])
    return {"ann": ann, "group": console.tenant.group_id(group), "done": done.rsplit("/", 1)[1], "group_name": group}


@pytest.fixture(scope="module")
def browser(console: Console, world: dict) -> Iterator[Browser]:
    with console.signed_in(console.admin()) as browser:
        yield browser


def looks(tab: Tab, name: str) -> None:
    found = tab.look(name)
    assert not found, "\n".join(found)


PAGES = {
    "start": "/console",
    "found": "/console?q={prefix}",
    "found-nothing": "/console?q=nobody-is-called-so",
    "person": "/console/people/{ann}",
    "person-admin": "/console/people/{admin}",
    "group": "/console/groups/{group}",
    "end-choose": "/console/end",
    "end-one": "/console/end?user={ann}",
    "end-many": "/console/end?group={group}&user={admin}",
    "terminations": "/console/terminations",
    "termination-done": "/console/terminations/{done}",
    "log": "/console/log",
    "log-filtered-empty": "/console/log?who=nobody",
    "log-chain": "/console/log/chain",
    "systems": "/console/systems",
    "apps": "/console/apps",
    "account": "/console/account",
}


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, browser: Browser, console: Console, world: dict) -> None:
    names = {"ann": world["ann"].user_id, "admin": console.tenant.admin_id, "group": world["group"],
             "done": world["done"], "prefix": "ann.marlowe"}
    tab = browser.tab().open(PAGES[name].format(**names))
    # What loads later is there: systems that are asked.
    tab.ask("settled")
    looks(tab, name)
    assert tab.count("h1") == 1 and tab.count("main") == 1


def test_pages_before_the_sign_in(console: Console) -> None:
    ann = console.person("ann")
    with console.browser() as browser:
        browser.foresee("status of 400")
        tab = browser.tab().open("/sign-in")
        looks(tab, "sign-in")
        sign_in(tab, Someone(ann.login, ann.user_id, "wrong password"))
        tab.appears("[aria-invalid=true]")
        looks(tab, "sign-in-refused")
        link = console.service.admin("set-password", "--login", ann.login, "--link")["link"]
        tab.open(link.removeprefix(console.service.url))
        looks(tab, "set-password")
        tab.fill_in("input[name=password]", "short").fill_in("input[name=again]", "short")
        tab.click("main button[type=submit]")
        tab.shows("12")
        looks(tab, "set-password-refused")


def test_pages_of_failures(console: Console, browser: Browser, world: dict) -> None:
    browser.foresee("status of 404", "status of 403", "status of 400")
    tab = browser.tab().open("/console/people/1", status=404)
    looks(tab, "not-found")
    tab.open(f"/console/end?group={world['group']}")
    tab.fill_in("[name=people]", "1").press("End all sessions").shows("Type 15 to confirm")
    looks(tab, "end-refused")
    tab.open("/console/end").fill_in("textarea", "nobody@nowhere.example").click("main button[type=submit]")
    tab.shows("nobody@nowhere.example", "[role=alert]")
    looks(tab, "end-choose-refused")


def test_what_others_than_admins_see(console: Console, world: dict) -> None:
    coadmin = console.person("cora", role="coadmin")
    with console.signed_in(coadmin) as browser:
        browser.foresee("status of 403")
        looks(browser.tab().open(f"/console/people/{console.tenant.admin_id}"), "person-not-allowed")
        looks(browser.tab().open(f"/console/end?user={console.tenant.admin_id}&user={world['ann'].user_id}"), "end-not-allowed")
    with console.signed_in(world["ann"]) as browser:
        browser.foresee("status of 403")
        tab = browser.tab().open("/console")
        assert tab.path == "/console/account"
        looks(tab, "account-plain-user")
        looks(tab.open("/console/log", status=403), "not-allowed")


def test_a_termination_that_works_and_one_that_fails(console: Console, browser: Browser, world: dict) -> None:
    ann = world["ann"]
    console.sign_in_at_shop(ann)
    tab = browser.tab().open(f"/console/end?user={ann.user_id}").press("End all sessions")
    tab.lands(r"/console/terminations/t_\w+")
    tab.appears("#live[data-state=working]")
    # The page changes under it, so it is looked at when it is done.
    tab.picture("termination-working")
    tab.appears("#live[data-state=done]")
    looks(tab, "termination-finished")


def test_second_factor_pages(console: Console) -> None:
    ann = console.person("factor", role="coadmin")
    with console.signed_in(ann) as browser:
        tab = browser.tab().open("/console/account").press("Set up a second factor")
        tab.appears("input[name=code]")
        looks(tab, "second-factor-set-up")
        ann.secret = "".join(tab.text("#secret").split())
        tab.fill_in("input[name=code]", ann.code()).press("Confirm").lands(r"/console/account(\?.*)?")
        looks(tab, "account-with-second-factor")
    with console.browser() as browser:
        tab = browser.tab().open("/sign-in")
        sign_in(tab, Someone(ann.login, ann.user_id, PASSWORD))
        tab.appears("input[name=code]")
        looks(tab, "second-factor")
