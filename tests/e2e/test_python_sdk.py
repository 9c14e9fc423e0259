"""Box's Python SDK, unmodified, told nothing but the base URLs."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from box_sdk_gen import BoxAPIError, BoxCCGAuth, BoxClient, BoxDeveloperTokenAuth, BoxJWTAuth, BoxSDKError
from box_sdk_gen import CCGConfig, JWTConfig
from box_sdk_gen.managers.events import GetEventsStreamType
from box_sdk_gen.managers.memberships import CreateGroupMembershipGroup, CreateGroupMembershipUser
from box_sdk_gen.managers.memberships import UpdateGroupMembershipByIdRole
from box_sdk_gen.managers.users import CreateUserRole, UpdateUserByIdNotificationEmail
from box_sdk_gen.schemas.event import Event
from box_sdk_gen.schemas.tracking_code import TrackingCode

from harness import ACCEPTED, Tenant, all_events, eventually, login

ADMIN_LOGS, STREAMING = GetEventsStreamType.ADMIN_LOGS, GetEventsStreamType.ADMIN_LOGS_STREAMING
WAYS = ["developer token", "ccg enterprise", "ccg user", "jwt enterprise", "jwt user"]


def connect(way: str, tenant: Tenant, key_pair: tuple[str, str, Path]) -> BoxClient:
    """A client that signs in one of the ways of Box's SDKs."""
    if way == "developer token":
        return tenant.box()
    app = tenant.app("--user-tokens", "--may-end-admins", "--box-audience")
    if way.startswith("ccg"):
        config = CCGConfig(app.client_id, app.client_secret, enterprise_id=tenant.enterprise_id)
        auth = BoxCCGAuth(config)
    else:
        auth = BoxJWTAuth(JWTConfig.from_config_json_string(jwt_config(tenant, app, key_pair)))
    return tenant.box(auth.with_user_subject(tenant.admin_id) if way.endswith("user") else auth)


def jwt_config(tenant: Tenant, app, key_pair: tuple[str, str, Path]) -> str:
    """The configuration file that Box's developer console gives out."""
    private, passphrase, public = key_pair
    made = tenant.service.admin("key", "--client-id", app.client_id, "--public-key", str(public))
    key = {"publicKeyID": made["key_id"], "privateKey": private, "passphrase": passphrase}
    settings = {"clientID": app.client_id, "clientSecret": app.client_secret, "appAuth": key}
    return json.dumps({"boxAppSettings": settings, "enterpriseID": tenant.enterprise_id})


def pages(client: BoxClient, stream: GetEventsStreamType, limit: int, **query) -> list[Event]:
    """Pages through an event stream to its end."""
    events, position = [], "0"
    while True:
        page = client.events.get_events(stream_type=stream, stream_position=position, limit=limit, **query)
        if not page.entries:
            return events
        assert len(page.entries) <= limit
        events += page.entries
        position = page.next_stream_position


def make_group(client: BoxClient, members: list[str]) -> str:
    group = client.groups.create_group(f"group {uuid.uuid4().hex[:8]}")
    for user_id in members:
        client.memberships.create_group_membership(
            CreateGroupMembershipUser(id=user_id), CreateGroupMembershipGroup(id=group.id)
        )
    return group.id


@pytest.mark.parametrize("way", WAYS)
def test_users_and_groups_are_ended_and_the_admin_events_say_so(way: str, tenant: Tenant, key_pair) -> None:
    client = connect(way, tenant, key_pair)
    users = [client.users.create_user(f"Person {n}", login=login(f"p{n}")) for n in range(4)]
    group_id = make_group(client, [users[2].id, users[3].id])
    members = client.memberships.get_group_memberships(group_id)
    assert {m.user.id for m in members.entries} == {users[2].id, users[3].id}
    assert members.total_count == 2

    by_both = client.session_termination.terminate_users_sessions([users[0].id], [users[1].login.upper()])
    by_group = client.session_termination.terminate_groups_sessions([group_id])
    assert by_both.message == by_group.message == ACCEPTED

    def done() -> bool:
        found = pages(client, ADMIN_LOGS, 500, event_type=["SESSION_TERMINATION_DONE"])
        return len(found) == 2

    eventually(20, done)
    outcomes = pages(client, STREAMING, 500, event_type=["SESSION_TERMINATION_OUTCOME"])
    assert sorted(e.source.id for e in outcomes) == sorted(u.id for u in users)
    assert {e.additional_details["system"] for e in outcomes} == {"registry"}
    assert {e.additional_details["outcome"] for e in outcomes} == {"nothing_found"}


def test_only_one_of_the_two_lists_is_needed(tenant: Tenant) -> None:
    client = tenant.box()
    user = client.users.create_user("Ann", login=login("ann"))
    assert client.session_termination.terminate_users_sessions([user.id], []).message == ACCEPTED
    assert client.session_termination.terminate_users_sessions([], [user.login]).message == ACCEPTED


def test_group_without_members_is_accepted_and_done(tenant: Tenant) -> None:
    client = tenant.box()
    group_id = make_group(client, [])
    assert client.session_termination.terminate_groups_sessions([group_id]).message == ACCEPTED
    done = pages(client, ADMIN_LOGS, 500, event_type=["SESSION_TERMINATION_DONE"])
    assert [e.additional_details["state"] for e in done] == ["done"]


def test_user_named_by_id_and_login_is_ended_once(tenant: Tenant) -> None:
    client = tenant.box()
    user = client.users.create_user("Ann", login=login("ann"))
    client.session_termination.terminate_users_sessions([user.id, user.id], [user.login, user.login.upper()])
    eventually(20, lambda: pages(client, ADMIN_LOGS, 500, event_type=["SESSION_TERMINATION_DONE"]))
    outcomes = pages(client, ADMIN_LOGS, 500, event_type=["SESSION_TERMINATION_OUTCOME"])
    assert [e.source.id for e in outcomes] == [user.id]


def test_offset_and_marker_paging_list_the_same_users(tenant: Tenant) -> None:
    client = tenant.box()
    made = {client.users.create_user(f"Person {n}", login=login(f"p{n}")).id for n in range(5)}

    by_offset, total = [], None
    while total is None or len(by_offset) < total:
        page = client.users.get_users(limit=2, offset=len(by_offset))
        total = page.total_count
        assert 1 <= len(page.entries) <= 2
        by_offset += [u.id for u in page.entries]

    by_marker, marker = [], None
    while True:
        page = client.users.get_users(limit=2, usemarker=True, marker=marker)
        by_marker += [u.id for u in page.entries]
        marker = page.next_marker
        if not marker:
            break

    assert by_offset == by_marker
    assert len(set(by_offset)) == total
    assert made | {tenant.admin_id} <= set(by_offset)


def test_users_are_found_by_term_and_answered_with_the_fields_asked_for(tenant: Tenant) -> None:
    client = tenant.box()
    user = client.users.create_user("Zoe Quist", login=login("zoe"), role=CreateUserRole.COADMIN, external_app_user_id="x1")
    for term in ["zoe q", user.login[:9].upper()]:
        found = client.users.get_users(filter_term=term, fields=["role", "enterprise"])
        assert [u.id for u in found.entries] == [user.id]
        assert found.entries[0].role == "coadmin"
        assert found.entries[0].enterprise.id == tenant.enterprise_id
        assert found.entries[0].created_at is None
    assert [u.id for u in client.users.get_users(external_app_user_id="x1").entries] == [user.id]


def test_lists_are_decoded_in_full_also_where_an_earlier_version_stored_other_types(tenant: Tenant) -> None:
    document = json.loads(Path(__file__).with_name("box-openapi-subset.json").read_text())["components"]["schemas"]
    ladder = [document[name] for name in ("User--Mini", "User", "User--Full")]
    fields = [name for schema in ladder for name in schema["allOf"][1]["properties"]]
    client = tenant.box()
    codes = [TrackingCode(name="site", value="B")]
    user = client.users.create_user("Ann", login=login("ann"), tracking_codes=codes, space_amount=-1, phone="1")
    email = UpdateUserByIdNotificationEmail(email="a@b.example")
    client.users.update_user_by_id(user.id, notification_email=email, job_title="Nurse")
    group = client.groups.create_group("Sales", description="sells", provenance="LDAP")

    def listed():
        users = client.users.get_users(fields=fields).entries
        groups = client.groups.get_groups(fields=["description", "provenance", "invitability_level", "permissions"]).entries
        return next(u for u in users if u.id == user.id), next(g for g in groups if g.id == group.id)

    ann, sales = listed()
    assert (ann.tracking_codes[0].value, ann.space_amount, ann.job_title) == ("B", -1, "Nurse")
    assert (ann.notification_email.email, ann.notification_email.is_confirmed) == ("a@b.example", False)
    assert ann.enterprise.name == f"Enterprise of {tenant.admin_login}"
    assert (sales.description, sales.provenance) == ("sells", "LDAP")

    wrong = json.dumps({name: {"a": [1]} for name in [*fields, "description", "provenance", "permissions"]})
    for table, key, value in [("users", "user_id", user.id), ("groups", "group_id", group.id)]:
        tenant.service.rows(f"UPDATE {table} SET profile = '{wrong}' WHERE {key} = '{value}'")
    ann, sales = listed()
    assert (ann.tracking_codes, ann.space_amount, ann.phone, ann.notification_email) == ([], 0, "", None)
    assert (sales.description, sales.provenance) == ("", None)
    named = [line for line in tenant.service.log.read_text().splitlines() if "a stored field has a wrong type" in line]
    assert len(named) > 10
    assert not any("[1]" in line for line in named), "a value is in the log"
    listed()
    assert tenant.service.log.read_text().count("a stored field has a wrong type") == len(named), "each is named once"


def test_directory_is_changed_and_the_log_names_each_change(tenant: Tenant) -> None:
    client = tenant.box()
    user = client.users.create_user("Ann", login=login("ann"))
    assert client.users.update_user_by_id(user.id, name="Ann Lee").name == "Ann Lee"
    assert client.users.get_user_by_id(user.id).name == "Ann Lee"
    group = client.groups.create_group("Sales")
    assert client.groups.update_group_by_id(group.id, name="Support").name == "Support"
    assert [g.id for g in client.groups.get_groups(filter_term="supp").entries] == [group.id]
    membership = client.memberships.create_group_membership(
        CreateGroupMembershipUser(id=user.id), CreateGroupMembershipGroup(id=group.id)
    )
    changed = client.memberships.update_group_membership_by_id(
        membership.id, role=UpdateGroupMembershipByIdRole.ADMIN, configurable_permissions={"can_edit_accounts": False}
    )
    assert changed.role == "admin"
    assert [m.id for m in client.memberships.get_user_memberships(user.id).entries] == [membership.id]
    client.memberships.delete_group_membership_by_id(membership.id)
    client.groups.delete_group_by_id(group.id)
    client.users.delete_user_by_id(user.id, notify=False, force=True)

    types = [e.event_type for e in pages(client, ADMIN_LOGS, 500)]
    for expected in ["NEW_USER", "EDIT_USER", "GROUP_CREATION", "GROUP_EDITED", "GROUP_ADD_USER", "GROUP_REMOVE_USER",
                     "GROUP_DELETION", "SESSION_TERMINATION_REQUESTED", "DELETE_USER"]:
        assert expected in types, f"{expected} is missing: {types}"
    with pytest.raises(BoxAPIError) as refused:
        client.users.get_user_by_id(user.id)
    assert refused.value.response_info.code == "not_found"


def test_pages_of_any_size_hold_the_same_events_in_both_admin_streams(tenant: Tenant) -> None:
    client = tenant.box()
    for n in range(4):
        client.users.create_user(f"Person {n}", login=login(f"p{n}"))
    whole = [e.event_id for e in pages(client, ADMIN_LOGS, 500)]
    assert len(whole) == len(set(whole)) >= 5
    assert [e.event_id for e in pages(client, ADMIN_LOGS, 2)] == whole
    assert [e.event_id for e in pages(client, STREAMING, 3)] == whole
    new = pages(client, ADMIN_LOGS, 1, event_type=["NEW_USER", "NO_SUCH_EVENT"])
    assert {e.event_type for e in new} == {"NEW_USER"}
    assert len(new) == 5


def test_now_is_the_end_of_the_log(tenant: Tenant) -> None:
    client = tenant.box()
    now = client.events.get_events(stream_type=STREAMING, stream_position="now")
    assert now.entries == []
    user = client.users.create_user("Ann", login=login("ann"))
    after = client.events.get_events(stream_type=STREAMING, stream_position=str(now.next_stream_position))
    assert [(e.event_type, e.source.id) for e in after.entries] == [("NEW_USER", user.id)]


def test_admin_logs_are_cut_by_time(tenant: Tenant) -> None:
    client = tenant.box()
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    assert pages(client, ADMIN_LOGS, 500, created_after=now - hour, created_before=now + hour)
    assert pages(client, ADMIN_LOGS, 500, created_after=now + hour) == []
    assert pages(client, ADMIN_LOGS, 500, created_before=now - hour) == []


def test_as_user_acts_for_another_and_the_log_names_both(tenant: Tenant) -> None:
    admin = tenant.box()
    coadmin = admin.users.create_user("Cora", login=login("cora"), role=CreateUserRole.COADMIN)
    ann = admin.users.create_user("Ann", login=login("ann"))
    acting = admin.with_as_user_header(coadmin.id)
    assert acting.users.get_user_me().id == coadmin.id
    assert acting.session_termination.terminate_users_sessions([ann.id], []).message == ACCEPTED
    requested = pages(admin, ADMIN_LOGS, 500, event_type=["SESSION_TERMINATION_REQUESTED"])
    assert [e.created_by.id for e in requested] == [tenant.admin_id]
    assert requested[0].additional_details["as_user"]["id"] == coadmin.id


def test_as_user_of_an_equal_is_refused(tenant: Tenant) -> None:
    admin = tenant.box()
    cora = admin.users.create_user("Cora", login=login("cora"), role=CreateUserRole.COADMIN)
    carl = admin.users.create_user("Carl", login=login("carl"), role=CreateUserRole.COADMIN)
    as_cora = tenant.box(BoxDeveloperTokenAuth(token=tenant.developer_token(cora.login)))
    with pytest.raises(BoxAPIError) as refused:
        as_cora.with_as_user_header(carl.id).users.get_user_me()
    assert refused.value.response_info.status_code == 403


def test_unknown_ids_are_named_and_nothing_is_ended(tenant: Tenant) -> None:
    client = tenant.box()
    ann = client.users.create_user("Ann", login=login("ann"))
    with pytest.raises(BoxAPIError) as refused:
        client.session_termination.terminate_users_sessions([ann.id, "404404"], ["nobody@example.com"])
    answer = refused.value.response_info
    assert (answer.status_code, answer.code) == (404, "not_found")
    assert {e["value"] for e in answer.context_info["errors"]} == {"404404", "nobody@example.com"}
    assert answer.request_id
    assert answer.headers["box-request-id"].startswith(answer.request_id)
    assert tenant.termination_ids() == []


def test_plain_user_is_refused_before_any_look_up(tenant: Tenant) -> None:
    client = tenant.box()
    ann = client.users.create_user("Ann", login=login("ann"))
    as_ann = tenant.box(BoxDeveloperTokenAuth(token=tenant.developer_token(ann.login)))
    for ids in [[tenant.admin_id], ["404404"]]:
        with pytest.raises(BoxAPIError) as refused:
            as_ann.session_termination.terminate_users_sessions(ids, [])
        answer = refused.value.response_info
        assert (answer.status_code, answer.code) == (403, "access_denied_insufficient_permissions")
        assert answer.request_id
    assert tenant.termination_ids() == []


def test_token_without_the_scope_is_refused(tenant: Tenant) -> None:
    token = tenant.developer_token(scopes=["manage_groups"])
    client = tenant.box(BoxDeveloperTokenAuth(token=token))
    with pytest.raises(BoxAPIError) as refused:
        client.session_termination.terminate_users_sessions([tenant.admin_id], [])
    assert refused.value.response_info.status_code == 403
    assert refused.value.response_info.code == "insufficient_scope"


def test_service_account_ends_admins_only_where_the_operator_allows_it(tenant: Tenant) -> None:
    for flags, allowed in [([], False), (["--may-end-admins"], True)]:
        app = tenant.app(*flags)
        config = CCGConfig(app.client_id, app.client_secret, enterprise_id=tenant.enterprise_id)
        client = tenant.box(BoxCCGAuth(config))
        if allowed:
            assert client.session_termination.terminate_users_sessions([tenant.admin_id], []).message == ACCEPTED
            continue
        with pytest.raises(BoxAPIError) as refused:
            client.session_termination.terminate_users_sessions([tenant.admin_id], [])
        assert refused.value.response_info.status_code == 403


def test_tokens_of_an_ended_user_die_too(tenant: Tenant) -> None:
    admin = tenant.box()
    cora = admin.users.create_user("Cora", login=login("cora"), role=CreateUserRole.COADMIN)
    as_cora = tenant.box(BoxDeveloperTokenAuth(token=tenant.developer_token(cora.login)))
    assert as_cora.users.get_user_me().id == cora.id
    admin.session_termination.terminate_users_sessions([cora.id], [])
    with pytest.raises(BoxSDKError, match="Developer token has expired"):
        as_cora.users.get_user_me()


def test_client_credentials_are_renewed_after_the_end(tenant: Tenant) -> None:
    admin = tenant.box()
    cora = admin.users.create_user("Cora", login=login("cora"), role=CreateUserRole.COADMIN)
    app = tenant.app("--user-tokens", "--may-end-admins")
    config = CCGConfig(app.client_id, app.client_secret, user_id=cora.id)
    as_cora = tenant.box(BoxCCGAuth(config))
    assert as_cora.users.get_user_me().id == cora.id
    admin.session_termination.terminate_users_sessions([cora.id], [])
    assert as_cora.users.get_user_me().id == cora.id


def test_revoked_token_is_refused(tenant: Tenant) -> None:
    app = tenant.app()
    auth = BoxCCGAuth(CCGConfig(app.client_id, app.client_secret, enterprise_id=tenant.enterprise_id))
    client = tenant.box(auth)
    client.users.get_user_me()
    token = auth.token_storage.get().access_token
    auth.revoke_token(network_session=client.network_session)
    with tenant.http(token) as http:
        assert http.get("/2.0/users/me").status_code == 401


def test_every_event_has_box_s_shape(tenant: Tenant) -> None:
    client = tenant.box()
    ann = client.users.create_user("Ann", login=login("ann"))
    client.session_termination.terminate_users_sessions([ann.id], [])
    with tenant.http() as http:
        eventually(20, lambda: all_events(http, event_type="SESSION_TERMINATION_DONE"))
        for event in all_events(http):
            assert event["type"] == "event"
            assert event["event_id"] and event["event_type"]
            datetime.fromisoformat(event["created_at"])
