"""A company: an organisation we deal with. Nothing in its stream is personal.

Members, contacts and other companies are named by id; whether those exist is the mutation's question.
"""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.event import changes
from crm_es.values import Money, PostalAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalId:
    """What another system calls the company."""

    system: str
    value: str


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
