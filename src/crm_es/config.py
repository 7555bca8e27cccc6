"""The settings: every name `CRM_…`, read once at start, here and nowhere else.

An error says which name, what was expected and what stood there. `docs/operating.md` lists them all.
"""

import binascii
import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from crm_es.database.urls import DatabaseUrls, patient, with_options
from crm_es.errors import ConfigurationError

ROOT_KEY_BYTES: Final = 32


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class AccessMode(StrEnum):
    """Which answers wait for their row in the access log: those with sensitive fields, all, or none; OFF: there is no log."""

    SENSITIVE = "sensitive"
    ALL = "all"
    ASYNC = "async"
    OFF = "off"


def setting(name: str, parse: Callable[[str], Any], expected: str, default: Any) -> Any:
    """A field of Settings. `parse` raises ValueError for what is not `expected`."""
    return dataclasses.field(default=default, metadata={"name": f"CRM_{name}", "parse": parse, "expected": expected})


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _switch(text: str) -> bool:
    if text.lower() not in {"on", "off"}:
        _refuse()
    return text.lower() == "on"


def _postgres(text: str) -> str:
    return patient(text) if _is_postgres(text) else _refuse()


def _key_store(text: str) -> str:
    return patient(text) if _is_postgres(text) else text


def _is_postgres(text: str) -> bool:
    return urlsplit(text).scheme in {"postgresql", "postgres"}


def _root_key(text: str) -> str:
    return text if len(binascii.unhexlify(text)) == ROOT_KEY_BYTES else _refuse()


def _origin(text: str) -> str:
    """What signed notes allow in a key's name, and no slash at the end."""
    return (
        text if text.isascii() and text.isprintable() and not set(" +") & set(text) and text[-1] != "/" else _refuse()
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) or _refuse()


def _refuse() -> NoReturn:
    raise ValueError


S = TypeVar("S", bound="Settings")
POSTGRES: Final = "a URL postgresql://user@host/database"
SWITCH: Final = "on or off"
LOCAL_ORIGIN: Final = "crm-es.localhost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that differs between two installations."""

    environment: Environment = setting("ENV", Environment, "development or production", Environment.DEVELOPMENT)
    data_dir: Path = setting("DATA_DIR", Path, "a folder", Path(".crm-es"))
    database_url: str | None = setting("DATABASE_URL", _postgres, POSTGRES, None)
    owner_database_url: str | None = setting("OWNER_DATABASE_URL", _postgres, POSTGRES, None)
    projector_database_url: str | None = setting("PROJECTOR_DATABASE_URL", _postgres, POSTGRES, None)
    sealer_database_url: str | None = setting("SEALER_DATABASE_URL", _postgres, POSTGRES, None)
    sealer_key: Path | None = setting("SEALER_KEY", Path, "the path of a file", None)
    sealer_memory: Path | None = setting("SEALER_MEMORY", Path, "the path of a file", None)
    log_origin: str = setting("LOG_ORIGIN", _origin, "a host name and perhaps a path, as crm.example.com", LOCAL_ORIGIN)
    exports: Path | None = setting("EXPORTS", Path, "a folder", None)
    export_days: int = setting("EXPORT_DAYS", _whole(1, 3_650), "a whole number of days from 1 to 3650", 7)
    key_store: str | None = setting("KEY_STORE", _key_store, "a path, or a URL postgresql://…", None)
    root_key: str | None = setting("ROOT_KEY", _root_key, f"{2 * ROOT_KEY_BYTES} hexadecimal digits", None)

    host: str = setting("HOST", str, "an address to listen on", "127.0.0.1")
    port: int = setting("PORT", _whole(0, 65535), "a whole number from 0 to 65535", 8000)
    workers: int = setting("WORKERS", _whole(1, 256), "a whole number from 1 to 256", 1)
    pool_size: int = setting("POOL_SIZE", _whole(1, 200), "a whole number from 1 to 200", 8)
    trusted_proxies: tuple[str, ...] = setting(
        "TRUSTED_PROXIES", _names, "addresses, separated by commas", ("127.0.0.1",)
    )
    allowed_origins: tuple[str, ...] = setting("ALLOWED_ORIGINS", _names, "web origins, separated by commas", ())
    graphiql: bool = setting("GRAPHIQL", _switch, SWITCH, True)

    jwt_issuer: str = setting("JWT_ISSUER", str, "the `iss` of tokens", "crm-es")
    jwt_audience: str = setting("JWT_AUDIENCE", str, "the `aud` of tokens", "crm-es")
    jwt_jwks: str | None = setting("JWT_JWKS", str, "a URL https://… or the path of a file", None)
    jwt_workspace_claim: str = setting(
        "JWT_WORKSPACE_CLAIM", str, "the claim that holds the workspace's id", "workspace"
    )
    jwt_member_claim: str = setting("JWT_MEMBER_CLAIM", str, "the claim that holds the member's id", "sub")
    jwt_algorithms: tuple[str, ...] = setting(
        "JWT_ALGORITHMS", _names, "algorithms, separated by commas", ("Ed25519", "EdDSA", "ES256", "PS256", "RS256")
    )

    projection_wait_ms: int = setting("PROJECTION_WAIT_MS", _whole(0, 60_000), "milliseconds from 0 to 60000", 5_000)
    statement_timeout_ms: int = setting(
        "STATEMENT_TIMEOUT_MS", _whole(100, 600_000), "milliseconds from 100 to 600000", 5_000
    )
    query_timeout_ms: int = setting("QUERY_TIMEOUT_MS", _whole(100, 600_000), "milliseconds from 100 to 600000", 10_000)
    shutdown_seconds: int = setting("SHUTDOWN_SECONDS", _whole(0, 3_600), "seconds from 0 to 3600", 30)
    access_log: AccessMode = setting("ACCESS_LOG", AccessMode, "sensitive, all, async or off", AccessMode.SENSITIVE)
    mass_read: int = setting("MASS_READ", _whole(0, 10_000_000), "a whole number; 0 watches nobody", 5_000)
    compiled_reads: bool = setting("COMPILED_READS", _switch, SWITCH, True)

    max_cost: int = setting("MAX_COST", _whole(1, 10_000_000), "a whole number from 1", 5_000)
    max_cost_export: int = setting("MAX_COST_EXPORT", _whole(1, 10_000_000), "a whole number from 1", 50_000)
    minute_limit: bool | None = setting("MINUTE_LIMIT", _switch, SWITCH, None)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Raises: ConfigurationError."""
        given = {k: v for k, v in (os.environ if environment is None else environment).items() if k.startswith("CRM_")}  # noqa: TID251
        known = {f.metadata["name"]: f for f in dataclasses.fields(cls)}
        for name in given:
            if name not in known:
                raise ConfigurationError(f"{name}: there is no such setting.{_guess(name, known)}")
        values = {known[name].name: _parsed(name, text, known[name].metadata) for name, text in given.items() if text}
        return _agreeing(cls(**values))

    @property
    def production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @property
    def query_seconds(self) -> float:
        return self.query_timeout_ms / 1_000

    @property
    def minute_limit_on(self) -> bool:
        """Off in development, unless it was asked for."""
        return self.production if self.minute_limit is None else self.minute_limit

    @property
    def key_store_location(self) -> str | Path:
        location = self.key_store or str(self.data_dir / "keys.sqlite")
        return location if _is_postgres(location) else Path(location)

    @property
    def exports_folder(self) -> Path:
        return self.exports or self.data_dir / "exports"

    @property
    def root_key_file(self) -> Path:
        return self.data_dir / "root.key"

    @property
    def sealer_key_file(self) -> Path:
        return self.sealer_key or self.data_dir / "sealer.key"

    @property
    def sealer_memory_file(self) -> Path:
        return self.sealer_memory or self.data_dir / "sealer.sqlite"

    @property
    def seals_alone(self) -> bool:
        """Whether the environment is that of a sealer, which needs no other door and none of the other secrets."""
        return self.database_url is None and self.sealer_database_url is not None

    @property
    def urls(self) -> DatabaseUrls | None:
        """The doors of a database of one's own; None: the embedded server.

        In development CRM_DATABASE_URL alone will do: each process then takes on its role after connecting.
        """
        if self.database_url is None:
            return None
        alone = self.database_url
        if self.owner_database_url or self.projector_database_url or self.sealer_database_url:
            return DatabaseUrls(
                owner=self.owner_database_url or "",
                app=alone,
                projector=self.projector_database_url or "",
                sealer=self.sealer_database_url or "",
            )
        return DatabaseUrls(
            owner=alone,
            app=with_options(alone, "-c role=crm_app"),
            projector=with_options(alone, "-c role=crm_projector"),
            sealer=with_options(alone, "-c role=crm_sealer"),
        )


def environment_of_children(urls: DatabaseUrls) -> dict[str, str]:
    """What a child process reads: everything we were given, and where the database is. None of them may own it, or seal."""
    given = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_CHILDREN}  # noqa: TID251
    return {**given, "CRM_DATABASE_URL": urls.app, "CRM_PROJECTOR_DATABASE_URL": urls.projector}


def environment_of_sealer(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    """What the sealer reads beside that: its own door and files."""
    return {
        "CRM_SEALER_DATABASE_URL": urls.sealer,
        "CRM_SEALER_KEY": str(settings.sealer_key_file.absolute()),
        "CRM_SEALER_MEMORY": str(settings.sealer_memory_file.absolute()),
    }


_NOT_FOR_CHILDREN: Final = frozenset(
    {"CRM_OWNER_DATABASE_URL", "CRM_SEALER_DATABASE_URL", "CRM_SEALER_KEY", "CRM_SEALER_MEMORY"}
)


def _agreeing(settings: S) -> S:
    if settings.database_url is None and (settings.owner_database_url or settings.projector_database_url):
        raise ConfigurationError(
            "CRM_DATABASE_URL: expected beside CRM_OWNER_DATABASE_URL and CRM_PROJECTOR_DATABASE_URL."
        )
    if settings.production and not settings.seals_alone:
        _fit_for_production(settings)
    return settings


def _fit_for_production(settings: Settings) -> None:
    needed = {
        "CRM_DATABASE_URL": (settings.database_url, "the embedded PostgreSQL is for development"),
        "CRM_PROJECTOR_DATABASE_URL": (settings.projector_database_url, "the projector has a login of its own"),
        "CRM_KEY_STORE": (settings.key_store, "keys must not lie in a data directory by accident"),
        "CRM_ROOT_KEY": (settings.root_key, "the root key comes from your secret store"),
        "CRM_JWT_JWKS": (settings.jwt_jwks, "the development issuer never signs in production"),
    }
    if settings.access_log is AccessMode.OFF:
        raise ConfigurationError("CRM_ACCESS_LOG: expected sensitive, all or async when CRM_ENV is production.")
    for name, (value, why) in needed.items():
        if value is None:
            raise ConfigurationError(f"{name}: expected when CRM_ENV is production; {why}.")


def _parsed(name: str, text: str, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["parse"](text)
    except ValueError:
        secret = metadata["parse"] in {_root_key, _postgres}
        found = "something else" if secret else repr(text)
        raise ConfigurationError(f"{name}: expected {metadata['expected']}, found {found}.") from None


def _guess(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else " See docs/operating.md for all of them."
