"""Migrations: once each, in order, never edited, never skipped."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from crm_es.database.migrate import Migration, check, migrate, migrations
from crm_es.database.urls import DatabaseUrls, on_database
from crm_es.errors import ConfigurationError

FIRST = Migration(number=1, name="first", sql="CREATE TABLE a (n int); INSERT INTO a VALUES (1)")
SECOND = Migration(number=2, name="second", sql="INSERT INTO a VALUES (2)")
BROKEN = Migration(number=2, name="broken", sql="INSERT INTO a VALUES (3); SELECT nonsense")


@pytest.fixture
def url(server: DatabaseUrls) -> Iterator[str]:
    """An empty database."""
    name = f"m_{uuid4().hex}"
    with psycopg.connect(on_database(server.owner, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield on_database(server.owner, name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def rows(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM a ORDER BY n")]


def test_each_migration_is_applied_once(url: str) -> None:
    first = migrate(url, [FIRST])
    second = migrate(url, [FIRST, SECOND])
    third = migrate(url, [FIRST, SECOND])

    assert (first, second, third) == ((FIRST,), (SECOND,), ())
    assert rows(url) == [1, 2]
    check(url, [FIRST, SECOND])


def test_a_failing_migration_is_undone_whole_and_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="0002_broken failed and was undone"):
        migrate(url, [FIRST, BROKEN])

    assert rows(url) == [1]
    assert migrate(url, [FIRST, SECOND]) == (SECOND,)


def test_two_at_once_apply_each_migration_once(url: str) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: migrate(url, [FIRST, SECOND]), range(4)))

    assert sorted(len(d) for d in done) == [0, 0, 0, 2]
    assert rows(url) == [1, 2]


def test_an_old_schema_is_refused_and_the_command_named(url: str) -> None:
    migrate(url, [FIRST])

    with pytest.raises(ConfigurationError, match=r"at migration 1 and this program needs 2\. Run `crm-es migrate`"):
        check(url, [FIRST, SECOND])


def test_an_empty_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="crm-es migrate"):
        check(url, [FIRST])


def test_a_newer_schema_is_refused(url: str) -> None:
    migrate(url, [FIRST, SECOND])

    with pytest.raises(ConfigurationError, match="made by a newer crm-es"):
        check(url, [FIRST])
    with pytest.raises(ConfigurationError, match="made by a newer crm-es"):
        migrate(url, [FIRST])


def test_an_edited_migration_is_refused(url: str) -> None:
    migrate(url, [FIRST])
    edited = Migration(number=1, name="first", sql=FIRST.sql + " -- harmless")

    with pytest.raises(ConfigurationError, match="0001_first was applied with another text"):
        migrate(url, [edited, SECOND])


def test_a_migration_that_came_late_is_named(url: str) -> None:
    later = Migration(number=3, name="later", sql="SELECT 1")
    migrate(url, [FIRST, later])

    with pytest.raises(ConfigurationError, match="has 0003_later and lacks 0002_second, which comes before it"):
        migrate(url, [FIRST, SECOND, later])


def test_files_are_read_in_order_and_a_number_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0004_b.sql").write_text("SELECT 2")
    (tmp_path / "README.md").write_text("not SQL")
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    assert [str(m) for m in migrations(tmp_path)] == ["0001_a", "0004_b"]

    (tmp_path / "0004_c.sql").write_text("SELECT 3")
    with pytest.raises(ConfigurationError, match="one number"):
        migrations(tmp_path)


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match=r"No connection to postgresql://crm@127\.0\.0\.1:1/crm") as caught:
        check("postgresql://crm:secret@127.0.0.1:1/crm")

    assert "secret" not in str(caught.value)


def test_a_clone_is_migrated(database: DatabaseUrls) -> None:
    check(database.owner)


def test_clones_do_not_share_rows(database: DatabaseUrls, shared_database: DatabaseUrls) -> None:
    with psycopg.connect(database.owner) as connection:
        connection.execute("CREATE TABLE mine (n int)")

    with psycopg.connect(shared_database.owner) as connection:
        assert connection.execute("SELECT to_regclass('public.mine')").fetchone() == (None,)
