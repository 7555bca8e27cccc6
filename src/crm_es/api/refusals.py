"""Business refusals become `userErrors` here and nowhere else."""

from typing import Any, Final

from crm_es.api.answers import as_json
from crm_es.api.enums import UserErrorCode
from crm_es.api.problems import AlreadyExists, FieldConflict, InvalidInput, Refusal, UserError, VersionConflict
from crm_es.errors import (
    AlreadyExistsError,
    CommandReusedError,
    CrmError,
    ErasedError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    RuleViolatedError,
    VersionConflictError,
)

_REFUSED: Final[dict[type[CrmError], UserErrorCode]] = {
    NotFoundError: UserErrorCode.NOT_FOUND,
    NotAllowedError: UserErrorCode.NOT_ALLOWED,
    RuleViolatedError: UserErrorCode.RULE_VIOLATED,
    CommandReusedError: UserErrorCode.COMMAND_ID_REUSED,
    ErasedError: UserErrorCode.ERASED,
}
REFUSALS: Final[tuple[type[CrmError], ...]] = (InvalidInputError, AlreadyExistsError, VersionConflictError, *_REFUSED)
"""What a client can do something about. Everything else is the protocol's, or ours."""


def user_error(error: CrmError) -> UserError:
    """Raises: TypeError for what is no refusal."""
    match error:
        case InvalidInputError():
            return InvalidInput(**_shared(error, UserErrorCode.INVALID))
        case AlreadyExistsError():
            return AlreadyExists(**_shared(error, UserErrorCode.ALREADY_EXISTS), kind=error.kind, holder=error.holder)
        case VersionConflictError():
            return VersionConflict(
                **_shared(error, UserErrorCode.VERSION_CONFLICT),
                current_version=error.current_version,
                conflicts=[_conflict(each) for each in error.conflicts],
            )
    code = next((code for kind, code in _REFUSED.items() if isinstance(error, kind)), None)
    if code is None:
        raise TypeError(f"{type(error).__name__} is no business refusal") from error
    return Refusal(**_shared(error, code))


def _shared(error: CrmError, code: UserErrorCode) -> dict[str, Any]:
    return {"message": error.message, "code": code, "field": list(error.field) or None, "rule": error.rule}


def _conflict(conflict: Any) -> FieldConflict:
    base, mine, theirs = (as_json(value) for value in (conflict.base, conflict.mine, conflict.theirs))
    return FieldConflict(field=conflict.field, base=base, mine=mine, theirs=theirs, theirs_set_by=conflict.event)
