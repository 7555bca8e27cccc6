"""Exports over the API: asked for, allowed by another, made by the worker, fetched by the link, gone in time."""

import io
import json
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from crm_es.api import ids
from crm_es.exports.making import Maker
from crm_es.exports.work import Work
from crm_es.ledger import crm_verify
from crm_es.serving.exporting import Exporter
from crm_es.workspaces import export_tickets, member
from tests.api.conftest import identity
from tests.waiting import soon

pytestmark = pytest.mark.anyio
REQUEST = """mutation ($input: RequestExportInput!) { requestExport(input: $input) {
  export { id status purpose requestedBy { member { name } } decidedBy { kind } downloadUrl }
  userErrors { code rule field } } }"""
DECIDE = """mutation ($input: DecideExportInput!) { decideExport(input: $input) {
  export { status decidedBy { member { name } } } userErrors { code rule } } }"""
CANCEL = """mutation ($input: CancelJobInput!) { cancelJob(input: $input) {
  job { id status ... on Export { purpose } } userErrors { code rule } } }"""
SHOW = """query ($id: ID!) { export(id: $id) {
  status at error purpose downloadUrl expiresAt finishedAt progress { done total rejected } } }"""
LIST = "{ exports { totalCount nodes { id purpose status } } }"
WHOLE = {"purpose": "audit 2026", "reason": "yearly"}


@contextmanager
def working(place):
    """A worker at it."""
    with Exporter(place.settings, place.urls, place.keys, poll=0.05).running():
        yield


async def asked(api, who="auditor", **more):
    return (await api.ask(REQUEST, who=who, input={**WHOLE, **more}))["requestExport"]


async def allowed(api, id_):
    said = {"id": id_, "approve": True, "reason": "it is yearly"}
    return (await api.ask(DECIDE, who="admin", input=said))["decideExport"]


async def made(api, id_, status="DONE", further=bool):
    """The export once it is so, its link ready where it has one, and `further` true of it."""

    async def look():
        await api.projected()
        found = (await api.ask(SHOW, who="auditor", id=id_))["export"]
        ready = found["status"] == status and (status != "DONE" or found["downloadUrl"]) and further(found)
        return found if ready else None

    return await soon(look)


def verify(folder):
    origin = (folder / "ORIGIN").read_text().strip()
    return crm_verify.main(["full", str(folder), "--origin", origin, "--public-key", str(folder / "PUBLIC_KEY")])


async def test_a_position_that_is_not_there_is_named_where_it_was_said(api):
    said = {**WHOLE, "at": {"position": "9999999"}}

    answer = (await api.post(REQUEST, who="auditor", variables={"input": said})).json()

    assert answer["errors"][0]["extensions"]["field"] == ["at", "position"]


async def test_what_an_auditor_asks_for_another_allows_and_the_worker_makes(api, place, tmp_path):
    export = (await asked(api))["export"]
    assert (export["status"], export["downloadUrl"]) == ("AWAITING_APPROVAL", None)
    assert export["requestedBy"]["member"]["name"] == "Auditor"

    decided = await allowed(api, export["id"])
    assert decided["export"]["decidedBy"]["member"]["name"] == "Admin"
    with working(place):
        done = await made(api, export["id"])

    assert done["progress"]["done"] == done["progress"]["total"] > 0
    assert done["error"] is None
    answer = await api.http.get(done["downloadUrl"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(tmp_path, filter="data")
    (bundle,) = tmp_path.iterdir()
    assert verify(bundle) == 0
    manifest = json.loads((bundle / "MANIFEST.json").read_text())
    assert (manifest["purpose"], manifest["reason"]) == ("audit 2026", "yearly")
    assert manifest["approver"].startswith("MEMBER ")


ASKED = "scope contactId streamId firstPosition lastPosition filter asOf"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, {"scope": "WORKSPACE"}),
        ({"at": {"position": "2"}}, {"scope": "WORKSPACE", "asOf": "2"}),
        (
            {"filter": {"position": {"gte": "2", "lt": "4"}, "type": {"eq": "contact.registered"}}},
            {"scope": "RANGE", "firstPosition": "2", "lastPosition": "3"},
        ),
        ({"filter": {"type": {"eq": "contact.registered"}}}, {"scope": "WORKSPACE"}),
    ],
    ids=["all", "of then", "positions", "narrowed"],
)
async def test_who_decides_sees_what_was_asked_for(api, more, told):
    id_ = (await asked(api, **more))["export"]["id"]

    shown = (await api.ask(f"query ($id: ID!) {{ export(id: $id) {{ {ASKED} }} }}", who="admin", id=id_))["export"]

    assert shown == {**dict.fromkeys(ASKED.split()), "filter": more.get("filter"), **told}


async def test_an_export_names_the_contact_or_the_record_it_is_about(api):
    contact = await contact_of(api)
    query = f"query ($id: ID!) {{ export(id: $id) {{ {ASKED} }} }}"
    subject = (await asked(api, contactId=contact))["export"]["id"]
    stream = (await asked(api, filter={"entityId": {"eq": contact}}))["export"]["id"]

    of_subject = (await api.ask(query, who="admin", id=subject))["export"]
    of_stream = (await api.ask(query, who="admin", id=stream))["export"]

    assert (of_subject["scope"], of_subject["contactId"], of_subject["streamId"]) == ("SUBJECT", contact, None)
    assert (of_stream["scope"], of_stream["contactId"]) == ("STREAM", None)
    assert of_stream["streamId"] == str(ids.decode(contact).id)


async def test_each_use_of_the_link_is_logged(api, place):
    id_ = (await asked(api, contactId=None))["export"]["id"]
    await allowed(api, id_)
    with working(place):
        done = await made(api, id_)

    for _ in range(2):
        assert (await api.http.get(done["downloadUrl"])).status_code == 200

    query = "query($f: EventFilter) { events(filter: $f) { nodes { type actor { member { name } } } } }"

    async def fetched():
        found = await api.ask(query, who="auditor", f={"entityId": {"eq": id_}})
        told = [each for each in found["events"]["nodes"] if each["type"] == "export.downloaded"]
        return told if len(told) == 2 else None

    assert [each["actor"]["member"]["name"] for each in await soon(fetched)] == ["Auditor"] * 2
    with psycopg.connect(place.urls.owner) as connection:
        rows = connection.execute(
            "SELECT operation, actor_id, purpose, node_types FROM access.entry WHERE kind = 'EXPORT' AND node_ids = %s",
            [[ids.decode(id_).id, api.workspace]],
        ).fetchall()
    auditor, held = api.known["auditor"].member_id, ["Export", "Workspace"]
    itself, *downloads = rows
    assert downloads == [("download", auditor, "audit 2026", held)] * 2
    assert (itself[0], itself[1:]) == (f"export {ids.decode(id_).id}", (auditor, "audit 2026", held))


@pytest.mark.parametrize("change", ["other export", "old", "altered", "none"])
async def test_no_other_link_leads_anywhere(api, place, change):
    id_ = ids.decode((await asked(api))["export"]["id"]).id
    now = datetime.now(UTC)
    ticket = export_tickets.Ticket(api.workspace, id_, api.known["auditor"].actor, now + timedelta(minutes=5))
    old = replace(ticket, until=now - timedelta(seconds=1))
    url = export_tickets.url(place.keys, old if change == "old" else ticket)
    match change:
        case "other export":
            url = url.replace(str(id_), str(api.workspace))
        case "altered":
            url = url[:-3] + ("A" if url[-3] != "A" else "B") + url[-2:]
        case "none":
            url = url.partition("?")[0]

    answer = await api.http.get(url)

    assert answer.status_code == 403
    assert "Ask the API for a new one" in answer.json()["message"]


async def test_a_link_to_nowhere_leaves_nothing_behind(api, place):
    """Anybody may send one: no key is made for the workspace that it names."""
    nowhere = uuid4()
    ticket = export_tickets.Ticket(
        nowhere, uuid4(), api.known["auditor"].actor, datetime.now(UTC) + timedelta(minutes=5)
    )
    url = export_tickets.url(place.keys, ticket)

    forged = await api.http.get(url[:-3] + ("A" if url[-3] != "A" else "B") + url[-2:])
    genuine = await api.http.get(url)

    assert (forged.status_code, genuine.status_code) == (403, 403)
    assert place.keys._rows.secret(f"index/{nowhere}") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda was: member.deactivate(was, other_admins=1),
        lambda was: member.assign_roles(was, ["sales"], other_admins=1),
    ],
)
async def test_a_link_is_no_good_once_its_holder_may_not_ask(api, place, change):
    id_ = ids.decode((await asked(api))["export"]["id"]).id
    until = datetime.now(UTC) + timedelta(minutes=5)
    url = export_tickets.url(place.keys, export_tickets.Ticket(api.workspace, id_, api.known["auditor"].actor, until))

    before = await api.http.get(url)
    await api.change(member.MEMBER, api.known["auditor"].member_id, change)
    await api.projected()
    after = await api.http.get(url)

    assert (before.status_code, after.status_code) == (410, 403)


async def test_a_link_to_what_is_not_made_gives_nothing_and_records_nothing(api, place):
    id_ = ids.decode((await asked(api))["export"]["id"]).id
    ticket = export_tickets.Ticket(
        api.workspace, id_, api.known["auditor"].actor, datetime.now(UTC) + timedelta(minutes=5)
    )

    answer = await api.http.get(export_tickets.url(place.keys, ticket))

    assert answer.status_code == 410
    assert len(await api.engine.store.facts(api.workspace, id_)) == 1


async def test_nobody_decides_what_he_asked_for(api):
    export = (await asked(api, who="admin"))["export"]

    decided = await allowed(api, export["id"])

    assert decided["userErrors"] == [{"code": "NOT_ALLOWED", "rule": "export.own"}]


async def test_what_is_about_one_contact_waits_for_nobody(api, place):
    contact = await contact_of(api)

    export = (await asked(api, contactId=contact))["export"]

    assert export["status"] == "QUEUED"
    with working(place):
        assert (await made(api, export["id"]))["at"] is not None


async def contact_of(api):
    register = "mutation($input: RegisterContactInput!) { registerContact(input: $input) { contact { id } } }"
    return (await api.ask(register, input={"displayName": "Ada"}))["registerContact"]["contact"]["id"]


async def test_what_there_is_not_is_not_exported(api):
    refused = await asked(api, contactId=api.id("Contact", api.workspace))

    assert refused["export"] is None
    assert refused["userErrors"][0]["field"] == ["contactId"]


async def test_a_filter_says_what_is_proved_complete(api):
    contact = await contact_of(api)

    one = (await asked(api, filter={"entityId": {"eq": contact}}))["export"]
    some = (await asked(api, filter={"position": {"gte": "2", "lt": "4"}, "or": [{"type": {"in": ["deal.won"]}}]}))[
        "export"
    ]
    typo = await asked(api, filter={"entityId": {"eq": contact}, "type": {"eq": "contact.mergd"}})

    facts = [await api.engine.store.facts(api.workspace, ids.decode(each["id"]).id) for each in (one, some)]
    of_one, of_some = (each[0].event for each in facts)
    assert (of_one.scope, of_one.id, one["status"]) == ("STREAM", ids.decode(contact).id, "QUEUED")
    assert typo["export"] is None
    assert typo["userErrors"][0]["field"] == ["filter", "type", "eq"]
    assert (of_some.scope, of_some.first, of_some.last, some["status"]) == ("RANGE", 2, 3, "AWAITING_APPROVAL")


async def test_a_job_is_stopped_by_whoever_asked(api):
    id_ = (await asked(api))["export"]["id"]

    stopped = (await api.ask(CANCEL, who="auditor", input={"id": id_}))["cancelJob"]
    again = (await api.ask(CANCEL, who="admin", input={"id": id_}))["cancelJob"]

    assert stopped["job"] == {"id": id_, "status": "CANCELLED", "purpose": "audit 2026"}
    assert again["userErrors"] == [{"code": "RULE_VIOLATED", "rule": "job.ended"}]


async def test_others_see_no_exports(api):
    id_ = (await asked(api))["export"]["id"]

    for who in ("sales", "nobody"):
        for query, name in ((LIST, "exports"), (f'{{ export(id: "{id_}") {{ id }} }}', "export")):
            body = (await api.post(query, who=who)).json()
            assert body["data"][name] is None
            assert [each["extensions"]["code"] for each in body["errors"]] == ["FORBIDDEN"]
        assert (await api.ask(f'{{ node(id: "{id_}") {{ id }} }}', who=who))["node"] is None
        assert (await asked(api, who=who))["userErrors"][0]["code"] == "NOT_ALLOWED"
        refused = (await api.ask(CANCEL, who=who, input={"id": id_}))["cancelJob"]
        assert refused["userErrors"][0]["code"] in {"NOT_FOUND", "NOT_ALLOWED"}
    assert (await api.ask(LIST, who="auditor"))["exports"]["totalCount"] == 1


async def test_whoever_reads_exports_and_audits_none_gets_no_link(api, place):
    contact = await contact_of(api)
    id_ = (await asked(api, contactId=contact))["export"]["id"]
    with working(place):
        assert (await made(api, id_))["downloadUrl"].startswith("/exports/")
    api.known["manager"] = identity(api.workspace, "manager")

    assert (await api.ask(f'{{ node(id: "{id_}") {{ id }} }}', who="manager"))["node"] is None


async def test_the_files_go_when_their_time_is_over(api, place):
    contact = await contact_of(api)
    id_ = (await asked(api, contactId=contact))["export"]["id"]
    uuid = ids.decode(id_).id
    store = api.engine.store
    maker = Maker(
        url=place.urls.app, store=store, decode=store.codec.decode_each, keep=timedelta(seconds=-60),
        reached=lambda _: None,
    )  # fmt: skip
    await api.projected()
    work = Work(settings=place.settings, maker=maker, stopped=lambda: False)
    assert await work.make(api.workspace, uuid)
    folder = export_tickets.folder(place.settings, api.workspace, uuid)
    assert folder.is_dir()
    assert folder.parent.stat().st_mode & 0o777 == 0o700

    with working(place):
        over = await made(api, id_, "EXPIRED")

    assert over["downloadUrl"] is None
    assert not folder.exists()
    assert (await store.facts(api.workspace, uuid))[-1].topic == "export.expired"


async def test_what_can_never_be_made_says_why(api, place):
    id_ = (await asked(api, filter={"position": {"gte": "1000000"}}))["export"]["id"]
    await allowed(api, id_)

    with working(place):
        failed = await made(api, id_, "FAILED")

    assert "before that range" in failed["error"]
    assert not list(place.settings.exports_folder.glob(f"*/{ids.decode(id_).id}*"))


async def test_a_cancelled_export_leaves_no_files(api, place):
    id_ = (await asked(api))["export"]["id"]
    await allowed(api, id_)
    uuid = ids.decode(id_).id
    store = api.engine.store
    await api.projected()
    maker = Maker(url=place.urls.app, store=store, decode=store.codec.decode_each, reached=lambda _: None)

    def files():
        return list(place.settings.exports_folder.glob(f"*/{uuid}*"))

    work = Work(settings=place.settings, maker=maker, stopped=lambda: bool(files()))
    await work.make(api.workspace, uuid)
    assert files()

    await api.ask(CANCEL, who="auditor", input={"id": id_})
    await work.make(api.workspace, uuid)

    assert not files()
