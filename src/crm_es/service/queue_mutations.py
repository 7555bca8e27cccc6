"""Creating, changing, archiving and restoring queues."""

from collections.abc import Callable
from typing import Any, Final

import strawberry
from strawberry import ID

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record, said
from crm_es.api.references import addressed, pointing, within_reach
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.inputs import each, external_id, external_id_places, may_say
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.eventstore.store import Outcome
from crm_es.reads.operands import ExternalIdInput
from crm_es.service import queue
from crm_es.service.queue import QUEUE, QueueEdit
from crm_es.service.queue_graphql import Queue
from crm_es.uuids import new_id
from crm_es.values import parse_text

SHOWS: Final = ("service_queues",)


@strawberry.input(description="A new queue.")
class CreateQueueInput(Envelope):
    name: str = strawberry.field(description="What it is called.")
    reopen_days: int | None = may_say("For how many days after closing its tickets can be reopened; 30 if left out.")
    auto_close_days: int | None = may_say(
        "After how many days its resolved tickets are closed by themselves; never if left out."
    )
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@ruled(PARENT)
@strawberry.type(description="The new queue.")
class CreateQueuePayload(Payload):
    queue: Queue | None = record(Queue, "The new queue; null when refused.")


@strawberry.input(description="Changes of a queue: what is left out stays, null clears.")
class ChangeQueueInput(Versioned):
    id: ID = strawberry.field(description="Which queue.")
    name: str | None = may_say("What it is called.")
    reopen_days: int | None = may_say("For how many days after closing its tickets can be reopened.")
    auto_close_days: int | None = may_say("After how many days its resolved tickets are closed; null: never.")


@ruled(PARENT)
@strawberry.type(description="The queue as it is now.")
class ChangeQueuePayload(Payload):
    queue: Queue | None = record(Queue, "The queue; null when refused.")


@strawberry.input(description="Put a queue away: no ticket enters it any more.")
class ArchiveQueueInput(Versioned):
    id: ID = strawberry.field(description="Which queue.")


@ruled(PARENT)
@strawberry.type(description="The queue, archived.")
class ArchiveQueuePayload(Payload):
    queue: Queue | None = record(Queue, "The queue; null when refused.")


@strawberry.input(description="Take an archived queue back.")
class RestoreQueueInput(Versioned):
    id: ID = strawberry.field(description="Which queue.")


@ruled(PARENT)
@strawberry.type(description="The queue, in use again.")
class RestoreQueuePayload(Payload):
    queue: Queue | None = record(Queue, "The queue; null when refused.")


@strawberry.type
class QueueMutations:
    @mutation(
        CreateQueuePayload, needs(EntityType.QUEUE, Action.CREATE), shows=SHOWS,
        description="A new queue. An external id that another queue has is refused.",
    )  # fmt: skip
    async def create_queue(deed: Deed, input: CreateQueueInput) -> Outcome:
        days = {name: getattr(input, name) for name in ("reopen_days", "auto_close_days")}
        given = {name: said(strawberry.UNSET if one is None else one) for name, one in days.items()}
        form = QueueEdit(name=parse_text(input.name, ("name",)), **given)
        known = list(each("externalIds", input.external_ids or (), external_id))
        async with pointing(deed, external_id_places(known, "queue")):
            return await deed.store.create(deed.command, QUEUE, new_id(), queue.create(form, known))

    @mutation(
        ChangeQueuePayload, needs(EntityType.QUEUE, Action.UPDATE), shows=SHOWS,
        description="Change a queue: what is left out stays, null clears.",
    )  # fmt: skip
    async def change_queue(deed: Deed, input: ChangeQueueInput) -> Outcome:
        form = _edit(input)
        return await _decide(deed, input, Action.UPDATE, lambda was: queue.change(was, form))

    @mutation(
        ArchiveQueuePayload, needs(EntityType.QUEUE, Action.ARCHIVE), shows=SHOWS,
        description="Put a queue away. The tickets in it stay.",
    )  # fmt: skip
    async def archive_queue(deed: Deed, input: ArchiveQueueInput) -> Outcome:
        return await _decide(deed, input, Action.ARCHIVE, queue.archive)

    @mutation(
        RestoreQueuePayload, needs(EntityType.QUEUE, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived queue back.",
    )  # fmt: skip
    async def restore_queue(deed: Deed, input: RestoreQueueInput) -> Outcome:
        return await _decide(deed, input, Action.ARCHIVE, queue.restore)


def _edit(input: ChangeQueueInput) -> QueueEdit:
    """Raises: InvalidInputError."""
    for name in ("name", "reopen_days"):
        if getattr(input, name) is None:
            message = "This cannot be cleared: leave the field out."
            raise InvalidInputError(message, rule="field.required", field=(camel(name),))
    name = said(input.name)
    return QueueEdit(
        name=parse_text(name, ("name",)) if isinstance(name, str) else name,
        reopen_days=said(input.reopen_days),
        auto_close_days=said(input.auto_close_days),
    )


async def _decide(deed: Deed, input: Any, action: Action, decision: Callable[[queue.Queue], Any]) -> Outcome:
    id_ = deed.live(input.id, "Queue")
    await within_reach(deed, action, Queue, {id_: ("id",)})
    async with addressed("queue"):
        return await deed.store.decide(deed.command, QUEUE, id_, decision, expected_version=deed.expected_version)
