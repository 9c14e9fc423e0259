"""Box's Node SDK, unmodified, told nothing but the base URLs."""

from __future__ import annotations

import uuid

import pytest

from harness import ACCEPTED, Tenant, login, node
from test_python_sdk import WAYS, jwt_config


def credentials(way: str, tenant: Tenant, key_pair) -> dict:
    """What `node/client.js` needs to sign in one of the ways of Box's SDKs."""
    if way == "developer token":
        return {"url": tenant.service.url, "token": tenant.developer_token()}
    app = tenant.app("--user-tokens", "--may-end-admins", "--box-audience")
    given: dict = {"url": tenant.service.url}
    if way.startswith("ccg"):
        given["ccg"] = {
            "clientId": app.client_id,
            "clientSecret": app.client_secret,
            "enterpriseId": tenant.enterprise_id,
        }
    else:
        given["jwt"] = jwt_config(tenant, app, key_pair)
    return given | ({"userId": tenant.admin_id} if way.endswith("user") else {})


@pytest.mark.parametrize("way", WAYS)
def test_users_and_groups_are_ended_and_the_admin_events_say_so(way: str, tenant: Tenant, key_pair) -> None:
    given = credentials(way, tenant, key_pair)
    logins = [login(f"p{n}") for n in range(3)]
    found = node("story.js", given | {"logins": logins, "group": f"group {uuid.uuid4().hex[:8]}"})
    ann, bob, cyd = found["users"]
    assert found["messages"] == [ACCEPTED, ACCEPTED]
    assert sorted(found["members"]) == sorted([bob, cyd])
    assert found["offset"] == found["marker"]
    assert {ann, bob, cyd, tenant.admin_id} <= set(found["offset"])
    assert found["done"] == ["done", "done"]
    assert sorted(found["outcomes"]) == sorted([ann, bob, bob, cyd])


def test_refusals_surface_with_code_context_and_request_id(tenant: Tenant) -> None:
    terminate = {"manager": "sessionTermination", "method": "terminateUsersSessions"}
    unknown = terminate | {"arguments": [{"userIds": ["404404"], "userLogins": []}]}
    empty = terminate | {"arguments": [{"userIds": [], "userLogins": []}]}
    given = {"url": tenant.service.url, "token": tenant.developer_token(), "calls": [unknown, empty]}
    not_found, bad_request = node("calls.js", given)
    assert (not_found["error"], not_found["status"], not_found["code"]) == ("BoxApiError", 404, "not_found")
    assert [e["value"] for e in not_found["contextInfo"]["errors"]] == ["404404"]
    assert not_found["requestId"]
    assert (bad_request["status"], bad_request["code"]) == (400, "bad_request")

    ann = login("ann")
    tenant.people([ann])
    given["token"] = tenant.developer_token(ann)
    forbidden, _ = node("calls.js", given)
    assert (forbidden["status"], forbidden["code"]) == (403, "access_denied_insufficient_permissions")

    given["token"] = "no-such-token"
    expired, _ = node("calls.js", given)
    assert expired["error"] == "BoxSdkError"
    assert "Developer token has expired" in expired["message"]
    assert tenant.termination_ids() == []


def test_as_user_acts_for_another(tenant: Tenant) -> None:
    ann = login("ann")
    ann_id = tenant.people([ann])[ann]
    me = {"manager": "users", "method": "getUserMe"}
    given = {"url": tenant.service.url, "token": tenant.developer_token(), "calls": [me, me | {"asUser": ann_id}]}
    assert [a["answer"]["id"] for a in node("calls.js", given)] == [tenant.admin_id, ann_id]
