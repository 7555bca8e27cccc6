"""`history`, `diff` and `explain` tell what a fold of the raw events tells, whichever record, field and moment are asked for."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from crm_es.api import ids
from crm_es.api.answers import as_json
from crm_es.eventstore.event import Erased
from crm_es.interactions.interaction import Interaction
from crm_es.sales.deal import DEAL
from crm_es.sales.pipeline import PIPELINE
from crm_es.sales.product import PRODUCT
from crm_es.workspaces import folding
from crm_es.workspaces.member import MEMBER
from tests.oracle import desk
from tests.oracle.history import DEEDS, History
from tests.oracle.oracle import AGGREGATES, Oracle
from tests.oracle.sales import SalesHistory
from tests.projections.sales_histories import Sales

pytestmark = pytest.mark.anyio
ALL = (*DEEDS, *[History.register] * 3, *desk.DEEDS, *Sales.SALES, *Sales.SALES)
KINDS = AGGREGATES | {"Deal": DEAL, "Pipeline": PIPELINE, "Product": PRODUCT, "Member": MEMBER}
PERSONAL = {"externalId", "subject", "body", "participants"}
"""Of interactions: what a redaction says anew."""
NOTHING = (None, [])
HISTORY = """query($id: ID!, $asOf: AsOf, $fields: [String!]) { entity(id: $id, asOf: $asOf) {
  history(fields: $fields, first: 1000) { nodes { version changes { field from to } } } } }"""
DIFF = """query($id: ID!, $from: AsOf!, $to: AsOf!) { diff(id: $id, from: $from, to: $to) {
  changes { field from to erased } events(first: 1000) { nodes { version } } } }"""
EXPLAIN = """query($id: ID!, $field: String!, $asOf: AsOf) { explain(id: $id, field: $field, asOf: $asOf) {
  value rule event { version } } }"""


class Folded:
    """A stream as nothing of ours but its aggregate's fold makes it: its fields after each event."""

    def __init__(self, kind, facts):
        self.facts, state = facts, None
        self.versions, self.states = [{}], [None]
        for fact in facts:
            state = KINDS[kind].evolve(state, fact.event)
            self.states.append(state)
            self.versions.append(dict(KINDS[kind].fields(state)))

    def version(self, at):
        return sum(fact.position <= at for fact in self.facts)

    def seen(self, version):
        """Whether the record is there for who reads it."""
        state = self.states[version]
        return version > 0 and not (isinstance(state, Interaction) and state.retracted)

    def value(self, version, field):
        return as_json(self.versions[version].get(field))

    def erased(self, field):
        gone = field in PERSONAL and any(fact.erased for fact in self.facts)
        return gone or any(isinstance(each.get(field), Erased) for each in self.versions)

    def setters(self, field, upto):
        values = [self.value(version, field) for version in range(upto + 1)]
        moved = [was != now and not (was in NOTHING and now in NOTHING) for was, now in pairwise(values)]
        return [number for number, each in enumerate(moved, 1) if each]


async def check_history(history, id_, folded, field, moment):
    as_of, version = moment
    entity = (await history.api.ask(HISTORY, who=history.who, id=id_, asOf=as_of, fields=[field]))["entity"]
    if not folded.seen(version):
        assert entity is None
        return
    moves = {
        node["version"]: (change["from"], change["to"])
        for node in entity["history"]["nodes"] for change in node["changes"] if change["field"] == field
    }  # fmt: skip
    assert set(folded.setters(field, version)) <= {1, *moves}  # the first does not name what it leaves at its default
    for number, (was, now) in moves.items():
        assert (was, now) == (folded.value(number - 1, field), folded.value(number, field))


async def check_explain(history, id_, folded, field, moment):
    as_of, version = moment
    told = (await history.api.ask(EXPLAIN, who=history.who, id=id_, field=field, asOf=as_of))["explain"]
    if field == "probability" and folded.seen(version) and folded.value(version, field) is None:
        assert (told["rule"], told["value"] is None) == ("stage.probability", False)
        return
    setters = folded.setters(field, version)
    if not folded.seen(version) or not setters:
        assert told is None
    else:
        assert (told["value"], told["event"]) == (folded.value(version, field), {"version": setters[-1]})


async def check_diff(history, id_, folded, since, until):
    (from_, first), (to, last) = since, until
    told = (await history.api.ask(DIFF, who=history.who, id=id_, **{"from": from_, "to": to}))["diff"]
    if not folded.seen(first) and not folded.seen(last):
        assert told is None
        return
    first, last = (version if folded.seen(version) else 0 for version in (first, last))
    changes = {each["field"]: (each["from"], each["to"]) for each in told["changes"] if not each["erased"]}
    for field in {*folded.versions[first], *folded.versions[last]}:
        was, now = folded.value(first, field), folded.value(last, field)
        if was == now or (was in NOTHING and now in NOTHING):
            assert field not in changes
        elif not folded.erased(field):
            assert changes[field] == (was, now)
    assert [each["version"] for each in told["events"]["nodes"]] == list(range(last, first, -1))


async def compare(histories, seed, steps, count):
    random, found = Random(seed), await histories(seed, steps, ALL, SalesHistory)
    for history in found.values():
        history.streams["Member"] = [history.member]
    oracles = {who: await Oracle.of(each) for who, each in found.items()}
    explained: Counter[str] = Counter()
    for _ in range(count):
        who = random.choices(list(found), [9, 1])[0]
        history, oracle = found[who], oracles[who]
        kind = random.choice([kind for kind, streams in history.streams.items() if streams])
        stream = random.choice(history.streams[kind])
        folded, id_ = Folded(kind, oracle.facts[stream]), ids.encode(kind, stream)
        known = [name for name in folded.versions[-1] if name not in KINDS[kind].elsewhere]
        field = random.choice([name for name in known if not folded.erased(name)])
        moments = sorted((oracle.moment(random) for _ in range(2)), key=lambda one: one[1] or 0)
        since, until = [(as_of, folded.version(at or 0)) for as_of, at in moments]
        await check_history(history, id_, folded, field, until)
        await check_explain(history, id_, folded, field, until)
        await check_diff(history, id_, folded, since, until)
        explained[kind] += folded.seen(until[1])
    return explained


@pytest.mark.parametrize("stride", [folding.STRIDE, 2])
async def test_60_values_of_a_random_history_are_what_the_events_say(histories, monkeypatch, stride):
    """With records that count as long, too: they are folded piece by piece, from what was kept."""
    monkeypatch.setattr(folding, "STRIDE", stride)

    assert (await compare(histories, 11, 200, 60)).total() > 15


@pytest.mark.slow
async def test_1000_values_of_a_long_random_history_are_what_the_events_say(histories):
    explained = await compare(histories, 12, 1_000, 1_000)

    assert explained.total() > 250
    assert +explained == {kind: explained[kind] for kind in KINDS}, "some of every kind"
