"""Two moments of a record side by side, and where a value comes from."""

from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from crm_es.contacts import editing
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit
from crm_es.eventstore.event import Actor, ActorKind, ImportOrigin, Origin
from crm_es.occasions import Occasion, dated
from crm_es.service import queue, ticket, ticket_editing
from crm_es.service.queue import QUEUE
from crm_es.service.ticket_aggregate import TICKET
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.role import Permission
from tests.api.selling import a_deal, a_pipeline, act
from tests.api.test_contacts import UPDATE, register
from tests.api.test_pipelines import retire

pytestmark = pytest.mark.anyio

DIFF = """
query($id: ID!, $from: AsOf!, $to: AsOf, $first: Int, $after: String) { diff(id: $id, from: $from, to: $to) {
  from { id liveId label version } to { id liveId label version }
  changes { field from to erased masked toNode { id } }
  events(first: $first, after: $after) { totalCount nodes { type version } pageInfo { endCursor hasNextPage } } } }
"""
EXPLAIN = """
query($id: ID!, $field: String!, $asOf: AsOf) { explain(id: $id, field: $field, asOf: $asOf) {
  value masked event { type version reason actor { kind name } } importRow rule
  import { __typename id fileName status dryRun commandId requestedBy { kind } progress { done total rejected } } } }
"""


async def position(api):
    return (await api.ask("{ viewer { position } }"))["viewer"]["position"]


async def edited(api):
    """Registered, renamed, renamed and given a title: (her id, where the log ended after each)."""
    ada = (await register(api, displayName="Ada"))["id"]
    ends = [await position(api)]
    for edit in ({"displayName": "Ada B."}, {"displayName": "Ada C.", "jobTitle": "Pilot", "reason": "asked"}):
        await api.ask(UPDATE, input={"id": ada} | edit)
        ends.append(await position(api))
    return ada, ends


async def test_two_moments_stand_side_by_side(api):
    ada, (one, two, three) = await edited(api)

    whole = (await api.ask(DIFF, id=ada, **{"from": {"position": one}}))["diff"]
    part = (await api.ask(DIFF, id=ada, **{"from": {"position": two}, "to": {"position": three}}))["diff"]
    begun = (await api.ask(DIFF, id=ada, **{"from": {"position": "0"}, "to": {"position": one}}))["diff"]
    same = (await api.ask(DIFF, id=ada, **{"from": {"position": two}, "to": {"position": two}}))["diff"]

    assert (whole["from"]["label"], whole["to"]["label"]) == ("Ada", "Ada C.")
    assert (whole["from"]["liveId"], whole["to"]["id"]) == (ada, ada)
    assert whole["from"]["id"] != ada
    changed = {each["field"]: (each["from"], each["to"]) for each in whole["changes"]}
    assert changed == {"displayName": ("Ada", "Ada C."), "jobTitle": (None, "Pilot")}
    assert [each["version"] for each in whole["events"]["nodes"]] == [3, 2]
    assert [each["version"] for each in part["events"]["nodes"]] == [3]
    assert begun["from"] is None
    assert {
        "field": "displayName",
        "from": None,
        "to": "Ada",
        "erased": False,
        "masked": False,
        "toNode": None,
    } in begun["changes"]
    assert same["changes"] == same["events"]["nodes"] == []


async def test_the_events_between_are_paged(api):
    ada, (one, *_) = await edited(api)

    first = (await api.ask(DIFF, id=ada, first=1, **{"from": {"position": one}}))["diff"]["events"]
    rest = (await api.ask(DIFF, id=ada, first=1, after=first["pageInfo"]["endCursor"], **{"from": {"position": one}}))[
        "diff"
    ]["events"]

    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (2, True)
    assert [each["version"] for each in rest["nodes"]] == [2]
    assert not rest["pageInfo"]["hasNextPage"]


async def test_moments_that_cannot_be_compared_are_refused_where_they_stand(api):
    ada, (one, _, three) = await edited(api)

    backwards = (
        await api.post(DIFF, variables={"id": ada, "from": {"position": three}, "to": {"position": one}})
    ).json()
    future = (await api.post(DIFF, variables={"id": ada, "from": {"position": str(int(three) + 9)}})).json()
    nobody = await api.ask(DIFF, id=api.id("Contact", uuid4()), **{"from": {"position": one}})

    assert backwards["errors"][0]["extensions"]["rule"] == "diff.backwards"
    assert (
        future["errors"][0]["extensions"] | {"code": "AS_OF_OUT_OF_RANGE", "field": ["from", "position"]}
        == (future["errors"][0]["extensions"])
    )
    assert nobody["diff"] is None


async def test_whoever_does_not_see_the_record_learns_nothing(api):
    ada, (one, *_) = await edited(api)
    api.known["mine"] = replace(
        api.known["sales"],
        permissions=Permissions([Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.OWN)]),
    )

    for who in ("nobody", "mine"):
        assert (await api.ask(DIFF, who=who, id=ada, **{"from": {"position": one}}))["diff"] is None
        assert (await api.ask(EXPLAIN, who=who, id=ada, field="displayName"))["explain"] is None


async def test_masked_values_stay_masked(api):
    ada, (one, *_) = await edited(api)
    seen = Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.WORKSPACE, fields=("emails",))
    api.known["short"] = replace(api.known["sales"], permissions=Permissions([seen]))

    told = (await api.ask(DIFF, who="short", id=ada, **{"from": {"position": one}}))["diff"]
    explained = (await api.ask(EXPLAIN, who="short", id=ada, field="jobTitle"))["explain"]

    (title,) = [each for each in told["changes"] if each["field"] == "jobTitle"]
    assert (title["from"], title["to"], title["masked"]) == (None, None, True)
    assert (explained["value"], explained["masked"], explained["event"]["version"]) == (None, True, 3)


async def test_what_set_a_value_is_told_now_and_then(api):
    ada, (_, two, _) = await edited(api)

    now = (await api.ask(EXPLAIN, who="sales", id=ada, field="displayName"))["explain"]
    then = (await api.ask(EXPLAIN, id=ada, field="displayName", asOf={"position": two}))["explain"]
    stage = (await api.ask(EXPLAIN, id=ada, field="lifecycleStage"))["explain"]
    owner = (await api.ask(EXPLAIN, id=ada, field="ownerId"))["explain"]
    unset = (await api.ask(EXPLAIN, id=ada, field="source"))["explain"]
    unknown = (await api.post(EXPLAIN, variables={"id": ada, "field": "shoeSize"})).json()["errors"][0]

    assert now["value"] == "Ada C."
    assert now["event"] == {
        "type": "contact.updated", "version": 3, "reason": "asked", "actor": {"kind": "MEMBER", "name": "Admin"}
    }  # fmt: skip
    assert (then["value"], then["event"]["version"]) == ("Ada B.", 2)
    assert (stage["value"], stage["event"]["version"]) == ("SUBSCRIBER", 1)
    assert owner is unset is None
    assert unknown["extensions"]["rule"] == "explain.unknown_field"
    assert unknown["message"].startswith("No event of a Contact changes shoeSize. Those are ")


async def test_an_imported_value_names_the_file_and_the_row(api):
    run = uuid4()
    with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
        connection.execute(
            "INSERT INTO es.import_run (workspace_id, id, mapping, mapping_hash, file_name, file_hash, status, rows)"
            " VALUES (%s, %s, 'people', '', 'people.csv', '', 'DONE', 7)",
            [api.workspace, run],
        )
    by = {"actor": Actor(kind=ActorKind.IMPORT, id=run), "origin": Origin(import_=ImportOrigin(id=run, row=5))}
    ada = api.id("Contact", await api.begin(CONTACT, editing.register(ContactEdit(display_name="Ada")), **by))
    await api.projected()
    listed = "query($id: ID!) { imports { totalCount nodes { id } } import(id: $id) { fileName } node(id: $id) { id } }"

    told = (await api.ask(EXPLAIN, who="sales", id=ada, field="displayName"))["explain"]
    found = await api.ask(listed, id=api.id("Import", run))
    forbidden = (await api.post(listed, who="nobody", variables={"id": api.id("Import", run)})).json()

    assert told["importRow"] == 5
    assert told["import"] == {
        "__typename": "Import", "id": api.id("Import", run), "fileName": "people.csv", "status": "DONE", "dryRun": False,
        "commandId": str(run), "requestedBy": {"kind": "SYSTEM"}, "progress": {"done": 7, "total": 7, "rejected": 0},
    }  # fmt: skip
    assert found["imports"] == {"totalCount": 1, "nodes": [{"id": api.id("Import", run)}]}
    assert found["import"] == {"fileName": "people.csv"}
    assert found["node"] == {"id": api.id("Import", run)}
    assert forbidden["data"] == {"imports": None, "import": None, "node": None}
    assert {each["extensions"]["code"] for each in forbidden["errors"]} == {"FORBIDDEN"}


async def test_what_a_rule_did_says_which(api):
    on = Occasion(api.known["admin"].expires_at.replace(year=2025))
    desk = await api.begin(QUEUE, queue.create(queue.QueueEdit(name="Help")))
    asked = ticket_editing.open_ticket(title="Broken", queue_id=desk, on=on)
    broken = await api.begin(TICKET, asked)
    await api.change(TICKET, broken, lambda was: ticket.resolve(was, resolution="Sent", on=on))
    rule = {"actor": Actor(kind=ActorKind.AUTOMATION)}
    await api.change(TICKET, broken, lambda was: [one.event for one in dated(ticket.close(was, on=on))], **rule)
    await api.projected()

    by_rule = (await api.ask(EXPLAIN, id=api.id("Ticket", broken), field="status"))["explain"]
    by_hand = (await api.ask(EXPLAIN, id=api.id("Ticket", broken), field="title"))["explain"]

    assert (by_rule["value"], by_rule["rule"]) == ("CLOSED", "queue.autoCloseDays")
    assert (by_hand["value"], by_hand["rule"]) == ("Broken", None)


async def test_what_a_stage_decided_says_so(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board)
    stage = {each["name"]: each["id"] for each in board["stages"]}
    own = (await api.ask(EXPLAIN, id=deal["id"], field="stage"))["explain"]
    chance = (await api.ask(EXPLAIN, id=deal["id"], field="probability"))["explain"]
    await act(api, "moveDeal", deal, toStageId=stage["Offer"])

    await retire(api, board, gone="Offer", to="New")

    moved = (await api.ask(EXPLAIN, id=deal["id"], field="stage"))["explain"]
    assert (own["rule"], own["event"]["type"]) == (None, "deal.opened")
    assert (chance["rule"], chance["event"]["type"]) == ("stage.probability", "deal.opened")
    assert chance["value"] == next(each["probability"] for each in board["stages"] if each["id"] == deal["stage"]["id"])
    assert (moved["rule"], moved["value"], moved["event"]["type"]) == ("stage.retiredAt", stage["New"], "deal.moved")
