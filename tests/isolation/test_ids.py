"""Ids of another workspace, wherever an id may be put: answered like ids of nothing at all, and nothing is recorded anywhere."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from crm_es.api import ids
from tests.api.timeless import timeless
from tests.isolation.conftest import TOKEN
from tests.isolation.walking import LIST, Asking, Place, places

pytestmark = pytest.mark.anyio


def forms(kind, id_, uuids):
    """A record's id now and in the past; of a contact also its first event's, change's and pair's."""
    yield ids.encode(kind, id_)
    yield ids.encode(kind, id_, 1)
    if kind == "Contact":
        yield ids.encode("Event", id_, sub=1)
        yield ids.encode("Change", id_, sub=10)
        yield ids.encode("DuplicatePair", id_, sub=uuids["Member"])


def names(error):
    return {"code": error["extensions"]["code"], "path": error.get("path"), "message": error["message"]}


def told(body):
    """What a client can learn, less what always differs."""
    found = {"data": timeless(body.get("data")), "errors": [names(error) for error in body.get("errors", ())]}
    assert not {"INTERNAL", "COST_EXCEEDED", "RATE_LIMITED"} & {error["code"] for error in found["errors"]}, body
    return found


def put(where, ids_):
    """One by one, or all at once where a list is taken."""
    return [ids_] if where.argument[-1] == LIST else ids_


async def asked(neighbours, where: Place, value):
    """`value` in its place, or the whole list in the place of its items."""
    if isinstance(value, list):
        where = replace(where, argument=where.argument[:-1])
    ((query, variables),) = neighbours.asking.documents(where, [value])
    return told(await neighbours.post(query, variables))


WITHIN = {"stageId", "toStageId", "moveDealsTo", "stages"}
"""A stage is looked for in its pipeline alone: all others are against the rules alike."""
UNSOUGHT = {"removeContactIds", "removeArticleIds", "keep"}
"""Where an id is not looked for: to take away what is not there is no event, and to keep is to choose one of two."""
SILENT = {"not", "none", "subsidiaries"}
"""Where an id of ours shows nothing of ours either: all but it, and what is below it."""
CHARTS = {"funnel", "trend", "forecast", "delta"}
"""No word in them tells whose deals they count: there ours must count for something, and anybody else's for nothing."""
OPERATORS = {"eq", "in", "[]", "and"}
SOME = ["Contact", "Company", "Member", "Interaction", "Product", "Pipeline", "Deal", "Queue", "Ticket", "Article"]
known: dict[tuple[str, ...], list[str]] = {}


async def kinds_taken(neighbours, where):
    """Which kinds of ids belong here: those that are not refused for their kind."""
    key = (*where.path[-1:], *(name for name in where.argument if name not in OPERATORS))
    if key not in known:
        known[key] = [
            kind
            for kind in neighbours.theirs.uuids
            for body in [await asked(neighbours, where, ids.encode(kind, neighbours.ours.uuids.get(kind, uuid4())))]
            if not any("belongs here" in error["message"] for error in body["errors"])
        ]
        if "filter" in where.argument and len(known[key]) > len(SOME):
            known[key] = SOME  # where any kind is taken, a few will do
    return known[key]


async def answers_ours(neighbours, where, kinds):
    """Whether it shows what is ours for an id of ours: else silence about theirs would mean nothing."""
    own = [kind for kind in kinds if kind in neighbours.ours.uuids]
    shown = [await asked(neighbours, where, ids.encode(kind, neighbours.ours.uuids[kind])) for kind in own]
    if where.path[-1] in CHARTS:
        nobodys = [await asked(neighbours, where, ids.encode(kind, uuid4())) for kind in own]
        return any(counts(body["data"]) for body in shown) and not any(counts(body["data"]) for body in nobodys)
    return any("Acme" in json.dumps(body) for body in shown) or not own


def counts(value):
    """Whether a chart counts or sums anything; what its records say of themselves aside."""
    if isinstance(value, list):
        return any(map(counts, value))
    if isinstance(value, dict):
        return "currency" in value or any(counts(item) for item in value.values() if not is_record(item))
    return isinstance(value, int | float) and value != 0


def is_record(value):
    return isinstance(value, dict) and "id" in value


def test_the_walk_finds_the_ids_it_should():
    found = {str(each) for kind in ("query", "mutation", "subscription") for each in places(kind)}

    assert {
        "query.node(id)", "query.nodes(ids.[])", "query.changes(within.[])", "query.contacts(filter.companyId.in.[])",
        "query.contacts(filter.and.[].id.eq)", "query.contacts(filter.company.parentId.eq)",
        "query.contact.interactions(filter.memberId.inTeam)",
        "mutation.registerContact(input.ownerId)", "subscription.changes(ids.[])", "subscription.events(filter.actorId.eq)",
    } <= found  # fmt: skip


@pytest.mark.parametrize("where", places("query"), ids=str)
async def test_a_foreign_id_reads_like_an_unknown_one(neighbours, where):
    uuids = neighbours.theirs.uuids
    taken = await kinds_taken(neighbours, where)

    theirs = [each for kind in taken for each in forms(kind, uuids.get(kind, uuid4()), uuids)]
    nobodys = [each for kind in taken for each in forms(kind, uuid4(), uuids)]
    for one, other in zip(*(put(where, ids_) for ids_ in (theirs, nobodys)), strict=True):
        assert await asked(neighbours, where, one) == await asked(neighbours, where, other)

    assert taken
    assert SILENT & {*where.path, *where.argument} or await answers_ours(neighbours, where, taken)


def refusals(value):
    """All userErrors of a payload, those of its rows too."""
    if isinstance(value, list):
        return [each for item in value for each in refusals(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("userErrors") or []
    return [*own, *(each for key, item in value.items() if key != "userErrors" for each in refusals(item))]


@pytest.mark.parametrize("where", places("mutation"), ids=str)
async def test_nothing_is_written_to_or_about_a_foreign_record(neighbours, where):
    heads, codes = (neighbours.ours.head(), neighbours.theirs.head()), set()
    uuids = neighbours.theirs.uuids

    for kind in uuids:
        theirs = await asked(neighbours, where, ids.encode(kind, uuids.get(kind, uuid4())))
        refused = refusals(theirs["data"])
        codes |= {error["code"] for error in refused}
        if not any(error["rule"] == "id.wrong_type" for error in refused):
            assert theirs == await asked(neighbours, where, ids.encode(kind, uuid4()))
            past = await asked(neighbours, where, ids.encode(kind, uuids.get(kind, uuid4()), 1))
            assert {error["rule"] for error in refusals(past["data"])} == {"id.past"}

    within = WITHIN & {*where.argument}
    assert "NOT_FOUND" in codes or within or UNSOUGHT & {*where.argument}
    assert codes <= {"NOT_FOUND", "INVALID"} | ({"RULE_VIOLATED"} if within else set())
    assert (neighbours.ours.head(), neighbours.theirs.head()) == heads


CURSORS = [each for each in places("query", "String") if each.argument in {("after",), ("before",)}]


@pytest.mark.parametrize("where", CURSORS, ids=str)
async def test_a_foreign_cursor_is_a_bad_cursor(neighbours, where):
    cursor = await a_cursor(neighbours, where)

    body = await asked(neighbours, where, cursor)

    assert [error["code"] for error in body["errors"]] == ["BAD_CURSOR"]


async def a_cursor(neighbours, where):
    """Of the same list, as the neighbour sees it."""
    asking = Asking(neighbours.theirs.ids(), neighbours.theirs.word)
    ((query, variables),) = asking.documents(Place(where.kind, where.path, ("first",)), [1])
    query = query[: query.index(" fragment")].replace("...S", "edges { cursor }")
    response = await neighbours.theirs.api.post(query, who=TOKEN, variables=variables)
    found = response.json()["data"]
    while not (isinstance(found, dict) and "cursor" in found):
        found = found[0] if isinstance(found, list) else next(iter(found.values()))
    return found["cursor"]
