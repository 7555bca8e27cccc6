"""Contacts as the API shows them, and where to find them. Companies are in `company_graphql.py`, pairs in `duplicates.py`."""

from datetime import datetime
from typing import Any

import strawberry

from crm_es.api.enums import RecordStatus
from crm_es.api.nodes import Entity
from crm_es.contacts import company_graphql, counters
from crm_es.contacts.parts import (
    ChannelIdentity,
    EmailAddress,
    ExternalId,
    LifecycleStage,
    PhoneNumber,
    PostalAddress,
    known,
    left,
    postal_address,
    source,
)
from crm_es.interactions import graphql as interaction_graphql
from crm_es.interactions.timeline import (
    ACTIVITY,
    MILESTONES_OF_CONTACT,
    OF_CONTACT,
    all_seen,
    seen_activity,
    timeline,
)
from crm_es.reads import filters
from crm_es.reads.declare import (
    Beside,
    Orders,
    Owned,
    State,
    column,
    computed,
    connection,
    lookup,
    many,
    one,
    read_type,
    values,
)
from crm_es.reads.session import Moment
from crm_es.sales import graphql as sales_graphql
from crm_es.sales.links import OF_CONTACT as DEALS
from crm_es.service import ticket_graphql
from crm_es.workspaces import graphql as workspaces
from projections.contact_profiles import tables


def _seen(moment: Moment, hidden: int, value: Any) -> Any:
    """Of what the viewer may see; null where he may not see all of it."""
    return value if all_seen(moment, hidden) else None


@read_type(
    source(tables.CONTACT),
    entity="CONTACT",
    label="display_name",
    orders=Orders(
        columns={
            "DISPLAY_NAME": "display_name_folded",
            "CREATED_AT": "created_at",
            "UPDATED_AT": "updated_at",
            "LAST_INTERACTION_AT": Beside(ACTIVITY, "last_interaction_at"),
        },
        default=(("DISPLAY_NAME", "ASC"),),
    ),
    filter=lambda: ContactFilter,
    owned=Owned(column="owner_id", member=lambda: workspaces.Member),
    listed=("record_status", "ACTIVE"),
    state=State(columns=("record_status", "erased_at"), leaves=left),
)
class Contact(Entity):
    """A person we deal with."""

    record_status: RecordStatus = column("record_status", "Where it is in its life.", render=RecordStatus)
    display_name: str | None = column("display_name", "What to call the person; made of the other names if never said.")
    given_name: str | None = column("given_name", "As given.")
    family_name: str | None = column("family_name", "As given.")
    primary_email: str | None = column("primary_email", "The address to write to.", sensitive=True)
    emails = many(
        lambda: EmailAddress, via="contact_id", order=("since", "place"), where=known("address"), null=True,
        description="All addresses, oldest first.", sensitive=True,
    )  # fmt: skip
    phones = many(
        lambda: PhoneNumber, via="contact_id", order=("since", "place"), where=known("phone_number"), null=True,
        description="All numbers, oldest first.", sensitive=True,
    )  # fmt: skip
    addresses: list[PostalAddress] | None = values("addresses", postal_address, "Where post goes.", sensitive=True)
    identities = many(
        lambda: ChannelIdentity, via="contact_id", order=("since", "place"), where=known("external_id"), null=True,
        description="Who they are on channels.", sensitive=True,
    )  # fmt: skip
    external_ids = many(
        lambda: ExternalId, via="contact_id", order=("since", "place"), where=known("value"), null=True,
        description="What other systems call them.",
    )  # fmt: skip
    job_title: str | None = column("job_title", "What they do there.")
    company = one("company_id", lambda: company_graphql.Company, "Where they work.")
    lifecycle_stage: LifecycleStage = column("lifecycle_stage", "How far they have come.", render=LifecycleStage)
    owner = one("owner_id", lambda: workspaces.Member, "Who looks after them.")
    source: str | None = column("source", "Where we know them from.")
    tags: list[str] | None = column("tags", "Words on the record.")
    archived_at: datetime | None = column("archived_at", "Since when it is put away.")
    erased_at: datetime | None = column("erased_at", "Since when the personal data is destroyed.")
    merged_into = one("merged_into", lambda: Contact, "The contact that absorbed this one.")
    absorbed = many(
        lambda: Contact, via="merged_into", order=("created_at",), description="The contacts merged into this one."
    )
    interaction_count: int | None = computed(
        _seen, ("unshared_count", "interaction_count"), "How many interactions; null where you may not see all of them.",
        beside=ACTIVITY, contextual=True,
    )  # fmt: skip
    last_interaction_at: datetime | None = computed(
        _seen, ("unshared_count", "last_interaction_at"), "When the last one was; null as their count.",
        beside=ACTIVITY, contextual=True,
    )  # fmt: skip
    open_deal_count = counters.open_deals()
    open_ticket_count = counters.open_tickets()
    won_amount = counters.won()
    last_service_contact_at = counters.last_service_contact()
    timeline = timeline(lambda: interaction_graphql.Interaction, via=OF_CONTACT, milestones=MILESTONES_OF_CONTACT)
    interactions = connection(
        lambda: interaction_graphql.Interaction, via=OF_CONTACT, description="What happened, newest first."
    )
    deals = connection(lambda: sales_graphql.Deal, via=DEALS, description="The deals they are in, newest first.")
    tickets = connection(
        lambda: ticket_graphql.Ticket, via="requester_means_id", description="What they asked help for, newest first."
    )


ContactFilter: Any = filters.filter_type(
    "ContactFilter",
    lambda: Contact,
    id=filters.by_id("id", "Contact"),
    record_status=filters.choice("record_status", RecordStatus),
    email=filters.child(
        source(tables.EMAIL), "contact_id", filters.text("address", folded="address_folded"), fields=("emails",)
    ),
    phone=filters.child(source(tables.PHONE), "contact_id", filters.text("phone_number"), fields=("phones",)),
    display_name=filters.text("display_name", folded="display_name_folded"),
    owner_id=filters.by_member("owner_id", lambda: workspaces.Member, fields=("owner",)),
    company_id=filters.by_id("company_id", "Company", fields=("company",)),
    lifecycle_stage=filters.choice("lifecycle_stage", LifecycleStage),
    tag=filters.child(source(tables.TAG), "contact_id", filters.text("tag", folded="tag_folded"), fields=("tags",)),
    source=filters.text("source"),
    external_id=filters.external_id(source(tables.EXTERNAL_ID), "contact_id"),
    created_at=filters.moment("created_at"),
    updated_at=filters.moment("updated_at"),
    last_interaction_at=filters.beside(ACTIVITY, seen_activity(filters.moment("last_interaction_at"))),
    company=filters.related("company_id", lambda: company_graphql.Company, fields=("company",)),
    deals=filters.listed("DealListFilter", lambda: sales_graphql.Deal, DEALS),
    tickets=filters.listed("TicketListFilter", lambda: ticket_graphql.Ticket, "requester_means_id"),
)


@strawberry.type
class ContactQueries:
    contact = lookup(lambda: Contact, "A contact by id; one that was merged answers as itself.")
    contacts = connection(lambda: Contact, description="Contacts, by name unless ordered otherwise.")
