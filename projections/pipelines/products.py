"""From a product's events to its rows."""

from typing import Any, Final, assert_never

from msgspec import UNSET

from crm_es.eventstore.event import Fact, values_set
from crm_es.projector.contract import Batch
from crm_es.sales.product import ProductEvent, ProductRegistered, ProductUpdated
from crm_es.text import fold
from projections.pipelines.tables import PRODUCT, PRODUCT_EXTERNAL_ID

_PLAIN: Final = ("name", "sku", "family")


def apply(batch: Batch, fact: Fact) -> None:
    event: ProductEvent = fact.event  # type: ignore[assignment]
    at = fact.recorded_at
    match event:
        case ProductRegistered(external_ids=external_ids):
            batch.insert(PRODUCT, fact, id=fact.stream, version=1, created_at=at, updated_at=at, **_given(event))
            for one in () if external_ids is UNSET else external_ids:
                batch.insert(PRODUCT_EXTERNAL_ID, fact, product_id=fact.stream, system=one.system, value=one.value)
        case ProductUpdated(retired=retired):
            ended = {} if retired is UNSET else {"retired_at": at if retired else None}
            batch.update(
                PRODUCT, fact, {"id": fact.stream}, version=fact.version, updated_at=at, **_given(event), **ended
            )
        case _:
            assert_never(event)


def _given(event: ProductRegistered | ProductUpdated) -> dict[str, Any]:
    """The columns the event sets."""
    values = values_set(event, _PLAIN)
    if "name" in values:
        values["name_folded"] = fold(values["name"])
    if event.price is not UNSET:
        values |= {
            "price_minor": event.price and event.price.minor,
            "price_currency": event.price and event.price.currency,
        }
    return values
