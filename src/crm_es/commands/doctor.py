"""`doctor`: looks at everything the program leans on, and says what is wrong and what to do."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import click
import psycopg

from crm_es.config import Settings
from crm_es.database.doors import opened
from crm_es.database.migrate import check
from crm_es.database.place import SYSTEM_HOME, orphans
from crm_es.errors import CrmError, KeyUnavailableError
from crm_es.privacy.keystore import KeyStore
from crm_es.serving.projecting import opened_keys
from crm_es.workspaces.tokens import published_keys
from projections import READ_MODELS

SUPPORTED: Final = (15, 18)
SKEW: Final = timedelta(seconds=1)
DISK_FLOOR: Final = 0.05
SEAL_LATE: Final = timedelta(minutes=1)
KEY_PAGE: Final = 1_000
SIGNS_WITH: Final = {"ED": "OKP", "ES": "EC", "PS": "RSA", "RS": "RSA", "HS": "oct"}
"""Kinds of keys by how algorithms' names begin."""
SEALED_KEYS: Final = """
SELECT DISTINCT found[1]::uuid
FROM es.events, regexp_matches(convert_from(state, 'UTF8'), '"k":"([0-9a-f-]{36})"', 'g') AS found
WHERE position('{"$pii"'::bytea IN state) > 0
"""
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is what to do about it; none = all is well. What is not `wrong` leaves the exit code alone."""

    what: str
    advice: str = ""
    wrong: bool = True


@click.command()
def doctor() -> None:
    """Look at settings, token signers, database, keys, read models, sealing, clock and disk.

    Changes nothing. Exit code 1 when something is wrong.
    """
    ill = False
    for finding in examination():
        ill = ill or bool(finding.advice and finding.wrong)
        click.echo(f"{('WRONG' if finding.wrong else 'note ') if finding.advice else 'ok   '} {finding.what}")
        if finding.advice:
            click.echo(f"      {finding.advice}")
    sys.exit(ill)


def examination() -> Iterator[Finding]:
    """Everything it looks at, in the order in which one needs the other."""
    try:
        settings = Settings.from_environment()
        yield Finding(f"settings: {settings.environment}, data in {settings.data_dir}")
        yield from disk(settings)
        yield from signers(settings)
        yield from left_behind()
        with opened(settings) as urls:
            check(settings.database_url or urls.app)
            with psycopg.connect(urls.projector, autocommit=True) as connection:
                for look in (server, clock, access_log, read_models, sealing):
                    yield from look(connection)
                yield from keys(connection, settings)
    except CrmError as error:
        yield Finding(error.rule, error.message)
    except psycopg.Error as error:
        yield Finding("database", f"{type(error).__name__}: {error}")


def disk(settings: Settings) -> Iterator[Finding]:
    for folder in (settings.data_dir, SYSTEM_HOME):
        if folder.exists():
            usage = shutil.disk_usage(folder)
            free = usage.free / usage.total
            advice = "Make room: at 0 PostgreSQL stops taking events." if free < DISK_FLOOR else ""
            yield Finding(f"disk: {free:.0%} free under {folder}", advice)


def signers(settings: Settings) -> Iterator[Finding]:
    """Whether the keys that tokens are signed with can be read, and used."""
    if settings.jwt_jwks is None:
        yield Finding("tokens: signed by the development issuer")
        return
    try:
        keys = published_keys(settings.jwt_jwks).keys
    except (OSError, ValueError) as error:
        advice = f"CRM_JWT_JWKS: {error}. Until it can be read, nobody gets in by a token."
        yield Finding(f"tokens: keys of their signers at {settings.jwt_jwks}", advice)
        return
    advice = ""
    if not {SIGNS_WITH.get(name[:2].upper()) for name in settings.jwt_algorithms} & {key.key_type for key in keys}:
        accepted = ", ".join(settings.jwt_algorithms)
        advice = f"None of them signs by CRM_JWT_ALGORITHMS ({accepted}): no token will be accepted."
    elif any(key.is_private for key in keys):
        advice = "Secret keys are among them: whoever reads them signs tokens. Publish the public ones alone."
    yield Finding(f"tokens: {len(keys)} keys of their signers at {settings.jwt_jwks}", advice)


def left_behind() -> Iterator[Finding]:
    """Embedded databases that root put under the system user's home, and whose data directory is gone."""
    for cluster, data_dir in orphans():
        what = f"a database that no data directory uses: {cluster}, made for {data_dir or 'an unknown one'}"
        if (cluster / "postmaster.pid").exists():
            yield Finding(what, "It runs, or was killed: look for its processes before anything else.", wrong=False)
        else:
            yield Finding(what, f"When nothing in it is wanted: rm -r {cluster}*", wrong=False)


def server(connection: Connection) -> Iterator[Finding]:
    major = connection.info.server_version // 10_000
    wrong = "" if SUPPORTED[0] <= major <= SUPPORTED[1] else f"Use PostgreSQL {SUPPORTED[0]} to {SUPPORTED[1]}."
    yield Finding(f"PostgreSQL {major}, schema current", wrong)
    durable = _value(
        connection, "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'"
    )
    yield Finding(
        "commits are durable", "" if durable else "Set fsync and synchronous_commit to on, or a power cut takes events."
    )


def clock(connection: Connection) -> Iterator[Finding]:
    before = datetime.now(UTC)
    theirs: datetime = _value(connection, "SELECT clock_timestamp()")
    skew = max(before - theirs, theirs - datetime.now(UTC), timedelta())
    advice = "Let both machines take their time from the same source." if skew > SKEW else ""
    yield Finding(f"clocks differ by {skew.total_seconds():.3f} s at most", advice)


def read_models(connection: Connection) -> Iterator[Finding]:
    newest = _value(connection, "SELECT coalesce(max(notification_id), 0) FROM es.events")
    rows = connection.execute("SELECT read_model, version, log_id, parked ->> 'error' FROM es.bookmark").fetchall()
    known = {name: (version, log_id, parked) for name, version, log_id, parked in rows}
    for model in READ_MODELS:
        version, log_id, parked = known.get(model.NAME, (None, 0, None))
        advice = ""
        if parked:
            advice = f"Parked: {parked}. Mend it, raise its VERSION, then `crm-es rebuild {model.NAME}`."
        elif version is None:
            advice = "Not made yet. `crm-es serve` or `crm-es project` makes it."
        elif version != model.VERSION:
            advice = f"Made by version {version}, the program has {model.VERSION}. Run `crm-es rebuild {model.NAME}`."
        yield Finding(f"read model {model.NAME}: {newest - log_id} events behind", advice)


def sealing(connection: Connection) -> Iterator[Finding]:
    """How far the sealer is behind, and logs that are no longer what was signed."""
    unsealed, since, signed_at, reopened = connection.execute(
        "SELECT unsealed, clock_timestamp() - waiting_since, signed_at, reopened FROM ledger.lag()"
    ).fetchall()[0]
    if signed_at is None:
        yield Finding("sealing: nothing was ever signed", "`crm-es serve` or `crm-es seal` does it.", wrong=False)
        return
    late = since is not None and since > SEAL_LATE
    advice = (
        "The sealer does not run, or says why it cannot: look at its log. Unsealed events are no evidence."
        if late
        else ""
    )
    yield Finding(f"sealing: {unsealed} events behind", advice)
    if reopened:
        yield Finding(
            f"sealing: {reopened} logs in a later epoch than their first: history was altered or lost, or the key was",
            "An event ledger.epoch_opened of each names the positions. docs/auditing.md, When it does not hold, says what to do.",
            wrong=False,
        )


def access_log(connection: Connection) -> Iterator[Finding]:
    """Whether the coming month has its table."""
    ready = _value(
        connection,
        "SELECT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'access')"
        " AND c.relname = 'entry_' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM'))",
    )
    advice = "" if ready else "`crm-es serve` makes it with the next row it writes there."
    yield Finding("access log: a table for the coming month", advice, wrong=False)


def keys(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Every key the log names must be in the key store, or its tombstone."""
    with opened_keys(settings) as store:
        known = missing = 0
        for page in _key_ids(connection):
            known += len(page)
            missing += len(set(page) - store.known(page))
    advice = (
        f"{missing} are missing: the key store is older than the log. Restore the newest copy of it." if missing else ""
    )
    yield Finding(f"keys: the log names {known}", advice)


def _missing(store: KeyStore, page: list[UUID]) -> int:
    try:
        store.keys(page)
    except KeyUnavailableError:
        return sum(_missing(store, [key]) for key in page) if page[1:] else 1
    return 0


def _key_ids(connection: Connection) -> Iterator[list[UUID]]:
    with connection.transaction(), connection.cursor("keys") as cursor:
        cursor.execute(SEALED_KEYS)
        while page := cursor.fetchmany(KEY_PAGE):
            yield [key for (key,) in page]


def _value(connection: Connection, sql: LiteralString) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row else None
