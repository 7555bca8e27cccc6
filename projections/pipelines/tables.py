"""The tables of `pipelines`. Amounts are minor units beside their currency; intervals are [from_at, to_at) by business time,
each named by the version of the event that began it.

`*_set` columns hold what was chosen for a deal; those without it what holds: the stage's where nothing was. `contact_ids` are
those whom a deal's texts are about. `*_folded` columns are `crm_es.text.fold` of the column before them.
"""

from typing import Final, LiteralString

from crm_es.projector.contract import Column, Index, Table

PRODUCT: Final = Table(
    name="product",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="name", type="text"),
        Column(name="name_folded", type="text", collate="C"),
        Column(name="sku", type="text", null=True),
        Column(name="family", type="text", null=True),
        Column(name="price_minor", type="bigint", null=True),
        Column(name="price_currency", type="text", null=True),
        Column(name="retired_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    indexes=(
        Index(name="name", columns=("name_folded",), order=True),
        Index(name="sku", columns=("sku",), where="sku IS NOT NULL"),
        Index(name="family", columns=("family",), where="family IS NOT NULL"),
    ),
)
PIPELINE: Final = Table(
    name="pipeline",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="name", type="text"),
        Column(name="name_folded", type="text", collate="C"),
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    indexes=(Index(name="name", columns=("name_folded",), order=True),),
)
STAGE: Final = Table(
    name="stage",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="pipeline_id", type="uuid"),
        Column(name="place", type="integer"),
        Column(name="name", type="text"),
        Column(name="type", type="text"),
        Column(name="probability", type="numeric"),
        Column(name="rot_days", type="integer", null=True),
        Column(name="retired_at", type="timestamptz", null=True),
    ),
    indexes=(Index(name="pipeline", columns=("pipeline_id", "place"), order=True),),
)
DEAL: Final = Table(
    name="deal",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="name", type="text", personal=True),
        Column(name="name_folded", type="text", personal=True, collate="C"),
        Column(name="pipeline_id", type="uuid"),
        Column(name="stage_id", type="uuid"),
        Column(name="status", type="text"),
        Column(name="rank", type="text", collate="C"),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="amount_value", type="numeric", null=True),  # in whole units: what lists are ordered by
        Column(name="probability", type="numeric"),
        Column(name="probability_set", type="numeric", null=True),
        Column(name="weighted_minor", type="bigint", null=True),
        Column(name="forecast_category", type="text"),
        Column(name="category_set", type="text", null=True),
        Column(name="expected_close_date", type="date", null=True),
        Column(name="company_id", type="uuid", null=True),
        Column(name="contact_id", type="uuid", null=True),  # the primary one, or whom it was merged into
        Column(name="contact_ids", type="uuid[]", default=[]),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="closing_owner_id", type="uuid", null=True),  # whose it was when it was closed
        Column(name="lost_reason", type="text", personal=True),
        Column(name="opened_at", type="timestamptz"),
        Column(name="closed_at", type="timestamptz", null=True),
        Column(name="stage_entered_at", type="timestamptz"),
        Column(name="touched_at", type="timestamptz"),  # when something last happened to it, by business time
        Column(name="rots_at", type="timestamptz", null=True),
        Column(name="stage_number", type="integer"),  # the stage interval that has not ended
        Column(name="interval_number", type="integer"),  # the interval that has not ended
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    subject="contact_ids",
    indexes=(
        Index(name="rank", columns=("rank",), order=True),
        Index(name="name", columns=("name_folded",), order=True),
        Index(name="amount", columns=("amount_value",), order=True),
        Index(name="amount_down", columns=("amount_value",), order=True, descending=True),
        Index(name="expected_close", columns=("expected_close_date",), order=True),
        Index(name="stage_entered", columns=("stage_entered_at",), order=True),
        Index(name="opened", columns=("opened_at",), order=True),
        Index(name="closed", columns=("closed_at",), order=True),
        Index(name="closed_down", columns=("closed_at",), order=True, descending=True),
        Index(name="updated", columns=("updated_at",), order=True),
        Index(name="stage", columns=("stage_id", "rank"), order=True),
        Index(name="open", columns=("stage_id", "status", "rank")),  # passes closed deals over
        Index(name="pipeline", columns=("pipeline_id", "opened_at"), order=True),
        Index(name="owner", columns=("owner_id", "opened_at"), order=True, where="owner_id IS NOT NULL"),
        Index(name="company", columns=("company_id", "opened_at"), order=True, where="company_id IS NOT NULL"),
        Index(name="rots", columns=("rots_at",), where="rots_at IS NOT NULL"),
    ),
)
DEAL_CONTACT: Final = Table(
    name="deal_contact",
    columns=(
        Column(name="deal_id", type="uuid"),
        Column(name="contact_id", type="uuid"),
        Column(name="means_id", type="uuid"),
        Column(name="canonical_id", type="uuid", null=True),
        Column(name="place", type="integer"),
        Column(name="part", type="text", null=True),
        Column(name="is_primary", type="bool"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("deal_id", "contact_id"),
    indexes=(
        Index(name="contact", columns=("canonical_id",), where="canonical_id IS NOT NULL"),
        Index(name="recorded", columns=("contact_id",)),
    ),
)
CONTACT_MEANING: Final = Table(
    name="contact_meaning",
    columns=(Column(name="id", type="uuid"), Column(name="means_id", type="uuid")),
    versioned=False,
)
DEAL_LINE: Final = Table(
    name="deal_line",
    columns=(
        Column(name="deal_id", type="uuid"),
        Column(name="number", type="integer"),
        Column(name="product_id", type="uuid", null=True),
        Column(name="description", type="text", personal=True),
        Column(name="contact_ids", type="uuid[]", default=[]),
        Column(name="quantity", type="numeric"),
        Column(name="currency", type="text", null=True),
        Column(name="unit_price_minor", type="bigint", null=True),
        Column(name="discount_minor", type="bigint", null=True),
        Column(name="total_minor", type="bigint", null=True),
        Column(name="removed", type="bool", default=False),
    ),
    key=("deal_id", "number"),
    subject="contact_ids",
    indexes=(Index(name="product", columns=("product_id",), where="product_id IS NOT NULL"),),
)


def _external_id(name: LiteralString, owner: LiteralString) -> Table:
    return Table(
        name=name,
        columns=(
            Column(name=owner, type="uuid"),
            Column(name="system", type="text"),
            Column(name="value", type="text"),
        ),
        key=(owner, "system", "value"),
        indexes=(Index(name="value", columns=("system", "value")),),
    )


PRODUCT_EXTERNAL_ID: Final = _external_id("product_external_id", "product_id")
PIPELINE_EXTERNAL_ID: Final = _external_id("pipeline_external_id", "pipeline_id")
DEAL_EXTERNAL_ID: Final = _external_id("deal_external_id", "deal_id")
STAGE_INTERVAL: Final = Table(
    name="stage_interval",
    columns=(
        Column(name="deal_id", type="uuid"),
        Column(name="number", type="integer"),
        Column(name="pipeline_id", type="uuid"),
        Column(name="stage_id", type="uuid"),
        Column(name="from_at", type="timestamptz"),
        Column(name="to_at", type="timestamptz", null=True),
    ),
    key=("deal_id", "number"),
    indexes=(
        Index(name="stage", columns=("stage_id", "from_at")),
        Index(name="pipeline", columns=("pipeline_id", "from_at")),
    ),
)
DEAL_INTERVAL: Final = Table(
    name="deal_interval",
    columns=(
        Column(name="deal_id", type="uuid"),
        Column(name="number", type="integer"),
        Column(name="pipeline_id", type="uuid"),
        Column(name="stage_id", type="uuid"),
        Column(name="status", type="text"),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="from_at", type="timestamptz"),
        Column(name="to_at", type="timestamptz", null=True),
    ),
    key=("deal_id", "number"),
    indexes=(
        Index(name="pipeline", columns=("pipeline_id", "from_at")),
        Index(name="owner", columns=("owner_id", "from_at"), where="owner_id IS NOT NULL"),
    ),
)
TABLES: tuple[Table, ...] = (
    PRODUCT, PRODUCT_EXTERNAL_ID, PIPELINE, PIPELINE_EXTERNAL_ID, STAGE, DEAL, DEAL_CONTACT, CONTACT_MEANING, DEAL_LINE,
    DEAL_EXTERNAL_ID, STAGE_INTERVAL, DEAL_INTERVAL,
)  # fmt: skip
