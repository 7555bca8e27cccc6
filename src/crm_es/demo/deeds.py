"""A deed of the story as the events the decisions make of it. The same parsing and rules as everybody's."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from crm_es.contacts import company, contact, editing, merging
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import LifecycleStage
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry
from crm_es.demo.life import Told
from crm_es.demo.story import Archive, Deed, Edit, Merge, NewCompany, NewContact, NewInteraction, Restore
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Dated, Event
from crm_es.interactions import recording
from crm_es.interactions.interaction import INTERACTION, Direction, InteractionType
from crm_es.values import CountryCode, DomainName, EmailAddress, Money, PhoneNumber, PostalAddress, Tag

Target = tuple[Aggregate[Any, Any], UUID]
States = Mapping[UUID, Loaded[Any] | None]


def targets(deed: Deed) -> Iterator[Target]:
    """The streams it writes to."""
    match deed:
        case NewCompany():
            yield COMPANY, deed.id
        case NewInteraction():
            yield INTERACTION, deed.id
        case Merge():
            yield CONTACT, deed.survivor_id
            yield CONTACT, deed.absorbed_id
        case Told():
            yield deed.aggregate, deed.id
        case NewContact() | Edit() | Archive() | Restore():
            yield CONTACT, deed.id


def events(deed: Deed, at: datetime, states: States) -> dict[UUID, list[Event | Dated]]:
    """What it adds to each of its streams, happening at that moment unless it says when."""
    made = _made(deed, at, states)
    return {
        stream: [one if isinstance(one, Dated) else Dated(one, at) for one in found] for stream, found in made.items()
    }


def _made(deed: Deed, at: datetime, states: States) -> Mapping[UUID, list[Any]]:  # noqa: PLR0911  # one match
    match deed:
        case NewCompany():
            return {deed.id: company.register(_company(deed), id=deed.id)}
        case NewContact():
            return {deed.id: editing.register(_contact(deed))}
        case NewInteraction():
            return {deed.id: _interaction(deed, at)}
        case Edit():
            return {deed.id: editing.update(_loaded(states, deed.id).state, _edit(deed), reason="as the story has it")}
        case Archive():
            return {deed.id: contact.archive(_loaded(states, deed.id).state)}
        case Restore():
            return {deed.id: contact.restore(_loaded(states, deed.id).state)}
        case Merge():
            return _merge(deed, states)
        case Told():
            return {deed.id: list(deed.events)}
        case _:
            assert_never(deed)


def _loaded(states: States, stream: UUID) -> Loaded[Any]:
    loaded = states[stream]
    if loaded is None:
        raise LookupError(f"the story speaks of {stream} before it is there")
    return loaded


def _company(deed: NewCompany) -> CompanyEdit:
    return CompanyEdit(
        name=deed.name,
        industry=deed.industry,
        annual_revenue=Money(deed.revenue * 100, "EUR"),
        employee_count=deed.employees,
        founded_year=deed.founded,
        country=CountryCode.parse(deed.country).code,
        parent_id=deed.parent_id,
        owner_id=deed.owner_id,
        add_domains=[DomainName.parse(deed.domain)],
    )


def _contact(deed: NewContact) -> ContactEdit:
    return ContactEdit(
        display_name=deed.display,
        given_name=deed.given,
        family_name=deed.family,
        job_title=deed.job,
        source=deed.source,
        addresses=(PostalAddress.parse({"lines": (), "city": deed.city, "country": deed.country}),),
        company_id=deed.company_id,
        owner_id=deed.owner_id,
        lifecycle_stage=LifecycleStage(deed.stage),
        add_emails=[_email(deed.email)],
        add_phones=[PhoneEntry(number=PhoneNumber.parse(deed.phone), primary=True)],
        add_tags=[Tag.parse(tag) for tag in deed.tags],
    )


def _email(address: str) -> EmailEntry:
    return EmailEntry(address=EmailAddress.parse(address))


def _interaction(deed: NewInteraction, at: datetime) -> list[Any]:
    return recording.record(
        type=InteractionType(deed.type),
        occurred_at=at,
        direction=Direction(deed.direction),
        subject=deed.subject,
        body=deed.body,
        duration_seconds=deed.seconds,
        amount=None if deed.cents is None else Money(deed.cents, "EUR"),
        quantity=deed.quantity,
        contact_ids=(deed.contact_id,),
        company_id=deed.company_id,
        member_id=deed.member_id,
    )


def _edit(deed: Edit) -> ContactEdit:
    match deed.field:
        case "owner" if isinstance(deed.value, UUID):
            return ContactEdit(owner_id=deed.value)
        case "stage":
            return ContactEdit(lifecycle_stage=LifecycleStage(str(deed.value)))
        case "job":
            return ContactEdit(job_title=str(deed.value))
        case "tag":
            return ContactEdit(add_tags=[Tag.parse(str(deed.value))])
        case _:
            return ContactEdit(add_emails=[_email(str(deed.value))])


def _merge(deed: Merge, states: States) -> Mapping[UUID, list[Any]]:
    merged = merging.merge(_loaded(states, deed.survivor_id), _loaded(states, deed.absorbed_id))
    return {deed.survivor_id: [*merged.survivor], deed.absorbed_id: [*merged.absorbed]}
