"""The console in a real browser: signing in, the worst hour from the search to the verdict, and what goes wrong
on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from chromium import Browser
from console import PASSWORD, Console, Someone, sign_in
from harness import eventually, login
from shops import is_signed_in


@pytest.fixture
def admin(console: Console) -> Someone:
    return console.admin()


@pytest.fixture
def browser(console: Console, admin: Someone) -> Iterator[Browser]:
    """The admin's browser, signed in."""
    with console.signed_in(admin) as browser:
        yield browser


# Signing in


def test_sign_in_leads_on_and_sign_out_ends_the_session(console: Console) -> None:
    admin = console.admin()
    with console.browser() as browser:
        browser.foresee(r"status of 400 .*/sign-in")
        tab = browser.tab().open("/console/log")
        tab.lands(r"/sign-in\?return_to=.*")
        sign_in(tab, Someone(admin.login, admin.user_id, "not the password"))
        tab.shows("The login or the password is not right.")
        tab.fill("Password", PASSWORD).press("Sign in")
        tab.lands("/console/log")
        cookie = browser.cookies()["lightsout_session"]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/" and cookie["expires"] == -1
        tab.press("Sign out").lands(r"/sign-in\?was=signed_out")
        tab.shows("You are signed out.")
        # The cookie is worth nothing any more, also where somebody kept it.
        browser.set_cookie("lightsout_session", cookie["value"])
        tab.open("/console").lands(r"/sign-in\?.*")


def test_second_factor_is_set_up_asked_for_and_taken_once(console: Console) -> None:
    ann = console.person("totp", role="coadmin")
    with console.signed_in(ann) as browser:
        tab = browser.tab().open("/console/account")
        tab.press("Set up a second factor")
        tab.appears("input[name=code]")
        ann.secret = re.sub(r"\s", "", tab.text("#secret"))
        tab.fill_in("input[name=code]", ann.code()).press("Confirm")
        tab.lands(r"/console/account(\?.*)?")
    with console.browser() as browser:
        browser.foresee(r"status of 400 .*/sign-in/second-factor")
        tab = browser.tab().open("/sign-in")
        sign_in(tab, ann)
        tab.lands(r"/sign-in/second-factor(\?.*)?")
        assert "lightsout_session" not in browser.cookies(), "signed in by the password alone"
        used = ann.last_step
        tab.fill_in("input[name=code]", "000000").press("Sign in")
        tab.appears("[aria-invalid=true]")
        tab.fill_in("input[name=code]", ann.code()).press("Sign in")
        tab.lands("/console")
        assert ann.last_step > used


def test_sign_in_by_an_outside_provider(console: Console) -> None:
    bob = console.person("bob", password=None)
    # Matched by e-mail at the provider's own domain.
    cyd = f"cyd@{console.domain}"
    console.tenant.people([cyd])
    for who, is_let_in in [(bob.login, False), (cyd, True), (console.tenant.admin_login, False)]:
        with console.browser(hosts=[console.issuer.removeprefix("http://")]) as browser:
            browser.foresee(r"status of 403")
            tab = browser.tab().open("/sign-in").press("Sign in with Acme ID")
            tab.fill("Who are you?", who).press("Go on")
            if is_let_in:
                tab.lands("/console(/account)?")
                assert "lightsout_session" in browser.cookies()
            else:
                tab.shows("Acme ID")
                eventually(10, lambda: tab.url.startswith(console.service.url))
                assert "lightsout_session" not in browser.cookies(), who


# From the search to the verdict


def test_a_person_is_found_ended_and_watched(console: Console, browser: Browser) -> None:
    ann = console.person("ann")
    at_shop = console.sign_in_at_shop(ann)
    tab = browser.tab().open("/console")
    tab.fill("Person or group", ann.login).key("Enter")
    tab.lands(r"/console\?q=.*")
    tab.follow(ann.login.split("@")[0])
    tab.lands(f"/console/people/{ann.user_id}")
    tab.shows("shop").follow("End all sessions")
    tab.lands(rf"/console/end\?user={ann.user_id}")
    tab.shows("End all sessions of 1 person?", "h1")
    tab.shows("shop", "#main")
    eventually(20, lambda: re.search(r"shop\s+1", tab.text("main")))
    assert is_signed_in(at_shop), "the radius ends nothing"
    tab.fill_in("[name=reason]", "laptop stolen").press("End all sessions")
    tab.lands(r"/console/terminations/t_\w+")
    tab.appears("#live[data-state=working], #live[data-state=done]")
    assert "laptop stolen" in tab.text("main")
    # Nothing is pressed from here on: the page follows.
    tab.appears("#live[data-state=done]")
    assert not is_signed_in(at_shop)
    assert "proven" in tab.text("#live") or "verified" in tab.text("#verdict")
    termination = console.termination_of(tab)
    assert termination["state"] == "done" and termination["reason"] == "laptop stolen"
    csv = tab.download("CSV")
    assert csv["name"].endswith(".csv") and ann.login in csv["text"]
    outcomes = json.loads(tab.download("JSON")["text"])
    assert outcomes["termination"]["id"] == termination["id"]
    assert {o["system"]: o["outcome"] for o in outcomes["outcomes"]}["shop"] == "ended"
    tab.open("/console/log").shows(ann.login, "main")
    tab.open(f"/console/people/{ann.user_id}").shows("laptop stolen")


def test_a_group_above_ten_is_confirmed_by_its_number(console: Console, browser: Browser) -> None:
    logins = [login(f"g{n}") for n in range(12)]
    group = login("Team")
    console.tenant.people(logins, group)
    browser.foresee(r"status of 400 .*/console/terminations")
    tab = browser.tab().open("/console").fill("Person or group", group).key("Enter")
    tab.follow(group).lands(r"/console/groups/\d+")
    tab.shows("12 members").follow("End all sessions")
    tab.shows("End all sessions of 12 people?", "h1")
    tab.fill_in("[name=people]", "11").press("End all sessions")
    tab.shows("Type 12 to confirm")
    before = len(console.tenant.termination_ids())
    tab.fill_in("[name=people]", "12").press("End all sessions")
    tab.lands(r"/console/terminations/t_\w+")
    tab.appears("#live[data-state=done]")
    assert len(console.tenant.termination_ids()) == before + 1 and console.termination_of(tab)["people"] == 12


def test_a_coadmin_cannot_end_an_admin_and_is_told_why(console: Console) -> None:
    coadmin, ann = console.person("cora", role="coadmin"), console.person("ann")
    with console.signed_in(coadmin) as browser:
        browser.foresee(r"status of 403")
        tab = browser.tab().open(f"/console/people/{console.tenant.admin_id}")
        tab.shows("You may not end these sessions", "main")
        assert tab.count("main a:text-is('End all sessions')") == 0
        # By hand it is refused as well, and the rest can go on without.
        tab.open(f"/console/end?user={console.tenant.admin_id}&user={ann.user_id}").shows("You may not end")
        why = tab.text("main")
        assert "admin" in why and tab.count("form[action='/console/terminations']") == 0, why
        tab.follow("Leave out 1 entry and go on with 1 person")
        tab.press("End all sessions").lands(r"/console/terminations/t_\w+")
        tab.appears("#live[data-state=done]")
        assert console.termination_of(tab)["people"] == 1


def test_an_admin_who_ends_himself_lands_on_the_sign_in_page(console: Console) -> None:
    dan = console.person("dan", role="coadmin")
    with console.signed_in(dan) as watching, console.signed_in(console.admin()) as browser:
        other = watching.tab().open("/console")
        tab = browser.tab().open(f"/console/people/{console.tenant.admin_id}").follow("End all sessions")
        tab.shows("You are among them.")
        tab.press("End all sessions")
        tab.lands(r"/sign-in\?.*")
        tab.shows("Your session has ended")
        assert other.reload() == 200 and other.path == "/console"
    # The termination goes on, and is there when he is back.
    with console.signed_in(console.admin()) as browser:
        tab = browser.tab().open("/console/terminations")

        newest = console.tenant.termination_ids()[-1]
        tab.open(f"/console/terminations/{newest}").appears("#live[data-state=done]")
        assert console.tenant.admin_login in tab.text("main")


# What goes wrong on the way


def test_back_reload_double_submit_and_two_tabs_end_once(console: Console, browser: Browser) -> None:
    ann = console.person("ann")
    end = f"/console/end?user={ann.user_id}"
    before = len(console.tenant.termination_ids())
    tab = browser.tab().open(end)
    tab.double_press("End all sessions")
    tab.lands(r"/console/terminations/t_\w+")
    first = tab.path
    assert tab.reload() == 200 and tab.path == first, "a reload sends no form again"
    tab.back()
    tab.lands(re.escape(end))
    tab.shows("End all sessions of 1 person?", "h1")
    assert len(console.tenant.termination_ids()) == before + 1, "going back ends nobody"
    # Two tabs that were opened apart are two requests; each is answered.
    one, two = browser.tab().open(end), browser.tab().open(end)
    one.press("End all sessions").lands(r"/console/terminations/t_\w+")
    two.press("End all sessions").lands(r"/console/terminations/t_\w+")
    assert len(console.tenant.termination_ids()) == before + 3


def test_a_form_of_a_session_that_is_over_leads_to_the_sign_in_page_and_back(console: Console) -> None:
    eve, ann = console.person("eve", role="coadmin"), console.person("ann")
    with console.signed_in(eve) as browser:
        end = f"/console/end?user={ann.user_id}"
        tab, other = browser.tab().open(end), browser.tab().open("/console")
        other.press("Sign out").lands(r"/sign-in\?was=signed_out")
        before = len(console.tenant.termination_ids())
        tab.press("End all sessions").lands(r"/sign-in\?.*")
        assert len(console.tenant.termination_ids()) == before
        sign_in(tab, eve)
        tab.lands(r"/console(/.*|\?.*)?")
        # A form of the former session, shown again by the browser's history, is refused.
        assert len(console.tenant.termination_ids()) == before


def test_a_page_that_follows_goes_on_when_the_service_was_killed_and_started_again(console: Console, browser: Browser) -> None:
    ann = console.person("ann")
    console.sign_in_at_shop(ann)
    browser.foresee("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "status of 503")
    tab = browser.tab().open(f"/console/end?user={ann.user_id}").press("End all sessions")
    tab.lands(r"/console/terminations/t_\w+")
    tab.appears("#live[data-state=working]")
    console.service.kill()
    tab.appears("#away:not([hidden])")
    assert "lost" in tab.text("#away")
    console.service.start()
    tab.appears("#live[data-state=done]")
    tab.hides("#away")
    assert console.termination_of(tab)["state"] == "done"


def test_whoever_is_ended_while_watching_is_sent_to_the_sign_in_page(console: Console) -> None:
    fay, ann = console.person("fay", role="coadmin"), console.person("ann")
    console.sign_in_at_shop(ann)
    with console.signed_in(fay) as browser:
        tab = browser.tab().open(f"/console/end?user={ann.user_id}").press("End all sessions")
        tab.lands(r"/console/terminations/t_\w+")
        with console.tenant.http() as http:
            assert http.post("/v1/terminations", json={"user_ids": [fay.user_id]}).status_code == 202
        # Either the stream says so at once, or the page has stopped following by then.
        tab.lands(r"/sign-in\?.*was=ended")


def test_one_session_is_ended_from_the_person_page(console: Console, browser: Browser) -> None:
    ann = console.person("ann")
    with console.signed_in(ann) as other:
        page = other.tab().open("/console/account")
        tab = browser.tab().open(f"/console/people/{ann.user_id}")
        tab.shows("this console").press("End the session of this console")
        tab.shows("The session was ended.")
        page.ask("reload")
        page.lands(r"/sign-in\?.*")


def test_everything_by_keyboard_only(console: Console) -> None:
    """From the sign-in page to the verdict, without a pointer; whatever has the focus shows it."""
    admin, ann = console.admin(), console.person("ann")
    with console.browser() as browser:
        tab = browser.tab().open("/sign-in").appears("#login:focus")
        tab.type(admin.login).key("Tab").type(admin.password).key("Enter")
        # The search has the focus at once, and "/" leads there from anywhere else.
        tab.lands("/console")
        tab.appears("input[type=search]:focus")
        tab.key("Tab", "/")
        assert tab.focused()["type"] == "search"
        tab.type(ann.login).key("Enter")
        tab.lands(r"/console\?q=.*")
        to(tab, lambda at: at["href"] == f"/console/people/{ann.user_id}")
        tab.key("Enter").lands(f"/console/people/{ann.user_id}")
        to(tab, lambda at: at["name"] == "End all sessions")
        tab.key("Enter").lands(r"/console/end\?.*")
        to(tab, lambda at: at["tag"] == "textarea")
        tab.type("by keyboard")
        to(tab, lambda at: at["name"] == "End all sessions")
        tab.key("Enter").lands(r"/console/terminations/t_\w+")
        tab.appears("#live[data-state=done]").shows("by keyboard")
        # The first thing that Tab finds on a page leads past the navigation.
        tab.ask("reload")
        tab.key("Tab")
        assert tab.focused()["href"] == "#main"
        tab.key("Enter", "Tab")
        assert tab.evaluate("document.getElementById('main').contains(document.activeElement)")


def to(tab, is_there) -> None:
    """Presses Tab until something has the focus; everything on the way must show that it has it."""
    for _ in range(60):
        tab.key("Tab")
        at = tab.focused()
        assert at["ringed"] or at["tag"] == "body", f"the focus cannot be seen: {at} at {tab.url}"
        if is_there(at):
            return
    raise AssertionError(f"Tab does not come there at {tab.url}")


def test_everything_works_without_scripts(console: Console) -> None:
    admin, ann = console.admin(), console.person("ann")
    at_shop = console.sign_in_at_shop(ann)
    with console.browser(javaScriptEnabled=False) as browser:
        tab = browser.tab().open("/sign-in")
        sign_in(tab, admin)
        tab.lands("/console")
        tab.fill("Person or group", ann.login).press("Search").lands(r"/console\?q=.*")
        tab.follow(ann.login.split("@")[0]).follow("End all sessions")
        tab.lands(r"/console/end\?.*")
        tab.press("End all sessions").lands(r"/console/terminations/t_\w+")

        def is_done() -> bool:
            tab.ask("reload")
            return tab.attribute("#live", "data-state") == "done"

        eventually(30, is_done)
        assert not is_signed_in(at_shop)
        for path in ["/console/log", "/console/systems", "/console/apps", "/console/account", "/console/terminations"]:
            tab.open(path)
        tab.press("Sign out").lands(r"/sign-in\?was=signed_out")


def test_times_are_in_the_readers_zone_with_the_instant_on_hover(console: Console, browser: Browser) -> None:
    tab = browser.tab().open("/console/log")
    tab.appears("time:not([data-local])")
    shown, instant, title = (tab.text("time"), tab.attribute("time", "datetime"), tab.attribute("time", "title"))
    assert instant == title and instant.endswith("Z") and "UTC" not in shown
    at_home = tab.evaluate(
        f"new Date('{instant}').toLocaleTimeString('en-GB', {{timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit'}})"
    )
    assert at_home in shown, (shown, instant)


def test_a_page_that_cannot_be_reached_does_not_claim_to_be_live(console: Console, browser: Browser) -> None:
    """A finished termination follows nothing, so a service that goes away changes nothing on its page."""
    ann = console.person("ann")
    with console.tenant.http() as http:
        location = http.post("/v1/terminations", json={"user_ids": [ann.user_id]}).headers["location"]
        eventually(30, lambda: http.get(location).json()["state"] == "done")
    tab = browser.tab().open(f"/console{location.removeprefix(console.service.url).removeprefix('/v1')}")
    tab.appears("#live[data-state=done]")
    requests = [a for a in browser.ask("answers") if a["kind"] in ("eventsource", "fetch")]
    assert requests == [], requests
