"""Settings: read once, and every fault named."""

from pathlib import Path

import pytest

from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls, patient
from crm_es.errors import ConfigurationError

PRODUCTION = {
    "CRM_ENV": "production",
    "CRM_DATABASE_URL": "postgresql://crm_app@db/crm",
    "CRM_PROJECTOR_DATABASE_URL": "postgresql://crm_projector@db/crm",
    "CRM_KEY_STORE": "postgresql://keys@other/keys",
    "CRM_ROOT_KEY": "ab" * 32,
    "CRM_JWT_JWKS": "https://id.example/jwks.json",
}


def test_nothing_set_means_development_with_an_embedded_database() -> None:
    settings = Settings.from_environment({"PATH": "/bin"})

    assert not settings.production
    assert settings.urls is None
    assert settings.key_store_location == Path(".crm-es/keys.sqlite")
    assert not settings.minute_limit_on


def test_settings_are_read_by_name() -> None:
    settings = Settings.from_environment(
        {"CRM_PORT": "9000", "CRM_GRAPHIQL": "off", "CRM_COMPILED_READS": "on", "CRM_HOST": ""}
    )

    assert (settings.port, settings.graphiql, settings.compiled_reads, settings.host) == (
        9000,
        False,
        True,
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("CRM_PORT", "http", "CRM_PORT: expected a whole number from 0 to 65535, found 'http'"),
        ("CRM_PORT", "70000", "CRM_PORT: expected a whole number"),
        ("CRM_ENV", "prod", "CRM_ENV: expected development or production, found 'prod'"),
        ("CRM_GRAPHIQL", "yes", "CRM_GRAPHIQL: expected on or off"),
        ("CRM_DATABASE_URL", "mysql://u:secret@h/d", "CRM_DATABASE_URL: expected a URL postgresql:"),
        ("CRM_ROOT_KEY", "abcd", "CRM_ROOT_KEY: expected 64 hexadecimal digits, found something else"),
        ("CRM_DATABSE_URL", "x", r"CRM_DATABSE_URL: there is no such setting\. Did you mean CRM_DATABASE_URL\?"),
    ],
)
def test_a_fault_names_the_setting_and_what_was_expected(name: str, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Settings.from_environment({name: text})

    assert "secret" not in str(caught.value)


def test_one_url_alone_lets_each_process_take_on_its_role() -> None:
    urls = Settings.from_environment({"CRM_DATABASE_URL": "postgresql://me:pw@db:5433/crm?sslmode=require"}).urls

    alone = patient("postgresql://me:pw@db:5433/crm?sslmode=require")
    assert urls == DatabaseUrls(
        owner=alone,
        app=f"{alone}&options=-c%20role%3Dcrm_app",
        projector=f"{alone}&options=-c%20role%3Dcrm_projector",
        sealer=f"{alone}&options=-c%20role%3Dcrm_sealer",
    )


def test_three_urls_are_taken_for_three_doors() -> None:
    settings = Settings.from_environment({**PRODUCTION, "CRM_OWNER_DATABASE_URL": "postgresql://boss@db/crm"})

    assert settings.urls == DatabaseUrls(
        owner=patient("postgresql://boss@db/crm"),
        app=patient(PRODUCTION["CRM_DATABASE_URL"]),
        projector=patient(PRODUCTION["CRM_PROJECTOR_DATABASE_URL"]),
    )


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "CRM_ENV"])
def test_production_needs_each_of_its_settings(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}: expected"):
        Settings.from_environment({k: v for k, v in PRODUCTION.items() if k != name})
