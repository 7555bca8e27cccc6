"""GraphQL over HTTP, the request half: bytes and headers in, a GraphQLRequest out or a Refused with its status.

The rules are those of the GraphQL-over-HTTP specification; its audits run in the tests.
"""

from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw, UnsetType
from starlette.requests import Request

from crm_es.access.entry import checked_purpose
from crm_es.api.failures import ProtocolError
from crm_es.api.limits import BODY_BYTES, VARIABLES_BYTES
from crm_es.errors import InvalidInputError

RESPONSE_JSON: Final = "application/graphql-response+json"
PLAIN_JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"


class RefusedError(ProtocolError):
    """A request that is no GraphQL request, or not one for this door: answered with `status`."""

    def __init__(self, status: int, message: str, *, code: str = "BAD_USER_INPUT", **headers: str) -> None:
        super().__init__(code, message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphQLRequest:
    """What the client asked to run."""

    query: str
    operation_name: str | None
    variables: dict[str, Any]
    purpose: str | None = None


class _Body(msgspec.Struct):
    query: str | None = None
    operationName: str | None = None  # noqa: N815  # the protocol's name
    variables: Raw | UnsetType = UNSET
    extensions: dict[str, Any] | None = None


_POSITION_DIGITS: Final = 18
_decode_body: Final = msgspec.json.Decoder(_Body).decode
_decode_variables: Final = msgspec.json.Decoder(dict[str, Any] | None).decode
_decode_extensions: Final = msgspec.json.Decoder(dict[str, Any] | None).decode


async def from_post(request: Request) -> GraphQLRequest:
    """Raises: RefusedError."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    if media.strip().lower() != PLAIN_JSON or (
        "charset=" in (charset := parameters.replace(" ", "").lower())
        and ("charset=utf-8" not in charset and 'charset="utf-8"' not in charset)
    ):
        raise RefusedError(415, f"Send the request as {PLAIN_JSON} in UTF-8.", Accept_Post=PLAIN_JSON)
    return _request(request, await _bytes(request))


def from_get(request: Request) -> GraphQLRequest:
    """Raises: RefusedError."""
    given = request.query_params
    variables = _variables(given["variables"].encode()) if given.get("variables") else {}
    extensions = given.get("extensions")
    told = _parsed(_decode_extensions, extensions.encode(), "extensions") if extensions else None
    return GraphQLRequest(
        query=_query(given.get("query")), operation_name=given.get("operationName") or None, variables=variables,
        purpose=_purpose(request, told),
    )  # fmt: skip


def accepted(request: Request) -> tuple[str | None, bool]:
    """The JSON media type to answer in (None: none is acceptable), and whether an event stream is acceptable."""
    header = request.headers.get("accept", "").lower()
    weights = dict(_weights(header)) if header.strip() else {"*/*": 1.0}
    stream = weights.get(EVENT_STREAM, 0.0) > 0
    answers = {
        kind: next((weights[name] for name in (kind, "application/*", "*/*") if name in weights), 0.0)
        for kind in (PLAIN_JSON, RESPONSE_JSON)
    }
    best = max(answers, key=lambda kind: (answers[kind], kind in weights, kind == RESPONSE_JSON and kind in weights))
    return (best if answers[best] > 0 else None), stream


def min_position(request: Request) -> int | None:
    """`CRM-Min-Position`. Raises: RefusedError."""
    given = request.headers.get("crm-min-position")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _POSITION_DIGITS):
        raise RefusedError(400, "CRM-Min-Position is a position: a whole number.")
    return int(given)


async def _bytes(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_BYTES:
        raise _too_large()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> RefusedError:
    return RefusedError(413, f"The request is longer than {BODY_BYTES:,} bytes.", Connection="close")


def _request(request: Request, body: bytes) -> GraphQLRequest:
    if body.lstrip()[:1] == b"[":
        raise RefusedError(400, "Send one operation a request: batches are not taken.")
    parsed: _Body = _parsed(_decode_body, body, "request")
    variables = {} if isinstance(parsed.variables, UnsetType) else _variables(bytes(parsed.variables))
    return GraphQLRequest(
        query=_query(parsed.query), operation_name=parsed.operationName, variables=variables,
        purpose=_purpose(request, parsed.extensions),
    )  # fmt: skip


def _purpose(request: Request, extensions: dict[str, Any] | None) -> str | None:
    """What it is read for, for the access log: `extensions.purpose`, or CRM-Purpose (percent-encoded where not ASCII).

    Raises: RefusedError.
    """
    header = request.headers.get("crm-purpose")
    said = (extensions or {}).get("purpose", None if header is None else unquote(header))
    return spoken_purpose(said)


def spoken_purpose(said: object) -> str | None:
    """Raises: RefusedError."""
    if said is None or (isinstance(said, str) and not said.strip()):
        return None
    try:
        return checked_purpose(said.strip() if isinstance(said, str) else _refused_purpose())
    except InvalidInputError as error:
        raise RefusedError(400, f"The purpose cannot be kept: {error.message}") from error


def _refused_purpose() -> NoReturn:
    raise InvalidInputError("It is a text.", rule="purpose.no_text")


def _query(query: str | None) -> str:
    if not query:
        raise RefusedError(400, "The request has no query.")
    return query


def _variables(text: bytes) -> dict[str, Any]:
    if len(text) > VARIABLES_BYTES:
        raise RefusedError(413, f"The variables are longer than {VARIABLES_BYTES:,} bytes.")
    return _parsed(_decode_variables, text, "variables") or {}


def _parsed(decode: Any, text: bytes, what: str) -> Any:
    try:
        return decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError(400, f"The {what} is not the JSON a GraphQL request has: {exc}.") from exc


def _weights(header: str) -> list[tuple[str, float]]:
    return [
        (kind.strip(), _weight(parameters))
        for kind, _, parameters in (part.partition(";") for part in header.split(","))
    ]


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
