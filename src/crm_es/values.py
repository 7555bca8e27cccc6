"""Values parsed once at the edge and trusted inside. Each `parse` raises InvalidInputError with a rule and a mend."""

from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import Self


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PostalAddress:
    """Lines as written; `country` is an ISO 3166-1 alpha-2 code."""

    label: str | None = None
    lines: tuple[str, ...] = ()
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None


class EntityType(StrEnum):
    """The kinds of record, as the API names them."""

    CONTACT = "CONTACT"
    COMPANY = "COMPANY"
    INTERACTION = "INTERACTION"
    PRODUCT = "PRODUCT"
    DEAL = "DEAL"
    PIPELINE = "PIPELINE"
    TICKET = "TICKET"
    QUEUE = "QUEUE"
    ARTICLE = "ARTICLE"
    MEMBER = "MEMBER"
    EXPORT = "EXPORT"
    IMPORT = "IMPORT"
    SUBJECT_REQUEST = "SUBJECT_REQUEST"
