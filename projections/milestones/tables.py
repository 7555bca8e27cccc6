"""The tables of `milestones`."""

from crm_es.projector.contract import Column, Index, Table

MILESTONE = Table(
    name="milestone",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="kind", type="text"),
        Column(name="entity_type", type="text"),
        Column(name="entity_id", type="uuid"),
        Column(name="company_id", type="uuid", null=True),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="actor_kind", type="text"),
        Column(name="actor_id", type="uuid", null=True),
        Column(name="on_behalf_of", type="uuid", null=True),
        Column(name="authenticated_by", type="text", null=True),
        Column(name="archived", type="bool", default=False),
    ),
    indexes=(
        Index(name="entity", columns=("entity_id", "occurred_at"), order=True),
        Index(name="company", columns=("company_id", "occurred_at"), order=True, where="company_id IS NOT NULL"),
    ),
)
LINK = Table(
    name="milestone_contact",
    columns=(
        Column(name="milestone_id", type="uuid"),
        Column(name="contact_id", type="uuid"),
        Column(name="means_id", type="uuid"),
        Column(name="canonical_id", type="uuid", null=True),
        Column(name="entity_id", type="uuid"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("milestone_id", "contact_id"),
    indexes=(
        Index(name="contact", columns=("canonical_id", "occurred_at"), order=True, where="canonical_id IS NOT NULL"),
        Index(name="recorded", columns=("contact_id",)),
        Index(name="entity", columns=("entity_id",)),
    ),
)
STANDING = Table(
    name="standing",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="company_id", type="uuid", null=True),
        Column(name="contact_ids", type="uuid[]"),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="archived", type="bool", default=False),
    ),
    versioned=False,
)
MEANING = Table(
    name="contact_meaning",
    columns=(Column(name="id", type="uuid"), Column(name="means_id", type="uuid")),
    versioned=False,
)
TABLES: tuple[Table, ...] = (MILESTONE, LINK, STANDING, MEANING)
