"""What the API answers of deals as of any moment equals an independent fold of the streams."""

from random import Random

import pytest

from crm_es.api import ids
from tests.oracle.oracle import Oracle
from tests.oracle.sales import FIELDS, SalesHistory, answer, normal

pytestmark = pytest.mark.anyio


async def ask(history, deal, as_of, door):
    """By one of three doors: the lookup, a list, or `node` with the id of the past record."""
    declared, given = "query($id: ID!, $asOf: AsOf)", {"id": ids.encode("Deal", deal), "asOf": as_of}
    if door == "list":
        chosen = "filter: {id: {eq: $id}, recordStatus: {in: [ACTIVE, ARCHIVED]}}"
        document = f"{declared} {{ deals({chosen}, asOf: $asOf) {{ nodes {{ {FIELDS} }} }} }}"
        nodes = (await history.api.ask(document, who=history.who, **given))["deals"]["nodes"]
        return nodes[0] if nodes else None
    document = f"{declared} {{ deal(id: $id, asOf: $asOf) {{ {FIELDS} }} }}"
    found = (await history.api.ask(document, who=history.who, **given))["deal"]
    if door == "node" and found:
        document = f"query($id: ID!) {{ node(id: $id) {{ ... on Deal {{ {FIELDS} }} }} }}"
        return (await history.api.ask(document, who=history.who, id=found["id"]))["node"]
    return found


async def compare(histories, seed, steps, pairs):
    random = Random(seed)
    found = await histories(seed, steps, kind=SalesHistory)
    oracles = {who: await Oracle.of(history) for who, history in found.items() if history.deals}

    answered = 0
    for _ in range(pairs):
        who = random.choices(list(oracles), [9, 1][: len(oracles)])[0]
        history, oracle = found[who], oracles[who]
        deal = random.choice(history.streams["Deal"])
        as_of, at = oracle.moment(random)
        if at is None:
            continue
        told = await ask(history, deal, as_of, random.choice(["lookup", "list", "node"]))
        assert normal(told) == answer(oracle, deal, at), (who, deal, as_of, at)
        answered += told is not None
    return found, answered


async def test_150_moments_of_random_deals_equal_their_fold(histories):
    found, answered = await compare(histories, 1, 250, 150)

    assert answered > 40
    assert {"open_deal", "move_deal", "close_deal", "reopen_deal", "edit_deal"} <= set(found["admin"].done)


@pytest.mark.slow
async def test_700_moments_of_many_random_deals_equal_their_fold(histories):
    found, answered = await compare(histories, 3, 1_000, 700)

    assert answered > 300
    assert {"merge", "unmerge", "reshape_pipeline", "shelve_deal"} <= set(found["admin"].done)
