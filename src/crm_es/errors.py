"""What can go wrong, in five kinds. Leaves carry fields and compose their own message; none knows HTTP or GraphQL.

`rule` is a stable name to translate by (`email.malformed`); `field` is the path into the input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

FieldPath = tuple[str, ...]


class CrmError(Exception):
    """Anything this product refuses or fails at, on purpose."""

    rule = "internal"

    def __init__(self, message: str, *, rule: str | None = None, field: FieldPath = ()) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule or self.rule
        self.field = field

    def at(self, *prefix: str) -> "CrmError":
        """The same error, its field path put under `prefix` (a row of a batch, an input object)."""
        self.field = (*prefix, *self.field)
        return self


class InvalidInputError(CrmError):
    """The input can never be accepted as it is. userError code INVALID."""

    rule = "input.invalid"


class NotFoundError(CrmError):
    """No such record in this workspace, or none the viewer may see. Code NOT_FOUND."""

    rule = "record.not_found"


class NotAllowedError(CrmError):
    """The actor lacks the permission. Code NOT_ALLOWED."""

    rule = "permission.denied"


class UnauthenticatedError(CrmError):
    """Nobody we know, or no longer. Protocol code UNAUTHENTICATED."""

    rule = "token.missing"


class RuleViolatedError(CrmError):
    """The record's present state forbids it. Code RULE_VIOLATED."""

    rule = "rule.violated"


class ErasedError(CrmError):
    """The record's subject was erased; nothing can be written to it. Code ERASED."""

    rule = "record.erased"


class ConflictError(CrmError):
    """Somebody else was faster."""

    rule = "conflict"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldConflict:
    """One field changed by both. Values are as the API would answer the field; `event` set theirs (stream, version)."""

    field: str
    base: Any
    mine: Any
    theirs: Any
    event: tuple[UUID, int]


class VersionConflictError(ConflictError):
    """The same field was changed since `expectedVersion`. Code VERSION_CONFLICT."""

    rule = "record.version_conflict"

    def __init__(self, *, current_version: int, conflicts: Sequence[FieldConflict]) -> None:
        names = ", ".join(c.field for c in conflicts) or "the record"
        super().__init__(
            f"Changed since you read it: {names}. Look at the conflicts and send the mutation again "
            f"with expectedVersion {current_version}."
        )
        self.current_version = current_version
        self.conflicts = tuple(conflicts)


class AlreadyExistsError(ConflictError):
    """A unique value belongs to another record: `holder` is its stream. Code ALREADY_EXISTS."""

    rule = "value.taken"

    def __init__(self, *, kind: str, holder: UUID, field: FieldPath = ()) -> None:
        super().__init__(
            f"Another record already holds this {kind.replace('_', ' ')}.",
            rule=f"{kind}.taken",
            field=field,
        )
        self.kind = kind
        self.holder = holder


class CommandReusedError(ConflictError):
    """The same commandId came with another input. Code COMMAND_ID_REUSED."""

    rule = "command.reused"

    def __init__(self) -> None:
        super().__init__("This commandId was used with another input. Use a new one.")


class UnavailableError(CrmError):
    """A part we need does not answer now; the same request may succeed later."""

    rule = "unavailable"


class KeyUnavailableError(UnavailableError):
    """The key store has neither key nor tombstone, or does not answer. Never rendered as erased."""

    rule = "keys.unavailable"


class OutcomeUnknownError(UnavailableError):
    """The append was sent and no reply came: it may stand. Send it again with the same commandId to learn."""

    rule = "append.outcome_unknown"


class ConfigurationError(CrmError):
    """A CRM_ setting, or the database behind it, is not as it must be; says what to run or set."""

    rule = "configuration"


def refusals_of(error: CrmError) -> Mapping[str, object]:
    """The part of a refusal that is safe to remember beside a command: no personal values."""
    return {"rule": error.rule, "field": list(error.field)}
