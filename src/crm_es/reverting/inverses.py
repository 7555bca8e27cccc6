"""What takes an event back: the event that sets its fields to what they were, or ends what it began. Pure.

An event that is not here cannot be taken back by itself: what follows from it is decided by people (a ticket's status, a role).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from crm_es.contacts import company as companies
from crm_es.contacts import contact_events as contacts
from crm_es.contacts.contact import Contact, Held
from crm_es.eventstore.event import UNSET, Erased, Event
from crm_es.interactions import interaction as interactions
from crm_es.sales import deal_events as deals
from crm_es.sales import pipeline as pipelines
from crm_es.sales import product as products
from crm_es.sales.stages import DealStatus
from crm_es.service import article as articles
from crm_es.service import queue as queues
from crm_es.service import ticket_events as tickets
from crm_es.service.enums import TicketStatus
from crm_es.service.ticket import Ticket
from crm_es.workspaces import api_key as api_keys
from crm_es.workspaces import member as members
from crm_es.workspaces import saved_view as saved_views


class CannotError(Exception):
    """There is no event that takes this one back, or what was before is destroyed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """The states just before the event and now, and when it is taken back."""

    before: Any
    now: Any
    at: datetime


Inverse = Callable[[Any, Around], Sequence[Event]]
End = Callable[[Any, datetime], Event]
"""Of a state, at a moment. Raises: CannotError."""


def inverse(event: Event, around: Around) -> Sequence[Event]:
    """Raises: CannotError."""
    make = INVERSES.get(type(event))
    if make is None:
        raise CannotError
    return make(event, around)


def _restored(event: Any, around: Around) -> Sequence[Event]:
    """The same event with the values from before."""
    names = [each.name for each in fields(event) if getattr(event, each.name) is not UNSET]
    if not {"subjects", "original"}.isdisjoint(names) or _about_others(event, around.before):
        raise CannotError
    values = {name: getattr(around.before, name) for name in names if name != "occurred_at"}
    if "occurred_at" in names:  # of a correction it is a value, of all others the time of the deed
        values["occurred_at"] = around.before.occurred_at if _corrects(event) else around.at
    if any(isinstance(value, Erased) for value in values.values()):
        raise CannotError
    return [type(event)(**values)]


def _corrects(event: Event) -> bool:
    return isinstance(event, interactions.InteractionCorrected)


def _about_others(event: Event, before: Any) -> bool:
    """Whether values from before are about somebody who was merged into the contact: they are not sealed with its key."""
    return isinstance(event, contacts.ContactUpdated) and bool(before.subjects)


def _opposite(kind: type[Any]) -> Inverse:
    """The event that has the same fields and means the contrary."""

    def make(event: Any, _around: Around) -> Sequence[Event]:
        names = {each.name for each in fields(kind)} - {"original"}
        return [kind(**{name: getattr(event, name) for name in names})]

    return make


# Items of contacts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Items:
    """The events of one kind of item: `value` is their field, `held` the state's, `primary` the state's mark."""

    value: str
    held: str
    added: type[Any]
    removed: type[Any]
    changed: type[Any] | None = None
    primary: str | None = None

    def inverses(self) -> Mapping[type[Any], Inverse]:
        found: dict[type[Any], Inverse] = {self.added: self._remove, self.removed: self._add}
        return found if self.changed is None else found | {self.changed: self._change}

    def _remove(self, event: Any, around: Around) -> Sequence[Event]:
        marked = {"promoted": self._mark(around.before)} if getattr(event, "primary", False) else {}
        return [self.removed(item=event.item, **marked)]

    def _add(self, event: Any, around: Around) -> Sequence[Event]:
        """Under a new number: numbers are never used again."""
        was = self._known(event.item, around.before)
        item = contacts.Item(number=around.now.last_number + 1, subject=event.item.person)
        marked = {"primary": self._mark(around.before) == event.item} if self.primary else {}
        return [self.added(item=item, **{self.value: was}, **marked)]

    def _change(self, event: Any, around: Around) -> Sequence[Event]:
        assert self.changed is not None  # noqa: S101  # it is called for these
        found: list[Event] = []
        if getattr(event, self.value) is not UNSET:
            found.append(self.changed(item=event.item, **{self.value: self._known(event.item, around.before)}))
        mark = self._mark(around.before)
        if event.primary is True and mark is not None and mark != event.item:
            found.append(self.changed(item=mark, primary=True))
        return found

    def _mark(self, contact: Contact) -> Any:
        return getattr(contact, self.primary) if self.primary else None

    def _known(self, item: Any, contact: Contact) -> Any:
        """Raises: CannotError."""
        held: Sequence[Held[Any]] = getattr(contact, self.held)
        known = next((one.known for one in held if one.item == item), None)
        if known is None:
            raise CannotError
        return known


_ITEMS: Final = (
    _Items(
        value="email", held="emails", primary="primary_email", added=contacts.ContactEmailAdded,
        removed=contacts.ContactEmailRemoved, changed=contacts.ContactEmailChanged,
    ),
    _Items(
        value="phone", held="phones", primary="primary_phone", added=contacts.ContactPhoneAdded,
        removed=contacts.ContactPhoneRemoved, changed=contacts.ContactPhoneChanged,
    ),
    _Items(
        value="identity", held="identities", added=contacts.ContactIdentityAdded, removed=contacts.ContactIdentityRemoved
    ),
    _Items(
        value="external_id", held="external_ids", added=contacts.ContactExternalIdAdded,
        removed=contacts.ContactExternalIdRemoved,
    ),
)  # fmt: skip


# Deals


def _reopened(_event: Any, around: Around) -> Sequence[Event]:
    """To the stage it was won or lost from. Raises: CannotError, for one that was closed before."""
    if around.before.status is not DealStatus.OPEN:
        raise CannotError
    return [deals.DealReopened(stage_id=around.before.stage_id, rank=around.before.rank, occurred_at=around.at)]


def _lines(_event: Any, around: Around) -> Sequence[Event]:
    if isinstance(around.before.line_descriptions, Erased):
        raise CannotError
    return [
        deals.DealLinesChanged(
            lines=around.before.lines, line_descriptions=around.before.line_descriptions or UNSET
        )
    ]  # fmt: skip


_RESTORED: Final = (
    contacts.ContactUpdated,
    contacts.ContactOwnerChanged,
    contacts.ContactCompanyChanged,
    contacts.ContactLifecycleStageChanged,
    companies.CompanyUpdated,
    companies.CompanyParentChanged,
    companies.CompanyOwnerChanged,
    interactions.InteractionCorrected,
    products.ProductUpdated,
    deals.DealUpdated,
    deals.DealOwnerChanged,
    deals.DealContactsChanged,
    deals.DealMoved,
    tickets.TicketUpdated,
    tickets.TicketAssigned,
    tickets.TicketPrioritized,
    tickets.TicketMoved,
)
_OPPOSITE: Final = (
    (contacts.ContactTagged, contacts.ContactUntagged),
    (contacts.ContactArchived, contacts.ContactRestored),
    (companies.CompanyTagged, companies.CompanyUntagged),
    (companies.CompanyDomainAdded, companies.CompanyDomainRemoved),
    (companies.CompanyExternalIdAdded, companies.CompanyExternalIdRemoved),
    (companies.CompanyArchived, companies.CompanyRestored),
    (interactions.InteractionLinked, interactions.InteractionUnlinked),
    (pipelines.PipelineArchived, pipelines.PipelineRestored),
    (deals.DealArchived, deals.DealRestored),
    (queues.QueueArchived, queues.QueueRestored),
    (tickets.TicketTagged, tickets.TicketUntagged),
    (tickets.TicketArticlesLinked, tickets.TicketArticlesUnlinked),
    (articles.ArticleArchived, articles.ArticleRestored),
)
INVERSES: Final[Mapping[type[Any], Inverse]] = {
    **dict.fromkeys(_RESTORED, _restored),
    **{one: _opposite(other) for one, other in _OPPOSITE},
    **{other: _opposite(one) for one, other in _OPPOSITE},
    **{kind: make for items in _ITEMS for kind, make in items.inverses().items()},
    deals.DealWon: _reopened,
    deals.DealLost: _reopened,
    deals.DealLinesChanged: _lines,
}


# Ends


def _always(end: Event) -> End:
    return lambda _state, _at: end


def _closed(ticket: Ticket, at: datetime) -> Event:
    """One that came from elsewhere would be opened twice by the next import; one that is closed cannot be said to be gone."""
    if ticket.external_ids or ticket.status in {TicketStatus.CLOSED, TicketStatus.MERGED}:
        raise CannotError
    return tickets.TicketClosed(occurred_at=max(at, ticket.moved_at))


def _deactivated(member: members.Member, _at: datetime) -> Event:
    """Files go on naming those they know by an id of their own; the last administrator must not leave by the way."""
    if member.external_ids or members.ADMIN in member.roles:
        raise CannotError
    return members.MemberDeactivated()


ENDS: Final[Mapping[type[Any], End]] = {
    contacts.ContactRegistered: _always(contacts.ContactArchived()),
    companies.CompanyRegistered: _always(companies.CompanyArchived()),
    interactions.InteractionRecorded: _always(interactions.InteractionRetracted()),
    products.ProductRegistered: _always(products.ProductUpdated(retired=True)),
    pipelines.PipelineCreated: _always(pipelines.PipelineArchived()),
    deals.DealOpened: _always(deals.DealArchived()),
    queues.QueueCreated: _always(queues.QueueArchived()),
    tickets.TicketOpened: _closed,
    articles.ArticleSaved: _always(articles.ArticleArchived()),
    members.MemberInvited: _deactivated,
    members.MemberRegistered: _deactivated,
    api_keys.ApiKeyIssued: _always(api_keys.ApiKeyRevoked()),
    saved_views.SavedViewSaved: _always(saved_views.SavedViewRemoved()),
}
"""What ends a record that should never have begun: nothing is ever deleted. Teams and roles have no such end."""
