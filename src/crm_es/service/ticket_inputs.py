"""What mutations of tickets take, and how it becomes parsed values: each refusal names its place in the input."""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.payloads import Envelope, Versioned, said
from crm_es.api.references import Reference
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.inputs import each, external_id, external_id_places, may_say, reference
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.interactions.enums import TextFormat
from crm_es.reads.operands import ExternalIdInput
from crm_es.service.article import ARTICLE
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_editing import TicketEdit
from crm_es.service.vocabulary import HoldReason, Priority, TicketType
from crm_es.values import TEXT_LENGTH, Tag, parse_text

LISTS: Final = {"tags": "addTags", "articles": "addArticleIds"}
"""Where an update names what a ticket's list gains."""


@strawberry.input(description="A new ticket.")
class OpenTicketInput(Envelope):
    title: str = strawberry.field(description="What it is about, in a line.")
    queue_id: ID = strawberry.field(description="Where it waits.")
    type: TicketType | None = may_say("What kind of help is asked for; QUESTION if left out.")
    priority: Priority | None = may_say("How much it matters; NORMAL if left out.")
    requester_id: ID | None = may_say("Who asks for help.")
    company_id: ID | None = may_say("The company it is for.")
    body: str | None = may_say("What they wrote: the first of the conversation.")
    follow_up_of_id: ID | None = may_say("The ticket it follows up, which is too long closed to be reopened.")
    tags: list[str] | None = may_say("Words on the record.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@strawberry.input(description="Changes of a ticket: what is left out stays, null clears.")
class UpdateTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    title: str | None = may_say("What it is about, in a line.")
    type: TicketType | None = may_say("What kind of help is asked for.")
    requester_id: ID | None = may_say("Who asks for help.")
    company_id: ID | None = may_say("The company it is for.")
    add_tags: list[str] | None = may_say("Words to put on the record.")
    remove_tags: list[str] | None = may_say("Words to take off.")
    add_article_ids: list[ID] | None = may_say("Articles that help with it.")
    remove_article_ids: list[ID] | None = may_say("Articles that do not.")


@strawberry.input(description="Who has a ticket from now on.")
class AssignTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    assignee_id: ID | None = may_say("Null: nobody. To be said: it has no default.")


@strawberry.input(description="Up to 1,000 assignments.")
class AssignTicketsInput(Envelope):
    tickets: list[AssignTicketInput] = strawberry.field(
        description="Each ticket once. commandId and reason stand on the batch."
    )
    all_or_none: bool = strawberry.field(default=True, description="False: what can be assigned is, row by row.")


@strawberry.input(description="Another queue.")
class MoveTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    to_queue_id: ID = strawberry.field(description="Where it waits from now on, under that queue's SLA policy.")


@strawberry.input(description="How much a ticket matters.")
class ChangeTicketPriorityInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    priority: Priority = strawberry.field(description="How much.")


@strawberry.input(description="Something to write on a ticket.")
class ReplyToTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    body: str = strawberry.field(description="The text, exactly as it is to be kept.")
    internal: bool = strawberry.field(
        description="True: a note among ourselves, never to be shown to customers. It has no default: a slip here is a leak."
    )
    body_format: TextFormat = strawberry.field(default=TextFormat.PLAIN, description="How the text is written.")


@strawberry.input(description="A ticket that waits for somebody.")
class HoldTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    hold_reason: HoldReason = strawberry.field(description="Whom or what it waits for.")


@strawberry.input(description="A ticket on which work goes on, or begins.")
class ResumeTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")


@strawberry.input(description="A ticket that is done.")
class ResolveTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    resolution: str | None = may_say("What was done about it.")
    article_id: ID | None = may_say("The article that answered it: linked from now on.")


@strawberry.input(description="A ticket that is done for good, or that nobody will work on.")
class CloseTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")


@strawberry.input(description="A resolved or closed ticket that is not done after all.")
class ReopenTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")


@strawberry.input(description="What the customer thinks of it.")
class RateTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    satisfaction: int = strawberry.field(description="1 to 5.")
    comment: str | None = may_say("In their words.")


@strawberry.input(description="Two tickets that are one request.")
class MergeTicketsInput(Versioned):
    survivor_id: ID = strawberry.field(description="The ticket that goes on.")
    absorbed_id: ID = strawberry.field(description="The ticket that goes into it; its id leads there.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")
    expected_absorbed_version: int | None = may_say("The version of the absorbed ticket your form was opened at.")


@strawberry.input(description="A merge to take back.")
class UnmergeTicketInput(Versioned):
    absorbed_id: ID = strawberry.field(description="The ticket that was absorbed.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")


@strawberry.input(description="A part of a ticket that is a request of its own.")
class SplitTicketInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    title: str = strawberry.field(description="What the new one is about, in a line.")
    interaction_ids: list[ID] = strawberry.field(
        description="What goes over to it from the conversation; internal notes stay internal."
    )


def opening(input: OpenTicketInput) -> dict[str, Any]:
    """For `ticket_editing.open_ticket`. Raises: InvalidInputError."""
    chosen = {name: value for name in ("type", "priority") if (value := getattr(input, name))}
    return chosen | {
        "title": parse_text(input.title, ("title",)),
        "queue_id": ids.live(input.queue_id, "Queue", field=("queueId",)),
        "requester_id": _named(input.requester_id, "Contact", "requesterId"),
        "company_id": _named(input.company_id, "Company", "companyId"),
        "follow_up_of_id": _named(input.follow_up_of_id, "Ticket", "followUpOfId"),
        "tags": list(each("tags", input.tags or (), Tag.parse)),
        "external_ids": list(each("externalIds", input.external_ids or (), external_id)),
    }


def edit(input: UpdateTicketInput) -> TicketEdit:
    """Raises: InvalidInputError."""
    for name in ("title", "type"):
        if getattr(input, name) is None:
            message = "This cannot be cleared: leave the field out."
            raise InvalidInputError(message, rule="field.required", field=(name,))
    title = said(input.title)
    return TicketEdit(
        title=parse_text(title, ("title",)) if isinstance(title, str) else title,
        type=said(input.type),
        requester_id=reference(said(input.requester_id), "Contact", "requesterId"),
        company_id=reference(said(input.company_id), "Company", "companyId"),
        add_tags=list(each("addTags", input.add_tags or (), Tag.parse)),
        remove_tags=list(each("removeTags", input.remove_tags or (), Tag.parse)),
        add_article_ids=list(each("addArticleIds", input.add_article_ids or (), _article)),
        remove_article_ids=list(each("removeArticleIds", input.remove_article_ids or (), _article)),
    )


def opened_with(given: dict[str, Any]) -> Iterator[Reference]:
    """The records a new ticket names, but for its queue."""
    for aggregate, name, field in (
        (CONTACT, "requester_id", "requesterId"),
        (COMPANY, "company_id", "companyId"),
        (TICKET, "follow_up_of_id", "followUpOfId"),
    ):
        if given[name]:
            yield Reference(aggregate, given[name], (field,))


def named_in(form: TicketEdit) -> Iterator[Reference]:
    """The records an update names."""
    if isinstance(form.requester_id, UUID):
        yield Reference(CONTACT, form.requester_id, ("requesterId",))
    if isinstance(form.company_id, UUID):
        yield Reference(COMPANY, form.company_id, ("companyId",))
    for index, id_ in enumerate(form.add_article_ids):
        yield Reference(ARTICLE, id_, ("addArticleIds", str(index)))


def places(given: dict[str, Any]) -> dict[tuple[str, str], FieldPath]:
    """Where in the input each external id stands, by (kind, normal form)."""
    return external_id_places(given["external_ids"], "ticket")


def assignee(input: AssignTicketInput) -> UUID | None:
    """Raises: InvalidInputError."""
    if input.assignee_id is UNSET:
        message = "Say who: a member's id, or null for nobody."
        raise InvalidInputError(message, rule="field.required", field=("assigneeId",))
    return _named(input.assignee_id, "Member", "assigneeId")


def text(raw: str, field: str) -> str:
    """A long text, exactly as given. Raises: InvalidInputError for an empty one."""
    parse_text(raw, (field,), longest=TEXT_LENGTH)
    return raw


def said_text(raw: Any, field: str) -> str | None:
    """The same, where it may be left out."""
    return text(raw, field) if raw else None


def _named(value: Any, type_: str, field: str) -> UUID | None:
    return ids.live(value, type_, field=(field,)) if value else None


def _article(value: str, field: FieldPath) -> UUID:
    return ids.live(value, "Article", field=field)
