"""Recording, correcting and redacting interactions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import strawberry

from crm_es.api import rows
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Payload, mutation, record
from crm_es.api.references import Reference, absent, addressed, check, check_shown, within_reach
from crm_es.api.refusals import user_error
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.errors import CrmError, InvalidInputError
from crm_es.eventstore.store import Outcome
from crm_es.interactions import ingest, inputs, recording
from crm_es.interactions.graphql import Interaction
from crm_es.interactions.inputs import (
    CorrectInteractionInput,
    RecordInteractionInput,
    RecordInteractionsInput,
    RedactInteractionInput,
)
from crm_es.interactions.interaction import INTERACTION, Visibility
from crm_es.reads import records
from crm_es.reads.model import read_of
from crm_es.sales.deal import DEAL
from crm_es.service.ticket_aggregate import TICKET
from crm_es.values import parse_text

SHOWS: Final = ("interactions", "service_queues")
MOST: Final = 1_000


@ruled(PARENT)
@strawberry.type(description="The interaction: the new one, or the one recorded before.")
class RecordInteractionPayload(Payload):
    interaction: Interaction | None = record(Interaction, "The interaction; null when refused.")
    created: bool = strawberry.field(default=False, description="False: this (channel, externalId) was there already.")


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class InteractionRow(rows.Row):
    created: bool = strawberry.field(description="False: refused, or this (channel, externalId) was there already.")
    interaction: Interaction | None = rows.record(Interaction, "The interaction; null when refused.")


def _rows(answers: Sequence[ingest.Answered]) -> list[InteractionRow]:
    return [
        InteractionRow(
            index=index, created=one.created, id=one.id, user_errors=[user_error(one.error)] if one.error else []
        )
        for index, one in enumerate(answers)
    ]


@ruled(PARENT)
@strawberry.type(description="What became of each row.")
class RecordInteractionsPayload(Payload):
    rows: list[InteractionRow] = strawberry.field(default_factory=list, description="In the order they were sent.")


@ruled(PARENT)
@strawberry.type(description="The interaction as it is now.")
class CorrectInteractionPayload(Payload):
    interaction: Interaction | None = record(Interaction, "The interaction; null when refused.")


@ruled(PARENT)
@strawberry.type(description="The interaction without what was cut out.")
class RedactInteractionPayload(Payload):
    interaction: Interaction | None = record(Interaction, "The interaction; null when refused.")


@strawberry.type
class InteractionMutations:
    @mutation(
        RecordInteractionPayload, needs(EntityType.INTERACTION, Action.CREATE), shows=SHOWS,
        description="Record something that happened. A (channel, externalId) seen before answers the first one.",
    )  # fmt: skip
    async def record_interaction(deed: Deed, input: RecordInteractionInput) -> Answer:
        outcome, (answer,) = await ingest.record_all(deed, [inputs.row(input, (), deed.context.now)])
        if answer.error is not None:
            raise answer.error
        return Answer(outcome, {"created": answer.created})

    @mutation(
        RecordInteractionsPayload, needs(EntityType.INTERACTION, Action.CREATE), shows=SHOWS,
        description="Up to 1,000, all or none or row by row. A (channel, externalId) seen before, or twice here, answers "
        "the first one, created: false.",
    )  # fmt: skip
    async def record_interactions(deed: Deed, input: RecordInteractionsInput) -> Answer:
        given = list(_parsed(input, deed.context.now))
        if not input.all_or_none:
            outcome, answers = await ingest.record_each(deed, given)
            return Answer(outcome, {"rows": _rows(answers)})
        outcome, answers = await ingest.record_all(deed, given)
        refused = [user_error(one.error) for one in answers if one.error]
        return Answer(outcome, {"user_errors": refused} if refused else {"rows": _rows(answers)})

    @mutation(
        CorrectInteractionPayload, needs(EntityType.INTERACTION, Action.UPDATE), shows=SHOWS,
        description="Set right what was recorded wrongly; what was said before stays in the history.",
    )  # fmt: skip
    async def correct_interaction(deed: Deed, input: CorrectInteractionInput) -> Outcome:
        id_ = await _seen(deed, input.id, Action.UPDATE)
        async with addressed("interaction", inside="set", lists=_LISTS):
            check_shown(deed, EntityType.INTERACTION, input.set)
            correction = inputs.correction(input.set, deed.context.now)
            references = list(_references(correction))
            await check(deed, references)
            for error in await ingest.out_of_sight(deed, references):
                raise error
            return await deed.store.decide(
                deed.command, INTERACTION, id_, lambda was: recording.correct(was, correction),
                expected_version=deed.expected_version,
            )  # fmt: skip

    @mutation(
        RedactInteractionPayload, needs(EntityType.INTERACTION, Action.ERASE), shows=SHOWS,
        description="Cut text out of an interaction for ever: what is cut is in no past and no export any more. Every `asOf` "
        "then shows what remains now, the subject line too, even where a correction had replaced an earlier one.",
    )  # fmt: skip
    async def redact_interaction(deed: Deed, input: RedactInteractionInput) -> Outcome:
        parse_text(input.reason, ("reason",), longest=10_000)
        if input.passages == []:
            message = "Name a passage, or leave the field out for the whole body."
            raise InvalidInputError(message, rule="interaction.no_passages", field=("passages",))
        id_ = await _seen(deed, input.id, Action.ERASE)
        async with addressed("interaction"):
            return await deed.store.decide(
                deed.command, INTERACTION, id_, lambda was: recording.redact(was, input.passages or None),
                expected_version=deed.expected_version,
            )  # fmt: skip


_LISTS: Final = {"contactIds": "addContactIds"}


def _parsed(input: RecordInteractionsInput, now: datetime) -> Iterator[inputs.Row | CrmError]:
    """Raises: InvalidInputError for more rows than one request may have."""
    if len(input.interactions) > MOST:
        raise InvalidInputError(f"At most {MOST:,} at once.", rule="batch.too_long", field=("interactions",))
    for index, each in enumerate(input.interactions):
        try:
            yield inputs.row(each, ("interactions", str(index)), now)
        except InvalidInputError as error:
            yield error


async def _seen(deed: Deed, global_id: str, action: Action) -> UUID:
    """The interaction of an input, if the viewer may see it and reach it."""
    id_ = deed.live(global_id, "Interaction")
    loaded = await deed.store.load(INTERACTION, deed.command.workspace, id_)
    if loaded is None:
        raise absent("interaction", ("id",))
    shared = loaded.state.visibility is Visibility.SHARED
    if not shared and await records.load(deed.context.reads.present, read_of(Interaction), id_) is None:
        raise absent("interaction", ("id",))
    await within_reach(deed, action, Interaction, {id_: ("id",)})
    return id_


def _references(correction: recording.Correction) -> Iterator[Reference]:
    for index, id_ in enumerate(correction.add_contact_ids):
        yield Reference(CONTACT, id_, ("addContactIds", str(index)))
    if isinstance(correction.company_id, UUID):
        yield Reference(COMPANY, correction.company_id, ("companyId",))
    if isinstance(correction.deal_id, UUID):
        yield Reference(DEAL, correction.deal_id, ("dealId",))
    if isinstance(correction.ticket_id, UUID):
        yield Reference(TICKET, correction.ticket_id, ("ticketId",))
