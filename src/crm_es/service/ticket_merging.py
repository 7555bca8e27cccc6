"""Two tickets that are one request, and one that is two: merging, taking that back, splitting.

The conversation follows by the ids its interactions name: nothing of them changes in a merge, so that an internal note stays
internal and comes back with its ticket.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts.contact_values import Original
from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import Dated, Event, Fact
from crm_es.interactions import recording
from crm_es.interactions.interaction import Interaction
from crm_es.occasions import Occasion
from crm_es.service.enums import TicketStatus
from crm_es.service.ticket import Ticket, check_not_closed
from crm_es.service.ticket_editing import open_ticket
from crm_es.service.ticket_events import (
    TicketAbsorbed,
    TicketEvent,
    TicketMerged,
    TicketReleased,
    TicketReplied,
    TicketSplit,
    TicketUnmerged,
)
from crm_es.values import Tag

MOST_SPLIT: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Both:
    """The events of both streams."""

    survivor: list[TicketEvent]
    absorbed: list[TicketEvent]


def merge(survivor: Loaded[Ticket], absorbed: Loaded[Ticket], *, on: Occasion) -> Both:
    """Raises: InvalidInputError `ticket.same`, `occurred_at.before_last`; RuleViolatedError `ticket.merged`, `ticket.closed`."""
    if survivor.id == absorbed.id:
        raise InvalidInputError("Name two tickets.", rule="ticket.same", field=("absorbedId",))
    for one, field in ((survivor, "survivorId"), (absorbed, "absorbedId")):
        if one.state.status is TicketStatus.MERGED:
            message = "This ticket was merged into another one: name that."
            raise RuleViolatedError(message, rule="ticket.merged", field=(field,))
        check_not_closed(one.state, (field,))
    at = on.following(max(survivor.state.moved_at, absorbed.state.moved_at))
    ids = (absorbed.id, *absorbed.state.absorbed_ids)
    return Both(
        survivor=[
            TicketMerged(absorbed_id=absorbed.id, absorbed_version=absorbed.version, absorbed_ids=ids, occurred_at=at)
        ],
        absorbed=[TicketAbsorbed(survivor_id=survivor.id, survivor_version=survivor.version, occurred_at=at)],
    )


def unmerge(
    survivor: Loaded[Ticket], absorbed: Loaded[Ticket], facts: Sequence[Fact], *, on: Occasion
) -> dict[UUID, Sequence[Event | Dated]]:
    """`facts` is the survivor's whole stream: what was written under the absorbed ids is said again on the absorbed one.

    Raises: RuleViolatedError `ticket.not_merged`, `ticket.unmerge_outer_first`; InvalidInputError `occurred_at.before_last`.
    """
    if absorbed.state.merged_into is None:
        raise RuleViolatedError("This ticket is not merged.", rule="ticket.not_merged", field=("absorbedId",))
    if survivor.state.merged_into is not None:
        message = "Its survivor was merged itself: take that back first."
        raise RuleViolatedError(message, rule="ticket.unmerge_outer_first", field=("absorbedId",))
    at = on.following(max(survivor.state.moved_at, absorbed.state.moved_at))
    ids = next(ids for one, ids in survivor.state.absorbed if one == absorbed.id)
    released = TicketReleased(absorbed_id=absorbed.id, absorbed_ids=ids, occurred_at=at)
    unmerged = TicketUnmerged(survivor_id=survivor.id, occurred_at=at)
    return {survivor.id: [released], absorbed.id: [unmerged, *_given_back(survivor, absorbed, facts, ids)]}


def _given_back(
    survivor: Loaded[Ticket], absorbed: Loaded[Ticket], facts: Sequence[Fact], ids: Sequence[UUID]
) -> list[Dated]:
    """Replies that were addressed to the absorbed ids since this merge, at the times they were made."""
    since = max(
        fact.version for fact in facts if isinstance(fact.event, TicketMerged) and fact.event.absorbed_id == absorbed.id
    )
    return [
        Dated(_again(fact.event, Original(stream=survivor.id, version=fact.version)), fact.occurred_at)
        for fact in facts[since:]
        if fact.via in ids and isinstance(fact.event, TicketReplied)
    ]


def _again(event: TicketReplied, original: Original) -> TicketReplied:
    return TicketReplied(
        interaction_id=event.interaction_id,
        internal=event.internal,
        inbound=event.inbound,
        occurred_at=event.occurred_at,
        original=original if event.original is UNSET else event.original,
    )


def split(
    ticket: Loaded[Ticket],
    interactions: Mapping[UUID, Loaded[Interaction]],
    *,
    split_id: UUID,
    title: str,
    sla_policy_id: UUID | None,
    sla_policy_version: int | None,
    on: Occasion,
) -> dict[UUID, Sequence[Event]]:
    """A ticket like this one begins with a part of its conversation; each text stays as internal or public as it was.

    Raises: InvalidInputError `ticket.nothing_to_split`, `ticket.too_many_to_split`, `ticket.other_conversation`.
    """
    _check_split(ticket, interactions)
    was = ticket.state
    opened = open_ticket(
        title=title, queue_id=was.queue_id, type=was.type, priority=was.priority,
        requester_id=was.requester_id, company_id=was.company_id, split_from_id=ticket.id,
        tags=[Tag(name) for name in was.tags], sla_policy_id=sla_policy_id, sla_policy_version=sla_policy_version, on=on,
    )  # fmt: skip
    changes: dict[UUID, Sequence[Event]] = {
        split_id: opened,
        ticket.id: [TicketSplit(split_id=split_id, interaction_ids=tuple(interactions))],
    }
    moved = recording.Correction(ticket_id=split_id)
    return changes | {id_: recording.correct(one.state, moved) for id_, one in interactions.items()}


def _check_split(ticket: Loaded[Ticket], interactions: Mapping[UUID, Loaded[Interaction]]) -> None:
    field = "interactionIds"
    if not interactions:
        raise InvalidInputError("Name what goes to the other ticket.", rule="ticket.nothing_to_split", field=(field,))
    if len(interactions) > MOST_SPLIT:
        message = f"At most {MOST_SPLIT} interactions at once."
        raise InvalidInputError(message, rule="ticket.too_many_to_split", field=(field,))
    ours = {ticket.id, *ticket.state.absorbed_ids}
    for index, one in enumerate(interactions.values()):
        if one.state.ticket_id not in ours:
            message = "This interaction belongs to another conversation."
            raise InvalidInputError(message, rule="ticket.other_conversation", field=(field, str(index)))
