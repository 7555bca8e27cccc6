"""What deals add up to: an amount each currency, since nothing is converted."""

from collections import defaultdict
from collections.abc import Iterable

import strawberry

from crm_es.api.nodes import Money
from crm_es.api.rules import PARENT, ruled
from crm_es.reads.connections import Listing
from crm_es.values import Money as Amount


def amount_of(minor: int | None, currency: str | None) -> Money | None:
    """Null where either is masked or absent."""
    if minor is None or currency is None:
        return None
    return Money(amount=Amount(int(minor), currency).amount, currency=currency)


def amounts_of(found: Iterable[tuple[int | None, str | None]]) -> list[Money]:
    """Of (minor, currency) pairs; those without an amount are left out."""
    sums = [amount_of(minor, currency) for minor, currency in found]
    return [each for each in sums if each is not None]


class Totals:
    """How many deals, and what they are worth, by currency; of those without an amount the currency is None."""

    def __init__(self) -> None:
        self._counts: defaultdict[str | None, int] = defaultdict(int)
        self._minor: defaultdict[str | None, int] = defaultdict(int)

    def add(self, currency: str | None, count: int, minor: int | None) -> None:
        self._counts[currency] += count
        self._minor[currency] += minor or 0

    @property
    def count(self) -> int:
        return sum(self._counts.values())

    def by_currency(self) -> list[tuple[str, int]]:
        """Of the currencies that any of the deals has."""
        there = sorted(currency for currency, count in self._counts.items() if count and currency)
        return [(currency, int(self._minor[currency])) for currency in there]

    def amounts(self, *, hidden: bool) -> list[Money] | None:
        return None if hidden else amounts_of((minor, currency) for currency, minor in self.by_currency())


@ruled(PARENT)
@strawberry.type(description="What a list of deals adds up to: an amount each currency, since nothing is converted.")
class DealSummary:
    count: int = strawberry.field(description="How many there are.")
    amount: list[Money] | None = strawberry.field(
        description="What they are worth; null where amounts are masked for you."
    )
    weighted_amount: list[Money] | None = strawberry.field(
        description="Each times its probability, rounded; null where amounts are masked for you."
    )


async def summary(self: Listing) -> DealSummary:
    found = sorted(await self.sums("amount_currency", ("amount_minor", "weighted_minor")), key=lambda row: row[0] or "")
    hidden = self.masks("amount")
    return DealSummary(
        count=sum(count for _, count, *_ in found),
        amount=None if hidden else amounts_of((minor, currency) for currency, _, minor, _ in found),
        weighted_amount=None
        if hidden or self.masks("weightedAmount")
        else amounts_of((minor, currency) for currency, *_, minor in found),
    )
