"""What the API must answer as of a position: the streams folded up to there, and nothing else of ours asked.

Merged contacts stand for their survivors on timelines; what a redaction cut is cut at every position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from crm_es.api import ids
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import Fact, values_set
from crm_es.interactions.interaction import INTERACTION, Interaction, InteractionRedacted, Participant
from tests.oracle.history import History

AGGREGATES = {"Contact": CONTACT, "Company": COMPANY, "Interaction": INTERACTION}
NOT_ASKED = {"primaryPhone", "deal", "ticket"}
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
      company { id } member { id } visibility internal createdAt updatedAt""",
}
SETS = {
    "Contact": ("absorbed", "externalIds", "tags"),
    "Company": ("externalIds", "domains", "tags"),
    "Interaction": ("contacts",),
}


@dataclass
class Oracle:
    """A workspace's facts, read once from the streams."""

    history: History
    facts: dict[UUID, list[Fact]]

    @classmethod
    async def of(cls, history: History) -> "Oracle":
        streams = [stream for kind in history.streams.values() for stream in kind]
        return cls(history, await history.store.histories(history.workspace, streams))

    @property
    def log(self) -> list[Fact]:
        return sorted((fact for stream in self.facts.values() for fact in stream), key=lambda fact: fact.position)

    def ends(self) -> list[Fact]:
        """The last fact of each append."""
        log = self.log
        return [one for one, after in pairwise(log) if one.command_id != after.command_id] + log[-1:]

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
            name: _plain(value, at) for name, value in aggregate.fields(found.state).items() if name not in NOT_ASKED
        }
        said |= {
            "id": ids.encode(kind, stream, at), "liveId": ids.encode(kind, stream), "version": before[-1].version,
            "createdAt": before[0].recorded_at, "updatedAt": before[-1].recorded_at,
        }  # fmt: skip
        if kind == "Interaction":
            said |= self._redacted(stream, at) | {"contacts": self._meant(found.state, at)}
        if kind == "Contact":
            said |= await self._counted(stream, at)
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
            events = [fact.event for fact in self.facts[stream] if fact.position <= at]
            state = None
            for event in events:
                state = INTERACTION.evolve(state, event)
            if state and not state.retracted and contact in {means.get(c, c) for c in state.contact_ids}:
                found.append(state.occurred_at)
        return {"interactionCount": len(found), "lastInteractionAt": max(found, default=None)}


def _plain(value: Any, at: int) -> Any:
    if isinstance(value, Ref):
        return {"id": ids.encode(value.type, value.id, at)}
    if isinstance(value, Mapping):
        return {name: _plain(one, at) for name, one in value.items()}
    return [_plain(one, at) for one in value] if isinstance(value, list) else value


def _participant(one: Participant, at: int) -> dict[str, Any]:
    def ref(kind: str, id_: UUID | None) -> dict[str, str] | None:
        return {"id": ids.encode(kind, id_, at)} if id_ else None

    who = {"contact": ref("Contact", one.contact_id), "member": ref("Member", one.member_id)}
    return {"part": one.part.value, "address": one.address} | who


def normal(kind: str, answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same answer in one form: unordered lists sorted, times as times."""
    if answer is None:
        return None
    made = dict(answer)
    for name in SETS[kind]:
        made[name] = made[name] and sorted(made[name], key=str)
    for name in ("createdAt", "updatedAt", "occurredAt", "lastInteractionAt"):
        if isinstance(made.get(name), str):
            made[name] = datetime.fromisoformat(made[name])
    return made
