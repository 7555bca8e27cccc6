"""The command line as an operator meets it: real processes, a real database, real sockets."""

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls, on_database
from tests.commands.running import Serving, crm, token
from tests.waiting import ended, eventually

pytestmark = pytest.mark.slow  # a process for each command


def test_help_names_every_command(data_dir: Path) -> None:
    done = crm(data_dir, "--help")

    assert done.returncode == 0
    assert all(
        name in done.stdout for name in ("serve", "migrate", "token", "workspace", "rebuild", "doctor", "schema")
    )


def test_a_workspace_is_founded_once(data_dir: Path, workspace: str) -> None:
    again = crm(data_dir, "workspace", "create", "Acme")

    assert len(workspace) == 36
    assert again.returncode == 1
    assert again.stderr.strip() == "crm-es: There is a workspace Acme already."


def test_workspaces_are_listed(data_dir: Path, workspace: str) -> None:
    done = crm(data_dir, "workspace", "list")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{workspace}  Europe/Berlin  EUR  Acme"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("token", "--workspace", "Acme", "--role", "king"), "There is no role king. There are: admin,"),
        (("token", "--workspace", "Nowhere", "--role", "admin"), "There is no workspace Nowhere. Make it with"),
        (("workspace", "create", "X", "--currency", "QQQ"), "ISO 4217"),
        (("workspace", "create", "X", "--time-zone", "Mars/Base"), "IANA time zone"),
        (("rebuild", "nothing"), "There is no read model nothing. There are:"),
    ],
)
def test_a_refused_command_says_why_in_one_line(data_dir: Path, argv: tuple[str, ...], says: str) -> None:
    done = crm(data_dir, *argv)

    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named(data_dir: Path) -> None:
    done = crm(data_dir, "migrate", CRM_PORT="no")

    assert done.returncode == 1
    assert "CRM_PORT: expected a whole number" in done.stderr


def test_the_token_stands_alone_on_the_last_line_and_names_one_member_per_role(data_dir: Path, workspace: str) -> None:
    first, second, other = (crm(data_dir, "token", "--workspace", w, "--role", r) for w, r in
                            (("Acme", "sales"), (workspace, "sales"), ("Acme", "auditor")))  # fmt: skip

    def member(done: "subprocess.CompletedProcess[str]") -> str:
        payload = done.stdout.splitlines()[-1].split(".")[1]
        claims = json.loads(__import__("base64").urlsafe_b64decode(payload + "=="))
        assert claims["workspace"] == workspace
        return str(claims["sub"])

    assert member(first) == member(second) != member(other)


def test_one_url_of_a_database_of_ones_own_will_do(server: DatabaseUrls, tmp_path: Path) -> None:
    name = f"own_{uuid4().hex}"
    with psycopg.connect(on_database(server.owner, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    own = on_database(server.owner, name)

    refused = crm(tmp_path, "workspace", "create", "Own", CRM_DATABASE_URL=own)
    migrated = crm(tmp_path, "migrate", CRM_DATABASE_URL=own)
    founded = crm(tmp_path, "workspace", "create", "Own", CRM_DATABASE_URL=own)
    entered = crm(tmp_path, "token", "--workspace", "Own", "--role", "admin", CRM_DATABASE_URL=own)
    younger = crm(tmp_path, "workspace", "create", "Its branch", CRM_DATABASE_URL=own)
    listed = crm(tmp_path, "workspace", "list", CRM_DATABASE_URL=own)

    assert "Run `crm-es migrate`" in refused.stderr
    assert (migrated.returncode, founded.returncode, entered.returncode) == (0, 0, 0), founded.stderr
    ids = [done.stdout.splitlines()[-1] for done in (founded, younger)]
    assert listed.stdout.splitlines() == [f"{ids[0]}  UTC  USD  Own", f"{ids[1]}  UTC  USD  Its branch"]
    assert not list(tmp_path.glob("postgres-*"))
    with psycopg.connect(own, autocommit=True) as admin:
        owners = admin.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('es', 'members')"
        ).fetchall()
    assert sorted(owners) == [("crm_owner",), ("crm_projector",)]


def test_no_development_token_in_production(data_dir: Path) -> None:
    production = {
        "CRM_ENV": "production",
        "CRM_DATABASE_URL": "postgresql://a@127.0.0.1:1/a",
        "CRM_PROJECTOR_DATABASE_URL": "postgresql://a@127.0.0.1:1/a",
        "CRM_KEY_STORE": "keys",
        "CRM_ROOT_KEY": "00" * 32,
        "CRM_JWT_JWKS": "jwks.json",
    }

    done = crm(data_dir, "token", "--workspace", "Acme", "--role", "admin", **production)

    assert done.returncode == 1
    assert "the development issuer does not sign in production" in done.stderr


def test_nothing_outlives_a_killed_serve(serving: Serving) -> None:
    children = serving.children()

    serving.process.kill()
    serving.process.wait()

    assert len(children) == 4
    eventually(lambda: all(map(ended, children)))


def test_serve_stops_cleanly_when_told(serving: Serving) -> None:
    children = serving.children()

    code = serving.stop()

    assert code == 0
    assert not any(child.is_running() for child in children)


def test_live_equals_rebuilt_and_a_rebuild_swaps(data_dir: Path) -> None:
    checked = crm(data_dir, "rebuild", "--check")
    rebuilt = crm(data_dir, "rebuild", "members")

    assert checked.returncode == 0, checked.stdout
    assert "members: 12 of 12 tables equal" in checked.stdout
    assert "DIFFERS" not in checked.stdout
    assert "reservations: 1 workspaces, equal" in checked.stdout
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert rebuilt.stdout.startswith("members: made anew and swapped in ")


def test_a_lost_reservation_is_found(data_dir: Path) -> None:
    token(data_dir)
    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner, autocommit=True) as owner:
        lost = owner.execute("DELETE FROM es.reservation RETURNING workspace_id, kind, key, stream_id").fetchall()

        checked = crm(data_dir, "rebuild", "--check")

        owner.cursor().executemany(
            "INSERT INTO es.reservation (workspace_id, kind, key, stream_id) VALUES (%s, %s, %s, %s)", lost
        )
    assert checked.returncode == 1
    assert "reservations: 1 workspaces, DIFFER" in checked.stdout
    assert checked.stdout.count("held by nobody, due to") == len(lost) > 0


def test_a_healthy_installation_satisfies_the_doctor(data_dir: Path) -> None:
    crm(data_dir, "token", "--workspace", "Acme", "--role", "admin")

    done = crm(data_dir, "doctor")

    assert done.returncode == 0, done.stdout
    assert "read model members: 0 events behind" in done.stdout
    assert "WRONG" not in done.stdout


def test_the_doctor_misses_a_lost_key_store(data_dir: Path, tmp_path: Path) -> None:
    crm(data_dir, "token", "--workspace", "Acme", "--role", "admin")

    done = crm(data_dir, "doctor", CRM_KEY_STORE=str(tmp_path / "empty.sqlite"))

    assert done.returncode == 1
    assert "are missing: the key store is older than the log" in done.stdout
