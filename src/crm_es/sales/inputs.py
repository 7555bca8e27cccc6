"""What mutations of deals take, and how it becomes a form of parsed values: each refusal names its place in the input."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.nodes import MoneyInput
from crm_es.api.payloads import Envelope, Versioned, said
from crm_es.api.references import Reference
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.inputs import each, external_id, may_say, reference
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.reads.operands import ExternalIdInput
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.dealing import DealEdit
from crm_es.sales.product import PRODUCT
from crm_es.sales.stages import parse_chance
from crm_es.sales.vocabulary import ForecastCategory
from crm_es.values import ExternalId, Money, parse_text
from crm_es.workspaces.member import MEMBER

PART_LENGTH: Final = 100


@strawberry.input(description="Somebody on the customer's side.")
class DealContactInput:
    contact_id: ID = strawberry.field(description="Who.")
    part: str | None = may_say("In which part, as `buyer`.")
    primary: bool | None = may_say("The one to turn to; the first, if none is.")


@strawberry.input(description="So many of something, at a price each.")
class DealLineInput:
    quantity: Decimal = strawberry.field(description="How many: more than 0.")
    product_id: ID | None = may_say("What is sold.")
    description: str | None = may_say("What the product does not say.")
    unit_price: MoneyInput | None = may_say("What one costs.")
    discount: MoneyInput | None = may_say("What comes off all of them, in the price's currency.")


@strawberry.input(description="A new deal.")
class OpenDealInput(Envelope):
    name: str = strawberry.field(description="What to call it.")
    pipeline_id: ID = strawberry.field(description="Which pipeline it goes through.")
    stage_id: ID | None = may_say("Where it begins: an OPEN stage of the pipeline; the first, if left out.")
    amount: MoneyInput | None = may_say("What it is worth.")
    expected_close_date: date | None = may_say("When it should be won.")
    company_id: ID | None = may_say("The company it is with.")
    contact_id: ID | None = may_say("The primary contact.")
    contacts: list[DealContactInput] | None = may_say("Everybody on the customer's side.")
    owner_id: ID | None = may_say("Who looks after it.")
    lines: list[DealLineInput] | None = may_say("What is sold, in order.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@strawberry.input(description="Changes of a deal: what is left out stays, null clears.")
class UpdateDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")
    name: str | None = may_say("What to call it.")
    amount: MoneyInput | None = may_say("What it is worth.")
    probability: float | None = may_say("Of winning it, 0 to 1; null: its stage's.")
    forecast_category: ForecastCategory | None = may_say("How sure it is in a forecast; null: PIPELINE.")
    expected_close_date: date | None = may_say("When it should be won.")
    company_id: ID | None = may_say("The company it is with.")
    contact_id: ID | None = may_say("The primary contact; null: who is leaves the deal.")
    contacts: list[DealContactInput] | None = may_say("Everybody on the customer's side: all of them.")
    owner_id: ID | None = may_say("Who looks after it.")
    lines: list[DealLineInput] | None = may_say("All of them, in order.")


def opening(input: OpenDealInput) -> tuple[DealEdit, list[ExternalId]]:
    """Null and absent are the same in a new deal. Raises: InvalidInputError."""
    form = _form(input, lambda value: msgspec.UNSET if value in (None, UNSET) else value)
    return form, list(each("externalIds", input.external_ids or (), external_id))


def edit(input: UpdateDealInput) -> DealEdit:
    """Raises: InvalidInputError."""
    if input.name is None:
        raise InvalidInputError("A deal needs a name: leave the field out.", rule="field.required", field=("name",))
    chance = said(input.probability)
    return _form(
        input, said, forecast_category=said(input.forecast_category),
        probability=parse_chance(chance, ("probability",)) if isinstance(chance, float | int) else chance,
    )  # fmt: skip


def _form(input: OpenDealInput | UpdateDealInput, taken: Callable[[Any], Any], **more: Any) -> DealEdit:
    name, amount = taken(input.name), taken(input.amount)
    contacts, lines = taken(input.contacts), taken(input.lines)
    return DealEdit(
        name=parse_text(name, ("name",)) if isinstance(name, str) else name,
        amount=money(amount, ("amount",)),
        expected_close_date=taken(input.expected_close_date),
        company_id=reference(taken(input.company_id), "Company", "companyId"),
        owner_id=reference(taken(input.owner_id), "Member", "ownerId"),
        contact_id=reference(taken(input.contact_id), "Contact", "contactId"),
        contacts=contacts if contacts is msgspec.UNSET else list(each("contacts", contacts, contact)),
        lines=lines if lines is msgspec.UNSET else list(each("lines", lines, line)),
        **more,
    )


def money(value: Any, field: FieldPath) -> Any:
    return Money.parse(value.amount, value.currency, field) if isinstance(value, MoneyInput) else value


def contact(value: DealContactInput, field: FieldPath) -> DealContact:
    return DealContact(
        contact_id=ids.live(value.contact_id, "Contact", field=(*field, "contactId")),
        part=parse_text(value.part, (*field, "part"), longest=PART_LENGTH) if value.part else None,
        primary=value.primary is True,
    )


def line(value: DealLineInput, field: FieldPath) -> tuple[DealLine, str | None]:
    product = ids.live(value.product_id, "Product", field=(*field, "productId")) if value.product_id else None
    made = DealLine(
        product_id=product, quantity=value.quantity,
        unit_price=money(value.unit_price or None, (*field, "unitPrice")),
        discount=money(value.discount or None, (*field, "discount")),
    )  # fmt: skip
    return made, parse_text(value.description, (*field, "description")) if value.description else None


def references(form: DealEdit) -> Iterator[Reference]:
    """The records a form names."""
    for aggregate, id_, name in (
        (COMPANY, form.company_id, "companyId"),
        (MEMBER, form.owner_id, "ownerId"),
        (CONTACT, form.contact_id, "contactId"),
    ):
        if isinstance(id_, UUID):
            yield Reference(aggregate, id_, (name,))
    for index, one in enumerate(() if isinstance(form.contacts, msgspec.UnsetType) else form.contacts):
        yield Reference(CONTACT, one.contact_id, ("contacts", str(index), "contactId"))
    for index, (sold, _) in enumerate(() if isinstance(form.lines, msgspec.UnsetType) else form.lines):
        if sold.product_id is not None:
            yield Reference(PRODUCT, sold.product_id, ("lines", str(index), "productId"))
