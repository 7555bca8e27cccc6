"""A company: an organisation we deal with. Nothing in its stream is personal.

Members, contacts and other companies are named by id; whether those exist is the mutation's question.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import Any, ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Ref, no_subject
from crm_es.eventstore.event import Reservation, changed_fields, changes, values_set
from crm_es.values import DomainName, ExternalId, Money, PostalAddress, Tag, address_answer, joint_key, money_answer

MOST_ITEMS: Final = 100
MOST_ADDRESSES: Final = 20
MOST_TAGS: Final = 500


Text = str | None | UnsetType
Whole = int | None | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyRegistered:
    TOPIC: ClassVar[str] = "company.registered"
    name: str
    domains: tuple[str, ...] | UnsetType = UNSET
    parent_id: UUID | UnsetType | None = changes("parent", default=UNSET)
    industry: Text = UNSET
    annual_revenue: Money | UnsetType | None = UNSET
    employee_count: Whole = UNSET
    founded_year: Whole = UNSET
    country: Text = UNSET
    addresses: tuple[PostalAddress, ...] | UnsetType = UNSET
    owner_id: UUID | UnsetType | None = changes("owner", default=UNSET)
    tags: tuple[str, ...] | UnsetType = UNSET
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyUpdated:
    """Plain attributes. `addresses` are all of them."""

    TOPIC: ClassVar[str] = "company.updated"
    name: str | UnsetType = UNSET
    industry: Text = UNSET
    annual_revenue: Money | UnsetType | None = UNSET
    employee_count: Whole = UNSET
    founded_year: Whole = UNSET
    country: Text = UNSET
    addresses: tuple[PostalAddress, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyDomainAdded:
    TOPIC: ClassVar[str] = "company.domain_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("domains",)
    domain: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyDomainRemoved:
    TOPIC: ClassVar[str] = "company.domain_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("domains",)
    domain: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyParentChanged:
    TOPIC: ClassVar[str] = "company.parent_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("parent",)
    parent_id: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyOwnerChanged:
    TOPIC: ClassVar[str] = "company.owner_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("owner",)
    owner_id: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyTagged:
    TOPIC: ClassVar[str] = "company.tagged"
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyUntagged:
    TOPIC: ClassVar[str] = "company.untagged"
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyExternalIdAdded:
    TOPIC: ClassVar[str] = "company.external_id_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("externalIds",)
    system: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyExternalIdRemoved:
    TOPIC: ClassVar[str] = "company.external_id_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("externalIds",)
    system: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyArchived:
    TOPIC: ClassVar[str] = "company.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyRestored:
    TOPIC: ClassVar[str] = "company.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


CompanyEvent = (
    CompanyRegistered
    | CompanyUpdated
    | CompanyDomainAdded
    | CompanyDomainRemoved
    | CompanyParentChanged
    | CompanyOwnerChanged
    | CompanyTagged
    | CompanyUntagged
    | CompanyExternalIdAdded
    | CompanyExternalIdRemoved
    | CompanyArchived
    | CompanyRestored
)


class CompanyStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    status: CompanyStatus = CompanyStatus.ACTIVE
    name: str = ""
    domains: tuple[str, ...] = ()
    parent_id: UUID | None = None
    industry: str | None = None
    annual_revenue: Money | None = None
    employee_count: int | None = None
    founded_year: int | None = None
    country: str | None = None
    addresses: tuple[PostalAddress, ...] = ()
    owner_id: UUID | None = None
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()


_PLAIN: Final = (
    "name", "industry", "annual_revenue", "employee_count", "founded_year", "country", "addresses",
)  # fmt: skip
_LISTS: Final = ("domains", "tags", "external_ids")


def evolve(company: Company | None, event: CompanyEvent) -> Company:  # noqa: C901, PLR0911, PLR0912  # one match per fold
    """The state after one more event. Never raises on stored history."""
    was = company or Company()
    match event:
        case CompanyRegistered():
            return replace(was, **values_set(event, (*_PLAIN, *_LISTS, "parent_id", "owner_id")))
        case CompanyUpdated():
            return replace(was, **values_set(event, _PLAIN))
        case CompanyDomainAdded(domain=domain):
            return replace(was, domains=_with(was.domains, [domain]))
        case CompanyDomainRemoved(domain=domain):
            return replace(was, domains=_without(was.domains, [domain]))
        case CompanyParentChanged(parent_id=parent):
            return replace(was, parent_id=parent)
        case CompanyOwnerChanged(owner_id=owner):
            return replace(was, owner_id=owner)
        case CompanyTagged(tags=tags):
            return replace(was, tags=_with(was.tags, tags))
        case CompanyUntagged(tags=tags):
            return replace(was, tags=_without(was.tags, tags))
        case CompanyExternalIdAdded(system=system, value=value):
            return replace(was, external_ids=_with(was.external_ids, [ExternalId(system=system, value=value)]))
        case CompanyExternalIdRemoved(system=system, value=value):
            return replace(was, external_ids=_without(was.external_ids, [ExternalId(system=system, value=value)]))
        case CompanyArchived():
            return replace(was, status=CompanyStatus.ARCHIVED)
        case CompanyRestored():
            return replace(was, status=CompanyStatus.ACTIVE)
        case _:
            assert_never(event)


def _with(held: tuple[Any, ...], more: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*held, *more)))


def _without(held: tuple[Any, ...], gone: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(one for one in held if one not in gone)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyEdit:
    """What a form says. UNSET = unchanged, None = cleared; `addresses` are all of them."""

    name: str | UnsetType = UNSET
    industry: Text = UNSET
    annual_revenue: Money | UnsetType | None = UNSET
    employee_count: Whole = UNSET
    founded_year: Whole = UNSET
    country: Text = UNSET
    addresses: tuple[PostalAddress, ...] | UnsetType = UNSET
    parent_id: UUID | UnsetType | None = UNSET
    owner_id: UUID | UnsetType | None = UNSET
    remove_domains: Sequence[DomainName] = ()
    add_domains: Sequence[DomainName] = ()
    remove_external_ids: Sequence[ExternalId] = ()
    add_external_ids: Sequence[ExternalId] = ()
    remove_tags: Sequence[Tag] = ()
    add_tags: Sequence[Tag] = ()


def register(form: CompanyEdit, *, id: UUID, ancestors: Sequence[UUID] = ()) -> list[CompanyEvent]:
    """One event for all of it. Raises: InvalidInputError `company.nameless`, and as `update`."""
    if not form.name:
        raise InvalidInputError("A company needs a name.", rule="company.nameless", field=("name",))
    made = reduce(evolve, _edited(Company(), form, id=id, ancestors=ancestors), Company())
    names = (*_PLAIN, *_LISTS, "parent_id", "owner_id")
    return [CompanyRegistered(**{name: value for name in names if (value := getattr(made, name)) not in (None, ())})]


def update(company: Company, form: CompanyEdit, *, id: UUID, ancestors: Sequence[UUID] = ()) -> list[CompanyEvent]:
    """The events that make the company as the form says; none where it is so already.

    `ancestors` are the new parent's: its parent, that one's parent, up to the top. Raises: RuleViolatedError
    `company.archived`, `company.parent_cycle`, `company.too_many_…`.
    """
    check_writable(company)
    return _edited(company, form, id=id, ancestors=ancestors)


def archive(company: Company) -> list[CompanyEvent]:
    check_writable(company)
    return [CompanyArchived()]


def restore(company: Company) -> list[CompanyEvent]:
    """Takes its domains and external ids again; the store refuses when another company has one of them by now."""
    if company.status is CompanyStatus.ACTIVE:
        raise RuleViolatedError("This company is not archived.", rule="company.not_archived")
    return [CompanyRestored()]


def change_owner(company: Company, owner_id: UUID | None) -> list[CompanyEvent]:
    check_writable(company)
    return [] if owner_id == company.owner_id else [CompanyOwnerChanged(owner_id=owner_id)]


def check_writable(company: Company) -> None:
    """Raises: RuleViolatedError `company.archived`."""
    if company.status is CompanyStatus.ARCHIVED:
        raise RuleViolatedError("This company is archived: restore it first.", rule="company.archived")


def _edited(company: Company, form: CompanyEdit, *, id: UUID, ancestors: Sequence[UUID]) -> list[CompanyEvent]:
    events: list[CompanyEvent] = []
    changed = {name: value for name, value in values_set(form, _PLAIN).items() if value != getattr(company, name)}
    if changed:
        events.append(CompanyUpdated(**changed))
    if not isinstance(form.parent_id, UnsetType):
        events += _change_parent(company, form.parent_id, id=id, ancestors=ancestors)
    if not isinstance(form.owner_id, UnsetType):
        events += change_owner(company, form.owner_id)
    for made, values in _lists(company, form):
        events += [made(value) for value in values]
    _check_limits(reduce(evolve, events, company))
    return events


def _change_parent(
    company: Company, parent_id: UUID | None, *, id: UUID, ancestors: Sequence[UUID]
) -> list[CompanyEvent]:
    if parent_id == company.parent_id:
        return []
    if parent_id is not None and id in (parent_id, *ancestors):
        raise RuleViolatedError(
            "A company cannot stand below itself.", rule="company.parent_cycle", field=("parentId",)
        )
    return [CompanyParentChanged(parent_id=parent_id)]


def _lists(company: Company, form: CompanyEdit) -> Iterable[tuple[Callable[[Any], CompanyEvent], Sequence[Any]]]:
    """What leaves the lists, then what joins them, each with how an event says so."""
    domains = _without(company.domains, gone := [domain.name for domain in form.remove_domains])
    yield lambda name: CompanyDomainRemoved(domain=name), _both(company.domains, gone)
    yield lambda name: CompanyDomainAdded(domain=name), _new(domains, [domain.name for domain in form.add_domains])
    known = _without(company.external_ids, form.remove_external_ids)
    removed = _both(company.external_ids, form.remove_external_ids)
    yield lambda one: CompanyExternalIdRemoved(system=one.system, value=one.value), removed
    yield lambda one: CompanyExternalIdAdded(system=one.system, value=one.value), _new(known, form.add_external_ids)
    tags = _without(company.tags, off := [tag.name for tag in form.remove_tags])
    untagged, tagged = _both(company.tags, off), _new(tags, [tag.name for tag in form.add_tags])
    yield lambda names: CompanyUntagged(tags=names), [untagged] if untagged else []
    yield lambda names: CompanyTagged(tags=names), [tagged] if tagged else []


def _both(held: Sequence[Any], named: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(one for one in held if one in named)


def _new(held: Sequence[Any], named: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for one in named if one not in held))


def _check_limits(company: Company) -> None:
    for field, held, most in (
        ("domains", company.domains, MOST_ITEMS),
        ("externalIds", company.external_ids, MOST_ITEMS),
        ("tags", company.tags, MOST_TAGS),
        ("addresses", company.addresses, MOST_ADDRESSES),
    ):
        if len(held) > most:
            message = f"A company has at most {most} {field}: remove some first."
            raise RuleViolatedError(message, rule=f"company.too_many_{field.lower()}", field=(field,))


def _reservations(stream: UUID, company: Company) -> frozenset[Reservation]:
    if company.status is CompanyStatus.ARCHIVED:
        return frozenset()
    domains = {Reservation(kind="domain", value=domain, holder=stream) for domain in company.domains}
    keys = (joint_key("company", one.system, one.value) for one in company.external_ids)
    return frozenset(domains | {Reservation(kind="external_id", value=key, holder=stream) for key in keys})


def _fields(company: Company) -> Mapping[str, object]:
    return {
        "recordStatus": company.status.value,
        "name": company.name,
        "domains": list(company.domains),
        "parent": Ref(type="Company", id=company.parent_id) if company.parent_id else None,
        "industry": company.industry,
        "annualRevenue": money_answer(company.annual_revenue),
        "employeeCount": company.employee_count,
        "foundedYear": company.founded_year,
        "country": company.country,
        "addresses": [address_answer(address) for address in company.addresses],
        "owner": Ref(type="Member", id=company.owner_id) if company.owner_id else None,
        "tags": list(company.tags),
        "externalIds": [{"system": one.system, "value": one.value} for one in company.external_ids],
    }


def _touches(event: CompanyEvent) -> Iterable[tuple[str, str | None]]:
    match event:
        case CompanyTagged(tags=tags) | CompanyUntagged(tags=tags):
            return [("tags", tag) for tag in tags]
        case CompanyDomainAdded(domain=domain) | CompanyDomainRemoved(domain=domain):
            return [("domains", domain)]
        case CompanyExternalIdAdded(system=system, value=value) | CompanyExternalIdRemoved(system=system, value=value):
            return [("externalIds", joint_key(system, value))]
        case _:
            return [(name, None) for name in changed_fields(event)]


COMPANY: Aggregate[Company, CompanyEvent] = Aggregate(
    name="company",
    events=get_args(CompanyEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"archivedAt": lambda company: company.status is CompanyStatus.ARCHIVED},
    touches=_touches,
    subjects=no_subject,
)
