"""The answer of the API as of any moment equals an independent fold of the streams."""

from collections import Counter
from random import Random

import pytest

from crm_es.api import ids
from tests.oracle import desk
from tests.oracle.history import DEEDS, History
from tests.oracle.oracle import FIELDS, Oracle, normal

pytestmark = pytest.mark.anyio
WITH_DESK = (History.register, History.merge, History.unmerge, History.correct, History.found, *desk.DEEDS)
LISTS = {"Contact": "contacts", "Company": "companies", "Ticket": "tickets"}
STATUSES = "recordStatus: {in: [ACTIVE, ARCHIVED, MERGED]}"


async def ask(history, kind, stream, as_of, door):
    """By one of three doors: the lookup, a list, or `node` with the id of the past record."""
    name, fields = kind.lower(), FIELDS[kind]
    lists = LISTS.get(kind)
    id_ = ids.encode(kind, stream)
    declared, given = "query($id: ID!, $asOf: AsOf)", {"id": id_, "asOf": as_of}
    if door == "list" and lists:
        wanted = "id: {eq: $id}" if kind == "Ticket" else f"id: {{eq: $id}}, {STATUSES}"
        document = f"{declared} {{ {lists}(filter: {{{wanted}}}, asOf: $asOf) {{ nodes {{ {fields} }} }} }}"
        nodes = (await history.api.ask(document, who=history.who, **given))[lists]["nodes"]
        return nodes[0] if nodes else None
    found = (
        await history.api.ask(f"{declared} {{ {name}(id: $id, asOf: $asOf) {{ {fields} }} }}", who=history.who, **given)
    )[name]
    if door == "node" and found:
        document = f"query($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ {fields} }} }} }}"
        return (await history.api.ask(document, who=history.who, id=found["id"]))["node"]
    return found


async def compare(histories, seed, steps, pairs, deeds=DEEDS):
    random = Random(seed)
    found = await histories(seed, steps, deeds)
    oracles = {who: await Oracle.of(history) for who, history in found.items()}

    answered = Counter[str]()
    for _ in range(pairs):
        who = random.choices(list(found), [9, 1])[0]
        history, oracle = found[who], oracles[who]
        kind = random.choice([kind for kind, streams in history.streams.items() if streams])
        stream = random.choice(history.streams[kind])
        as_of, at = oracle.moment(random)
        if at is None:
            continue
        told = await ask(history, kind, stream, as_of, random.choice(["lookup", "list", "node"]))
        expected = await oracle.answer(kind, stream, at)
        assert normal(kind, told) == expected, (who, kind, stream, as_of, at)
        answered[kind] += told is not None
    for history in found.values():  # what a third contact took is given up, and no reason to refuse
        assert not [rule for rule in history.refused if rule.startswith("unmerge") and rule.endswith("taken")]
    return found, answered


async def test_200_moments_of_a_random_history_equal_their_fold(histories):
    found, answered = await compare(histories, 1, 300, 200)

    assert answered.total() > 60
    assert {"merge", "unmerge", "redact", "correct", "archive"} <= set(found["admin"].done)


async def test_200_moments_of_a_random_service_desk_equal_their_fold(histories):
    found, answered = await compare(histories, 5, 300, 200, WITH_DESK)

    assert answered["Ticket"] > 10 < answered["Queue"]
    assert {deed.__name__ for deed in desk.DEEDS} <= set(found["admin"].done)


@pytest.mark.slow
async def test_1000_moments_of_a_long_random_service_desk_equal_their_fold(histories):
    _, answered = await compare(histories, 6, 1_200, 1_000, WITH_DESK)

    assert answered.total() > 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_1000_moments_of_three_long_random_histories_equal_their_fold(histories, seed):
    found, answered = await compare(histories, seed, 1_500, 334)

    assert answered.total() > 100
    assert len(found["admin"].done) == len(set(DEEDS))
