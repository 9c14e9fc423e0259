"""Schemathesis over both OpenAPI documents: no 5xx, and no answer that a document does not know.

Checks that run, on both documents: not_a_server_error, status_code_conformance,
content_type_conformance, response_schema_conformance, unsupported_method, ignored_auth. On our own
document also response_headers_conformance. Checks that are left out, and why:

- negative_data_rejection: both wires take what their documents do not name. Unknown fields of a Box
  body are stored, and unknown query parameters are ignored, as Box does.
- positive_data_acceptance: a document cannot say which ids and logins exist, so most requests that
  it calls valid are rightly answered 404, 403 or 409.
- missing_required_header: no header but Authorization is required, and ignored_auth covers that.
- use_after_free, ensure_resource_availability, object_level_authorization: they need chains of
  calls, which the tests of the SDKs make on purpose.

`box-openapi-subset.json` is Box's published document, cut to what is served, with one change: the
`code` of an error is any word. Box's document lists 17, Box's guides and its real answers use more
(`access_denied_insufficient_permissions`, `rate_limit_exceeded`, `invalid_api_version` ...).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from harness import HERE, Tenant, login

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
]
UNLIMITED = "".join(
    f"{name} = 1000000\n"
    for name in ("calls_per_minute", "feeds_per_minute", "registrations_per_second", "token_requests_per_minute")
)


@pytest.fixture(params=["sqlite", "postgres"])
def tenant(request: pytest.FixtureRequest, make_service) -> Tenant:
    """An enterprise without quotas, whose ids the documents' parameters are filled with."""
    return make_service(request.param, f"[limits]\n{UNLIMITED}").init().start().tenant()


def parameters(tenant: Tenant, http: httpx.Client) -> dict[str, list[str]]:
    """Ids that exist, beside one that does not, for the parameters of both documents."""
    ann, bob = login("ann"), login("bob")
    people = tenant.people([ann, bob], group="Team")
    members = http.get(f"/2.0/groups/{tenant.group_id('Team')}/memberships").json()["entries"]
    location = http.post("/2.0/users/terminate_sessions", json={"user_ids": [people[bob]]}).headers["location"]
    return {
        "path.user_id": [people[ann], "404404"],
        "query.user_id": [people[ann], "404404"],
        "path.group_id": [tenant.group_id("Team"), "404404"],
        "path.group_membership_id": [members[0]["id"], "404404"],
        "path.termination_id": [location.rsplit("/", 1)[1], "t_404404"],
    }


def check(tenant: Tenant, http: httpx.Client, document: Path, *more: str) -> None:
    folder = tenant.service.folder
    lines = [f"{json.dumps(name)} = {json.dumps(ids)}" for name, ids in parameters(tenant, http).items()]
    config = folder / "schemathesis.toml"
    config.write_text("[parameters]\n" + "\n".join(lines) + "\n")
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "--no-color",
        "run", str(document), "--url", tenant.service.url, "--header", f"Authorization: {http.headers['authorization']}",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1", "--generation-deterministic",
        "--request-timeout", "30", "--continue-on-failure", "--warnings", "off", "--workers", "1", *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-4000:]}\n{tenant.service.log.read_text()[-2000:]}"
    tested = re.search(r"(\d+) generated", done.stdout)
    assert tested and int(tested.group(1)) > 100, done.stdout
    assert httpx.get(f"{tenant.service.url}/readyz").status_code == 200


def test_own_document_is_kept(tenant: Tenant) -> None:
    document = tenant.service.folder / "openapi.json"
    document.write_text(httpx.get(f"{tenant.service.url}/v1/openapi.json").text)
    with tenant.http(tenant.app_token(tenant.app())) as http:
        check(tenant, http, document, "--checks", ",".join([*CHECKS, "response_headers_conformance"]))


def test_box_s_document_is_kept(tenant: Tenant) -> None:
    described = json.loads((HERE / "box-openapi-subset.json").read_text())
    for path, methods in described["paths"].items():
        for operation in methods.values():
            if path.startswith("/2.0/"):
                # Box's own 401 has no body, and its document does not mention it.
                operation["responses"]["401"] = {"description": "the token is missing or dead"}
    document = tenant.service.folder / "box-openapi.json"
    document.write_text(json.dumps(described))
    with tenant.http(tenant.app_token(tenant.app())) as http:
        check(tenant, http, document, "--checks", ",".join(CHECKS))


def test_box_s_document_names_only_what_is_served() -> None:
    """The copy holds the paths and methods of Box's document that the service has, and no other."""
    source = (HERE.parent.parent / "crates/lightsout-server/src/http/routes.rs").read_text()
    routes = re.findall(r'(get|post|put|delete) "((?:/2\.0|/oauth2/token|/oauth2/revoke)[^"]*)"', source)
    document = json.loads((HERE / "box-openapi-subset.json").read_text())
    named = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert sorted(routes) == sorted(named)
