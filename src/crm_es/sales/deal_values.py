"""What a deal is made of beside plain fields: whom it is with, what is sold. Checked once, when a form is read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final
from uuid import UUID

from crm_es.errors import FieldPath, InvalidInputError
from crm_es.values import Money

MOST_CONTACTS: Final = 100
MOST_LINES: Final = 200
MOST_EXTERNAL_IDS: Final = 100
LARGEST_QUANTITY: Final = Decimal(10) ** 12
QUANTITY_DIGITS: Final = 6
_LARGEST_MINOR: Final = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class DealContact:
    """Somebody on the customer's side; `part` says what for. At most one is the primary one."""

    contact_id: UUID
    part: str | None = None
    primary: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DealLine:
    """So many of a product, or of what its description says, at a price each, less a discount on all of them."""

    product_id: UUID | None = None
    quantity: Decimal
    unit_price: Money | None = None
    discount: Money | None = None


def total(line: DealLine) -> Money | None:
    """What the line comes to, rounded half to even to the currency's smallest unit; None without a price."""
    if line.unit_price is None:
        return None
    with localcontext(prec=60):
        minor = int((line.quantity * line.unit_price.minor).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    return Money(minor - (line.discount.minor if line.discount else 0), line.unit_price.currency)


def check_amount(amount: object, field: str = "amount") -> None:
    """Raises: InvalidInputError `money.negative`."""
    if isinstance(amount, Money) and amount.minor < 0:
        raise InvalidInputError("An amount is not negative.", rule="money.negative", field=(field, "amount"))


def check_lines(lines: Sequence[DealLine]) -> None:
    """Raises: InvalidInputError `deal.too_many_lines`, `line.…`, `money.…`."""
    if len(lines) > MOST_LINES:
        raise InvalidInputError(f"At most {MOST_LINES} lines.", rule="deal.too_many_lines", field=("lines",))
    for index, line in enumerate(lines):
        for rule, message, name in _faults(line):
            raise InvalidInputError(message, rule=rule, field=("lines", str(index), *name))


def _faults(line: DealLine) -> Iterator[tuple[str, str, FieldPath]]:
    exponent = line.quantity.as_tuple().exponent
    if not line.quantity.is_finite() or not 0 < line.quantity <= LARGEST_QUANTITY:
        yield "line.quantity", "A quantity is more than 0, and at most 1,000,000,000,000.", ("quantity",)
    elif not isinstance(exponent, int) or exponent < -QUANTITY_DIGITS:
        yield "line.quantity", f"A quantity has at most {QUANTITY_DIGITS} digits after the point.", ("quantity",)
    price, discount = line.unit_price, line.discount
    for name, money in (("unitPrice", price), ("discount", discount)):
        if money is not None and money.minor < 0:
            yield "money.negative", "An amount is not negative.", (name, "amount")
    if discount is not None and price is None:
        yield "line.discount", "A discount is on a price: say the unit price.", ("discount",)
    if discount is not None and price is not None and discount.currency != price.currency:
        yield "line.currencies", "Price and discount are of one currency.", ("discount", "currency")
    sum_ = total(line)
    if sum_ is not None and sum_.minor < 0:
        yield "line.discount", "A discount is not more than the line comes to.", ("discount",)
    if sum_ is not None and sum_.minor > _LARGEST_MINOR:
        yield "money.too_large", "The line's total does not fit into 64 bits of minor units.", ("unitPrice",)


def with_primary(contacts: Sequence[DealContact], primary_id: UUID | None = None) -> tuple[DealContact, ...]:
    """Each contact once, one of them primary: `primary_id` (joining them if it must), the one marked, or the first.

    Raises: InvalidInputError `deal.too_many_contacts`, `deal.contact_twice`, `deal.two_primaries`.
    """
    marked = [one.contact_id for one in contacts if one.primary]
    if len({*marked, *([primary_id] if primary_id else [])}) > 1 or len(marked) > 1:
        message = "One contact is the primary one."
        raise InvalidInputError(message, rule="deal.two_primaries", field=("contacts",))
    _check_contacts(contacts)
    if primary_id is not None and all(one.contact_id != primary_id for one in contacts):
        contacts = [DealContact(contact_id=primary_id), *contacts]
    chosen = primary_id or next(iter(marked), None) or next((one.contact_id for one in contacts), None)
    return tuple(replace(one, primary=one.contact_id == chosen) for one in contacts)


def _check_contacts(contacts: Sequence[DealContact]) -> None:
    if len(contacts) > MOST_CONTACTS:
        message = f"At most {MOST_CONTACTS} contacts."
        raise InvalidInputError(message, rule="deal.too_many_contacts", field=("contacts",))
    seen: set[UUID] = set()
    for index, one in enumerate(contacts):
        if one.contact_id in seen:
            field = ("contacts", str(index), "contactId")
            raise InvalidInputError("This contact stands here twice.", rule="deal.contact_twice", field=field)
        seen.add(one.contact_id)
