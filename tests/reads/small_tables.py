"""The tables of the small CRM."""

from crm_es.projector.contract import Column, Index, Table

_ENTITY = (
    Column(name="id", type="uuid"),
    Column(name="version", type="int"),
    Column(name="record_status", type="text"),
    Column(name="created_at", type="timestamptz"),
    Column(name="updated_at", type="timestamptz"),
)
CONTACT = Table(
    name="contact",
    columns=(
        *_ENTITY,
        Column(name="display_name", type="text", personal=True),
        Column(name="company_id", type="uuid", null=True),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="stage", type="text"),
        Column(name="tags", type="text[]", personal=True),
        Column(name="last_at", type="timestamptz", null=True),
        Column(name="note", type="text", null=True),
        Column(name="phones", type="jsonb", personal=True),
    ),
    indexes=(
        Index(name="name", columns=("display_name",), order=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="last", columns=("last_at",), descending=True, order=True),
        Index(name="company", columns=("company_id", "display_name"), order=True),
    ),
)
COMPANY = Table(
    name="company",
    columns=(
        *_ENTITY,
        Column(name="name", type="text"),
        Column(name="revenue_minor", type="bigint", null=True),
        Column(name="revenue_currency", type="text", null=True),
    ),
    indexes=(
        Index(name="name", columns=("name",), order=True),
        Index(name="created", columns=("created_at",), order=True),
    ),
)
ACTIVITY = Table(
    name="activity",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="meeting_count", type="int"),
        Column(name="last_met_at", type="timestamptz", null=True),
    ),
    indexes=(
        Index(name="last", columns=("last_met_at",), order=True),
        Index(name="last_down", columns=("last_met_at",), order=True, descending=True),
    ),
)
EVENT = Table(
    name="event",
    columns=(Column(name="stream_id", type="uuid"), Column(name="type", type="text")),
    key=("position",),
    versioned=False,
    indexes=(Index(name="type", columns=("type",), order=True), Index(name="stream", columns=("stream_id",))),
)
EMAIL = Table(
    name="email",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="address", type="text"),
        Column(name="is_primary", type="bool"),
        Column(name="removed", type="bool"),
    ),
    key=("contact_id", "address"),
)
MEETING = Table(
    name="meeting",
    columns=(
        *_ENTITY,
        Column(name="subject", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="private", type="bool"),
    ),
    indexes=(Index(name="occurred", columns=("occurred_at",), order=True),),
)
GUEST = Table(
    name="guest",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="meeting_id", type="uuid"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="removed", type="bool"),
    ),
    key=("contact_id", "meeting_id"),
    indexes=(Index(name="time", columns=("contact_id", "occurred_at"), order=True),),
)
MEMBER = Table(
    name="member",
    columns=(*_ENTITY, Column(name="name", type="text"), Column(name="team_id", type="uuid", null=True)),
)
LETTER = Table(
    name="letter",
    columns=(
        *_ENTITY,
        Column(name="contact_id", type="uuid"),
        Column(name="sender_id", type="uuid", null=True),
        Column(name="about_kind", type="text", null=True),
        Column(name="about_id", type="uuid", null=True),
        Column(name="subject", type="text", personal=True),
        Column(name="occurred_at", type="timestamptz"),
    ),
    indexes=(Index(name="time", columns=("contact_id", "occurred_at"), order=True),),
)
TABLES = (CONTACT, COMPANY, ACTIVITY, EVENT, EMAIL, MEETING, GUEST, MEMBER, LETTER)
