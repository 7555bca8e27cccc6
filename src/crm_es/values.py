"""Values parsed once at the edge and trusted inside. Each `parse` raises InvalidInputError with a rule and a mend."""

from functools import total_ordering
from typing import Self

from crm_es.errors import InvalidInputError

__all__ = ["InvalidInputError", "Money"]


@total_ordering
class Money:
    """An amount in minor units of an ISO 4217 currency: `Money(2933, "USD")` is 29.33 dollars. Immutable."""

    __slots__ = ("currency", "minor")
    currency: str
    minor: int

    def __init__(self, minor: int, currency: str) -> None:
        object.__setattr__(self, "minor", minor)
        object.__setattr__(self, "currency", currency)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Money is immutable: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and (self.minor, self.currency) == (
            other.minor,
            other.currency,
        )

    def __lt__(self, other: Self) -> bool:
        return (self.currency, self.minor) < (other.currency, other.minor)

    def __hash__(self) -> int:
        return hash((self.minor, self.currency))

    def __repr__(self) -> str:
        return f"Money({self.minor}, {self.currency!r})"
