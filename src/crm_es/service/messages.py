"""Interactions that are about tickets: these are told of what was written, all in one append."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_es.api.editions import again
from crm_es.api.payloads import Deed
from crm_es.errors import ConflictError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Command
from crm_es.eventstore.store import Decided, Events, Outcome
from crm_es.interactions.interaction import Direction, InteractionType
from crm_es.occasions import dated
from crm_es.service.ticket import receive
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketEvent

Stream = tuple[Aggregate[Any, Any], UUID, Events]
Messages = Mapping[UUID, Sequence[TicketEvent]]
"""By the ids they were addressed to."""


def is_internal(given: Mapping[str, Any]) -> bool:
    """What is written on a ticket among ourselves. A note that does not say who began it is that too."""
    direction = given["direction"] or (Direction.INTERNAL if given["type"] is InteractionType.NOTE else None)
    return given["ticket_id"] is not None and direction is Direction.INTERNAL


def told(given: Mapping[str, Any], id_: UUID) -> list[TicketEvent]:
    """What its ticket is told of an interaction: that the customer wrote, or we did. Other talk is only linked."""
    if given["ticket_id"] is None or given["direction"] not in (Direction.INBOUND, Direction.OUTBOUND):
        return []
    return receive(id_, inbound=given["direction"] is Direction.INBOUND, at=given["occurred_at"])


async def append(
    deed: Deed,
    command: Command,
    streams: Sequence[Stream],
    messages: Messages,
    *,
    ids: Sequence[UUID],
    refusals: Sequence[object],
) -> Outcome:
    """Begin the streams and tell the tickets; those that were merged, by their survivors."""
    if not messages:
        return await deed.store.create_many(command, streams, ids=ids, refusals=refusals)
    return await again(lambda: _append(deed, command, streams, messages, ids=ids, refusals=refusals))


async def _append(
    deed: Deed,
    command: Command,
    streams: Sequence[Stream],
    messages: Messages,
    *,
    ids: Sequence[UUID],
    refusals: Sequence[object],
) -> Outcome:
    survivors = await _survivors(deed, messages)
    via = {survivor: named[0] for survivor, named in survivors.items() if len(named) == 1 and named[0] != survivor}

    def decide(loaded: Mapping[UUID, Loaded[Any] | None]) -> Decided:
        events: dict[UUID, Events] = {id_: each for _, id_, each in streams}
        for survivor, named in survivors.items():
            there = loaded[survivor]
            if there is None or there.state.merged_into is not None:
                raise ConflictError("The ticket was merged meanwhile. Try again.", rule="record.busy")
            events[survivor] = dated(event for one in named for event in messages[one])
        events |= {absorbed: [] for absorbed in via.values()}  # their keys seal the reason
        return Decided(events=events, ids=ids, refusals=refusals, via=via)

    targets = [(aggregate, id_) for aggregate, id_, _ in streams]
    targets += [(TICKET, id_) for id_ in (*survivors, *via.values())]
    return await deed.store.transact(command, targets, decide)


async def _survivors(deed: Deed, messages: Messages) -> dict[UUID, list[UUID]]:
    """The tickets that are told, each with the ids that lead to it."""
    workspace = deed.command.workspace
    loaded = await asyncio.gather(*(deed.store.load(TICKET, workspace, id_) for id_ in messages))
    found: dict[UUID, list[UUID]] = {}
    for named, there in zip(messages, loaded, strict=True):
        found.setdefault(there.id if there else named, []).append(named)
    return found
