"""The database a command works on: the one the settings name, or the embedded one for as long as the command runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crm_es.config import Settings
from crm_es.database.migrate import check, is_new, migrate
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError


@contextmanager
def opened(settings: Settings) -> Iterator[DatabaseUrls]:
    """The URLs. An embedded server is started if none runs, and left by the last one out."""
    if settings.urls:
        yield settings.urls
        return
    if settings.seals_alone:
        raise ConfigurationError("CRM_DATABASE_URL: expected; CRM_SEALER_DATABASE_URL alone is for `crm-es seal`.")
    with EmbeddedServer(settings.data_dir) as urls:
        yield urls


@contextmanager
def current(settings: Settings) -> Iterator[DatabaseUrls]:
    """As `opened`, its schema being this program's. Raises: ConfigurationError, naming the command to run.

    A new embedded database is migrated on the way.
    """
    with opened(settings) as urls:
        if settings.urls is None and is_new(urls.owner):
            migrate(urls.owner)
        check(settings.database_url or urls.app)
        yield urls


def owner_url(urls: DatabaseUrls) -> str:
    """Raises: ConfigurationError."""
    if not urls.owner:
        raise ConfigurationError(
            "CRM_OWNER_DATABASE_URL: expected for this command; it works as the owner of the event tables."
        )
    return urls.owner


def keeping(settings: Settings) -> Callable[[], None]:
    """What to call now and then so that a database of ours that died comes back, at the same address."""
    if settings.urls:
        return lambda: None
    server = EmbeddedServer(settings.data_dir)
    return server.revive
