"""Places in a column: texts that compare by their code points, with room for another between any two. Pure.

The first nine digits tell a moment, the later the smaller, so that what was put on top last stands on top. What is put
between two others takes as many digits more as it needs. A salt keeps those apart who are put to one place at once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Final
from uuid import UUID

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
HEAD: Final = 9
_BASE: Final = len(DIGITS)
_VALUES: Final = {digit: value for value, digit in enumerate(DIGITS)}
_CEILING: Final = _BASE**HEAD - 1
_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def on_top(at: datetime, salt: UUID, lowest: str | None = None) -> str:
    """Above all that was put on top before `at`, and above `lowest`, the column's first."""
    since = at - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds
    place = _salted(_CEILING - microseconds, salt)
    return place if lowest is None or place < lowest else _salted(_head(lowest) - _SECOND, salt)


def between(above: str | None, below: str | None, salt: UUID) -> str:
    """Under `above` and over `below`, which stands lower; None is the column's end. One of them is given."""
    if above is None or below is None:
        return _salted(_head(below) - _SECOND if below else _head(above or "") + _SECOND, salt)
    for length in count(HEAD):
        low, high = _number(above, length), _number(below, length)
        room = high - low
        if room > _BASE:
            return _text(_unround(low + room // 4 + salt.int % (room // 2)), length)
    raise AssertionError  # `count` does not end


def _unround(place: int) -> int:
    """Never with a zero at its end: nothing fits between 12 and 120."""
    return place if place % _BASE else place + 1


def _salted(head: int, salt: UUID) -> str:
    return _text(max(0, min(head, _CEILING)), HEAD) + _text(_unround(salt.int % _BASE**3), 3)


def _head(place: str) -> int:
    return _number(place, HEAD)


def _number(place: str, length: int) -> int:
    """Its first digits as a number, with zeros behind them where it has fewer."""
    found = 0
    for digit in place[:length].ljust(length, "0"):
        found = found * _BASE + _VALUES[digit]
    return found


def _text(number: int, length: int) -> str:
    return "".join(reversed(list(_digits(number, length))))


def _digits(number: int, length: int) -> Iterator[str]:
    for _ in range(length):
        number, digit = divmod(number, _BASE)
        yield DIGITS[digit]
