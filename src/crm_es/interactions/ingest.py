"""Recording many interactions at once: references looked up together, what was seen before answered by the first one, tickets
told of what was written on them.

Nothing here is about GraphQL types: rows come parsed from `inputs.py`, `mutations.py` makes payloads of the answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID, uuid5

from crm_es.api import remembered
from crm_es.api.payloads import Deed
from crm_es.api.references import Reference, absent, beyond_reach, located, missing
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.errors import AlreadyExistsError, ConflictError, CrmError, FieldPath
from crm_es.eventstore.event import Command
from crm_es.eventstore.store import Outcome
from crm_es.interactions import recording
from crm_es.interactions.inputs import Row
from crm_es.interactions.interaction import INTERACTION
from crm_es.occasions import dated
from crm_es.sales.deal import DEAL
from crm_es.service import messages
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketEvent
from crm_es.service.ticket_graphql import Ticket
from crm_es.uuids import new_ids
from crm_es.workspaces.actions import Action
from crm_es.workspaces.member import MEMBER

CHUNK: Final = 200
TRIES: Final = 5
NOBODY: Final = UUID(int=0)
SEEN_BEFORE: Final = "interaction.seen_before"


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a row. `created` is False for one that was there already."""

    id: UUID | None
    created: bool
    error: CrmError | None = None


@dataclass(slots=True)
class New:
    """What is to be appended: streams, each with the place of its row, and what tickets are told."""

    streams: list[messages.Stream] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    messages: dict[UUID, list[TicketEvent]] = field(default_factory=dict)


@dataclass(slots=True)
class Known:
    """What the rows name, as the store has it."""

    contacts: Mapping[tuple[str, str], UUID]
    interactions: dict[str, UUID]
    missing: Mapping[FieldPath, CrmError]


async def record_all(deed: Deed, rows: Sequence[Row | CrmError]) -> tuple[Outcome, list[Answered]]:
    """All or none, in one append. Where one row is refused nothing was recorded, and all answers say why not."""
    return await _record(deed, deed.command, rows)


async def record_each(deed: Deed, rows: Sequence[Row | CrmError]) -> tuple[Outcome, list[Answered]]:
    """What can be recorded, in appends of 200 rows, each a command of its own that a repeated batch finds again."""
    claim = await deed.store.create_many(deed.command, [])
    outcomes, answers = [claim], list[Answered]()
    for start in range(0, len(rows), CHUNK):
        command = replace(deed.command, command_id=uuid5(deed.command.command_id, str(start // CHUNK)))
        outcome, found = await _record(deed, command, rows[start : start + CHUNK], leniently=True)
        outcomes.append(outcome)
        answers += found
    newest = max(outcomes, key=lambda one: one.log_id or 0)
    return replace(newest, replayed=claim.replayed), answers


async def _record(
    deed: Deed, command: Command, rows: Sequence[Row | CrmError], *, leniently: bool = False
) -> tuple[Outcome, list[Answered]]:
    """Looked up and decided again where somebody else recorded one of them meanwhile."""
    for _ in range(TRIES):
        answers, new = await _decided(deed, rows)
        if not leniently and any(answer.error for answer in answers):
            seen = await deed.store.seen(command)
            return (seen, _remembered(seen)) if seen else (Outcome(position=None, log_id=None), answers)
        try:
            outcome = await messages.append(
                deed, _by_row(command, new.rows, len(rows)), new.streams, new.messages,
                ids=[answer.id or NOBODY for answer in answers], refusals=list(_memory(answers)),
            )  # fmt: skip
        except AlreadyExistsError as error:
            if error.kind != INTERACTION.name:
                raise
            continue
        return outcome, _remembered(outcome) if outcome.replayed else answers
    raise ConflictError("Others record the same interactions just now. Try again.", rule="record.busy")


def _by_row(command: Command, rows: Sequence[int], of: int) -> Command:
    """Of an import: which row of the file each stream came from; `rows` are their places in a batch of so many."""
    source = command.origin.import_
    if source is None or len(source.rows) != of:
        return command
    numbered = replace(source, rows=tuple(source.rows[place] for place in rows))
    return replace(command, origin=replace(command.origin, import_=numbered))


async def _decided(deed: Deed, rows: Sequence[Row | CrmError]) -> tuple[list[Answered], New]:
    known = await _known(deed, [row for row in rows if isinstance(row, Row)])
    answers: list[Answered] = []
    new = New()
    ids = iter(new_ids(len(rows)))
    for place, row in enumerate(rows):
        if isinstance(row, CrmError):
            answers.append(Answered(None, created=False, error=row))
        elif row.key is not None and (first := known.interactions.get(row.key)) is not None:
            answers.append(Answered(first, created=False))
        else:
            answers.append(_new(deed, row, known, next(ids), new))
            new.rows += [place] * (len(new.streams) - len(new.rows))
    return answers, new


def _new(deed: Deed, row: Row, known: Known, id_: UUID, new: New) -> Answered:
    try:
        contacts = [*row.given["contact_ids"], *_called(row, known)]
        identity = deed.context.identity
        events = recording.record(
            **(row.given | {"contact_ids": contacts}),
            member_id=identity.member_id, by_api_key=identity.api_key_id is not None,
            internal=messages.is_internal(row.given),
        )  # fmt: skip
        _check_references(row, known)
    except CrmError as error:
        return Answered(None, created=False, error=located(error, place=row.place))
    if row.key is not None:
        known.interactions[row.key] = id_
    new.streams.append((INTERACTION, id_, dated(events)))
    if told := messages.told(row.given, id_):
        new.messages.setdefault(row.given["ticket_id"], []).extend(told)
    return Answered(id_, created=True)


def _called(row: Row, known: Known) -> Iterator[UUID]:
    for place, key in row.callers:
        found = known.contacts.get(("external_id", key))
        if found is None:
            raise absent("contact", place)
        yield found


async def _known(deed: Deed, rows: Sequence[Row]) -> Known:
    keys = {("interaction", row.key) for row in rows if row.key is not None}
    callers = {("external_id", key) for row in rows for _, key in row.callers}
    held = await deed.store.holders(deed.command.workspace, keys | callers) if keys or callers else {}
    references = [reference for row in rows for reference in _references(row)]
    lost = [*await missing(deed, references), *await out_of_sight(deed, references)]
    interactions = {key: id_ for (kind, key), id_ in held.items() if kind == "interaction"}
    return Known(contacts=held, interactions=interactions, missing={error.field: error for error in lost})


async def out_of_sight(deed: Deed, references: Sequence[Reference]) -> list[CrmError]:
    """The tickets that the actor does not see: what is written on a ticket is told to it, and its clocks go by that."""
    named = {one.id: (str(one.id),) for one in references if one.aggregate is TICKET}
    hidden = {error.field for error in await beyond_reach(deed, Action.READ, Ticket, named)}
    return [absent(TICKET.name, one.field) for one in references if named.get(one.id) in hidden]


def _references(row: Row) -> Iterator[Reference]:
    given, place = row.given, row.place
    for index, id_ in enumerate(given["contact_ids"]):
        yield Reference(CONTACT, id_, (*place, "contactIds", str(index)))
    if given["company_id"]:
        yield Reference(COMPANY, given["company_id"], (*place, "companyId"))
    if given["deal_id"]:
        yield Reference(DEAL, given["deal_id"], (*place, "dealId"))
    if given["ticket_id"]:
        yield Reference(TICKET, given["ticket_id"], (*place, "ticketId"))
    for index, one in enumerate(given["participants"]):
        if one.contact_id:
            yield Reference(CONTACT, one.contact_id, (*place, "participants", str(index), "contactId"))
        if one.member_id:
            yield Reference(MEMBER, one.member_id, (*place, "participants", str(index), "memberId"))


def _check_references(row: Row, known: Known) -> None:
    """Raises: NotFoundError."""
    for reference in _references(row) if known.missing else ():
        if reference.field in known.missing:
            raise known.missing[reference.field]


def _memory(answers: Sequence[Answered]) -> Iterator[dict[str, Any]]:
    """What a replay must know of rows that were not recorded."""
    for index, answer in enumerate(answers):
        if answer.error is not None:
            yield {"row": index, **remembered.noted(answer.error)}
        elif not answer.created:
            yield {"row": index, "rule": SEEN_BEFORE}


def _remembered(outcome: Outcome) -> list[Answered]:
    noted = {note["row"]: note for note in outcome.refusals}
    return [_again(id_, noted.get(index)) for index, id_ in enumerate(outcome.ids)]


def _again(id_: UUID, note: Mapping[str, Any] | None) -> Answered:
    if note is None or note["rule"] == SEEN_BEFORE:
        return Answered(id_, created=note is None)
    return Answered(None, created=False, error=remembered.told(note))
