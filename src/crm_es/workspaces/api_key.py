"""An API key: how a program signs in. The secret is shown once and stored nowhere; its HMAC is."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

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
