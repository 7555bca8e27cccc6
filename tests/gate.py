"""The log held at a chosen event, so that something can be hurt in the middle for certain, however fast or slow a machine is."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from tests.waiting import wanted

LOCKS = 471_000_000
HOLD = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); RETURN NEW; END';
CREATE TRIGGER {trigger} BEFORE INSERT ON es.events FOR EACH ROW
  WHEN (NEW.workspace_id = {workspace} AND NEW.sequence = {position}) EXECUTE FUNCTION {function}({lock})
"""


@contextmanager
def held(owner_url: str, workspace: UUID, position: int) -> Iterator[Callable[[], bool]]:
    """Whoever appends that event waits until the block ends. Gives a function that tells whether somebody waits.

    The trigger stays: nobody writes that position again.
    """
    name, lock = f"held_{workspace.hex}_{position}", LOCKS + position
    with closing(psycopg.connect(owner_url, autocommit=True)) as holding:
        holding.execute("SELECT pg_advisory_lock(%s)", [lock])
        statements = SQL(HOLD).format(
            function=Identifier("es", name), trigger=Identifier(name), workspace=Literal(str(workspace)),
            position=Literal(position), lock=Literal(str(lock)),
        )  # fmt: skip
        holding.execute(statements)
        yield lambda: wanted(holding, lock)
