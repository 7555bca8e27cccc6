"""From a company's events to its rows. Nothing here is personal."""

from typing import Any, Final, assert_never

from msgspec import UNSET

from crm_es.contacts import company as c
from crm_es.contacts.company import CompanyEvent
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch, Sql
from crm_es.text import fold
from projections.contact_profiles.tables import COMPANY, COMPANY_DOMAIN, COMPANY_EXTERNAL_ID, COMPANY_TAG

_PLAIN: Final = ("name", "industry", "employee_count", "founded_year", "country", "addresses", "parent_id", "owner_id")


def apply(batch: Batch, fact: Fact) -> None:
    event: CompanyEvent = fact.event  # type: ignore[assignment]
    match event:
        case c.CompanyRegistered():
            _register(batch, fact, event)
        case c.CompanyUpdated() | c.CompanyParentChanged() | c.CompanyOwnerChanged():
            _touch(batch, fact, **_given(event))
        case c.CompanyDomainAdded(domain=domain):
            batch.save(COMPANY_DOMAIN, fact, **_domain(fact, domain))
            _touch(batch, fact, domains=Sql(_WITH["domains"], [domain]))
        case c.CompanyDomainRemoved(domain=domain):
            batch.update(COMPANY_DOMAIN, fact, {"company_id": fact.stream, "domain": domain}, removed=True)
            _touch(batch, fact, domains=Sql(_WITHOUT["domains"], [domain]))
        case c.CompanyTagged(tags=tags):
            for tag in dict.fromkeys(tags):
                batch.save(COMPANY_TAG, fact, **_tag(fact, tag))
            _touch(batch, fact, tags=Sql(_WITH["tags"], list(dict.fromkeys(tags))))
        case c.CompanyUntagged(tags=tags):
            for tag in dict.fromkeys(tags):
                batch.update(COMPANY_TAG, fact, {"company_id": fact.stream, "tag": tag}, removed=True)
            _touch(batch, fact, tags=Sql(_WITHOUT["tags"], list(tags)))
        case c.CompanyExternalIdAdded(system=system, value=value):
            batch.save(COMPANY_EXTERNAL_ID, fact, company_id=fact.stream, system=system, value=value)
            _touch(batch, fact)
        case c.CompanyExternalIdRemoved(system=system, value=value):
            key = {"company_id": fact.stream, "system": system, "value": value}
            batch.update(COMPANY_EXTERNAL_ID, fact, key, removed=True)
            _touch(batch, fact)
        case c.CompanyArchived():
            _touch(batch, fact, archived_at=fact.recorded_at, record_status="ARCHIVED")
        case c.CompanyRestored():
            _touch(batch, fact, archived_at=None, record_status="ACTIVE")
        case _:
            assert_never(event)


_WITH: Final = {
    "tags": ("tags || ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (tags) ORDER BY i)"),
    "domains": (
        "domains || ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (domains) ORDER BY i)"
    ),
}
_WITHOUT: Final = {
    "tags": ("ARRAY(SELECT t FROM unnest(tags) WITH ORDINALITY u (t, i) WHERE t <> ALL ({value}) ORDER BY i)"),
    "domains": ("ARRAY(SELECT t FROM unnest(domains) WITH ORDINALITY u (t, i) WHERE t <> ALL ({value}) ORDER BY i)"),
}


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(COMPANY, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _given(event: Any) -> dict[str, Any]:
    """The fields the event sets, and what is derived from them."""
    values = {n: v for n in _PLAIN if (v := getattr(event, n, UNSET)) is not UNSET}
    if "name" in values:
        values["name_folded"] = fold(values["name"])
    revenue = getattr(event, "annual_revenue", UNSET)
    if revenue is not UNSET:
        values["revenue_minor"] = revenue and revenue.minor
        values["revenue_currency"] = revenue and revenue.currency
    return values


def _domain(fact: Fact, domain: str) -> dict[str, Any]:
    return {"company_id": fact.stream, "domain": domain, "domain_folded": fold(domain)}


def _tag(fact: Fact, tag: str) -> dict[str, Any]:
    return {"company_id": fact.stream, "tag": tag, "tag_folded": fold(tag)}


def _register(batch: Batch, fact: Fact, event: c.CompanyRegistered) -> None:
    domains = () if event.domains is UNSET else tuple(dict.fromkeys(event.domains))
    tags = () if event.tags is UNSET else tuple(dict.fromkeys(event.tags))
    batch.insert(
        COMPANY,
        fact,
        id=fact.stream,
        version=fact.version,
        domains=list(domains),
        tags=list(tags),
        created_at=fact.recorded_at,
        updated_at=fact.recorded_at,
        **_given(event),
    )
    for domain in domains:
        batch.insert(COMPANY_DOMAIN, fact, **_domain(fact, domain))
    for tag in tags:
        batch.insert(COMPANY_TAG, fact, **_tag(fact, tag))
    for external_id in () if event.external_ids is UNSET else event.external_ids:
        batch.insert(
            COMPANY_EXTERNAL_ID, fact, company_id=fact.stream, system=external_id.system, value=external_id.value
        )
