"""What a client presents: signed tokens of members (JWT) and keys of programs. Who that is now, `identity.py` looks up."""

import asyncio
import hmac
import json
import os
import secrets
import time
from base64 import b32decode, b32encode
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet, OKPKey

from crm_es.config import Settings
from crm_es.errors import ConfigurationError, UnauthenticatedError, UnavailableError

TYPE: Final = "at+jwt"
SKEW_SECONDS: Final = 60
MAX_BYTES: Final = 8_192
REMEMBERED: Final = 1_000
REMEMBERED_SECONDS: Final = 60.0
LIFETIME: Final = timedelta(hours=12)
JWKS_SECONDS: Final = 600.0
JWKS_PAUSE_SECONDS: Final = 30.0
JWKS_MAX_BYTES: Final = 1_000_000
API_KEY_PREFIX: Final = "crm_"
ID_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a genuine, unexpired token says."""

    workspace: UUID
    member: UUID
    session: str | None
    expires_at: datetime


class Keys(Protocol):
    """Where the public keys of token signers come from."""

    async def newest(self, *, unknown: bool = False) -> KeySet:
        """The keys now. `unknown`: a token names a key that was not among them."""
        ...


class DevelopmentIssuer:
    """Signs tokens with an Ed25519 key of the data directory. Never in production."""

    def __init__(self, settings: Settings) -> None:
        if settings.production:
            raise ConfigurationError(
                "CRM_ENV: the development issuer does not sign in production; take tokens from your own."
            )
        self._settings = settings
        self._key = _development_key(settings.data_dir / "issuer.jwk")

    def issue(self, *, workspace: UUID, member: UUID, now: datetime, lifetime: timedelta = LIFETIME) -> str:
        claims = {
            "iss": self._settings.jwt_issuer,
            "aud": self._settings.jwt_audience,
            self._settings.jwt_member_claim: str(member),
            self._settings.jwt_workspace_claim: str(workspace),
            "sid": str(uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        header = {"alg": "Ed25519", "typ": TYPE, "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])

    async def newest(self, *, unknown: bool = False) -> KeySet:  # noqa: ARG002
        return KeySet([self._key])


class JwksKeys:
    """The keys a sign-in service publishes: a URL or a file, read every ten minutes, or sooner for an unknown key.

    While the service does not answer, the keys read last stand.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._read_at = -JWKS_SECONDS
        self._keys: KeySet | None = None
        self._turn = asyncio.Lock()

    async def newest(self, *, unknown: bool = False) -> KeySet:
        async with self._turn:
            age = time.monotonic() - self._read_at
            if self._keys is None or age > (JWKS_PAUSE_SECONDS if unknown else JWKS_SECONDS):
                await self._read()
            if self._keys is None:
                raise UnavailableError(
                    f"The keys of token signers cannot be read from {self._location}.", rule="jwks.unreadable"
                )
            return self._keys

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        try:
            self._keys = await asyncio.to_thread(published_keys, self._location)
        except (OSError, ValueError):
            self._read_at += JWKS_PAUSE_SECONDS - JWKS_SECONDS  # try again after a pause


def published_keys(location: str) -> KeySet:
    """What a sign-in service publishes, at a URL or in a file. Raises: OSError, ValueError."""
    try:
        return KeySet.import_key_set(json.loads(_published(location)))
    except HTTPException as exc:
        raise OSError(f"what answers is no web server: {exc!r}") from exc
    except (JoseError, KeyError, TypeError) as exc:
        raise ValueError(f"this is no JSON Web Key Set: {exc}") from exc


def _published(location: str) -> bytes:
    if not location.startswith("https://"):
        return Path(location).read_bytes()
    with urlopen(Request(location, headers={"Accept": "application/json"}), timeout=5) as answer:  # noqa: S310
        text: bytes = answer.read(JWKS_MAX_BYTES)
        return text


class Verifier:
    """Reads tokens: algorithms, issuer, audience and type are pinned, `crit` is refused, a minute of skew is forgiven."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        self._algorithms = list(settings.jwt_algorithms)
        self._rules = jwt.JWTClaimsRegistry(
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": settings.jwt_issuer},
            aud={"essential": True, "value": settings.jwt_audience},
            exp={"essential": True},
        )
        self._known: OrderedDict[str, tuple[float, Claims]] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings) -> "Verifier":
        """The signer the settings name; in development, without one, our own."""
        return cls(settings, JwksKeys(settings.jwt_jwks) if settings.jwt_jwks else DevelopmentIssuer(settings))

    async def verify(self, token: str) -> Claims:
        """Raises: UnauthenticatedError."""
        known = self._known.get(token)
        if known and time.monotonic() < known[0]:
            return known[1]
        claims = await self._verified(token)
        self._known[token] = time.monotonic() + REMEMBERED_SECONDS, claims
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return claims

    async def _verified(self, token: str) -> Claims:
        if len(token) > MAX_BYTES:
            raise UnauthenticatedError("The token is too long.", rule="token.malformed")
        try:
            decoded = await self._decoded(token)
            _refuse_other_types(decoded.header)
            self._rules.validate(decoded.claims)
            return self._read(decoded.claims)
        except ExpiredTokenError as exc:
            raise UnauthenticatedError("The token has expired. Sign in again.", rule="token.expired") from exc
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            raise UnauthenticatedError(
                "The token is not one of ours: malformed, signed by another key, or made for another purpose.",
                rule="token.foreign",
            ) from exc

    async def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, await self._keys.newest(), algorithms=self._algorithms)
        except (JoseError, ValueError):
            return jwt.decode(token, await self._keys.newest(unknown=True), algorithms=self._algorithms)

    def _read(self, claims: dict[str, Any]) -> Claims:
        session = claims.get("sid") or claims.get("jti")
        return Claims(
            workspace=UUID(claims[self._settings.jwt_workspace_claim]),
            member=UUID(claims[self._settings.jwt_member_claim]),
            session=str(session) if session else None,
            expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
        )


def _refuse_other_types(header: dict[str, Any]) -> None:
    kind = str(header.get("typ", "")).lower().removeprefix("application/")
    if kind != TYPE or "crit" in header:
        raise UnauthenticatedError(f"The token is not an access token (typ {TYPE}).", rule="token.foreign")


def _development_key(file: Path) -> OKPKey:
    """The key in `file`, made on first use with mode 0600; of two processes making it, the first wins."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = OKPKey.generate_key("Ed25519", {"kid": secrets.token_hex(8)})
        fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(json.dumps(key.as_dict(private=True)))
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass  # the other one's key is as good
        finally:
            fresh.unlink()
    return OKPKey.import_key(json.loads(file.read_text()))


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyToken:
    """`crm_<id>_<secret>`; the id holds the workspace and the key, so that a look-up stays inside one workspace."""

    workspace: UUID
    key: UUID
    secret: str

    def __str__(self) -> str:
        return f"{API_KEY_PREFIX}{_text(self.workspace.bytes + self.key.bytes)}_{self.secret}"

    def hmac(self, pepper: bytes) -> str:
        """What is kept of it."""
        return hmac.new(pepper, self.key.bytes + self.secret.encode(), "sha256").hexdigest()

    @classmethod
    def new(cls, *, workspace: UUID, key: UUID) -> "ApiKeyToken":
        return cls(workspace=workspace, key=key, secret=_text(secrets.token_bytes(32)))

    @classmethod
    def parse(cls, token: str) -> "ApiKeyToken":
        """Raises: UnauthenticatedError."""
        try:
            name, _, secret = token.removeprefix(API_KEY_PREFIX).partition("_")
            raw = b32decode(name.upper() + "=" * (-len(name) % 8))
        except ValueError:
            raw, secret = b"", ""
        if len(raw) != ID_BYTES or not secret.isascii() or not secret or len(token) > MAX_BYTES:
            raise UnauthenticatedError("The API key is malformed.", rule="api_key.malformed")
        return cls(workspace=UUID(bytes=raw[:16]), key=UUID(bytes=raw[16:]), secret=secret)


def _text(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=").lower()
