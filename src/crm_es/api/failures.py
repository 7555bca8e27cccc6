"""Protocol errors: what goes to `errors[]`, with the contract's codes. Business refusals are in `refusals.py`.

Anything we did not raise on purpose is masked here: the client gets INTERNAL and an id, the log the whole story once.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import StrawberryInputCoercionError

from crm_es.errors import (
    CrmError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from crm_es.reads.errors import (
    AsOfOutOfRangeError,
    BadCursorError,
    ContradictedError,
    NotYetProjectedError,
    ReadTimeoutError,
)

log = logging.getLogger("crm_es.api")

_CODES: Final[tuple[tuple[type[CrmError], str], ...]] = (
    (UnauthenticatedError, "UNAUTHENTICATED"),
    (BadCursorError, "BAD_CURSOR"),
    (AsOfOutOfRangeError, "AS_OF_OUT_OF_RANGE"),
    (NotYetProjectedError, "NOT_YET_PROJECTED"),
    (ReadTimeoutError, "TIMEOUT"),
    (UnavailableError, "TIMEOUT"),
    (NotAllowedError, "FORBIDDEN"),
    (NotFoundError, "BAD_USER_INPUT"),
    (InvalidInputError, "BAD_USER_INPUT"),
)
RETRY_SECONDS: Final = 1
_SUGGESTION: Final = " Did you mean"


class ProtocolError(CrmError):
    """A request refused before any of it ran: `code` is the contract's, `extra` goes beside it."""

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message, rule=code.lower())
        self.code = code
        self.extra = extra


def shown(error: GraphQLError, *, running: bool) -> GraphQLError:
    """The error as the client may see it. `running`: it came out of execution, not out of the document or variables."""
    cause = error.original_error
    if isinstance(cause, CrmError) and (told := _told(cause)):
        return _coded(error, cause.message, **told)
    if isinstance(error, GraphQLSyntaxError):
        return _coded(error, error.message, code="GRAPHQL_PARSE_FAILED")
    if error.extensions and "code" in error.extensions:
        return _coded(error, error.message, **error.extensions)
    if not _clients(error):
        return masked(error)
    return _coded(error, error.message, code="BAD_USER_INPUT" if running else "GRAPHQL_VALIDATION_FAILED")


def _clients(error: GraphQLError) -> bool:
    """The document's fault, that of variables which do not fit their types, or of a @oneOf with none or several."""
    cause = error.original_error
    if isinstance(cause, StrawberryInputCoercionError):
        return True
    return error.path is None and (cause is None or isinstance(cause, GraphQLError))


def masked(error: GraphQLError) -> GraphQLError:
    """INTERNAL with an id; the log has the same id and the traceback. That the log was tampered with is no secret."""
    incident = uuid4()
    log.error("incident %s at %s: %s", incident, error.path, error.message, exc_info=error.original_error or error)
    cause = error.original_error
    said = f"Something went wrong here; nothing is said of it but this id: {incident}."
    return _coded(
        error,
        cause.message if isinstance(cause, ContradictedError) else said,
        code="INTERNAL",
        id=str(incident),
    )


def code_of(error: CrmError) -> str:
    """The contract's code of one of our errors; INTERNAL for what no client can mend."""
    if isinstance(error, ProtocolError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), "INTERNAL")


def formatted(error: CrmError) -> Mapping[str, Any]:
    """An error outside any document, as an item of `errors[]`."""
    return {"message": error.message, "extensions": _told(error) or {"code": "INTERNAL"}}


def _told(error: CrmError) -> dict[str, Any]:
    code = code_of(error)
    if code == "INTERNAL":
        return {}
    if isinstance(error, ProtocolError):
        return {"code": code, **error.extra}
    told: dict[str, Any] = {"code": code, "rule": error.rule}
    if error.field:
        told["field"] = list(error.field)
    if isinstance(error, UnavailableError) and not isinstance(error, ReadTimeoutError):  # a long read stays a long one
        told["retryAfter"] = RETRY_SECONDS
    return told


def _coded(error: GraphQLError, message: str, **extensions: Any) -> GraphQLError:
    return GraphQLError(
        message.split(_SUGGESTION, maxsplit=1)[0].strip(),
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
