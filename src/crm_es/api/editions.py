"""Deeds over several records: the version a form was opened at, and once more where somebody was faster."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from crm_es.errors import AlreadyExistsError, ConflictError, VersionConflictError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Dated, Event, Fact
from crm_es.eventstore.merging import check_edits, unknown_version
from crm_es.occasions import undated

TRIES: Final = 5
T = TypeVar("T")


async def again(attempt: Callable[[], Awaitable[T]]) -> T:
    """Once more where a record was changed between reading and deciding."""
    for _ in range(TRIES - 1):
        try:
            return await attempt()
        except (VersionConflictError, AlreadyExistsError):
            raise
        except ConflictError as error:
            if error.rule != "record.busy":
                raise
    return await attempt()


def check_version(
    aggregate: Aggregate[Any, Any],
    there: Loaded[Any],
    facts: Sequence[Fact],
    expected: int,
    mine: Sequence[Event | Dated],
) -> None:
    """`facts` is the record's whole stream, read before `there`.

    Raises: VersionConflictError, InvalidInputError, ConflictError `record.busy` where it went on since.
    """
    if not 1 <= expected <= there.version:
        raise unknown_version(expected)
    if facts[-1].version != there.version:
        raise ConflictError("The record was changed meanwhile. Try again.", rule="record.busy")
    if expected != there.version:
        check_edits(aggregate, facts, expected, undated(mine))
