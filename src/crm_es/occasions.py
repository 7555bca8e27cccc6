"""When a deed happened in the world, as one rule for every record whose history is kept by business time. Pure.

A record's moves follow one another by `occurredAt`: what lay between two of them is never rewritten. That nothing happens in
the future (`check_happened`) is asked of every mutation, where its input is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import Dated, Event

AHEAD: Final = timedelta(minutes=5)
"""By how much the clocks of clients may be fast."""


def check_happened(at: datetime | None, now: datetime, field: FieldPath = ("occurredAt",)) -> None:
    """Raises: InvalidInputError `occurred_at.in_future`."""
    if at is not None and at > now + AHEAD:
        message = f"This is still to come: it is {_written(now.replace(microsecond=0))} here. Record what has happened."
        raise InvalidInputError(message, rule="occurred_at.in_future", field=field)


@dataclass(frozen=True, slots=True)
class Occasion:
    """`at` is what the command said, or the clock's present where it said nothing (`said` is False)."""

    at: datetime
    said: bool = True

    @classmethod
    def of(cls, occurred_at: datetime | None, now: datetime) -> Self:
        return cls(now, said=False) if occurred_at is None else cls(occurred_at)

    def following(self, last: datetime | None) -> datetime:
        """The moment of the next move of a record that moved `last`. What nobody dated is never before that: clocks differ.

        Raises: InvalidInputError `occurred_at.before_last` at occurredAt.
        """
        if last is None or self.at >= last:
            return self.at
        if not self.said:
            return last
        message = f"This record last moved at {_written(last)}: what you record now happened then or later."
        raise InvalidInputError(message, rule="occurred_at.before_last", field=("occurredAt",))


def dated(events: Iterable[Event | Dated]) -> list[Event | Dated]:
    """For the store: events that say when they happened, in an envelope that says the same; others at the command's time."""
    return [one if isinstance(one, Dated) or (at := _moment(one)) is None else Dated(one, at) for one in events]


def undated(events: Iterable[Event | Dated]) -> list[Event]:
    """The events themselves."""
    return [one.event if isinstance(one, Dated) else one for one in events]


def _moment(event: Event) -> datetime | None:
    at = getattr(event, "occurred_at", None)
    return at if isinstance(at, datetime) else None


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
