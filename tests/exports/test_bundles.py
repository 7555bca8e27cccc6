"""An export from its request to a verified bundle, over random histories."""

import csv
import io
import json
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.api import ids
from crm_es.api.scalars import instant
from crm_es.errors import RuleViolatedError
from crm_es.eventstore.event import WorkspaceId
from crm_es.exports import trail
from crm_es.exports.bundle import DEMO
from crm_es.exports.making import part_of
from crm_es.exports.view import TOMBSTONE
from crm_es.ledger import crm_verify
from crm_es.workspaces import export as exports
from crm_es.workspaces.export import EXPORT, ExportApproved, ExportScope, Wanted
from crm_es.workspaces.workspace import WORKSPACE, create
from tests.exports import parquet_reader
from tests.oracle import desk
from tests.oracle.history import DEEDS
from tests.oracle.sales import SalesHistory

pytestmark = pytest.mark.anyio
EVERYTHING = Wanted()
SAME = ("events", "tiles", "heads", "views", "schema")
VIEWS = ("contacts", "companies", "interactions", "deals", "tickets", "audit_trail")


class StoppedError(Exception):
    """As a killed worker stops."""


class Office:
    """Asks for exports and has them made."""

    def __init__(self, api, maker, folder):
        self.api, self.maker, self.folder = api, maker, folder

    async def asked(self, wanted=EVERYTHING):
        events = exports.request(wanted, purpose="audit 2026", reason="yearly", by=None, at_the_machine=True)
        return await self.api.begin(EXPORT, events, reason="yearly")

    async def make(self, wanted=EVERYTHING, *, name="bundle", id_=None, told=lambda *_: None):
        id_ = id_ or await self.asked(wanted)
        return await self.maker.make(self.api.workspace, id_, self.folder / name, told)


@pytest.fixture
def office(api, maker, tmp_path):
    return Office(api, maker, tmp_path)


@pytest.fixture
async def full(histories):
    """A workspace with some of everything, and another beside it."""
    return await histories(3, 150, (*DEEDS, *desk.DEEDS))


def verify(bundle):
    """Exit code and what the verifier says last."""
    origin = (bundle / "ORIGIN").read_text().strip()
    return crm_verify.main(["full", str(bundle), "--origin", origin, "--public-key", str(bundle / "PUBLIC_KEY")])


def files(bundle, *folders):
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for folder in folders
        for path in sorted((bundle / folder).rglob("*"))
        if path.is_file()
    }


def rows(bundle, view):
    text = (bundle / f"views/{view}.csv").read_bytes().decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def position_of(bundle):
    return json.loads((bundle / "MANIFEST.json").read_text())["position"]


def logged(office):
    """Rows of the access log: (kind, ids, position, whether emails are among the fields)."""
    with psycopg.connect(office.maker.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(office.api.workspace)])
        return connection.execute(
            "SELECT kind, node_ids, position, 'emails' = ANY (fields) FROM access.entry WHERE workspace_id = %s"
            " AND kind = 'EXPORT' ORDER BY logged_at",
            [office.api.workspace],
        ).fetchall()


@pytest.mark.usefixtures("full")
async def test_a_bundle_with_views_verifies_and_a_changed_view_does_not(office):
    bundle = await office.make()

    assert verify(bundle) == 0
    listed = {each["path"] for each in json.loads((bundle / "MANIFEST.json").read_text())["files"]}
    assert {f"views/{name}.{kind}" for name in VIEWS for kind in ("csv", "parquet")} <= listed
    assert {f"schema/{name}.json" for name in VIEWS} | {"README.html", "README.md", "crm_verify.py"} <= listed
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle"]
    for name in ("views/contacts.csv", "views/audit_trail.parquet", "schema/deals.json", "README.html"):
        data = (bundle / name).read_bytes()
        (bundle / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert verify(bundle) == 1
        (bundle / name).write_bytes(data)
    assert verify(bundle) == 0


@pytest.mark.usefixtures("full")
async def test_the_same_position_gives_the_same_bytes(office):
    first = await office.make()
    again = await office.make(Wanted(upto=position_of(first)), name="again")

    assert files(first, *SAME) == files(again, *SAME)
    assert verify(again) == 0
    assert (first / "MANIFEST.json").read_bytes() != (again / "MANIFEST.json").read_bytes()


@pytest.mark.usefixtures("full")
async def test_a_run_that_was_killed_goes_on_where_it_was(office):
    whole = await office.make()
    wanted = Wanted(upto=position_of(whole))
    id_ = await office.asked(wanted)
    stops = [0]

    def told(*_):
        stops[0] += 1
        if stops[0] in {2, 5, 7}:
            raise StoppedError

    runs = 0
    while not (office.folder / "killed").exists():
        runs += 1
        try:
            await office.make(name="killed", id_=id_, told=told)
        except StoppedError:
            assert part_of(office.folder / "killed").exists()

    assert runs > 2
    assert files(whole, *SAME) == files(office.folder / "killed", *SAME)
    assert verify(office.folder / "killed") == 0


@pytest.mark.usefixtures("full")
async def test_what_was_bound_is_not_written_again(office, monkeypatch):
    """Killed between the last event and the signature: the manifest is the one that the log names."""
    id_, manifest = await office.asked(), part_of(office.folder / "bundle") / "MANIFEST.json"

    def told(*_):
        if manifest.exists():
            raise StoppedError

    with pytest.raises(StoppedError):
        await office.make(id_=id_, told=told)
    before = manifest.read_bytes()
    monkeypatch.setattr("crm_es.exports.making.version", lambda _: "another")

    bundle = await office.make(id_=id_)

    assert (bundle / "MANIFEST.json").read_bytes() == before
    assert verify(bundle) == 0


@pytest.mark.usefixtures("full")
async def test_views_are_what_the_api_answers_as_of_the_position(office, api):
    bundle = await office.make()
    at = {"position": str(position_of(bundle))}

    for view, kind, fields in (
        (
            "contacts",
            "Contact",
            "displayName givenName primaryEmail recordStatus jobTitle source tags createdAt emails { address }",
        ),
        ("companies", "Company", "name industry country recordStatus domains tags createdAt"),
        ("interactions", "Interaction", "type subject body visibility occurredAt createdAt"),
        ("tickets", "Ticket", "title status priority type tags resolution openedAt createdAt"),
    ):
        found = rows(bundle, view)
        assert found, view
        for row in found:
            query = f"query($id: ID!, $at: AsOf) {{ {kind.lower()}(id: $id, asOf: $at) {{ {fields} }} }}"
            told = (await api.ask(query, id=ids.encode(kind, row["id"]), at=at))[kind.lower()]
            emails = told.pop("emails", None)
            if emails is not None:
                assert json.loads(row["emails"]) == [each["address"] for each in emails]
            assert {name: shown(value) for name, value in told.items()} == {name: row[name] for name in told}
        assert [row["id"] for row in found] == parquet_reader.read((bundle / f"views/{view}.parquet").read_bytes())[
            "id"
        ]


async def test_deals_are_what_the_api_answers_as_of_the_position(office, api, histories):
    await histories(5, 120, (), SalesHistory)
    bundle = await office.make()
    at = {"position": str(position_of(bundle))}

    found = rows(bundle, "deals")

    plain = "version recordStatus name status forecastCategory expectedCloseDate lostReason openedAt closedAt createdAt"
    money = "amount { amount currency } weightedAmount { amount currency }"
    fields = f"{plain} probability {money} stage {{ id }} company {{ id }}"
    assert {row["status"] for row in found} == {"OPEN", "WON", "LOST"}
    assert any(row["amount"] for row in found)
    for row in found:
        query = f"query($id: ID!, $at: AsOf) {{ deal(id: $id, asOf: $at) {{ {fields} }} }}"
        told = (await api.ask(query, id=ids.encode("Deal", row["id"]), at=at))["deal"]
        for name in ("amount", "weightedAmount"):
            said = told[name] or {"amount": "", "currency": ""}
            assert (row[name], row[f"{name}Currency"]) == (said["amount"], said["currency"])
        assert float(row["probability"]) == told["probability"]
        assert ids.decode(told["stage"]["id"]).id == UUID(row["stageId"])
        assert row["companyId"] == (str(ids.decode(told["company"]["id"]).id) if told["company"] else "")
        assert {name: row[name] for name in plain.split()} == {name: shown(told[name]) for name in plain.split()}


def shown(value):
    """As a cell has it."""
    if value is None:
        return ""
    said = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, list) else str(value)
    return f"'{said}" if said.startswith(("=", "+", "-", "@", "\t", "\r")) else said


@pytest.mark.usefixtures("full")
async def test_the_trail_tells_every_change_as_the_api_does(office, api):
    bundle = await office.make()
    trail = {}
    for row in rows(bundle, "audit_trail"):
        trail.setdefault(int(row["position"]), []).append(row)

    assert list(trail) == list(range(1, position_of(bundle) + 1))
    fields = "type recordedAt actor { kind } reason changes { field from to erased }"
    query = f"query($at: Position!) {{ event(position: $at) {{ {fields} }} }}"
    for at in range(1, max(trail) + 1, 7):
        told = (await api.ask(query, at=str(at)))["event"]
        row = trail[at][0]
        assert (row["type"], row["recordedAt"], row["actorKind"], row["reason"].removeprefix(TOMBSTONE)) == (
            told["type"], told["recordedAt"], told["actor"]["kind"], told["reason"] or "",
        )  # fmt: skip
        changes = {(row["field"], row["before"], row["after"]) for row in trail[at]}
        assert changes >= {
            (each["field"], cell(each["from"]), cell(each["to"])) for each in told["changes"] if not each["erased"]
        }


def cell(value):
    said = "" if value is None else value
    if not isinstance(said, str):
        said = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"'{said}" if said.startswith(("=", "+", "-", "@", "\t", "\r")) else said


@pytest.mark.usefixtures("full")
async def test_a_late_range_knows_what_its_records_were_before(office, monkeypatch):
    """Their earlier events are folded a few at a time."""
    whole = await office.make()
    end = position_of(whole)
    monkeypatch.setattr(trail, "PAGE", 7)

    late = await office.make(Wanted(scope=ExportScope.RANGE, first=end // 2, last=end, upto=end), name="late")

    expected = [row for row in rows(whole, "audit_trail") if int(row["position"]) >= end // 2]
    assert rows(late, "audit_trail") == expected
    assert any(row["before"] for row in expected)


async def test_nothing_of_another_workspace_is_in_it(office, full):
    bundle = await office.make()

    others = [str(each) for kind in full["other"].streams.values() for each in kind]
    everything = b"".join(data for name, data in files(bundle, "views").items() if name.endswith(".csv"))
    assert others
    assert not [each for each in others if each.encode() in everything]
    mine = {str(each) for kind in full["admin"].streams.values() for each in kind}
    assert mine <= {row["entityId"] for row in rows(bundle, "audit_trail")}


async def test_each_scope_is_proved_complete_and_narrows_its_views(office, full):
    contact = full["admin"].streams["Contact"][0]
    company = full["admin"].streams["Company"][0]
    for name, wanted in (
        ("subject", Wanted(scope=ExportScope.SUBJECT, id=contact)),
        ("stream", Wanted(scope=ExportScope.STREAM, id=company)),
        ("range", Wanted(scope=ExportScope.RANGE, first=20, last=60)),
    ):
        bundle = await office.make(wanted, name=name)
        assert verify(bundle) == 0, name
        found = rows(bundle, "audit_trail")
        if name == "subject":
            kind, (held, _), *rest = logged(office)[-1]
            assert (kind, held, *rest) == ("EXPORT", contact, position_of(bundle), True)
            assert str(contact) in {row["id"] for row in rows(bundle, "contacts")}
        elif name == "stream":
            assert {row["entityId"] for row in found} == {str(company)}
            assert [row["id"] for row in rows(bundle, "companies")] == [str(company)]
        else:
            assert {int(row["position"]) for row in found} == set(range(20, 61))


@pytest.mark.usefixtures("full")
async def test_a_filter_narrows_the_views_alone(office):
    whole = await office.make()
    said = json.dumps({"type": {"eq": "contact.registered"}})

    bundle = await office.make(Wanted(filter=said, upto=position_of(whole)), name="narrow")

    assert verify(bundle) == 0
    assert files(bundle, "events") == files(whole, "events")
    assert {row["type"] for row in rows(bundle, "audit_trail")} == {"contact.registered"}
    assert rows(bundle, "companies") == []
    assert rows(bundle, "contacts") == rows(whole, "contacts")


@pytest.mark.usefixtures("full")
async def test_what_waits_for_approval_is_not_made(office, api):
    by = uuid4()
    events = exports.request(Wanted(), purpose="audit", reason="yearly", by=by)
    id_ = await api.begin(EXPORT, events, reason="yearly")

    with pytest.raises(RuleViolatedError):
        await office.make(id_=id_)

    await api.change(EXPORT, id_, lambda was: exports.decide(was, approve=True, by=uuid4()))
    bundle = await office.make(id_=id_)
    manifest = json.loads((bundle / "MANIFEST.json").read_text())
    custody = [
        json.loads(json.loads(line)["event"])["type"] for line in (bundle / "custody.jsonl").read_text().splitlines()
    ]
    assert manifest["approver"].startswith("MEMBER ")
    assert custody == ["export.requested", ExportApproved.TOPIC, "export.completed"]
    assert verify(bundle) == 0


@pytest.mark.parametrize("demo", [True, False])
async def test_a_bundle_of_a_demo_says_so(office, api, demo):
    office.api = replace(api, workspace=WorkspaceId(uuid4()))
    await office.api.begin(WORKSPACE, create(name="A demo", demo=demo), office.api.workspace)

    bundle = await office.make()

    assert json.loads((bundle / "MANIFEST.json").read_text())["demo"] is demo
    for page in ("README.md", "README.html"):
        assert (DEMO in (bundle / page).read_text()) is demo
    assert verify(bundle) == 0


async def test_the_page_to_print_escapes_what_people_wrote(office, api):
    events = exports.request(Wanted(), purpose="<script>alert(1)</script>", reason="&", by=None, at_the_machine=True)
    id_ = await api.begin(EXPORT, events, reason="&")

    bundle = await office.make(id_=id_)

    text = (bundle / "README.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert instant((await api.engine.store.facts(api.workspace, id_))[0].recorded_at)[:10] in text
