"""An API key: how a program signs in. The secret is shown once and stored nowhere; its HMAC is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, assert_never, get_args

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import changes


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyIssued:
    """`scopes` are role keys; `secret_hmac` is hexadecimal."""

    TOPIC: ClassVar[str] = "api_key.issued"
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    secret_hmac: str = changes(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyRotated:
    """Another secret from now on; the old one is refused."""

    TOPIC: ClassVar[str] = "api_key.rotated"
    secret_hmac: str = changes(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyRevoked:
    TOPIC: ClassVar[str] = "api_key.revoked"
    FIELDS: ClassVar[tuple[str, ...]] = ("revokedAt",)


ApiKeyEvent = ApiKeyIssued | ApiKeyRotated | ApiKeyRevoked


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    name: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    secret_hmac: str = ""
    revoked: bool = False


def evolve(api_key: ApiKey | None, event: ApiKeyEvent) -> ApiKey:
    """The state after one more event. Never raises on stored history."""
    was = api_key or ApiKey()
    match event:
        case ApiKeyIssued(name=name, scopes=scopes, expires_at=expires_at, secret_hmac=secret_hmac):
            return replace(was, name=name, scopes=scopes, expires_at=expires_at, secret_hmac=secret_hmac)
        case ApiKeyRotated(secret_hmac=secret_hmac):
            return replace(was, secret_hmac=secret_hmac)
        case ApiKeyRevoked():
            return replace(was, revoked=True)
        case _:
            assert_never(event)


def issue(
    *, name: str, scopes: Sequence[str], secret_hmac: str, now: datetime, expires_at: datetime | None = None
) -> list[ApiKeyEvent]:
    """Raises: InvalidInputError `api_key.no_scope`, `api_key.expired`."""
    if not scopes:
        raise InvalidInputError("Name one role key at least.", rule="api_key.no_scope", field=("scopes",))
    if expires_at is not None and expires_at <= now:
        raise InvalidInputError("Choose a moment in the future.", rule="api_key.expired", field=("expiresAt",))
    kept = tuple(dict.fromkeys(scopes))
    return [ApiKeyIssued(name=name, scopes=kept, expires_at=expires_at, secret_hmac=secret_hmac)]


def rotate(api_key: ApiKey, *, secret_hmac: str) -> list[ApiKeyEvent]:
    """Raises: RuleViolatedError `api_key.revoked`."""
    _check_valid(api_key)
    return [ApiKeyRotated(secret_hmac=secret_hmac)]


def revoke(api_key: ApiKey) -> list[ApiKeyEvent]:
    """Raises: RuleViolatedError `api_key.revoked`."""
    _check_valid(api_key)
    return [ApiKeyRevoked()]


def _check_valid(api_key: ApiKey) -> None:
    if api_key.revoked:
        raise RuleViolatedError("This API key was revoked: issue another one.", rule="api_key.revoked")


def _fields(api_key: ApiKey) -> Mapping[str, object]:
    expires = api_key.expires_at.isoformat().replace("+00:00", "Z") if api_key.expires_at else None
    return {"name": api_key.name, "scopes": list(api_key.scopes), "expiresAt": expires}


API_KEY: Aggregate[ApiKey, ApiKeyEvent] = Aggregate(
    name="api_key",
    events=get_args(ApiKeyEvent),
    evolve=evolve,
    fields=_fields,
    moments={"revokedAt": lambda api_key: api_key.revoked},
    subjects=no_subject,
)
