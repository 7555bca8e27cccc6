"""How often deals were won so far, and between which bounds that holds. Pure."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from crm_es.values import Money

_Z: Final = Decimal("1.959963984540054")  # of a normal distribution 95 % lies within so many deviations
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class WinRate:
    """0 to 1. `low` and `high` are the bounds of Wilson's score interval at 95 %, `mid` is what was counted."""

    low: Decimal
    mid: Decimal
    high: Decimal


def win_rate(won: int, lost: int) -> WinRate | None:
    """None where nothing was closed: then nothing is known.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927: unlike the textbook's interval
    it stays within 0 and 1, and says something of small numbers.
    """
    closed = Decimal(won + lost)
    if not closed:
        return None
    rate, squared = won / closed, _Z * _Z
    centre = rate + squared / (2 * closed)
    spread = _Z * (rate * (_ONE - rate) / closed + squared / (4 * closed * closed)).sqrt()
    scale = _ONE + squared / closed
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return WinRate(min(max(low, Decimal(0)), rate), rate, max(min(high, _ONE), rate))


def part(minor: int, rate: Decimal, currency: str) -> Decimal:
    """So much of an amount, rounded half to even to what the currency has."""
    return Money(int((minor * rate).to_integral_value(ROUND_HALF_EVEN)), currency).amount
