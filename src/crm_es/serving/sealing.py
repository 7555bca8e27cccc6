"""The sealer as a process: alone (`crm-es seal`), or as a child of `serve`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from crm_es.config import LOCAL_ORIGIN, Settings
from crm_es.database.doors import current
from crm_es.database.migrate import check
from crm_es.errors import ConfigurationError
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.reads_sealed import HourSealing
from crm_es.ledger.running import Sealing
from crm_es.serving.lifeline import hold_on_to_parent
from crm_es.serving.stopping import told_to_stop
from crm_es.threads import beside

GIVES_WAY: Final = 5  # nicer than those who record; a map of a million streams is half a minute of work
FAILED: Final = 1  # it is tried again: the log can wait for its seal, those who work cannot


@contextmanager
def door(settings: Settings) -> Iterator[str]:
    """The database, as the sealer's role. Raises: ConfigurationError."""
    if settings.seals_alone and settings.sealer_database_url:
        check(settings.sealer_database_url)
        yield settings.sealer_database_url
        return
    with current(settings) as urls:
        if not urls.sealer:
            raise ConfigurationError("CRM_SEALER_DATABASE_URL: expected for this command.")
        yield urls.sealer


def sealing(settings: Settings, url: str) -> Sealing:
    """Raises: ConfigurationError."""
    if settings.production and settings.log_origin == LOCAL_ORIGIN:
        raise ConfigurationError("CRM_LOG_ORIGIN: expected in production; it is the name of the logs for ever.")
    return Sealing(
        url,
        keys=KeyFile(settings.sealer_key_file),
        memory_file=settings.sealer_memory_file,
        origin=settings.log_origin,
    )


def seal(settings: Settings, url: str) -> None:
    """Until told to stop (SIGTERM, SIGINT)."""
    os.nice(GIVES_WAY)
    stop = told_to_stop()
    with beside(HourSealing(url).run, "crm-access-sealer"):
        sealing(settings, url).run(stop)


def main() -> int:
    """The child of `serve`; the parent has checked the schema."""
    hold_on_to_parent()
    try:
        settings = Settings.from_environment()
        seal(settings, settings.sealer_database_url or "")
    except ConfigurationError as error:
        print(f"Nothing is sealed: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
