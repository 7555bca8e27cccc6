"""Registering and changing products."""

from typing import Any, Final

import strawberry
from msgspec import UNSET
from strawberry import ID

from crm_es.api.enums import Action, EntityType
from crm_es.api.nodes import MoneyInput
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record, said
from crm_es.api.references import addressed, check_shown, pointing, within_reach
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.inputs import each, external_id, external_id_places, may_say, text
from crm_es.errors import InvalidInputError
from crm_es.eventstore.store import Outcome
from crm_es.reads.operands import ExternalIdInput
from crm_es.sales import product
from crm_es.sales.graphql import Product
from crm_es.sales.inputs import money
from crm_es.sales.product import PRODUCT, ProductEdit
from crm_es.uuids import new_id

SHOWS: Final = ("pipelines",)


@strawberry.input(description="A new product.")
class RegisterProductInput(Envelope):
    name: str = strawberry.field(description="What it is called.")
    sku: str | None = may_say("The number it is stocked by.")
    family: str | None = may_say("What kind of product it is.")
    price: MoneyInput | None = may_say("What one costs.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@ruled(PARENT)
@strawberry.type(description="The new product.")
class RegisterProductPayload(Payload):
    product: Product | None = record(Product, "The new product; null when refused.")


@strawberry.input(description="Changes of a product: what is left out stays, null clears.")
class UpdateProductInput(Versioned):
    id: ID = strawberry.field(description="Which product.")
    name: str | None = may_say("What it is called.")
    sku: str | None = may_say("The number it is stocked by.")
    family: str | None = may_say("What kind of product it is.")
    price: MoneyInput | None = may_say("What one costs.")
    retired: bool | None = may_say("True: it is not sold any more. False: it is again.")


@ruled(PARENT)
@strawberry.type(description="The product as it is now.")
class UpdateProductPayload(Payload):
    product: Product | None = record(Product, "The product; null when refused.")


@strawberry.type
class ProductMutations:
    @mutation(
        RegisterProductPayload, needs(EntityType.PRODUCT, Action.CREATE), shows=SHOWS,
        description="A new product. An external id that another product has is refused.",
    )  # fmt: skip
    async def register_product(deed: Deed, input: RegisterProductInput) -> Outcome:
        known = list(each("externalIds", input.external_ids or (), external_id))
        events = product.register(_form(input, UNSET), known)
        async with pointing(deed, external_id_places(known, "product")):
            return await deed.store.create(deed.command, PRODUCT, new_id(), events)

    @mutation(
        UpdateProductPayload, needs(EntityType.PRODUCT, Action.UPDATE), shows=SHOWS,
        description="Change a product, retire it or sell it again: what is left out stays, null clears.",
    )  # fmt: skip
    async def update_product(deed: Deed, input: UpdateProductInput) -> Outcome:
        id_ = deed.live(input.id, "Product")
        await within_reach(deed, Action.UPDATE, Product, {id_: ("id",)})
        check_shown(deed, EntityType.PRODUCT, input)
        for name in ("name", "retired"):
            if getattr(input, name) is None:
                message = "This cannot be cleared: leave the field out."
                raise InvalidInputError(message, rule="field.required", field=(name,))
        form = _form(input, said(input.retired))
        async with addressed("product"):
            return await deed.store.decide(
                deed.command, PRODUCT, id_, lambda was: product.update(was, form),
                expected_version=deed.expected_version,
            )  # fmt: skip


def _form(input: RegisterProductInput | UpdateProductInput, retired: Any) -> ProductEdit:
    """Raises: InvalidInputError."""
    names = ("name", "sku", "family")
    return ProductEdit(
        **{name: text(said(getattr(input, name)), name) for name in names},
        price=money(said(input.price), ("price",)),
        retired=retired,
    )
