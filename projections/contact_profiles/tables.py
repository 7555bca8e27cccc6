"""The tables of `contact_profiles`. Items (emails, phones, identities, external ids) are rows named by contact, holder, number.

`called` is the display name as said; `display_name` falls back on the other names. `*_folded` columns are
`crm_es.text.fold` of the column before them: for order, contains and startsWith, and by index for what is asked exactly.
"""

from typing import LiteralString

from crm_es.projector.contract import Column, Index, Table


def folded(name: LiteralString) -> Column:
    return Column(name=name, type="text", personal=True, collate="C")


def _item(name: LiteralString, *columns: Column, indexes: tuple[Index, ...]) -> Table:
    """`holder_id` is the contact whose stream took the item: the contact itself, or one it absorbed.

    Lists go by `since`, the position at which the contact took the item in, then `place` within that event.
    """
    return Table(
        name=name,
        columns=(
            Column(name="contact_id", type="uuid"),
            Column(name="holder_id", type="uuid"),
            Column(name="number", type="integer"),
            *columns,
            Column(name="since", type="bigint"),
            Column(name="place", type="integer", default=0),
            Column(name="removed", type="bool", default=False),
        ),
        key=("contact_id", "holder_id", "number"),
        subject="contact_id",
        indexes=indexes,
    )


CONTACT = Table(
    name="contact",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="called", type="text", personal=True),
        Column(name="display_name", type="text", personal=True),
        folded("display_name_folded"),
        Column(name="given_name", type="text", personal=True),
        Column(name="family_name", type="text", personal=True),
        Column(name="job_title", type="text", personal=True),
        Column(name="addresses", type="jsonb", personal=True, default=[]),
        Column(name="primary_email", type="text", personal=True),
        Column(name="company_id", type="uuid", null=True),
        Column(name="lifecycle_stage", type="text"),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="source", type="text", null=True),
        Column(name="tags", type="text[]", default=[]),
        Column(name="merged_into", type="uuid", null=True),
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="erased_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    subject="id",
    indexes=(
        Index(name="name", columns=("display_name_folded",), order=True),
        Index(name="name_down", columns=("display_name_folded",), order=True, descending=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="updated", columns=("updated_at",), order=True),
        Index(name="owner", columns=("owner_id", "display_name_folded"), order=True, where="owner_id IS NOT NULL"),
        Index(
            name="company", columns=("company_id", "display_name_folded"), order=True, where="company_id IS NOT NULL"
        ),
        Index(name="stage", columns=("lifecycle_stage", "display_name_folded"), order=True),
        Index(name="source", columns=("source",), where="source IS NOT NULL"),
        Index(name="merged_into", columns=("merged_into",), where="merged_into IS NOT NULL"),
    ),
)
EMAIL = _item(
    "contact_email",
    Column(name="address", type="text", personal=True),
    folded("address_folded"),
    Column(name="label", type="text", personal=True),
    Column(name="is_primary", type="bool", default=False),
    Column(name="verified", type="bool", default=False),
    indexes=(Index(name="folded", columns=("address_folded",)),),
)
PHONE = _item(
    "contact_phone",
    Column(name="phone_number", type="text", personal=True),
    Column(name="label", type="text", personal=True),
    Column(name="is_primary", type="bool", default=False),
    indexes=(Index(name="phone_number", columns=("phone_number",)),),
)
IDENTITY = _item(
    "contact_identity",
    Column(name="channel", type="text", personal=True),
    Column(name="external_id", type="text", personal=True),
    Column(name="verified", type="bool", default=False),
    indexes=(Index(name="external_id", columns=("channel", "external_id")),),
)
EXTERNAL_ID = _item(
    "contact_external_id",
    Column(name="system", type="text", personal=True),
    Column(name="value", type="text", personal=True),
    indexes=(Index(name="value", columns=("system", "value")),),
)
TAG = Table(
    name="contact_tag",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="tag", type="text"),
        Column(name="tag_folded", type="text", collate="C"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("contact_id", "tag"),
    indexes=(Index(name="folded", columns=("tag_folded",)),),
)
NOT_DUPLICATE = Table(
    name="not_duplicate",
    columns=(Column(name="contact_id", type="uuid"), Column(name="other_id", type="uuid")),
    key=("contact_id", "other_id"),
    versioned=False,
)

COMPANY = Table(
    name="company",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="name", type="text"),
        Column(name="name_folded", type="text", collate="C"),
        Column(name="parent_id", type="uuid", null=True),
        Column(name="industry", type="text", null=True),
        Column(name="revenue_minor", type="bigint", null=True),
        Column(name="revenue_currency", type="text", null=True),
        Column(name="employee_count", type="integer", null=True),
        Column(name="founded_year", type="integer", null=True),
        Column(name="country", type="text", null=True),
        Column(name="addresses", type="jsonb", default=[]),
        Column(name="domains", type="text[]", default=[]),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="tags", type="text[]", default=[]),
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    indexes=(
        Index(name="name", columns=("name_folded",), order=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="updated", columns=("updated_at",), order=True),
        Index(name="parent", columns=("parent_id", "name_folded"), order=True, where="parent_id IS NOT NULL"),
        Index(name="owner", columns=("owner_id", "name_folded"), order=True, where="owner_id IS NOT NULL"),
        Index(name="industry", columns=("industry", "name_folded"), order=True, where="industry IS NOT NULL"),
        Index(name="country", columns=("country", "name_folded"), order=True, where="country IS NOT NULL"),
    ),
)


def _of_company(
    name: LiteralString, *columns: Column, key: tuple[LiteralString, ...], indexes: tuple[Index, ...]
) -> Table:
    return Table(
        name=name,
        columns=(
            Column(name="company_id", type="uuid"),
            *columns,
            Column(name="removed", type="bool", default=False),
        ),
        key=("company_id", *key),
        indexes=indexes,
    )


COMPANY_DOMAIN = _of_company(
    "company_domain",
    Column(name="domain", type="text"),
    Column(name="domain_folded", type="text", collate="C"),
    key=("domain",),
    indexes=(Index(name="folded", columns=("domain_folded",)),),
)
COMPANY_TAG = _of_company(
    "company_tag",
    Column(name="tag", type="text"),
    Column(name="tag_folded", type="text", collate="C"),
    key=("tag",),
    indexes=(Index(name="folded", columns=("tag_folded",)),),
)
COMPANY_EXTERNAL_ID = _of_company(
    "company_external_id",
    Column(name="system", type="text"),
    Column(name="value", type="text"),
    key=("system", "value"),
    indexes=(Index(name="value", columns=("system", "value")),),
)

TABLES: tuple[Table, ...] = (
    CONTACT, EMAIL, PHONE, IDENTITY, EXTERNAL_ID, TAG, NOT_DUPLICATE,
    COMPANY, COMPANY_DOMAIN, COMPANY_TAG, COMPANY_EXTERNAL_ID,
)  # fmt: skip
