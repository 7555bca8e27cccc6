"""The tables of `interactions`."""

from crm_es.projector.contract import Column, Index, Table

INTERACTION = Table(
    name="interaction",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="type", type="text"),
        Column(name="direction", type="text", null=True),
        Column(name="channel", type="text", null=True),
        Column(name="external_id", type="text", personal=True),
        Column(name="subject", type="text", personal=True),
        Column(name="body", type="text", personal=True),
        Column(name="body_format", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="duration_seconds", type="integer", null=True),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="quantity", type="numeric", null=True),
        Column(name="participants", type="jsonb", personal=True, default=[]),
        Column(name="contact_ids", type="uuid[]"),
        Column(name="company_id", type="uuid", null=True),
        Column(name="deal_id", type="uuid", null=True),
        Column(name="ticket_id", type="uuid", null=True),
        Column(name="ticket_means_id", type="uuid", null=True),
        Column(name="member_id", type="uuid", null=True),
        Column(name="visibility", type="text"),
        Column(name="internal", type="bool", default=False),
        Column(name="corrected_at", type="timestamptz", null=True),
        Column(name="redacted_at", type="timestamptz", null=True),
        Column(name="removed", type="bool", default=False),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    subject="contact_ids",
    indexes=(
        Index(name="occurred", columns=("occurred_at",), order=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="company", columns=("company_id", "occurred_at"), order=True, where="company_id IS NOT NULL"),
        Index(name="deal", columns=("deal_id", "occurred_at"), order=True, where="deal_id IS NOT NULL"),
        Index(
            name="ticket", columns=("ticket_means_id", "occurred_at"), order=True, where="ticket_means_id IS NOT NULL"
        ),
        Index(name="recorded_ticket", columns=("ticket_id",), where="ticket_id IS NOT NULL"),
        Index(name="member", columns=("member_id", "occurred_at"), order=True, where="member_id IS NOT NULL"),
        Index(name="external_id", columns=("external_id",), where="external_id IS NOT NULL"),
    ),
)
LINK = Table(
    name="interaction_contact",
    columns=(
        Column(name="interaction_id", type="uuid"),
        Column(name="contact_id", type="uuid"),
        Column(name="means_id", type="uuid"),
        Column(name="canonical_id", type="uuid", null=True),
        Column(name="type", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="created_at", type="timestamptz"),
        Column(name="visibility", type="text"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("interaction_id", "contact_id"),
    indexes=(
        Index(name="contact", columns=("canonical_id", "occurred_at"), order=True, where="canonical_id IS NOT NULL"),
        Index(name="recorded", columns=("contact_id",)),
    ),
)
ACTIVITY = Table(
    name="contact_activity",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="interaction_count", type="integer", default=0),
        Column(name="unshared_count", type="integer", default=0),
        Column(name="last_interaction_at", type="timestamptz", null=True),
    ),
    indexes=(
        Index(name="last", columns=("last_interaction_at",), order=True),
        Index(name="last_down", columns=("last_interaction_at",), order=True, descending=True),
    ),
)
MEANING = Table(
    name="meaning",
    columns=(Column(name="id", type="uuid"), Column(name="means_id", type="uuid")),
    versioned=False,
)
TABLES: tuple[Table, ...] = (INTERACTION, LINK, ACTIVITY, MEANING)
