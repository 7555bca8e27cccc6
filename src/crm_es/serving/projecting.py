"""The projector as a process, and what it and the rebuild are made of."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError
from crm_es.eventstore.codec import Codec
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector import catalogue, statistics
from crm_es.projector.garbage import rarely_collected
from crm_es.projector.leader import Leader
from crm_es.projector.pages import Decode
from crm_es.projector.runner import Projector
from crm_es.serving.exporting import Exporter
from crm_es.serving.lifeline import CANNOT_START, hold_on_to_parent
from crm_es.serving.reverting import Reverter
from crm_es.serving.stopping import told_to_stop
from crm_es.serving.timing import Timer
from projections import READ_MODELS

SETTLE_SECONDS: Final = 0.05
BEHIND: Final = """
SELECT count(*)
FROM unnest(%s::text[]) AS model (name)
LEFT JOIN es.bookmark b ON b.read_model = model.name
WHERE b.parked IS NULL AND coalesce(b.log_id, 0) < %s
"""


@contextmanager
def opened_keys(settings: Settings) -> Iterator[KeyStore]:
    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file, settings.root_key))
    try:
        yield keys
    finally:
        keys.close()


@contextmanager
def decoding(settings: Settings) -> Iterator[Decode]:
    """What opens stored events: the codec over this installation's keys."""
    with opened_keys(settings) as keys, rarely_collected():
        yield Codec(AGGREGATES, keys).decode_each


def project(settings: Settings, urls: DatabaseUrls) -> None:
    """Project, and record what SLA clocks ran out, until told to stop (SIGTERM, SIGINT)."""
    stop = told_to_stop()
    with (
        opened_keys(settings) as keys,
        rarely_collected(),
        Timer(urls, keys).running(),
        Reverter(urls, keys).running(),
        Exporter(settings, urls, keys).running(),
    ):
        decode, seconds = Codec(AGGREGATES, keys).decode_each, settings.query_seconds
        Projector(urls.projector, decode, READ_MODELS, query_seconds=seconds).run(stop)


def inherited(settings: Settings) -> DatabaseUrls:
    if settings.urls is None:
        raise ConfigurationError("CRM_PROJECTOR_DATABASE_URL: expected here; `crm-es serve` sets it.")
    return settings.urls


def check_read_models(url: str) -> None:
    """Refuse tables of another VERSION, or not as declared. Raises: ConfigurationError, naming the command to run."""
    with psycopg.connect(url) as connection:
        made: dict[str, int] = dict(connection.execute("SELECT read_model, version FROM es.bookmark").fetchall())
    other = [model.NAME for model in READ_MODELS if made.get(model.NAME, model.VERSION) != model.VERSION]
    if other:
        raise ConfigurationError(
            f"Read models made by another version: {', '.join(other)}. Run `crm-es rebuild {other[0]}`"
            f"{' and so on' if other[1:] else ''}; events are not touched.",
            rule="read_model.version",
        )
    catalogue.require(url, READ_MODELS)


def settle(settings: Settings, url: str, log_id: int) -> None:
    """Return once every read model has applied `log_id`, or is parked, and the planner knows of it. Projects itself where no
    leader lives."""
    with (
        decoding(settings) as decode,
        Leader(url, decode, READ_MODELS) as leader,
        psycopg.connect(url, autocommit=True) as own,
    ):
        names = [model.NAME for model in READ_MODELS]
        while own.execute(BEHIND, [names, log_id]).fetchone() != (0,):
            if leader.try_lead():
                leader.drain()
                break
            time.sleep(SETTLE_SECONDS)
        statistics.renew(own, names)


def main() -> int:
    """The child of `serve`; the parent has checked the schema."""
    hold_on_to_parent()
    try:
        settings = Settings.from_environment()
        project(settings, inherited(settings))
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
