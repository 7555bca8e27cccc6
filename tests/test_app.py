"""Starting: the program refuses a database that does not stand as it was declared."""

from pathlib import Path

import psycopg
import pytest

from crm_es.app import make
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError
from crm_es.eventstore.codec import Codec
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.runner import Projector
from crm_es.reads.check import check
from crm_es.schema import schema
from crm_es.serving.projecting import check_read_models
from projections import READ_MODELS


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def projected(database: DatabaseUrls, settings: Settings) -> DatabaseUrls:
    """A database in which every read model was made."""
    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file))
    Projector(database.projector, Codec(AGGREGATES, keys).decode_each, READ_MODELS).drain()
    keys.close()
    return database


def test_what_we_declare_fits_our_tables() -> None:
    check(schema._schema)


def test_a_database_without_read_models_is_one_the_projector_has_still_to_fill(
    database: DatabaseUrls, settings: Settings
) -> None:
    check_read_models(database.app)

    assert make(settings, database).routes


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DROP INDEX contact_profiles.contact_history_by_name", "contact_history_by_name"),
        ("DROP INDEX members.member_history_valid_to", "member_history_valid_to"),
        ("ALTER TABLE members.team ALTER name DROP NOT NULL", "members.team.name is nullable"),
    ],
)
def test_tables_that_are_not_as_declared_are_refused_by_name(
    projected: DatabaseUrls, settings: Settings, damage: str, named: str
) -> None:
    make(settings, projected)
    with psycopg.connect(projected.projector) as connection:
        connection.execute(damage)

    for start in (lambda: make(settings, projected), lambda: check_read_models(projected.app)):
        with pytest.raises(ConfigurationError, match=named):
            start()
