"""Lists of tickets: filters, orders, the queue's next, its counts and depth, who may see what, and how few statements."""

from dataclasses import replace
from uuid import uuid4

import pytest

from crm_es.reads.driver import Snapshot
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api import contract
from tests.api.conftest import opened
from tests.api.desk import done, queue, refused, shown, ticket
from tests.api.test_companies import company
from tests.api.test_contacts import register

pytestmark = pytest.mark.anyio

LIST = """
query List($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int, $asOf: AsOf) {
  tickets(filter: $filter, orderBy: $orderBy, first: $first, asOf: $asOf) { totalCount nodes { title } }
}"""
QUEUE = """
query Queue($id: ID!, $filter: TicketFilter, $at: DateTime!, $asOf: AsOf) { queue(id: $id, asOf: $asOf) {
  waiting(filter: $filter) { totalCount nodes { title } } depth(at: $at)
  counts { open unassigned inProgress onHold breached dueSoon } } }"""
NOW = "2025-12-31T00:00:00Z"


async def titles(api, who="admin", **variables):
    found = (await api.ask(LIST, who=who, **variables))["tickets"]
    assert found["totalCount"] == len(found["nodes"])
    return [node["title"] for node in found["nodes"]]


@pytest.fixture
async def desk(api):
    return await furnished(api)


@pytest.fixture(scope="module")
async def looked_at(place, anyio_backend):  # noqa: ARG001
    """An application and its desk, for all tests that change nothing."""
    async with opened(place) as api:
        yield api, await furnished(api)


async def furnished(api):
    """Three tickets: one of a company's person, urgent and held; one with sales; one resolved in another queue."""
    acme = await company(api)
    ada = await register(api, companyId=acme["id"])
    first, second = await queue(api), await queue(api, "Other")
    made = {
        "held": await ticket(api, first, title="held", priority="URGENT", requesterId=ada["id"], companyId=acme["id"],
                             tags=["red"], type="INCIDENT", occurredAt="2025-01-02T00:00:00Z"),
        "taken": await ticket(api, first, title="taken", priority="LOW", occurredAt="2025-01-01T00:00:00Z"),
        "done": await ticket(api, second, title="done", occurredAt="2025-01-03T00:00:00Z"),
    }  # fmt: skip
    sales = api.id("Member", api.known["sales"].member_id)
    await done(api, "holdTicket", id=made["held"]["id"], holdReason="VENDOR", occurredAt="2025-02-01T00:00:00Z")
    await done(api, "assignTicket", id=made["taken"]["id"], assigneeId=sales, occurredAt="2025-02-02T00:00:00Z")
    await done(api, "resolveTicket", id=made["done"]["id"], occurredAt="2025-02-03T00:00:00Z")
    return {
        "first": first,
        "second": second,
        "ada": ada["id"],
        "acme": acme["id"],
        **{k: v["id"] for k, v in made.items()},
    }


def given(desk, filter):
    """A filter with the names of ids filled in."""
    return {
        field: {op: desk.get(value, value) if isinstance(value, str) else value for op, value in operand.items()}
        if isinstance(operand, dict)
        else operand
        for field, operand in filter.items()
    }


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({}, ["done", "held", "taken"]),
        ({"id": {"eq": "held"}}, ["held"]),
        ({"number": {"lte": 2}}, ["held", "taken"]),
        ({"status": {"in": ["OPEN", "RESOLVED"]}}, ["done", "taken"]),
        ({"priority": {"eq": "URGENT"}}, ["held"]),
        ({"type": {"eq": "QUESTION"}}, ["done", "taken"]),
        ({"queueId": {"eq": "second"}}, ["done"]),
        ({"assigneeId": {"isNull": True}}, ["done", "held"]),
        ({"requesterId": {"eq": "ada"}}, ["held"]),
        ({"companyId": {"eq": "acme"}}, ["held"]),
        ({"tag": {"startsWith": "RE"}}, ["held"]),
        ({"slaDueAt": {"isNull": True}}, ["done", "held", "taken"]),
        ({"breached": True}, []),
        ({"openedAt": {"lt": "2025-01-02T00:00:00Z"}}, ["taken"]),
        ({"resolvedAt": {"isNull": False}}, ["done"]),
        ({"updatedAt": {"past": "PT1H"}, "externalId": {}}, ["done", "held", "taken"]),
        ({"not": {"breached": False}}, []),
    ],
)
async def test_a_filter_finds_what_it_says(looked_at, filter, found):
    api, desk = looked_at

    assert await titles(api, filter=given(desk, filter)) == found


async def test_mine_are_mine(looked_at):
    api, _ = looked_at

    assert await titles(api, who="sales", filter={"assigneeId": {"isMe": True}}) == ["taken"]


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("PRIORITY", ["taken", "done", "held"]),
        ("NUMBER", ["held", "taken", "done"]),
        ("OPENED_AT", ["taken", "held", "done"]),
        ("UPDATED_AT", ["held", "taken", "done"]),
    ],
)
async def test_an_order_goes_both_ways(looked_at, field, found):
    api, _ = looked_at

    assert await titles(api, orderBy=[{"field": field}]) == found
    assert await titles(api, orderBy=[{"field": field, "direction": "DESC"}]) == found[::-1]


async def test_what_has_no_due_time_comes_last(looked_at):
    api, _ = looked_at

    for direction in ("ASC", "DESC"):
        assert len(await titles(api, orderBy=[{"field": "SLA_DUE_AT", "direction": direction}])) == 3


async def test_a_queue_tells_what_is_next_and_how_it_stands(api, desk):
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    new = await ticket(api, desk["first"], title="new", priority="HIGH", occurredAt="2025-03-01T00:00:00Z")
    await done(api, "resumeTicket", id=desk["held"])

    found = (await api.ask(QUEUE, id=desk["first"], at=NOW))["queue"]
    before = (await api.ask(QUEUE, id=desk["first"], at=NOW, asOf={"position": then}))["queue"]
    mine = (await api.ask(QUEUE, id=desk["first"], at=NOW, filter={"assigneeId": {"isNull": True}}))["queue"]
    early = (await api.ask(QUEUE, id=desk["first"], at="2025-01-01T23:59:59Z"))["queue"]
    other = (await api.ask(QUEUE, id=desk["second"], at="2025-02-02T23:59:59Z"))["queue"]

    assert [node["title"] for node in found["waiting"]["nodes"]] == ["held", "new", "taken"]
    assert found["counts"] == {"open": 3, "unassigned": 2, "inProgress": 1, "onHold": 0, "breached": 0, "dueSoon": 0}
    assert (found["depth"], early["depth"]) == (3, 1)
    assert [node["title"] for node in before["waiting"]["nodes"]] == ["taken"]
    assert (before["counts"]["open"], before["counts"]["onHold"], before["depth"]) == (2, 1, 2)
    assert mine["waiting"]["totalCount"] == 2
    assert (other["counts"]["open"], other["depth"]) == (0, 1)
    assert new["id"]


async def test_a_companys_and_a_contacts_tickets_are_under_them(api, desk):
    found = await api.ask(
        "query($a: ID!, $k: ID!) { contact(id: $a) { tickets { nodes { title } } }"
        " company(id: $k) { tickets(filter: {status: {eq: ON_HOLD}}) { nodes { title } } } }",
        a=desk["ada"], k=desk["acme"],
    )  # fmt: skip

    assert found["contact"]["tickets"]["nodes"] == found["company"]["tickets"]["nodes"] == [{"title": "held"}]


@pytest.mark.usefixtures("desk")
async def test_contacts_are_found_by_their_tickets(api):
    await register(api, displayName="Bob")
    query = "query($f: ContactFilter) { contacts(filter: $f) { nodes { displayName } } }"

    async def named(**tickets):
        return [one["displayName"] for one in (await api.ask(query, f={"tickets": tickets}))["contacts"]["nodes"]]

    assert await named(some={}) == ["Ada Lovelace"]
    assert await named(some={"status": {"eq": "ON_HOLD"}}) == ["Ada Lovelace"]
    assert await named(some={"status": {"eq": "NEW"}}) == []
    assert await named(none={"status": {"eq": "NEW"}}) == ["Ada Lovelace", "Bob"]
    assert await named(none={}) == ["Bob"]
    assert await named(some={}, none={"priority": {"eq": "URGENT"}}) == []


async def test_tickets_follow_their_requester_through_a_merge(api, desk):
    bob = await register(api, displayName="Bob")
    merging = {"survivorId": bob["id"], "absorbedId": desk["ada"], "reason": "one person"}
    await done(api, "mergeContacts", "contact { id }", **merging)

    assert (await shown(api, desk["held"]))["requester"] == {"id": bob["id"]}
    assert await titles(api, filter={"requesterId": {"eq": bob["id"]}}) == ["held"]
    await done(api, "unmergeContact", "contact { id }", absorbedId=desk["ada"], reason="two")
    assert (await shown(api, desk["held"]))["requester"] == {"id": desk["ada"]}


async def test_a_ticket_is_found_by_its_title(api, desk):
    await done(api, "updateTicket", id=desk["held"], title="Printer on fire")

    found = await api.ask('{ search(text: "prnter fire", types: [TICKET]) { edges { field node { id label } } } }')

    assert found["search"]["edges"] == [{"field": "title", "node": {"id": desk["held"], "label": "Printer on fire"}}]


async def test_a_queue_tells_of_what_enters_changes_and_leaves(api, desk):
    query = """query($q: [ID!], $since: Position!) { changes(since: $since, within: $q, types: [TICKET]) {
      nodes { kind nodeId node { ... on Ticket { title } } } } }"""

    async def told(position):
        nodes = (await api.ask(query, q=[desk["first"]], since=position))["changes"]["nodes"]
        return [(one["kind"], one["nodeId"]) for one in nodes]

    async def position():
        return (await api.ask("{ viewer { position } }"))["viewer"]["position"]

    start = await position()
    entered = await ticket(api, desk["first"], title="new")
    assert await told(start) == [("CHANGED", entered["id"])]
    await done(api, "holdTicket", id=entered["id"], holdReason="OTHER")
    await done(api, "moveTicket", id=desk["taken"], toQueueId=desk["second"])
    assert await told(start) == [("CHANGED", entered["id"]), ("GONE", desk["taken"])]
    end = await position()
    await done(api, "closeTicket", id=desk["taken"])
    assert await told(end) == []


@pytest.fixture
def statements(monkeypatch):
    """How many each operation took."""
    counts, close = [], Snapshot.close

    async def noting(self, **more):
        counts.append(len(self.statements))
        await close(self, **more)

    monkeypatch.setattr(Snapshot, "close", noting)
    return counts


async def test_statements_do_not_grow_with_the_page(api, desk, statements):
    for title in ("one", "two", "three"):
        more = {"requesterId": desk["ada"], "companyId": desk["acme"], "followUpOfId": desk["done"], "body": "Help"}
        made = await ticket(api, desk["first"], title=title, **more)
        await done(api, "assignTicket", id=made["id"], assigneeId=api.id("Member", api.known["sales"].member_id))
    into = {"survivorId": desk["taken"], "absorbedId": desk["held"], "reason": "same"}
    await done(api, "mergeTickets", "ticket { id }", **into)

    document = """query($first: Int, $at: DateTime!) { tickets(first: $first, filter: {status: {in: [OPEN, MERGED]}}) {
      nodes { title queue { name counts { open } depth(at: $at) } assignee { name } requester { displayName } company { name }
      externalIds { value } articles { title } absorbed { id } statusIntervals { status queue { id } assignee { name } seconds }
      followUpOf { id } conversation(first: 3) { nodes { body participants { contact { id } } } } } }
      queues(first: $first) { nodes { waiting(first: 3) { nodes { title } totalCount } } } }"""

    await api.ask(document, first=1, at=NOW)
    one = max(statements)
    statements.clear()
    found = await api.ask(document, first=50, at=NOW)

    assert len(found["tickets"]["nodes"]) == 5
    assert max(statements) == one


async def test_the_page_of_a_queue_takes_as_many_statements_however_much_waits(api, desk, statements):
    document = (
        contract.possible()["QueuePage"]
        .replace("first: 50", "first: $first")
        .replace("$id: ID!", "$id: ID!, $first: Int")
    )
    for number in range(4):
        made = await ticket(api, desk["first"], title=str(number), requesterId=desk["ada"])
        await done(api, "assignTicket", id=made["id"], assigneeId=api.id("Member", api.known["sales"].member_id))
    taken = []

    for first in (1, 50):
        statements.clear()
        found = (await api.ask(document, id=desk["first"], first=first))["queue"]
        taken.append(max(statements))

    assert len(found["waiting"]["edges"]) == 5
    assert taken[0] == taken[1] > 0


# Who may see what


def as_(api, *granted):
    api.known["sales"] = replace(api.known["sales"], permissions=Permissions(granted))


async def test_who_sees_only_his_own_hears_of_no_other(api, desk):
    as_(api, *may((Action.READ,), (EntityType.TICKET,), Scope.OWN), *may((Action.READ,), (EntityType.CONTACT,)))

    found = (await api.ask(QUEUE, who="sales", id=desk["first"], at=NOW))["queue"]
    under = await api.ask("query($a: ID!) { contact(id: $a) { tickets { totalCount } } }", who="sales", a=desk["ada"])
    by = await api.ask("{ contacts(filter: {tickets: {some: {}}}) { totalCount } }", who="sales")

    assert await titles(api, who="sales") == ["taken"]
    assert (found["depth"], found["counts"]["open"], found["waiting"]["totalCount"]) == (1, 1, 1)
    assert (under["contact"]["tickets"]["totalCount"], by["contacts"]["totalCount"]) == (0, 0)
    assert await shown(api, desk["held"], who="sales") is None


async def test_who_may_read_a_ticket_sees_its_queue(api, desk):
    as_(api, *may((Action.READ,), (EntityType.TICKET,)))

    found = await shown(
        api, desk["taken"], "queue { id name } assignee { id } statusIntervals { queue { id } }", who="sales"
    )

    assert found["queue"] == {"id": desk["first"], "name": "Help"}
    assert found["assignee"] is None


async def test_a_permission_for_ones_own_reaches_no_further(api, desk):
    reading = may((Action.READ,), (EntityType.TICKET,))
    as_(api, *reading, *may((Action.UPDATE, Action.ASSIGN), (EntityType.TICKET,), Scope.OWN))

    await done(api, "resumeTicket", id=desk["held"])
    payload = await refused(api, "holdTicket", who="sales", id=desk["held"], holdReason="OTHER")
    assert payload == [("NOT_ALLOWED", "permission.denied", ["id"])]
    await done(api, "holdTicket", who="sales", id=desk["taken"], holdReason="OTHER")
    row = [{"id": desk["held"], "assigneeId": None}]
    assert await refused(api, "assignTickets", who="sales", tickets=row) == [
        ("NOT_ALLOWED", "permission.denied", ["tickets", "0", "id"])
    ]


async def test_ones_own_ticket_opens_no_way_to_that_of_another_it_was_merged_into(api, desk):
    into = {"survivorId": desk["held"], "absorbedId": desk["taken"], "reason": "same"}
    await done(api, "mergeTickets", "ticket { id }", **into)
    reading = may((Action.READ,), (EntityType.TICKET,))
    as_(api, *reading, *may((Action.UPDATE, Action.ASSIGN, Action.MERGE), (EntityType.TICKET,), Scope.OWN))
    mine = desk["taken"]

    for mutation, given, field in (
        ("updateTicket", {"id": mine, "title": "Mine"}, ["id"]),
        ("replyToTicket", {"id": mine, "body": "Mine", "internal": True}, ["id"]),
        ("assignTickets", {"tickets": [{"id": mine, "assigneeId": None}]}, ["tickets", "0", "id"]),
        ("unmergeTicket", {"absorbedId": mine, "reason": "mine"}, ["absorbedId"]),
    ):
        assert await refused(api, mutation, who="sales", **given) == [("NOT_ALLOWED", "permission.denied", field)]


async def test_who_does_not_see_a_ticket_writes_nothing_on_it(api, desk):
    granted = may((Action.READ,), (EntityType.TICKET,), Scope.OWN)
    as_(api, *granted, *may((Action.READ, Action.CREATE, Action.UPDATE), (EntityType.INTERACTION,)))
    mail = {"type": "EMAIL", "direction": "OUTBOUND", "body": "Done!", "occurredAt": "2025-04-01T00:00:00Z"}
    held, taken = mail | {"ticketId": desk["held"]}, mail | {"ticketId": desk["taken"]}

    assert await refused(api, "recordInteraction", who="sales", **held) == [
        ("NOT_FOUND", "record.not_found", ["ticketId"])
    ]
    assert await refused(api, "recordInteractions", who="sales", interactions=[held, taken, held]) == [
        ("NOT_FOUND", "record.not_found", ["interactions", "0", "ticketId"]),
        ("NOT_FOUND", "record.not_found", ["interactions", "2", "ticketId"]),
    ]
    mine = (await done(api, "recordInteraction", "interaction { id }", who="sales", **taken))["interaction"]["id"]
    elsewhere = {"id": mine, "set": {"ticketId": desk["held"]}}
    assert await refused(api, "correctInteraction", who="sales", **elsewhere) == [
        ("NOT_FOUND", "record.not_found", ["set", "ticketId"])
    ]
    assert [(await shown(api, desk[name]))["firstRespondedAt"] for name in ("held", "taken")] == [
        None, "2025-04-01T00:00:00Z",
    ]  # fmt: skip


async def test_what_is_masked_is_null_and_cannot_be_written(api, desk):
    as_(api, *may((Action.READ, Action.UPDATE), (EntityType.TICKET,), fields=()))

    found = await shown(
        api, desk["held"], "title label resolution externalIds { value } number maskedFields", who="sales"
    )

    assert (found["title"], found["label"], found["externalIds"], found["number"]) == (None, None, None, 1)
    assert {"title", "resolution", "externalIds", "satisfactionComment"} <= set(found["maskedFields"])
    assert await refused(api, "updateTicket", who="sales", id=desk["held"], title="Mine") == [
        ("NOT_ALLOWED", "permission.denied", ["title"])
    ]
    assert await refused(api, "rateTicket", who="sales", id=desk["done"], satisfaction=1, comment="Bad") == [
        ("NOT_ALLOWED", "permission.denied", ["comment"])
    ]
    await done(api, "rateTicket", "ticket { id }", who="sales", id=desk["done"], satisfaction=5)


async def test_another_workspaces_ticket_is_like_an_unknown_one(api, desk):
    api.known["stranger"] = replace(api.known["admin"], workspace=uuid4())

    assert await shown(api, desk["held"], who="stranger") is None
    assert (await api.ask(QUEUE, who="stranger", id=desk["first"], at=NOW))["queue"] is None
    assert await titles(api, who="stranger") == []
    assert await refused(api, "closeTicket", who="stranger", id=desk["held"]) == [
        ("NOT_FOUND", "record.not_found", ["id"])
    ]
