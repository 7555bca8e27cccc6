"""Opening a ticket, and editing what is plain about it. Saying what is so already is no event."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import values_set
from crm_es.occasions import Occasion
from crm_es.service.enums import Priority, TicketType
from crm_es.service.ticket import Ticket
from crm_es.service.ticket_events import (
    MaybeId,
    TicketArticlesLinked,
    TicketArticlesUnlinked,
    TicketEvent,
    TicketOpened,
    TicketTagged,
    TicketUntagged,
    TicketUpdated,
)
from crm_es.values import ExternalId, Tag

MOST_ITEMS: Final = 100
MOST_TAGS: Final = 500
_PLAIN: Final = ("title", "type", "requester_id", "company_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketEdit:
    """What a form says. UNSET = unchanged, None = cleared."""

    title: str | UnsetType = UNSET
    type: TicketType | UnsetType = UNSET
    requester_id: MaybeId = UNSET
    company_id: MaybeId = UNSET
    remove_tags: Sequence[Tag] = ()
    add_tags: Sequence[Tag] = ()
    remove_article_ids: Sequence[UUID] = ()
    add_article_ids: Sequence[UUID] = ()


def open_ticket(
    *,
    title: str,
    queue_id: UUID,
    on: Occasion,
    type: TicketType = TicketType.QUESTION,
    priority: Priority = Priority.NORMAL,
    requester_id: UUID | None = None,
    company_id: UUID | None = None,
    follow_up_of_id: UUID | None = None,
    split_from_id: UUID | None = None,
    tags: Iterable[Tag] = (),
    external_ids: Iterable[ExternalId] = (),
    sla_policy_id: UUID | None = None,
    sla_policy_version: int | None = None,
) -> list[TicketEvent]:
    """Raises: RuleViolatedError `ticket.too_many_…`."""
    names = tuple(dict.fromkeys(tag.name for tag in tags))
    others = tuple(dict.fromkeys(external_ids))
    _check_limit("tags", names, MOST_TAGS)
    _check_limit("externalIds", others, MOST_ITEMS)
    return [
        TicketOpened(
            title=title,
            type=type,
            priority=priority,
            queue_id=queue_id,
            requester_id=requester_id or UNSET,
            company_id=company_id or UNSET,
            follow_up_of_id=follow_up_of_id or UNSET,
            split_from_id=split_from_id or UNSET,
            tags=names or UNSET,
            external_ids=others or UNSET,
            sla_policy_id=sla_policy_id or UNSET,
            sla_policy_version=UNSET if sla_policy_version is None else sla_policy_version,
            occurred_at=on.at,
        )
    ]


def update(ticket: Ticket, form: TicketEdit) -> list[TicketEvent]:
    """The events that make the ticket as the form says; none where it is so already.

    Raises: InvalidInputError `ticket.titleless`; RuleViolatedError `ticket.too_many_…`.
    """
    if form.title is not UNSET and not form.title:
        raise InvalidInputError("A ticket needs a title.", rule="ticket.titleless", field=("title",))
    changed = {name: value for name, value in values_set(form, _PLAIN).items() if value != getattr(ticket, name)}
    events: list[TicketEvent] = [TicketUpdated(**changed)] if changed else []
    return events + _tags(ticket, form) + _articles(ticket, form)


def _tags(ticket: Ticket, form: TicketEdit) -> list[TicketEvent]:
    gone, stay = _apart(ticket.tags, [tag.name for tag in form.remove_tags])
    come = _new(stay, [tag.name for tag in form.add_tags])
    _check_limit("tags", (*stay, *come), MOST_TAGS)
    events: list[TicketEvent] = [TicketUntagged(tags=gone)] if gone else []
    return events + ([TicketTagged(tags=come)] if come else [])


def _articles(ticket: Ticket, form: TicketEdit) -> list[TicketEvent]:
    gone, stay = _apart(ticket.article_ids, form.remove_article_ids)
    come = _new(stay, form.add_article_ids)
    _check_limit("articles", (*stay, *come), MOST_ITEMS)
    events: list[TicketEvent] = [TicketArticlesUnlinked(article_ids=gone)] if gone else []
    return events + ([TicketArticlesLinked(article_ids=come)] if come else [])


def _apart(held: Sequence[Any], removed: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What goes, and what stays."""
    return tuple(one for one in held if one in removed), tuple(one for one in held if one not in removed)


def _new(held: Sequence[Any], named: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for one in named if one not in held))


def _check_limit(field: str, held: Sequence[Any], most: int) -> None:
    if len(held) > most:
        message = f"A ticket has at most {most} {field}: remove some first."
        raise RuleViolatedError(message, rule=f"ticket.too_many_{field.lower()}", field=(field,))
