"""A product: something we sell, and for how much. Nothing in its stream is personal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Reservation, changes, values_set
from crm_es.values import ExternalId, Money, joint_key, money_answer

MOST_EXTERNAL_IDS: Final = 100
Text = str | None | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRegistered:
    TOPIC: ClassVar[str] = "product.registered"
    name: str
    sku: Text = UNSET
    family: Text = UNSET
    price: Money | UnsetType | None = UNSET
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductUpdated:
    """`retired`: not sold any more, or again."""

    TOPIC: ClassVar[str] = "product.updated"
    name: str | UnsetType = UNSET
    sku: Text = UNSET
    family: Text = UNSET
    price: Money | UnsetType | None = UNSET
    retired: bool | UnsetType = changes("retiredAt", default=UNSET)


ProductEvent = ProductRegistered | ProductUpdated


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    name: str = ""
    sku: str | None = None
    family: str | None = None
    price: Money | None = None
    retired: bool = False
    external_ids: tuple[ExternalId, ...] = ()


_PLAIN: Final = ("name", "sku", "family", "price", "retired")


def evolve(product: Product | None, event: ProductEvent) -> Product:
    """The state after one more event. Never raises on stored history."""
    match event:
        case ProductRegistered() | ProductUpdated():
            return replace(product or Product(), **values_set(event, (*_PLAIN, "external_ids")))
        case _:
            assert_never(event)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductEdit:
    """What a form says. UNSET = unchanged, None = cleared."""

    name: str | UnsetType = UNSET
    sku: Text = UNSET
    family: Text = UNSET
    price: Money | UnsetType | None = UNSET
    retired: bool | UnsetType = UNSET


def register(form: ProductEdit, external_ids: Sequence[ExternalId] = ()) -> list[ProductEvent]:
    """Raises: InvalidInputError `product.nameless`, `product.too_many_externalids`, `money.negative`."""
    if not form.name:
        raise InvalidInputError("A product needs a name.", rule="product.nameless", field=("name",))
    if len(external_ids) > MOST_EXTERNAL_IDS:
        message = f"A product has at most {MOST_EXTERNAL_IDS} external ids."
        raise InvalidInputError(message, rule="product.too_many_externalids", field=("externalIds",))
    _check_price(form)
    said = {name: value for name, value in values_set(form, _PLAIN).items() if value is not None}
    said.pop("retired", None)
    return [ProductRegistered(**said, external_ids=tuple(dict.fromkeys(external_ids)) or UNSET)]


def update(product: Product, form: ProductEdit) -> list[ProductEvent]:
    """The event that makes it as the form says; none where it is so already. Raises: InvalidInputError `money.negative`."""
    _check_price(form)
    changed = {name: value for name, value in values_set(form, _PLAIN).items() if value != getattr(product, name)}
    return [ProductUpdated(**changed)] if changed else []


def _check_price(form: ProductEdit) -> None:
    if isinstance(form.price, Money) and form.price.minor < 0:
        raise InvalidInputError("A price is not negative.", rule="money.negative", field=("price", "amount"))


def _reservations(stream: UUID, product: Product) -> frozenset[Reservation]:
    keys = (joint_key("product", one.system, one.value) for one in product.external_ids)
    return frozenset(Reservation(kind="external_id", value=key, holder=stream) for key in keys)


def _fields(product: Product) -> Mapping[str, object]:
    return {
        "name": product.name,
        "sku": product.sku,
        "family": product.family,
        "price": money_answer(product.price),
        "externalIds": [{"system": one.system, "value": one.value} for one in product.external_ids],
    }


PRODUCT: Aggregate[Product, ProductEvent] = Aggregate(
    name="product",
    events=get_args(ProductEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"retiredAt": lambda product: product.retired},
    subjects=no_subject,
)
