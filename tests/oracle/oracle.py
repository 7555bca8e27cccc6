"""What the API must answer as of a position: the streams folded up to there, and nothing else of ours asked.

Merged contacts stand for their survivors on timelines; what a redaction cut is cut at every position.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

from crm_es.api import ids
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import Fact, values_set
from crm_es.interactions.interaction import INTERACTION, Interaction, InteractionRedacted, Participant
from crm_es.service.queue import QUEUE
from crm_es.service.sla_policy import stream_of, terms, version_id
from crm_es.service.ticket_aggregate import TICKET
from tests.oracle.history import History
from tests.oracle.tickets import DEPTH, Tickets, ref

AGGREGATES = {"Contact": CONTACT, "Company": COMPANY, "Interaction": INTERACTION, "Queue": QUEUE, "Ticket": TICKET}
NOT_ASKED = {"primaryPhone", "deal", "articles"}
ADDRESS = "addresses { label lines postalCode city region country }"
FIELDS = {
    "Contact": f"""id liveId version recordStatus displayName givenName familyName primaryEmail
      emails {{ address label primary verified }} phones {{ number label primary }} identities {{ channel externalId verified }}
      externalIds {{ system value }} {ADDRESS} jobTitle source lifecycleStage company {{ id }} owner {{ id }} tags
      mergedInto {{ id }} absorbed {{ id }} interactionCount lastInteractionAt createdAt updatedAt""",
    "Company": f"""id liveId version recordStatus name domains parent {{ id }} industry annualRevenue {{ amount currency }}
      employeeCount foundedYear country {ADDRESS} owner {{ id }} tags externalIds {{ system value }} createdAt updatedAt""",
    "Interaction": """id liveId version type direction channel externalId subject body bodyFormat occurredAt durationSeconds
      amount { amount currency } quantity contacts { id } participants { part contact { id } member { id } address }
      company { id } ticket { id } member { id } visibility internal createdAt updatedAt""",
    "Queue": f"""id liveId version name reopenDays autoCloseDays depth(at: "{DEPTH.isoformat()}")
      externalIds {{ system value }}
      counts {{ open unassigned inProgress onHold }} waiting(first: 1) {{ totalCount }} createdAt updatedAt""",
    "Ticket": """id liveId version number title status holdReason priority type tags queue { id } assignee { id } requester { id }
      company { id } mergedInto { id } absorbed { id } followUpOf { id } splitFrom { id } openedAt resolvedAt closedAt
      firstRespondedAt resolution satisfaction satisfactionComment slaDueAt externalIds { system value } createdAt updatedAt
      statusIntervals { status holdReason queue { id } assignee { id } from to } conversation(first: 1) { totalCount }""",
}
TIMES = ("from", "to")
SETS = {
    "Contact": ("absorbed", "externalIds", "tags"),
    "Company": ("externalIds", "domains", "tags"),
    "Interaction": ("contacts",),
    "Queue": ("externalIds",),
    "Ticket": ("absorbed", "externalIds", "tags"),
}


@dataclass
class Oracle:
    """A workspace's facts, read once from the streams."""

    history: History
    facts: dict[UUID, list[Fact]]
    desk: Tickets
    _states: dict[UUID, list[Interaction | None]] = field(default_factory=dict)

    @classmethod
    async def of(cls, history: History) -> "Oracle":
        streams = [stream for kind in history.streams.values() for stream in kind]
        facts = await history.store.histories(history.workspace, streams)
        gold = stream_of(history.workspace, "Gold")
        said = await history.store.facts(history.workspace, gold)
        policies = {version_id(gold, fact.version): terms(gold, fact.version, fact.event) for fact in said}
        return cls(history, facts | {gold: said}, Tickets(facts, history.streams, policies))

    @cached_property
    def log(self) -> list[Fact]:
        return sorted((fact for stream in self.facts.values() for fact in stream), key=lambda fact: fact.position)

    @cached_property
    def ends(self) -> list[Fact]:
        """The last fact of each append."""
        log = self.log
        return [one for one, after in pairwise(log) if one.command_id != after.command_id] + log[-1:]

    def moment(self, random: Random) -> tuple[dict[str, str], int | None]:
        """A position or time, and the position of the last append that ended by then. Positions within appends too."""
        ends, fact = self.ends, random.choice(self.log)
        if random.random() < 0.5:
            at = max((end.position for end in ends if end.position <= fact.position), default=None)
            return {"position": str(fact.position)}, at
        time = fact.recorded_at - random.choice([timedelta(), timedelta(microseconds=1)])
        at = max((end.position for end in ends if end.recorded_at <= time), default=None)
        return {"time": time.isoformat()}, at

    async def answer(self, kind: str, stream: UUID, at: int) -> dict[str, Any] | None:
        """Of a position where an append ends."""
        before = [fact for fact in self.facts[stream] if fact.position <= at]
        if not before:
            return None
        aggregate = AGGREGATES[kind]
        found = await self.history.store.load(aggregate, self.history.workspace, stream, at_version=before[-1].version)
        if isinstance(found.state, Interaction) and found.state.retracted:
            return None
        said = {
            name: plain(value, at) for name, value in aggregate.fields(found.state).items() if name not in NOT_ASKED
        }
        said |= {
            "id": ids.encode(kind, stream, at), "liveId": ids.encode(kind, stream), "version": before[-1].version,
            "createdAt": before[0].recorded_at, "updatedAt": before[-1].recorded_at,
        }  # fmt: skip
        if kind == "Interaction":
            said |= self._redacted(stream, at) | {"contacts": self._meant(found.state, at)}
            said |= {"ticket": ref("Ticket", self.desk.ticket_of(found.state, at), at)}
        if kind == "Contact":
            said |= await self._counted(stream, at)
        if kind == "Ticket":
            said |= self.desk.shown(stream, at, self._means(at))
        if kind == "Queue":
            said |= self.desk.counted(stream, at)
        return normal(kind, said)

    def _redacted(self, stream: UUID, at: int) -> dict[str, Any]:
        cut = [f.event for f in self.facts[stream] if f.position > at and isinstance(f.event, InteractionRedacted)]
        if not cut:
            return {}
        kept = values_set(cut[-1], ("subject", "body", "external_id", "participants"))
        who = [_participant(one, at) for one in kept.get("participants", ())]
        return {
            "subject": kept.get("subject"), "body": kept.get("body"), "externalId": kept.get("external_id"),
            "participants": who,
        }  # fmt: skip

    def _means(self, at: int) -> dict[UUID, UUID]:
        """Whom each absorbed id means."""
        means: dict[UUID, UUID] = {}
        for fact in self.log:
            match fact.event:
                case ContactMerged(absorbed_ids=absorbed) if fact.position <= at:
                    means |= dict.fromkeys(absorbed, fact.stream)
                case ContactReleased(absorbed_ids=absorbed, absorbed_id=target) if fact.position <= at:
                    means |= dict.fromkeys(absorbed, target)
                case _:
                    pass
        return means

    def _meant(self, state: Interaction, at: int) -> list[dict[str, str]]:
        means = self._means(at)
        return [{"id": ids.encode("Contact", one, at)} for one in {means.get(c, c) for c in state.contact_ids}]

    async def _counted(self, contact: UUID, at: int) -> dict[str, Any]:
        """Interactions of the contact and of all merged into it."""
        means, found = self._means(at), list[datetime]()
        for stream in self.history.streams["Interaction"]:
            state = self._folded(stream, sum(fact.position <= at for fact in self.facts[stream]))
            if state and not state.retracted and contact in {means.get(c, c) for c in state.contact_ids}:
                found.append(state.occurred_at)
        return {"interactionCount": len(found), "lastInteractionAt": max(found, default=None)}

    def _folded(self, stream: UUID, version: int) -> Interaction | None:
        """By its own events alone, one after the other; kept, since every contact that is asked for counts them all."""
        known = self._states.setdefault(stream, [None])
        for fact in self.facts[stream][len(known) - 1 : version]:
            known.append(INTERACTION.evolve(known[-1], fact.event))
        return known[version]


def plain(value: Any, at: int) -> Any:
    if isinstance(value, Ref):
        return {"id": ids.encode(value.type, value.id, at)}
    if isinstance(value, Mapping):
        return {name: plain(one, at) for name, one in value.items()}
    return [plain(one, at) for one in value] if isinstance(value, list) else value


def _participant(one: Participant, at: int) -> dict[str, Any]:
    who = {"contact": ref("Contact", one.contact_id, at), "member": ref("Member", one.member_id, at)}
    return {"part": one.part.value, "address": one.address} | who


def normal(kind: str, answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same answer in one form: unordered lists sorted, times as times."""
    if answer is None:
        return None
    made = dict(answer)
    for name in SETS[kind]:
        made[name] = made[name] and sorted(made[name], key=str)
    return _timed(made)


def _timed(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _timed(item, each) for each, item in value.items()}
    if isinstance(value, list):
        return [_timed(each, name) for each in value]
    return datetime.fromisoformat(value) if isinstance(value, str) and (name.endswith("At") or name in TIMES) else value
