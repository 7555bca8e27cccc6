"""Changes of many records in one mutation: all or none in one append, or row by row, each row a command of its own."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from crm_es.api.payloads import Deed
from crm_es.api.references import Reference, absent, beyond_reach, located, missing, pointing
from crm_es.api.refusals import REFUSALS
from crm_es.api.remembered import noted, told
from crm_es.errors import ConflictError, CrmError, FieldPath, InvalidInputError, VersionConflictError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Dated, Event, Fact, camel
from crm_es.eventstore.merging import check_edits, unknown_version
from crm_es.eventstore.states import fold
from crm_es.eventstore.store import Decided, Outcome
from crm_es.occasions import check_happened, undated
from crm_es.workspaces.actions import Action

MOST: Final = 1_000
AT_ONCE: Final = 16
TRIES: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One row. `place` is its path in the input; `taken` the places of values that must be unique, below it.

    What `decide` has not dated itself happened at `occurred_at`.
    """

    id: UUID
    place: FieldPath
    decide: Callable[[Any], Sequence[Event | Dated]]
    expected_version: int | None = None
    occurred_at: datetime | None = None
    lists: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[tuple[str, str], FieldPath] = field(default_factory=dict)

    def events(self, state: Any) -> list[Event | Dated]:
        at = self.occurred_at
        return [one if at is None or isinstance(one, Dated) else Dated(one, at) for one in self.decide(state)]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a row: the record it changed (of an absorbed id, the survivor), or why it was refused."""

    id: UUID | None
    error: CrmError | None = None


Row = Change | CrmError


def check_length(rows: Sequence[Any], field_name: str) -> None:
    """Raises: InvalidInputError."""
    if len(rows) > MOST:
        raise InvalidInputError(f"At most {MOST:,} at once.", rule="batch.too_long", field=(field_name,))


Parse = Callable[[Deed, Any, FieldPath], tuple[Change, Iterable[Reference]]]
"""An input's row as a change, and the records it names."""


async def rows(  # noqa: PLR0917  # what is asked, of whom, by what right
    deed: Deed, given: Sequence[Any], field_name: str, cls: type[Any], action: Action, parse: Parse
) -> list[Row]:
    """Each row of an input as a change, or why it cannot be one. Raises: InvalidInputError for too many."""
    check_length(given, field_name)
    found: list[Row] = []
    references: list[Reference] = []
    for index, each in enumerate(given):
        place = (field_name, str(index))
        try:
            _check_envelope(each, deed.context.now)
            parsed, named = parse(deed, each, place)
            references += [Reference(one.aggregate, one.id, (*place, *one.field)) for one in named]
            found.append(parsed)
        except REFUSALS as error:
            found.append(located(error, place=place))
    reached = {row.id: (*row.place, "id") for row in found if isinstance(row, Change)}
    faults = [*await missing(deed, references), *await beyond_reach(deed, action, cls, reached)]
    refused: dict[str, CrmError] = {error.field[1]: error for error in faults}
    return [refused.get(str(index), row) for index, row in enumerate(found)]


def _check_envelope(row: Any, now: datetime) -> None:
    check_happened(row.occurred_at, now)
    for name in ("command_id", "reason"):
        if getattr(row, name):
            message = f"In a batch {camel(name)} stands on the batch."
            raise InvalidInputError(message, rule="batch.row_envelope", field=(camel(name),))


async def change(
    deed: Deed, aggregate: Aggregate[Any, Any], rows: Sequence[Row], *, all_or_none: bool
) -> tuple[Outcome, list[Done]]:
    """Of a batch that must be done whole, the refused rows are all that is answered."""
    if not all_or_none:
        return await _row_by_row(deed, aggregate, rows)
    refused = [Done(None, row) for row in rows if isinstance(row, CrmError)]
    if refused:
        return await _refused(deed, refused)
    return await _all(deed, aggregate, [row for row in rows if isinstance(row, Change)])


# All or none


async def _refused(deed: Deed, refused: list[Done]) -> tuple[Outcome, list[Done]]:
    """Unless it was done before: what is in the way now was not then."""
    seen = await deed.store.seen(deed.command)
    return (seen, [Done(id_) for id_ in seen.ids]) if seen else (Outcome(position=None, log_id=None), refused)


class _StaleError(Exception):
    """These streams went on since the versions that rows expect: their facts are needed to tell what met."""

    def __init__(self, streams: Mapping[UUID, int]) -> None:
        super().__init__(streams)
        self.streams = streams


async def _all(deed: Deed, aggregate: Aggregate[Any, Any], rows: Sequence[Change]) -> tuple[Outcome, list[Done]]:
    targets, refused = await _targets(deed, aggregate, rows)
    if refused:
        return await _refused(deed, refused)
    decision = _Decision(aggregate, rows, targets)
    places = {key: (*row.place, *place) for row in rows for key, place in row.taken.items()}
    for _ in range(TRIES):
        try:
            async with pointing(deed, places):
                outcome = await deed.store.transact(deed.command, [(aggregate, id_) for id_ in targets], decision)
        except _StaleError as stale:
            decision.facts |= {
                (id_, version): await deed.store.facts(deed.command.workspace, id_, upto=version)
                for id_, version in stale.streams.items()
            }
            continue
        except _RefusedError as error:
            return Outcome(position=None, log_id=None), [Done(None, one) for one in error.refused]
        return outcome, [Done(id_) for id_ in outcome.ids]
    raise ConflictError("These records are being changed too fast. Try again.", rule="record.busy")


async def _targets(deed: Deed, aggregate: Aggregate[Any, Any], rows: Sequence[Change]) -> tuple[list[UUID], list[Done]]:
    """Where each row really goes: the survivor's stream for an absorbed id. A record named twice is refused."""
    loaded = await deed.store.load_many(aggregate, deed.command.workspace, {row.id for row in rows})
    targets: list[UUID] = []
    refused: list[Done] = []
    for row in rows:
        target = await _survivor(deed, aggregate, loaded.get(row.id))
        if target is None:
            refused.append(Done(None, absent(aggregate.name, (*row.place, "id"))))
        elif target in targets:
            message = "This record is in the batch already."
            refused.append(Done(None, InvalidInputError(message, rule="batch.twice", field=(*row.place, "id"))))
        else:
            targets.append(target)
    return targets, refused


async def _survivor(deed: Deed, aggregate: Aggregate[Any, Any], loaded: Loaded[Any] | None) -> UUID | None:
    if loaded is not None and aggregate.merged_into(loaded.state) is not None:
        loaded = await deed.store.load(aggregate, deed.command.workspace, loaded.id)
    return None if loaded is None else loaded.id


class _RefusedError(Exception):
    def __init__(self, refused: Sequence[CrmError]) -> None:
        super().__init__(refused)
        self.refused = refused


@dataclass(slots=True)
class _Decision:
    aggregate: Aggregate[Any, Any]
    rows: Sequence[Change]
    targets: Sequence[UUID]
    facts: dict[tuple[UUID, int], list[Fact]] = field(default_factory=dict)

    def __call__(self, loaded: Mapping[UUID, Loaded[Any] | None]) -> Decided:
        events: dict[UUID, list[Event | Dated]] = {}
        refused: list[CrmError] = []
        stale: dict[UUID, int] = {}
        for row, target in zip(self.rows, self.targets, strict=True):
            there = loaded[target]
            if there is None:
                refused.append(absent(self.aggregate.name, (*row.place, "id")))
                continue
            try:
                events[target] = row.events(there.state)
                if self._is_stale(row, there, events[target]):
                    stale[target] = there.version
            except REFUSALS as error:
                refused.append(located(error, lists=row.lists, place=row.place))
        if stale:
            raise _StaleError(stale)
        if refused:
            raise _RefusedError(refused)
        via = {target: row.id for row, target in zip(self.rows, self.targets, strict=True) if row.id != target}
        return Decided(events=events, ids=list(self.targets), via=via)

    def _is_stale(self, row: Change, there: Loaded[Any], events: Sequence[Event | Dated]) -> bool:
        """Whether facts are missing to compare with. Raises: VersionConflictError, InvalidInputError."""
        expected = row.expected_version
        if expected is None or expected == there.version or not events:
            return False
        if not 1 <= expected <= there.version:
            raise unknown_version(expected)
        facts = self.facts.get((there.id, there.version))
        if facts is None:
            return True
        check_edits(self.aggregate, facts, expected, undated(events))
        return False


# Row by row


async def _row_by_row(deed: Deed, aggregate: Aggregate[Any, Any], rows: Sequence[Row]) -> tuple[Outcome, list[Done]]:
    """The batch's command is claimed first; a repeated batch finds each row's own command again, done or refused."""
    claim = await deed.store.create_many(deed.command, [])
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, row: Row) -> tuple[Outcome, Done]:
        command = replace(deed.command, command_id=uuid5(deed.command.command_id, str(number)))
        async with room:
            return await _one(replace(deed, command=command), aggregate, row)

    found = await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))
    newest = max((outcome for outcome, _ in found), key=lambda each: each.log_id or 0, default=claim)
    newest = newest if newest.log_id else claim
    return replace(newest, replayed=claim.replayed, ids=(), refusals=()), [done for _, done in found]


async def _one(deed: Deed, aggregate: Aggregate[Any, Any], row: Row) -> tuple[Outcome, Done]:
    """A refusal is kept under the row's command: a repeat is told of it, though the row could be done by then."""
    refused = None
    try:
        outcome = await _done(deed, aggregate, row)
    except REFUSALS as error:
        refused = error
        outcome = await deed.store.create_many(deed.command, [], refusals=[noted(error)])
    if not outcome.refusals:
        return outcome, Done(outcome.ids[0])
    if outcome.replayed or refused is None:
        refused = await _again(deed, aggregate, row, outcome.refusals[0])
    return outcome, Done(None, refused)


async def _done(deed: Deed, aggregate: Aggregate[Any, Any], row: Row) -> Outcome:
    """Raises: what the row is refused for, its field as the input has it."""
    if isinstance(row, CrmError):
        raise row
    try:
        async with pointing(deed, row.taken):
            return await deed.store.decide(
                deed.command, aggregate, row.id, row.events, expected_version=row.expected_version
            )
    except REFUSALS as error:
        if not error.field and error.rule == "record.not_found":
            error = absent(aggregate.name, ("id",))
        raise located(error, lists=row.lists, place=row.place) from None


async def _again(deed: Deed, aggregate: Aggregate[Any, Any], row: Row, note: Mapping[str, Any]) -> CrmError:
    """The refusal a command remembers; the values that met in a conflict are read from the log again."""
    error = told(note)
    if isinstance(error, VersionConflictError) and isinstance(row, Change) and row.expected_version:
        stream, _ = error.conflicts[0].event
        facts = await deed.store.facts(deed.command.workspace, stream, upto=error.current_version)
        try:
            state = fold(aggregate, None, facts)
            check_edits(aggregate, facts, row.expected_version, undated(row.decide(state and state.state)))
        except REFUSALS as found:  # of somebody erased since, nothing can be read again
            return found.at(*error.field) if isinstance(found, VersionConflictError) else error
    return error
