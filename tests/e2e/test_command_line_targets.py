"""Whom the command line ends: lists from files and standard input, groups by name, and the question before many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import Tenant, command, login

END = ("users", "terminate-sessions")
MANY = 25_000


def ended(tenant: Tenant) -> set[str]:
    """The logins of the people of the one termination that there is."""
    (termination,) = tenant.termination_ids()
    done = command("terminations", "outcomes", termination, "--json", tenant=tenant)
    assert done.returncode == 0, done.stderr
    return {json.loads(line)["user"]["login"] for line in done.stdout.splitlines()}


def csv(people: dict[str, str]) -> str:
    ann, bob, cyd = people
    return f'id,name,E-Mail\n1,"Lee, Ann",{ann}\n2,"Bob ""B"" Ray",{bob}\n3,"Cyd\nQuist",{cyd}\n'


FILES = {
    "people.txt": lambda p: "\ufeff# who left\n\n" + "\r\n".join([*list(p)[:2], list(p.values())[2]]) + "\n",
    "people.csv": csv,
    "people.jsonl": lambda p: "".join(json.dumps({"id": i, "login": None, "name": n}) + "\n" for n, i in p.items()),
    "people.ndjson": lambda p: "\n".join(json.dumps(login.upper()) for login in p),
}
COLUMN = {"people.csv": ["--column", "e-mail"]}


@pytest.mark.parametrize("name", FILES)
def test_people_come_from_a_file_whose_name_says_how_it_is_written(name: str, tenant: Tenant, tmp_path: Path) -> None:
    people = tenant.people([login("ann"), login("bob"), login("cyd")])
    tenant.people([login("dan")])
    file = tmp_path / name
    file.write_text(FILES[name](people))
    done = command(*END, "--from-file", file, *COLUMN.get(name, []), "--follow", tenant=tenant)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended(tenant) == set(people)


@pytest.mark.parametrize("kind", ["lines", "csv", "jsonl"])
def test_people_come_from_standard_input_beside_flags_each_once(kind: str, tenant: Tenant) -> None:
    people = tenant.people([login("ann"), login("bob"), login("cyd")])
    ann, bob, cyd = people
    given = {"lines": f"{ann}\n{bob}\n", "csv": f"login\n{ann}\n{bob}\n", "jsonl": f'"{ann}"\n{{"email":"{bob}"}}\n'}
    done = command(*END, "--from-file", "-", "--format", kind, "--login", ann.upper(), "--id", people[cyd], "--follow",
                   tenant=tenant, feed=given[kind])
    assert done.returncode == 0 and "repeated     1 name, taken once" in done.stderr, done.stderr
    assert ended(tenant) == {ann, bob, cyd}


REJECTED = {
    "people.txt": ("{ann}\nbob\n# one\n{bob}\na nn@example.com\n", {2: "neither an id", 5: "a space inside"}),
    "people.csv": ('login\n{ann}\n{bob}\n\n"open@example.com\n,x\n', {5: "quote is not closed", 6: ""}),
    "people.jsonl": ('{{"login":"{ann}"}}\nnot json\n{{"login":"{bob}"}}\n{{"name":"x"}}\n', {2: "not JSON", 4: "has no login"}),
}


@pytest.mark.parametrize("name", REJECTED)
def test_line_that_names_nobody_is_named_by_number_and_nothing_is_ended(name: str, tenant: Tenant, tmp_path: Path) -> None:
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    text, rejected = REJECTED[name]
    file = tmp_path / name
    file.write_text(text.format(ann=ann, bob=bob))
    refused = command(*END, "--from-file", file, tenant=tenant)
    *lines, error = refused.stderr.splitlines()
    assert refused.returncode == 2 and "2 lines name nobody, so nothing was ended" in error, refused.stderr
    assert len(lines) == len(rejected)
    for line, (number, why) in zip(lines, rejected.items()):
        assert line.startswith(f"unreadable   {file}, line {number}: ") and why in line, line
    assert tenant.termination_ids() == []

    # Whom the lines meant, nobody knows: the code says that somebody was left out.
    done = command(*END, "--from-file", file, "--skip-unknown", "--follow", tenant=tenant)
    lines = [line.replace("unreadable  ", "left out    ") for line in lines]
    assert done.returncode == 5 and lines == done.stderr.splitlines()[: len(lines)], done.stdout + done.stderr
    assert ended(tenant) == {ann, bob}


@pytest.mark.parametrize("wrong", ["missing", "empty", "utf-16", "no column", "column of plain lines", "format alone"])
def test_list_that_cannot_be_read_is_wrong_usage(wrong: str, tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / ("people.csv" if wrong == "no column" else "people")
    file.write_bytes({"empty": b"\n# nobody\n", "utf-16": "a@x\n".encode("utf-16"), "no column": b"who,when\na@x,1\n"}.get(wrong, b"a@x\n"))
    expected = {
        "missing": ("--from-file", "/nowhere", "cannot read /nowhere"),
        "empty": ("--from-file", file, "names nobody; write an id or a login on each line"),
        "utf-16": ("--from-file", file, "is UTF-16; save it as UTF-8"),
        "no column": ("--from-file", file, "its columns are who, when"),
        "column of plain lines": ("--from-file", file, "--column", "id", "add --format csv or jsonl"),
        "format alone": ("--format", "csv", "--from-file <FILE>"),
    }
    *arguments, text = expected[wrong]
    done = command(*END, *arguments, tenant=tenant)
    assert done.returncode == 2 and text in done.stderr, done.stderr
    assert tenant.termination_ids() == []


def test_unknown_people_of_a_list_are_left_out_only_where_that_is_asked_for(tenant: Tenant) -> None:
    ann = login("ann")
    tenant.people([ann])
    people = f"{ann}\nghost@example.com\n404404\n"
    refused = command(*END, "--from-file", "-", tenant=tenant, feed=people)
    assert refused.returncode == 4 and tenant.termination_ids() == [], refused.stderr
    assert "ghost@example.com" in refused.stderr and "404404" in refused.stderr
    assert "nothing was ended; --skip-unknown leaves out who is not known" in refused.stderr
    done = command(*END, "--from-file", "-", "--skip-unknown", "--follow", tenant=tenant, feed=people)
    assert done.returncode == 5 and "done: every end is verified, 2 left out" in done.stdout, done.stdout + done.stderr
    for name in ["login ghost@example.com", "user_id 404404"]:
        assert f"left out     {name}: not known here" in done.stdout, done.stdout
    assert ended(tenant) == {ann}
    # The code is the same for who does not wait.
    accepted = command(*END, "--from-file", "-", "--skip-unknown", tenant=tenant, feed=people)
    assert accepted.returncode == 5 and "2 left out" in accepted.stdout, accepted.stdout + accepted.stderr


def test_each_of_a_long_list_who_is_left_out_is_listed(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    tenant.people([ann, bob])
    ghosts = [f"ghost{n}@{tenant.enterprise_id}.example" for n in range(9_999)]
    people = "\n".join([ann, *ghosts, bob])
    done = command(*END, "--from-file", "-", "--skip-unknown", "--yes", tenant=tenant, feed=people)
    assert done.returncode == 5 and len(tenant.termination_ids()) == 2, done.stdout + done.stderr
    missing = [ghost for ghost in ghosts if f"login {ghost}: not known here" not in done.stdout + done.stderr]
    assert not missing, f"{len(missing)} are not listed, first {missing[0]}:\n{done.stdout[:2_000]}"


def test_people_whom_one_may_not_end_are_left_out_only_where_that_is_asked_for(tenant: Tenant) -> None:
    ann, cora = login("ann"), login("cora")
    tenant.people([ann])
    file = tenant.service.folder / f"{cora}.csv"
    file.write_text(f"login,name,role\n{cora},Cora,coadmin\n")
    tenant.service.admin("import", "--enterprise", tenant.enterprise_id, str(file))
    token = tenant.developer_token(cora)
    whom = ("--login", ann, "--login", tenant.admin_login)
    refused = command(*END, *whom, tenant=tenant, token=token)
    assert refused.returncode == 3 and tenant.termination_ids() == [], refused.stderr
    done = command(*END, *whom, "--skip-not-permitted", "--follow", tenant=tenant, token=token)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"left out     user_id {tenant.admin_id}: you may not end their sessions" in done.stdout, done.stdout
    assert ended(tenant) == {ann}


def test_more_than_ten_people_need_yes_where_nobody_can_be_asked(tenant: Tenant) -> None:
    eleven = [login(f"p{n}") for n in range(11)]
    tenant.people(eleven, group="Team")
    by_list = (*END, "--from-file", "-")
    by_group = ("groups", "terminate-sessions", "--name", "Team")
    for whom, feed in [(by_list, "\n".join(eleven)), (by_group, None)]:
        refused = command(*whom, tenant=tenant, feed=feed)
        assert refused.returncode == 2 and "the sessions of 11 people; add --yes" in refused.stderr, refused.stderr
        assert tenant.termination_ids() == []
    dry = command(*by_group, "--dry-run", tenant=tenant)
    assert dry.returncode == 0 and "would end    11 people; nothing was changed" in dry.stdout, dry.stdout
    assert tenant.termination_ids() == []
    done = command(*by_list, "--yes", "--follow", tenant=tenant, feed="\n".join(eleven))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended(tenant) == set(eleven)


def test_group_is_chosen_by_its_exact_name_alone(tenant: Tenant) -> None:
    ann, bob = login("ann"), login("bob")
    tenant.people([ann], group="Sales")
    tenant.people([bob], group="Sales EMEA")
    tenant.people([login("cyd")], group="Legal")
    end = ("groups", "terminate-sessions", "--name")
    for wrong, near in [("sales", "Sales, Sales EMEA"), ("Slaes", "Sales"), ("Lega", "Legal")]:
        refused = command(*end, wrong, tenant=tenant)
        assert refused.returncode == 4, refused.stderr
        assert refused.stderr == f'error: no group is named "{wrong}"; near: {near}\n', refused.stderr
    far = command(*end, "Quality", tenant=tenant)
    assert far.returncode == 4 and "nor anything near" in far.stderr, far.stderr
    both = command(*end, "Sales", "--name", "Nobody's", tenant=tenant)
    assert both.returncode == 4 and tenant.termination_ids() == [], both.stderr
    done = command(*end, "Sales", "--follow", tenant=tenant)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended(tenant) == {ann}


def test_long_list_is_split_and_every_part_is_followed_or_none_begins(make_service, tmp_path: Path) -> None:
    tenant = make_service().init().start().tenant()
    logins = [f"p{n}@many.example" for n in range(MANY)]
    tenant.people(logins)
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("\n".join(logins))
    bad.write_text("\n".join([*logins[:-1], "ghost@many.example"]))

    refused = command(*END, "--from-file", bad, "--yes", tenant=tenant)
    assert refused.returncode == 4 and "ghost@many.example" in refused.stderr, refused.stderr
    asked = command(*END, "--from-file", good, tenant=tenant)
    assert asked.returncode == 2 and "25,000 people" in asked.stderr, asked.stderr
    assert tenant.termination_ids() == []

    done = command(*END, "--from-file", good, "--yes", "--follow", tenant=tenant)
    assert done.returncode == 0, done.stdout + done.stderr
    terminations = tenant.termination_ids()
    people = [tenant.service.rows(f"SELECT people FROM terminations WHERE termination_id = '{t}'")[0][0] for t in terminations]
    assert sorted(people, key=int) == ["5000", "10000", "10000"]
    assert done.stdout.count("done: every end is verified") == 3
    assert all(termination in done.stdout and termination in done.stderr for termination in terminations)
    assert done.stderr.splitlines()[-1] == "  final        25,000/25,000 people"
    # Everybody once, in one of the three.
    log = "SELECT body FROM events WHERE event_type = 'SESSION_TERMINATION_OUTCOME'"
    assert sorted(json.loads(body)["source"]["login"] for body, in tenant.service.rows(log)) == sorted(logins)
