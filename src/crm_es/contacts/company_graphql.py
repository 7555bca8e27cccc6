"""Companies as the API shows them, and where to find them."""

from datetime import datetime
from typing import Any

import strawberry

from crm_es.api.enums import RecordStatus
from crm_es.api.nodes import Entity, Money
from crm_es.contacts import graphql as contact_graphql
from crm_es.contacts.parts import ExternalId, PostalAddress, external_ids, left, postal_address, source
from crm_es.interactions import graphql as interaction_graphql
from crm_es.interactions.timeline import timeline
from crm_es.reads import filters
from crm_es.reads.declare import (
    Orders,
    Owned,
    State,
    column,
    connection,
    lookup,
    money,
    one,
    read_type,
    values,
)
from crm_es.sales import graphql as sales_graphql
from crm_es.service import ticket_graphql
from crm_es.workspaces import graphql as workspaces
from projections.contact_profiles import tables


@read_type(
    source(tables.COMPANY),
    entity="COMPANY",
    label="name",
    orders=Orders(
        columns={"NAME": "name_folded", "CREATED_AT": "created_at", "UPDATED_AT": "updated_at"},
        default=(("NAME", "ASC"),),
    ),
    filter=lambda: CompanyFilter,
    owned=Owned(column="owner_id", member=lambda: workspaces.Member),
    listed=("record_status", "ACTIVE"),
    state=State(columns=("record_status",), leaves=left),
)
class Company(Entity):
    """An organisation we deal with."""

    record_status: RecordStatus = column("record_status", "Where it is in its life.", render=RecordStatus)
    name: str = column("name", "What it is called.")
    domains: list[str] = column("domains", "Its names on the internet.")
    parent = one("parent_id", lambda: Company, "The company it belongs to.")
    subsidiaries = connection(lambda: Company, via="parent_id", description="The companies that belong to it, by name.")
    industry: str | None = column("industry", "What it does.")
    annual_revenue: Money | None = money("revenue_minor", "revenue_currency", "What it turns over in a year.")
    employee_count: int | None = column("employee_count", "How many work there.")
    founded_year: int | None = column("founded_year", "When it began.")
    country: str | None = column("country", "ISO 3166-1 alpha-2.")
    addresses: list[PostalAddress] | None = values("addresses", postal_address, "Where post goes.", sensitive=True)
    owner = one("owner_id", lambda: workspaces.Member, "Who looks after it.")
    tags: list[str] | None = column("tags", "Words on the record.")
    external_ids: list[ExternalId] | None = external_ids(source(tables.COMPANY_EXTERNAL_ID), via="company_id")
    archived_at: datetime | None = column("archived_at", "Since when it is put away.")
    contacts = connection(lambda: contact_graphql.Contact, via="company_id", description="Who works there, by name.")
    deals = connection(lambda: sales_graphql.Deal, via="company_id", description="The deals with it, newest first.")
    tickets = connection(
        lambda: ticket_graphql.Ticket, via="company_id", description="What help was asked for it, newest first."
    )
    timeline = timeline(lambda: interaction_graphql.Interaction, via="company_id", milestones="company_id")


CompanyFilter: Any = filters.filter_type(
    "CompanyFilter",
    lambda: Company,
    id=filters.by_id("id", "Company"),
    record_status=filters.choice("record_status", RecordStatus),
    name=filters.text("name", folded="name_folded"),
    domain=filters.child(
        source(tables.COMPANY_DOMAIN), "company_id", filters.text("domain", folded="domain_folded"), fields=("domains",)
    ),
    owner_id=filters.by_member("owner_id", lambda: workspaces.Member, fields=("owner",)),
    parent_id=filters.by_id("parent_id", "Company", fields=("parent",)),
    industry=filters.text("industry"),
    country=filters.text("country"),
    tag=filters.child(
        source(tables.COMPANY_TAG), "company_id", filters.text("tag", folded="tag_folded"), fields=("tags",)
    ),
    external_id=filters.external_id(source(tables.COMPANY_EXTERNAL_ID), "company_id"),
    created_at=filters.moment("created_at"),
    updated_at=filters.moment("updated_at"),
)


@strawberry.type
class CompanyQueries:
    company = lookup(lambda: Company, "A company by id.")
    companies = connection(lambda: Company, description="Companies, by name unless ordered otherwise.")
