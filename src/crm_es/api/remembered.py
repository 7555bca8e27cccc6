"""Refusals of rows as their command remembers them, and as a repeated command is told: codes and ids, never a value.

What was refused once stays refused for that command, whatever became of the reason.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from crm_es import errors
from crm_es.errors import AlreadyExistsError, CrmError, FieldConflict, VersionConflictError

BEFORE: Final = "Refused when this command was first sent."


def noted(error: CrmError) -> dict[str, Any]:
    """What is kept of a refusal."""
    note = {"kind": type(error).__name__, **errors.refusals_of(error)}
    match error:
        case AlreadyExistsError():
            note |= {"value": error.kind, "holder": error.holder}
        case VersionConflictError():
            conflicts = [(each.field, *each.event) for each in error.conflicts]
            note |= {"version": error.current_version, "conflicts": conflicts}
    return note


def told(note: Mapping[str, Any]) -> CrmError:
    """The refusal again. Of a version conflict the values are left out: the log has them."""
    field = tuple(note["field"])
    match note["kind"]:
        case "AlreadyExistsError" if "value" in note:
            return AlreadyExistsError(kind=note["value"], holder=UUID(note["holder"]), field=field)
        case "VersionConflictError":
            conflicts = [_conflict(*each) for each in note["conflicts"]]
            return VersionConflictError(current_version=note["version"], conflicts=conflicts).at(*field)
    error: CrmError = getattr(errors, note["kind"])(BEFORE, rule=note["rule"], field=field)
    return error


def _conflict(field: str, stream: str, version: int) -> FieldConflict:
    return FieldConflict(field=field, base=None, mine=None, theirs=None, event=(UUID(stream), version))
