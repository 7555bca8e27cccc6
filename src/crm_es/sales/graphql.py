"""Products, pipelines and deals as the API shows them, and where to find them. The charts are in files of their own."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api.enums import RecordStatus
from crm_es.api.nodes import Entity, Money, Node
from crm_es.contacts import company_graphql
from crm_es.contacts import graphql as contact_graphql
from crm_es.contacts.parts import ExternalId, external_ids, left
from crm_es.interactions import graphql as interaction_graphql
from crm_es.interactions.timeline import OF_ITSELF, timeline
from crm_es.reads import filters, records
from crm_es.reads.connections import summed
from crm_es.reads.declare import (
    Argument,
    Condition,
    Orders,
    Owned,
    State,
    column,
    computed,
    connection,
    id_of,
    lookup,
    many,
    money,
    one,
    read_type,
)
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import TRUE, Query
from crm_es.sales.delta import delta
from crm_es.sales.forecast import forecast
from crm_es.sales.funnel import funnel
from crm_es.sales.links import source
from crm_es.sales.sums import amount_of, summary
from crm_es.sales.trend import trend
from crm_es.sales.vocabulary import DealStatus, ForecastCategory, StageType
from crm_es.workspaces import graphql as workspaces
from projections.pipelines import tables


def _unless(column: LiteralString) -> Any:
    """An argument that lets rows in which `column` tells an end."""

    def where(wanted: bool) -> Condition:
        return lambda _query, alias: TRUE if wanted else SQL("{} IS NULL").format(Identifier(alias, column))

    return where


# Products


def _retired(_query: Query, alias: LiteralString) -> Composable:
    return SQL("{} IS NOT NULL").format(Identifier(alias, "retired_at"))


@read_type(
    source(tables.PRODUCT),
    entity="PRODUCT",
    label="name",
    orders=Orders(columns={"NAME": "name_folded"}, default=(("NAME", "ASC"),)),
    filter=lambda: ProductFilter,
)
class Product(Entity):
    """Something we sell."""

    name: str = column("name", "What it is called.")
    sku: str | None = column("sku", "The number it is stocked by.")
    family: str | None = column("family", "What kind of product it is.")
    price: Money | None = money("price_minor", "price_currency", "What one costs, before any discount.")
    external_ids: list[ExternalId] | None = external_ids(source(tables.PRODUCT_EXTERNAL_ID), via="product_id")
    retired_at: datetime | None = column("retired_at", "Since when it is not sold any more.")


ProductFilter: Any = filters.filter_type(
    "ProductFilter",
    lambda: Product,
    id=filters.by_id("id", "Product"),
    name=filters.text("name", folded="name_folded"),
    sku=filters.text("sku"),
    family=filters.text("family"),
    retired=filters.always(_retired),
    external_id=filters.external_id(source(tables.PRODUCT_EXTERNAL_ID), "product_id"),
)


# Pipelines


@read_type(
    source(tables.PIPELINE),
    entity="PIPELINE",
    label="name",
    orders=Orders(columns={"NAME": "name_folded"}, default=(("NAME", "ASC"),)),
    state=State(columns=("record_status",), leaves=left),
)
class Pipeline(Entity):
    """Ordered stages that deals go through."""

    record_status: RecordStatus = column("record_status", "Where it is in its life.", render=RecordStatus)
    name: str = column("name", "What it is called.")
    archived_at: datetime | None = column("archived_at", "Since when it takes no deals.")
    external_ids: list[ExternalId] | None = external_ids(source(tables.PIPELINE_EXTERNAL_ID), via="pipeline_id")
    stages = many(
        lambda: Stage, via="pipeline_id", order=("place",),
        arguments=(
            Argument(
                name="include_retired", type=bool, default=False, description="Those that were closed too.",
                where=_unless("retired_at"),
            ),
        ),
        description="In order. With their deals, the board: a column pages, refetches and is subscribed to by its own id.",
    )  # fmt: skip
    funnel = funnel()
    trend = trend()
    forecast = forecast()
    delta = delta()


@read_type(source(tables.STAGE), entity="PIPELINE")
class Stage(Node):
    """A column of the board."""

    id: ID = id_of("id", "Stage", "Its own under asOf.", maskable=False)
    name: str = column("name", "What it is called.")
    type: StageType = column("type", "What standing in it means.", render=StageType)
    probability: float = column("probability", "Of winning a deal that stands in it: 0 to 1.")
    rot_days: int | None = column("rot_days", "So many days without an event, and a deal in it rots.")
    retired_at: datetime | None = column("retired_at", "Since when it is closed.")
    pipeline = one("pipeline_id", lambda: Pipeline, "The pipeline it is of.", null=False)
    deals = connection(
        lambda: Deal,
        via="stage_id",
        default=(("RANK", "ASC"),),
        description="The deals in it, in the order of their ranks.",
    )


# Deals


def _shown(query: Query, alias: LiteralString) -> Composable:
    """Those whom the viewer may see; of two that were merged, one."""
    read = read_of(contact_graphql.Contact)
    found = query.exists(
        read.source,
        lambda row: [
            SQL("{} = {}").format(Identifier(row, "id"), Identifier(alias, "canonical_id")),
            *(each(query, row) for each in records.visible(read, query.viewer)),
        ],
    )
    return SQL("({} IS NOT NULL AND {})").format(Identifier(alias, "canonical_id"), found)


@read_type(source(tables.DEAL_CONTACT), key=None)
class DealContact:
    """Somebody on the customer's side of a deal."""

    contact = one("canonical_id", lambda: contact_graphql.Contact, "Who.", null=False)
    part: str | None = column("part", "In which part, as `buyer`.")
    primary: bool = column("is_primary", "The one to turn to.")


@read_type(source(tables.DEAL_LINE), key=None)
class DealLine:
    """So many of something, at a price each."""

    product = one("product_id", lambda: Product, "What is sold.")
    description: str | None = column("description", "What the product does not say.")
    quantity: Decimal = column("quantity", "How many.")
    unit_price: Money | None = money("unit_price_minor", "currency", "What one costs.")
    discount: Money | None = money("discount_minor", "currency", "What comes off all of them.")
    total: Money | None = money("total_minor", "currency", "Price times quantity less discount, rounded half to even.")


def _seconds(moment: Moment, from_at: datetime, to_at: datetime | None) -> int:
    now: Any = moment.viewer.now
    return max(0, int(((to_at or now) - from_at).total_seconds()))


@read_type(source(tables.STAGE_INTERVAL), key=None)
class StageInterval:
    """How long a deal stood in a stage, by business time."""

    stage = one("stage_id", lambda: Stage, "Where.", null=False)
    from_: datetime = column("from_at", "Since when.", called="from")
    to: datetime | None = column("to_at", "Until when; null where it still stands there.")
    seconds: int = computed(
        _seconds, ("from_at", "to_at"), "How long, up to now where it has not ended.", contextual=True
    )


@read_type(
    source(tables.DEAL),
    entity="DEAL",
    label="name",
    orders=Orders(
        columns={
            "RANK": "rank",
            "NAME": "name_folded",
            "AMOUNT": "amount_value",
            "EXPECTED_CLOSE_DATE": "expected_close_date",
            "STAGE_ENTERED_AT": "stage_entered_at",
            "OPENED_AT": "opened_at",
            "CLOSED_AT": "closed_at",
            "UPDATED_AT": "updated_at",
        },
        default=(("OPENED_AT", "DESC"),),
    ),
    filter=lambda: DealFilter,
    owned=Owned(column="owner_id", member=lambda: workspaces.Member),
    listed=("record_status", "ACTIVE"),
    state=State(columns=("record_status",), leaves=left),
)
class Deal(Entity):
    """A chance of a sale."""

    __connection__ = {  # noqa: RUF012  # read when the connection type is made
        "summary": summed(summary, "What the whole list adds up to. Worked out only when asked for.")
    }

    record_status: RecordStatus = column("record_status", "Where it is in its life.", render=RecordStatus)
    name: str | None = column("name", "What it is called; null once all whom it was about are erased.")
    pipeline = one("pipeline_id", lambda: Pipeline, "The pipeline it goes through.", null=False)
    stage = one("stage_id", lambda: Stage, "Where it stands.", null=False)
    status: DealStatus = column("status", "What became of it.", render=DealStatus)
    rank: str = column("rank", "Its place in its column; opaque.")
    amount: Money | None = computed(
        lambda minor, currency, _value: amount_of(minor, currency), ("amount_minor", "amount_currency", "amount_value"),
        "What it is worth.",
    )  # fmt: skip
    probability: float | None = column("probability", "Of winning it: chosen for it, else its stage's. 0 to 1.")
    weighted_amount: Money | None = computed(
        amount_of, ("weighted_minor", "amount_currency"), "The amount times the probability, rounded."
    )
    forecast_category: ForecastCategory = column(
        "forecast_category", "How sure it is in a forecast.", render=ForecastCategory
    )
    expected_close_date: date | None = column("expected_close_date", "When it should be won.")
    opened_at: datetime = column("opened_at", "When it began in the world.")
    closed_at: datetime | None = column("closed_at", "When it was won or lost in the world.")
    lost_reason: str | None = column("lost_reason", "Why it was lost.")
    owner = one("owner_id", lambda: workspaces.Member, "Who looks after it.")
    company = one("company_id", lambda: company_graphql.Company, "The company it is with.")
    contact = one("contact_id", lambda: contact_graphql.Contact, "The primary one.")
    contacts = many(
        lambda: DealContact, via="deal_id", order=("place",), where=_shown, description="Those you may see, each once."
    )
    lines = many(lambda: DealLine, via="deal_id", order=("number",), null=True, description="What is sold, in order.")
    external_ids: list[ExternalId] | None = external_ids(source(tables.DEAL_EXTERNAL_ID), via="deal_id")
    stage_entered_at: datetime = column("stage_entered_at", "Since when it stands in its stage.")
    rots_at: datetime | None = column("rots_at", "When it starts to rot if nothing happens; null where it never does.")
    stage_intervals = many(
        lambda: StageInterval, via="deal_id", order=("number",), description="Where it stood, oldest first."
    )
    timeline = timeline(lambda: interaction_graphql.Interaction, via="deal_id", milestones=OF_ITSELF)
    archived_at: datetime | None = column("archived_at", "Since when it is put away.")


DealFilter: Any = filters.filter_type(
    "DealFilter",
    lambda: Deal,
    id=filters.by_id("id", "Deal"),
    record_status=filters.choice("record_status", RecordStatus),
    name=filters.text("name", folded="name_folded"),
    pipeline_id=filters.by_id("pipeline_id", "Pipeline", fields=("pipeline",)),
    stage_id=filters.by_id("stage_id", "Stage", fields=("stage",)),
    status=filters.choice("status", DealStatus),
    owner_id=filters.by_member("owner_id", lambda: workspaces.Member, fields=("owner",)),
    company_id=filters.by_id("company_id", "Company", fields=("company",)),
    contact_id=filters.child(
        source(tables.DEAL_CONTACT), "deal_id", filters.by_id("canonical_id", "Contact"), fields=("contacts",)
    ),
    product_id=filters.child(
        source(tables.DEAL_LINE), "deal_id", filters.by_id("product_id", "Product"), fields=("lines",)
    ),
    amount=filters.amount("amount_minor", "amount_currency"),
    forecast_category=filters.choice("forecast_category", ForecastCategory),
    expected_close_date=filters.day("expected_close_date"),
    opened_at=filters.moment("opened_at"),
    closed_at=filters.moment("closed_at"),
    created_at=filters.moment("created_at"),
    updated_at=filters.moment("updated_at"),
    rots_at=filters.moment("rots_at"),
    external_id=filters.external_id(source(tables.DEAL_EXTERNAL_ID), "deal_id"),
)


@strawberry.type
class SalesQueries:
    product = lookup(lambda: Product, "A product by id.")
    products = connection(lambda: Product, description="Products, by name.")
    pipeline = lookup(lambda: Pipeline, "A pipeline by id.")
    pipelines = connection(
        lambda: Pipeline, filter=False, order=False, description="Pipelines, by name.",
        arguments=(
            Argument(
                name="include_archived", type=bool, default=False, description="Those put away too.",
                where=_unless("archived_at"),
            ),
        ),
    )  # fmt: skip
    deal = lookup(lambda: Deal, "A deal by id.")
    deals = connection(lambda: Deal, description="Deals, newest first unless ordered otherwise.")
