"""What mutations of companies take, and how it becomes a form of parsed values."""

from datetime import UTC, datetime
from typing import Any

import strawberry
from strawberry import ID, UNSET

from crm_es.api.nodes import MoneyInput
from crm_es.api.payloads import Envelope, Versioned, said
from crm_es.contacts.company import CompanyEdit
from crm_es.contacts.inputs import AddressInput, addresses, each, external_id, may_say, reference, text
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.reads.operands import ExternalIdInput
from crm_es.values import CountryCode, DomainName, Money, Tag, joint_key

_LARGEST = 2**31 - 1


@strawberry.input(description="A new company.")
class RegisterCompanyInput(Envelope):
    name: str = strawberry.field(description="What it is called.")
    domains: list[str] | None = may_say("Its names on the internet.")
    parent_id: ID | None = may_say("The company it belongs to.")
    industry: str | None = may_say("What it does.")
    annual_revenue: MoneyInput | None = may_say("What it turns over in a year.")
    employee_count: int | None = may_say("How many work there.")
    founded_year: int | None = may_say("When it began.")
    country: str | None = may_say("ISO 3166-1 alpha-2.")
    addresses: list[AddressInput] | None = may_say("Where post goes.")
    owner_id: ID | None = may_say("Who looks after it.")
    tags: list[str] | None = may_say("Words on the record.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@strawberry.input(description="Changes of a company: what is left out stays, null clears.")
class UpdateCompanyInput(Versioned):
    id: ID = strawberry.field(description="Which company.")
    name: str | None = may_say("What it is called.")
    add_domains: list[str] | None = may_say("Its names on the internet, besides.")
    remove_domains: list[str] | None = may_say("Names it no longer has.")
    parent_id: ID | None = may_say("The company it belongs to.")
    industry: str | None = may_say("What it does.")
    annual_revenue: MoneyInput | None = may_say("What it turns over in a year.")
    employee_count: int | None = may_say("How many work there.")
    founded_year: int | None = may_say("When it began.")
    country: str | None = may_say("ISO 3166-1 alpha-2.")
    addresses: list[AddressInput] | None = may_say("All of them.")
    owner_id: ID | None = may_say("Who looks after it.")
    add_tags: list[str] | None = may_say("Words to put on the record.")
    remove_tags: list[str] | None = may_say("Words to take off.")
    add_external_ids: list[ExternalIdInput] | None = may_say("What other systems call it, besides.")
    remove_external_ids: list[ExternalIdInput] | None = may_say("What they do not.")


def registration(input: RegisterCompanyInput) -> CompanyEdit:
    """Raises: InvalidInputError."""
    return CompanyEdit(
        **_plain(input, nothing=UNSET),
        add_domains=list(each("domains", input.domains or (), DomainName.parse)),
        add_tags=list(each("tags", input.tags or (), Tag.parse)),
        add_external_ids=list(each("externalIds", input.external_ids or (), external_id)),
    )


def edit(input: UpdateCompanyInput) -> CompanyEdit:
    """Raises: InvalidInputError."""
    if input.name is None:
        message = "A company needs a name: leave the field out."
        raise InvalidInputError(message, rule="field.required", field=("name",))
    return CompanyEdit(
        **_plain(input, nothing=None),
        add_domains=list(each("addDomains", input.add_domains or (), DomainName.parse)),
        remove_domains=list(each("removeDomains", input.remove_domains or (), DomainName.parse)),
        add_tags=list(each("addTags", input.add_tags or (), Tag.parse)),
        remove_tags=list(each("removeTags", input.remove_tags or (), Tag.parse)),
        add_external_ids=list(each("addExternalIds", input.add_external_ids or (), external_id)),
        remove_external_ids=list(each("removeExternalIds", input.remove_external_ids or (), external_id)),
    )


def places(form: CompanyEdit, *, adding: bool) -> dict[tuple[str, str], FieldPath]:
    """Where in the input each value stands that must be unique, by (kind, normal form)."""
    domains, others = ("addDomains", "addExternalIds") if adding else ("domains", "externalIds")
    keys = [("domain", domain.name, domains, index) for index, domain in enumerate(form.add_domains)]
    keys += [
        ("external_id", joint_key("company", one.system, one.value), others, index)
        for index, one in enumerate(form.add_external_ids)
    ]
    return {(kind, key): (name, str(index)) for kind, key, name, index in keys}


def _plain(input: RegisterCompanyInput | UpdateCompanyInput, nothing: Any) -> dict[str, Any]:
    """What both forms have. `nothing` is what null means: cleared in an update, not said in a new company."""

    def of(name: str) -> Any:
        value = getattr(input, name)
        return said(nothing if value is None else value)

    return {
        "name": text(of("name"), "name"),
        "industry": text(of("industry"), "industry"),
        "annual_revenue": _money(of("annual_revenue")),
        "employee_count": _whole(of("employee_count"), "employee_count", _LARGEST),
        "founded_year": _whole(of("founded_year"), "founded_year", datetime.now(UTC).year),
        "country": _country(of("country")),
        "addresses": addresses(of("addresses")),
        "parent_id": reference(of("parent_id"), "Company", "parentId"),
        "owner_id": reference(of("owner_id"), "Member", "ownerId"),
    }


def _money(value: Any) -> Any:
    return Money.parse(value.amount, value.currency, ("annualRevenue",)) if isinstance(value, MoneyInput) else value


def _whole(value: Any, name: str, most: int) -> Any:
    if isinstance(value, int) and not 0 <= value <= most:
        message = f"Write a whole number from 0 to {most}."
        raise InvalidInputError(message, rule="number.out_of_range", field=(camel(name),))
    return value


def _country(value: Any) -> Any:
    return CountryCode.parse(value, ("country",)).code if isinstance(value, str) else value
