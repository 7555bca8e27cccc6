"""Taking back what some streams hold, in one append: planned on their facts, decided where they still stand so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from crm_es.catalog import AGGREGATES
from crm_es.contacts import unmerging
from crm_es.contacts.contact_events import ContactAbsorbed, ContactMerged
from crm_es.errors import ConflictError, CrmError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Command, Dated, Event, Fact, WorkspaceId
from crm_es.eventstore.states import fold
from crm_es.eventstore.store import Decided, Outcome, Store
from crm_es.occasions import Occasion
from crm_es.reverting.plan import Skip, Undoing, Why, undo
from crm_es.reverting.target import Touched
from crm_es.service import ticket_merging
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketAbsorbed, TicketMerged

TRIES: Final = 5
MERGES: Final = (ContactMerged, TicketMerged)
HALVES: Final = (ContactAbsorbed, TicketAbsorbed)
BY_NAME: Final[Mapping[str, Aggregate[Any, Any]]] = {each.name: each for each in AGGREGATES}
Appended = Sequence[Event | Dated]


class _OvertakenError(Exception):
    """A stream has events that were not looked at."""


@dataclass(slots=True)
class Undone:
    """What became of the events of some streams; `commands` are those of which nothing stays."""

    events: dict[UUID, Appended] = field(default_factory=dict)
    undone: list[Fact] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    @property
    def commands(self) -> list[UUID]:
        return list({one.command_id for one in self.undone} - {one.fact.command_id for one in self.skipped})

    def add(self, stream: UUID, found: Undoing) -> None:
        if found.events:
            self.events[stream] = found.events
        self.undone += found.undone
        self.skipped += found.skipped

    def noted(self) -> dict[str, Any]:
        """As its command remembers it: no values."""
        return {
            "undone": [_place(one) for one in self.undone],
            "skipped": [[_place(one.fact), one.by and _place(one.by), one.why.value] for one in self.skipped],
            "commands": [str(one) for one in self.commands],
        }


def _place(fact: Fact) -> list[Any]:
    return [str(fact.stream), fact.version]


async def revert(store: Store, command: Command, streams: Sequence[Touched]) -> Outcome:
    """Append what takes these back; its note is the outcome's one refusal. Raises: ConflictError, CommandReusedError."""
    for _ in range(TRIES):
        if not command.fresh and (seen := await store.seen(command)) is not None:
            return seen
        facts, found = await plan(store, command.workspace, streams)
        try:
            targets = [(_aggregate(facts[stream]), stream) for stream in found.events]
            return await store.transact(command, targets, lambda loaded: _decided(loaded, facts, found))  # noqa: B023
        except _OvertakenError:
            continue
    raise ConflictError("These records are being changed too fast. Try again.", rule="record.busy")


def _decided(loaded: Mapping[UUID, Loaded[Any] | None], facts: Mapping[UUID, Sequence[Fact]], found: Undone) -> Decided:
    for stream, one in loaded.items():
        if one is None or one.version != facts[stream][-1].version:
            raise _OvertakenError
    return Decided(events=found.events, ids=(), refusals=(found.noted(),))


async def plan(
    store: Store, workspace: WorkspaceId, streams: Sequence[Touched]
) -> tuple[Mapping[UUID, Sequence[Fact]], Undone]:
    """What would be done now, and the facts of the streams it was planned on."""
    facts: dict[UUID, Sequence[Fact]] = dict(await store.histories(workspace, [each.stream for each in streams]))
    found, at = Undone(), datetime.now(UTC)
    for each in streams:
        merges = [one for one in facts[each.stream] if one.version in each.versions and isinstance(one.event, MERGES)]
        for merge in sorted(merges, key=lambda one: -one.version):
            await _unmerge(store, facts, found, merge, at)
    for each in streams:
        versions = {version for version in each.versions if not _is_half(facts[each.stream][version - 1])}
        if versions and each.stream not in found.events:
            found.add(each.stream, undo(BY_NAME[each.aggregate], facts[each.stream], versions, at=at))
    await _leave_taken(store, workspace, facts, found)
    return facts, found


def _is_half(fact: Fact) -> bool:
    return isinstance(fact.event, (*MERGES, *HALVES))


def _aggregate(facts: Sequence[Fact]) -> Aggregate[Any, Any]:
    return BY_NAME[facts[0].topic.partition(".")[0]]


# Merges: both streams at once


async def _unmerge(store: Store, facts: dict[UUID, Sequence[Fact]], found: Undone, merge: Fact, at: datetime) -> None:
    absorbed_id: UUID = merge.event.absorbed_id  # type: ignore[attr-defined]  # MERGES have it
    if absorbed_id not in facts:
        facts |= await store.histories(merge.workspace, [absorbed_id])
    half = next(
        (one for one in facts[absorbed_id] if isinstance(one.event, HALVES) and one.command_id == merge.command_id),
        None,
    )
    both = [merge] if half is None else [merge, half]
    try:
        events = await _unmerged(store, facts, merge, absorbed_id, at)
    except CrmError:
        events = {}
    if not events or found.events.keys() & events.keys():
        later = next(
            (one for one in facts[merge.stream][merge.version :] if isinstance(one.event, (*MERGES, *HALVES))), None
        )
        found.skipped += [Skip(one, Why.UNMERGED, later) for one in both]
        return
    found.events |= events
    found.undone += both


async def _unmerged(
    store: Store, facts: Mapping[UUID, Sequence[Fact]], merge: Fact, absorbed_id: UUID, at: datetime
) -> dict[UUID, Appended]:
    """Raises: CrmError, where this is not the merge that stands."""
    aggregate, history = _aggregate(facts[merge.stream]), facts[merge.stream]
    survivor, absorbed = fold(aggregate, None, history), fold(aggregate, None, facts[absorbed_id])
    if survivor is None or absorbed is None:
        return {}
    if aggregate is TICKET:
        return dict(ticket_merging.unmerge(survivor, absorbed, history, on=Occasion(at, said=False)))
    first = unmerging.unmerge(survivor, history, absorbed)
    holders = await store.holders(merge.workspace, unmerging.values_of(survivor, absorbed, first))
    done = unmerging.unmerge(survivor, history, absorbed, holders=holders)
    return {survivor.id: done.survivor, absorbed.id: done.absorbed}


# Unique values that others took


async def _leave_taken(
    store: Store, workspace: WorkspaceId, facts: Mapping[UUID, Sequence[Fact]], found: Undone
) -> None:
    """What would take a value that another record has by now stays as it is."""
    merged = {one.stream for one in found.undone if _is_half(one)}
    wanted = {stream: _newly(facts[stream], events) for stream, events in found.events.items() if stream not in merged}
    values = {value for each in wanted.values() for value in each}
    holders = await store.holders(workspace, values) if values else {}
    for stream, taken in wanted.items():
        if any(holders.get(value, stream) != stream for value in taken):
            _leave(found, stream)


def _newly(facts: Sequence[Fact], events: Appended) -> Collection[tuple[str, str]]:
    aggregate = _aggregate(facts)
    loaded = fold(aggregate, None, facts)
    if loaded is None:
        return ()
    state = loaded.state
    for one in events:
        state = aggregate.evolve(state, one.event if isinstance(one, Dated) else one)
    before, after = (aggregate.reservations(loaded.id, each) for each in (loaded.state, state))
    return {(one.kind, one.value) for one in after - before}


def _leave(found: Undone, stream: UUID) -> None:
    del found.events[stream]
    found.skipped += [Skip(one, Why.TAKEN) for one in found.undone if one.stream == stream]
    found.undone = [one for one in found.undone if one.stream != stream]
