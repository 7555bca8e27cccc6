"""Concurrent edits of one record: those of different fields both stand, those of one field are a conflict to look at."""

from collections.abc import Sequence
from typing import Any

from crm_es.errors import FieldConflict, InvalidInputError, VersionConflictError
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Event, Fact
from crm_es.eventstore.states import fold


def check_edits(
    aggregate: Aggregate[Any, Any], facts: Sequence[Fact], expected_version: int, mine: Sequence[Event]
) -> None:
    """`facts` is the whole stream, `mine` what was decided now by someone who had read it at `expected_version`.

    Raises: VersionConflictError with base, mine and theirs of every field that both changed.
    """
    seen, later = facts[:expected_version], facts[expected_version:]
    base = fold(aggregate, None, seen)
    if base is None:
        raise unknown_version(expected_version)
    theirs = fold(aggregate, base, later)
    assert theirs is not None  # noqa: S101  # what folded once folds on
    intended = base.state
    for event in mine:
        intended = aggregate.evolve(intended, event)
    setters = _setters(aggregate, later, mine)
    if not setters:
        return
    shown = [aggregate.fields(state) for state in (base.state, intended, theirs.state)]
    raise VersionConflictError(
        current_version=facts[-1].version,
        conflicts=[
            FieldConflict(
                field=name,
                base=shown[0].get(name),
                mine=shown[1].get(name),
                theirs=shown[2].get(name),
                event=(fact.stream, fact.version),
            )
            for name, fact in setters.items()
        ],
    )


def unknown_version(version: int) -> InvalidInputError:
    return InvalidInputError(
        f"This record has no version {version}. Read it again.",
        rule="record.version_unknown",
        field=("expectedVersion",),
    )


def _setters(aggregate: Aggregate[Any, Any], later: Sequence[Fact], mine: Sequence[Event]) -> dict[str, Fact]:
    """The fields that both changed, each with the last of their events that did."""
    touched = [touch for event in mine for touch in aggregate.touches(event)]
    found: dict[str, Fact] = {}
    for fact in later:
        for name, item in aggregate.touches(fact.event):
            if any(name == field and (item is None or other is None or item == other) for field, other in touched):
                found[name] = fact
    return found
