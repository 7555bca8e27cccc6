"""History of records, the audit trail, and who may read what of them."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_es.api.ids import decode
from crm_es.values import EmailAddress
from crm_es.workspaces import folding, member, team
from tests.api.desk import done, queue, ticket
from tests.api.test_contacts import UPDATE, register

pytestmark = pytest.mark.anyio

HISTORY = """
query($id: ID!, $first: Int, $after: String, $fields: [String!], $filter: EventFilter) { entity(id: $id) {
  history(first: $first, after: $after, fields: $fields, filter: $filter) { totalCount pageInfo { endCursor hasNextPage } nodes {
    id position type version reason data actor { kind name member { id } apiKey { id } onBehalfOf { name } authenticatedBy }
    origin { client address } commandId
    changes { field from to erased masked fromNode { id } toNode { ... on Team { name } } } } } } }
"""


async def zoe(api):
    """Invited, given roles, moved to a team by a reason."""
    sales = await api.begin(team.TEAM, team.create("Sales"))
    invited = member.invite(name="Zoë", email=EmailAddress.parse("zoe@acme.test"), roles=("sales",), team_id=sales)
    id_ = await api.begin(member.MEMBER, invited, reason="new here")
    await api.change(
        member.MEMBER, id_, lambda m: member.assign_roles(m, ("manager",), other_admins=1), reason="promoted",
        occurred_at=datetime(2025, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    await api.projected()
    return id_


async def test_history_tells_who_changed_what_and_why_newest_first(api):
    id_ = await zoe(api)

    history = (await api.ask(HISTORY, id=api.id("Member", id_), who="auditor"))["entity"]["history"]

    newest, oldest = history["nodes"]
    assert history["totalCount"] == 2
    assert newest["type"] == "member.roles_assigned"
    assert newest["reason"] == "promoted"
    assert newest["actor"] == {
        "kind": "MEMBER", "name": "Admin", "member": {"id": api.id("Member", api.known["admin"].member_id)},
        "apiKey": None, "onBehalfOf": None, "authenticatedBy": "test",
    }  # fmt: skip
    assert [(c["field"], c["from"], c["to"]) for c in newest["changes"]] == [("roles", ["sales"], ["manager"])]
    was = {change["field"]: change for change in oldest["changes"]}
    assert was["name"] | {"to": "Zoë", "from": None} == was["name"]
    assert was["team"]["toNode"] == {"name": "Sales"}
    assert newest["data"] == {"roles": ["manager"]}


async def test_history_pages_and_narrows_to_fields_and_filters(api):
    id_ = api.id("Member", await zoe(api))

    first = (await api.ask(HISTORY, id=id_, first=1))["entity"]["history"]
    second = (await api.ask(HISTORY, id=id_, first=1, after=first["pageInfo"]["endCursor"]))["entity"]["history"]
    named = (await api.ask(HISTORY, id=id_, fields=["email"]))["entity"]["history"]
    typed = (await api.ask(HISTORY, id=id_, filter={"type": {"eq": "member.roles_assigned"}}))["entity"]["history"]

    assert first["pageInfo"]["hasNextPage"]
    assert not second["pageInfo"]["hasNextPage"]
    assert [each["version"] for each in (*first["nodes"], *second["nodes"])] == [2, 1]
    assert [each["version"] for each in named["nodes"]] == [1]
    assert [each["version"] for each in typed["nodes"]] == [2]


async def test_a_name_is_found_by_the_parts_it_is_made_of(api):
    ada = (await register(api, displayName=None, givenName="Ada", familyName="King", emails=[{"address": "a@x.test"}]))[
        "id"
    ]
    await api.ask(UPDATE, input={"id": ada, "familyName": "Lovelace"})
    await api.ask(UPDATE, input={"id": ada, "jobTitle": "Countess"})
    listed = "query($f: EventFilter) { events(filter: $f) { nodes { version changes { field from to } } } }"

    history = (await api.ask(HISTORY, id=ada, fields=["displayName"]))["entity"]["history"]["nodes"]
    events = (await api.ask(listed, who="auditor", f={"entityId": {"eq": ada}, "field": {"eq": "displayName"}}))[
        "events"
    ]
    begun = (await api.ask(listed, who="auditor", f={"entityId": {"eq": ada}, "field": {"contains": "playNa"}}))[
        "events"
    ]

    assert [each["version"] for each in history] == [2, 1]
    assert {"field": "displayName", "from": "Ada King", "to": "Ada Lovelace"} in events["nodes"][1]["changes"]
    assert [each["version"] for each in events["nodes"]] == [each["version"] for each in begun["nodes"]] == [1, 2]


async def test_what_an_event_left_without_a_value_is_no_change(api):
    id_ = (await ticket(api, await queue(api)))["id"]
    await done(api, "resolveTicket", id=id_)
    asked = "query($id: ID!) { entity(id: $id) { history(first: 1) { nodes { type changes { field } } } } }"

    (event,) = (await api.ask(asked, id=id_))["entity"]["history"]["nodes"]

    assert event["type"] == "ticket.resolved"
    assert {each["field"] for each in event["changes"]} == {"status", "resolvedAt"}


@pytest.mark.parametrize(
    "document",
    [HISTORY, "query($id: ID!, $fields: [String!]) { entity(id: $id) { history(fields: $fields) { totalCount } } }"],
)
async def test_a_field_that_nothing_changes_is_refused_with_those_that_are(api, document):
    id_ = api.id("Member", await zoe(api))

    told = (await api.post(document, variables={"id": id_, "fields": ["email", "shoeSize"]})).json()

    (error,) = told["errors"]
    assert (error["extensions"]["code"], error["extensions"]["rule"]) == ("BAD_USER_INPUT", "history.unknown_field")
    assert error["extensions"]["field"] == ["fields", "1"]
    assert error["message"] == (
        "No event of a Member changes shoeSize. Those are deactivatedAt, email, externalIds, manager, name, roles, team."
    )


async def test_without_audit_data_and_address_are_withheld(api):
    id_ = await zoe(api)

    history = (await api.ask(HISTORY, id=api.id("Member", id_), who="sales"))["entity"]["history"]
    refused = (
        await api.post("{ events { totalCount } event(position: 1) { id } viewer { expiresAt } }", who="sales")
    ).json()

    assert [each["data"] for each in history["nodes"]] == [None, None]
    assert refused["data"]["events"] is refused["data"]["event"] is None
    assert refused["data"]["viewer"]
    assert {error["extensions"]["code"] for error in refused["errors"]} == {"FORBIDDEN"}


async def test_a_past_record_has_the_history_it_had(api):
    id_ = await zoe(api)
    position = (await api.ask(HISTORY, id=api.id("Member", id_)))["entity"]["history"]["nodes"][1]["position"]

    history = (await api.ask(HISTORY, id=api.id("Member", id_, int(position))))["entity"]["history"]

    assert [each["version"] for each in history["nodes"]] == [1]


async def test_auditors_read_every_event_both_ways_and_by_any_filter(api):
    id_ = await zoe(api)
    query = """query($filter: EventFilter, $orderBy: [EventOrder!], $last: Int) {
      events(filter: $filter, orderBy: $orderBy, last: $last) { totalCount nodes { id position type } } }"""

    every = (await api.ask(query, who="auditor"))["events"]
    newest = (await api.ask(query, who="auditor", last=1))["events"]["nodes"]
    of_zoe = (await api.ask(query, who="auditor", filter={"entityId": {"eq": api.id("Member", id_)}}))["events"]
    by_time = (await api.ask(query, who="auditor", orderBy=[{"field": "OCCURRED_AT"}]))["events"]["nodes"]
    of_nobody = (await api.ask(query, who="auditor", filter={"actorId": {"eq": api.id("Member", uuid4())}}))["events"]
    by_place = (await api.ask(query, who="auditor", filter={"position": {"lte": "2"}}))["events"]

    assert [int(each["position"]) for each in every["nodes"]] == list(range(1, 9))
    assert newest == every["nodes"][-1:]
    assert of_zoe["totalCount"] == 2
    assert by_time[0]["type"] == "member.roles_assigned"
    assert of_nobody["totalCount"] == 0
    assert by_place["totalCount"] == 2


async def test_an_event_refetches_and_shows_its_record_before_and_after(api):
    id_ = await zoe(api)
    query = """query($position: Position!) {
      event(position: $position) { id entity { id } entityBefore { ...M } entityAfter { ...M } } }
      fragment M on Member { version roles { key } }"""

    event = (await api.ask(query, who="auditor", position="8"))["event"]
    node = (
        await api.ask("query($id: ID!) { node(id: $id) { id ... on Event { type } } }", id=event["id"], who="sales")
    )["node"]
    nobody = (await api.ask("query($id: ID!) { node(id: $id) { id } }", id=event["id"], who="nobody"))["node"]

    assert event["entity"] == {"id": api.id("Member", id_)}
    assert event["entityBefore"] == {"version": 1, "roles": [{"key": "sales"}]}
    assert event["entityAfter"] == {"version": 2, "roles": [{"key": "manager"}]}
    assert node == {"id": event["id"], "type": "member.roles_assigned"}
    assert nobody is None


async def test_a_page_of_events_reads_each_stream_once_whatever_its_size(api):
    for number in range(5):
        await api.begin(team.TEAM, team.create(f"Team {number}"))
    await api.projected()
    reads = []
    original = api.engine.store.recorder.read_streams

    def counted(*args, **kwargs):
        reads.append(args)
        return original(*args, **kwargs)

    api.engine.store.recorder.read_streams = counted
    await api.ask("{ events { nodes { changes { field to } reason } } }", who="auditor")

    assert len(reads) == 1


async def test_a_page_of_a_long_record_is_folded_from_what_was_kept_on_the_way(api, monkeypatch):
    """The first page folds it piece by piece, the next ones read what came since the last piece; until a person is erased."""
    monkeypatch.setattr(folding, "STRIDE", 10)
    monkeypatch.setattr(api.engine.store._states, "_seconds", 1e6)
    ada = (await register(api, displayName="Ada"))["id"]
    for number in range(1, 36):
        await api.ask(UPDATE, input={"id": ada, "jobTitle": f"Title {number}"})
    reads, original = [], api.engine.store.recorder.read_streams

    def counted(workspace, after, **kwargs):
        found = original(workspace, after, **kwargs)
        reads.append(len(found[0].get(decode(ada).id, ())))
        return found

    api.engine.store.recorder.read_streams = counted

    async def page(**given):
        reads.clear()
        found = (await api.ask(HISTORY, who="auditor", id=ada, first=3, **given))["entity"]["history"]
        moves = [(each["from"], each["to"]) for node in found["nodes"] for each in node["changes"]]
        assert moves == [(f"Title {n - 1}", f"Title {n}") for n in (node["version"] - 1 for node in found["nodes"])]
        return sum(reads), max(reads), found["pageInfo"]["endCursor"]

    first, most, cursor = await page()
    second, _, cursor = await page(after=cursor)
    api.engine.store.forget_cached()
    third, _, _ = await page(after=cursor)

    assert (first, most, second, third) == (36, 10, 3, 30)


async def test_a_moment_in_the_future_is_out_of_range(api):
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    answer = await api.post(
        "query($id: ID!, $t: DateTime!) { entity(id: $id, asOf: {time: $t}) { id } }",
        variables={"id": api.id("Member", api.known["admin"].member_id), "t": soon},
    )

    assert answer.json()["errors"][0]["extensions"]["code"] == "AS_OF_OUT_OF_RANGE"
