"""Lists of contacts: filters, orders, pages, who may see what, and how few statements they take."""

from uuid import uuid4

import pytest

from crm_es.reads.driver import Snapshot
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.conftest import opened
from tests.api.test_companies import company
from tests.api.test_contacts import REGISTER, UPDATE, register
from tests.api.test_interactions import record, record_many

pytestmark = pytest.mark.anyio

LIST = """
query List($filter: ContactFilter, $orderBy: [ContactOrder!], $first: Int, $after: String, $asOf: AsOf) {
  contacts(filter: $filter, orderBy: $orderBy, first: $first, after: $after, asOf: $asOf) {
    totalCount nodes { displayName } edges { cursor } pageInfo { hasNextPage endCursor }
  }
}"""


async def names(api, who="admin", **variables):
    found = (await api.ask(LIST, who=who, **variables))["contacts"]
    assert found["totalCount"] >= len(found["nodes"])
    return [node["displayName"] for node in found["nodes"]]


@pytest.fixture
async def people(api):
    return await known(api)


@pytest.fixture(scope="module")
async def looked_at(place, anyio_backend):  # noqa: ARG001
    """An application that knows them, for all tests that change nothing."""
    async with opened(place) as api:
        await known(api)
        yield api


async def known(api):
    acme = await company(api)
    return {
        "ada": await register(
            api, emails=[{"address": "Ada@example.com"}], phones=[{"number": "+4915112345678"}], tags=["VIP"],
            companyId=acme["id"], ownerId=api.id("Member", api.known["sales"].member_id), source="fair",
        ),
        "zoe": await register(api, displayName="Zoë Ångström", lifecycleStage="CUSTOMER", companyId=acme["id"]),
        "bob": await register(api, displayName="bob", externalIds=[{"system": "cdnow", "value": "7"}]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"displayName": {"contains": "ZOE"}}, ["Zoë Ångström"]),
        ({"displayName": {"startsWith": "ada"}}, ["Ada Lovelace"]),
        ({"email": {"eq": "Ada@example.com"}}, ["Ada Lovelace"]),
        ({"email": {"eq": "ada@example.com"}}, []),
        ({"displayName": {"in": ["bob", "Zoë Ångström", "ada lovelace"]}}, ["bob", "Zoë Ångström"]),
        ({"email": {"isNull": True}}, ["bob", "Zoë Ångström"]),
        ({"phone": {"eq": "+4915112345678"}}, ["Ada Lovelace"]),
        ({"tag": {"eq": "VIP"}}, ["Ada Lovelace"]),
        ({"tag": {"eq": "vip"}}, []),
        ({"source": {"in": ["fair", "web"]}}, ["Ada Lovelace"]),
        ({"externalId": {"eq": {"system": "cdnow", "value": "7"}}}, ["bob"]),
        ({"externalId": {}}, ["Ada Lovelace", "bob", "Zoë Ångström"]),
        ({"email": {}, "phone": {}, "tag": {}, "source": {}}, ["Ada Lovelace", "bob", "Zoë Ångström"]),
        ({"lifecycleStage": {"eq": "CUSTOMER"}}, ["Zoë Ångström"]),
        ({"company": {"name": {"eq": "Acme"}}}, ["Ada Lovelace", "Zoë Ångström"]),
        ({"not": {"company": {"name": {"eq": "Acme"}}}}, ["bob"]),
        ({"or": [{"tag": {"eq": "VIP"}}, {"companyId": {"isNull": True}}]}, ["Ada Lovelace", "bob"]),
        ({"ownerId": {"isNull": False}}, ["Ada Lovelace"]),
        ({"createdAt": {"past": "PT1H"}, "id": {"in": []}}, []),
    ],
)
async def test_a_filter_finds_what_it_says(looked_at, given, found):
    assert await names(looked_at, filter=given) == found


async def test_a_shared_view_is_true_for_whoever_opens_it(looked_at):
    mine = {"ownerId": {"isMe": True}}

    assert await names(looked_at, who="sales", filter=mine) == ["Ada Lovelace"]
    assert await names(looked_at, who="admin", filter=mine) == []


async def test_contacts_are_ordered_by_their_last_interaction_now_and_then(api, people):
    await record(api, contactIds=[people["bob"]["id"]], occurredAt="2025-03-01T00:00:00Z")
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await record(api, contactIds=[people["ada"]["id"]], occurredAt="2025-04-01T00:00:00Z")
    newest = [{"field": "LAST_INTERACTION_AT", "direction": "DESC"}]

    assert await names(api, orderBy=newest) == ["Ada Lovelace", "bob", "Zoë Ångström"]
    assert (await names(api, orderBy=newest, asOf={"position": then}))[0] == "bob"
    since = {"lastInteractionAt": {"gte": "2025-03-15T00:00:00Z"}}
    assert await names(api, filter=since) == ["Ada Lovelace"]
    assert await names(api, filter=since, asOf={"position": then}) == []


@pytest.mark.usefixtures("people")
async def test_pages_hold_everybody_once(api):
    seen, cursor = [], None
    while True:
        page = (await api.ask(LIST, first=1, after=cursor))["contacts"]
        seen += [node["displayName"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]

    assert seen == ["Ada Lovelace", "bob", "Zoë Ångström"]


@pytest.mark.parametrize("visibility", ["PRIVATE", "TEAM"])
async def test_what_only_auditors_may_know_of_filters_nobody_else(api, people, visibility):
    await record(api, who="sales", contactIds=[people["ada"]["id"]], visibility=visibility)
    busy = {"lastInteractionAt": {"isNull": False}}

    assert await names(api, who="auditor", filter=busy) == ["Ada Lovelace"]
    assert await names(api, who="sales", filter=busy) == []


@pytest.mark.usefixtures("people")
async def test_statements_do_not_grow_with_the_page(api, monkeypatch):
    statements, close = [], Snapshot.close

    async def noting(self, **more):
        statements.append(len(self.statements))
        await close(self, **more)

    monkeypatch.setattr(Snapshot, "close", noting)
    document = """query($first: Int) { contacts(first: $first) { nodes { displayName company { name } owner { name }
      emails { address } phones { number } tags interactionCount mergedInto { id } absorbed { id }
      timeline(first: 3) { nodes { id occurredAt } } interactions { summary { count } } } } }"""

    await api.ask(document, first=1)
    one = max(statements)
    statements.clear()
    await api.ask(document, first=50)

    assert max(statements) == one


async def test_two_workspaces_never_see_each_other(api, people):
    contact, made = people["ada"], await record(api, contactIds=[people["ada"]["id"]])
    acme = await company(api, name="Other")
    stranger = type(api.known["admin"])(
        **{name: getattr(api.known["admin"], name) for name in api.known["admin"].__dataclass_fields__}
        | {"workspace": uuid4()}
    )
    api.known["stranger"] = stranger
    ask = """query($c: ID!, $k: ID!, $i: ID!) { contact(id: $c) { id } company(id: $k) { id } interaction(id: $i) { id }
      node(id: $c) { id } nodes(ids: [$c, $k, $i]) { id } contacts { totalCount } duplicates { totalCount }
      duplicatesOf: duplicates(contactId: $c) { totalCount } mergePreview(survivorId: $c, absorbedId: $c) { interactionsMoved }
      interactions(filter: {contactId: {eq: $c}}) { totalCount summary { count } } }"""

    seen = await api.ask(ask, who="stranger", c=contact["id"], k=acme["id"], i=made["id"])
    written = [
        await api.ask(UPDATE, who="stranger", input={"id": contact["id"], "jobTitle": "Spy"}),
        await api.ask(REGISTER, who="stranger", input={"displayName": "Spy", "companyId": acme["id"]}),
    ]

    assert seen == {
        "contact": None, "company": None, "interaction": None, "node": None, "nodes": [None, None, None],
        "contacts": {"totalCount": 0}, "duplicates": {"totalCount": 0}, "duplicatesOf": {"totalCount": 0},
        "mergePreview": None, "interactions": {"totalCount": 0, "summary": {"count": 0}},
    }  # fmt: skip
    errors = [next(iter(data.values()))["userErrors"][0] for data in written]
    assert [(error["code"], error["field"]) for error in errors] == [
        ("NOT_FOUND", ["id"]),
        ("NOT_FOUND", ["companyId"]),
    ]


async def test_who_lacks_the_permission_changes_nothing(api, people):
    for who in ("auditor", "nobody"):
        data = await api.ask(UPDATE, who=who, input={"id": people["ada"]["id"], "jobTitle": "x"})

        assert [error["code"] for error in data["updateContact"]["userErrors"]] == ["NOT_ALLOWED"]
    assert (await api.ask("{ contacts { totalCount } }", who="nobody"))["contacts"]["totalCount"] == 0


async def test_a_permission_for_ones_own_reaches_no_further(api, people):
    reading = may((Action.READ,), (EntityType.CONTACT, EntityType.MEMBER, EntityType.COMPANY))
    writing = may((Action.UPDATE, Action.ASSIGN), (EntityType.CONTACT,), Scope.OWN)
    api.known["sales"] = _with(api.known["sales"], Permissions([*reading, *writing]))

    own = await api.ask(UPDATE, who="sales", input={"id": people["ada"]["id"], "jobTitle": "Mine"})
    other = await api.ask(UPDATE, who="sales", input={"id": people["bob"]["id"], "jobTitle": "Not mine"})

    assert own["updateContact"]["userErrors"] == []
    assert [(e["code"], e["field"]) for e in other["updateContact"]["userErrors"]] == [("NOT_ALLOWED", ["id"])]


async def test_what_is_masked_is_null_and_cannot_be_written(api, people):
    shown = may((Action.READ, Action.UPDATE), (EntityType.CONTACT,), fields=("givenName",))
    api.known["sales"] = _with(api.known["sales"], Permissions(shown))

    page = await api.ask(
        "query($id: ID!) { contact(id: $id) { emails { address } primaryEmail phones { number } maskedFields } }",
        who="sales", id=people["ada"]["id"],
    )  # fmt: skip
    refused = await api.ask(
        UPDATE, who="sales", input={"id": people["ada"]["id"], "addEmails": [{"address": "x@example.com"}]}
    )
    filtered = await api.post(LIST, who="sales", variables={"filter": {"email": {"eq": "Ada@example.com"}}})

    contact = page["contact"]
    assert (contact["emails"], contact["primaryEmail"], contact["phones"]) == (None, None, None)
    assert {"emails", "primaryEmail", "phones"} <= set(contact["maskedFields"])
    assert [(e["code"], e["field"]) for e in refused["updateContact"]["userErrors"]] == [("NOT_ALLOWED", ["addEmails"])]
    assert filtered.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_sums_of_a_list_hold_whatever_the_page(api, people):
    rows = [
        {"type": "PURCHASE", "occurredAt": "2025-01-01T00:00:00Z", "contactIds": [people["bob"]["id"]], "quantity": "1.5",
         "amount": {"amount": f"{n}.10", "currency": "USD" if n % 2 else "EUR"}}
        for n in range(6)
    ]  # fmt: skip
    await record_many(api, *rows)

    data = await api.ask(
        "query($c: ID!) { interactions(first: 2, filter: {contactId: {eq: $c}}) { nodes { id }"
        " summary { count amount { amount currency } quantity } } }",
        c=people["bob"]["id"],
    )

    assert len(data["interactions"]["nodes"]) == 2
    assert data["interactions"]["summary"] == {
        "count": 6, "quantity": "9.0",
        "amount": [{"amount": "6.30", "currency": "EUR"}, {"amount": "9.30", "currency": "USD"}],
    }  # fmt: skip


def _with(identity, permissions):
    values = {name: getattr(identity, name) for name in identity.__dataclass_fields__}
    return type(identity)(**values | {"permissions": permissions})
