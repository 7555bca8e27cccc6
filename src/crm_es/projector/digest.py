"""A table's rows as one number: the same rows in any order give the same digest, in constant memory."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from psycopg import Cursor
from psycopg.sql import SQL, Identifier

from crm_es.projector.contract import ReadModel
from crm_es.projector.tables import twin_name

# Two independent 64-bit hashes of each row, summed: adding does not care for order, and equal rows do not cancel out.
_DIGEST: Final = """
SELECT count(*), coalesce(sum(hashtextextended(t::text, 1)::numeric), 0), coalesce(sum(hashtextextended(t::text, 2)::numeric), 0)
FROM {schema}.{table} t
"""


class Digest(NamedTuple):
    rows: int
    first: int
    second: int


def digests(cursor: Cursor[Any], model: ReadModel, schema: str) -> dict[str, Digest]:
    """Of every table and history twin, by name."""
    found = {}
    for name in _names(model):
        row = cursor.execute(SQL(_DIGEST).format(schema=Identifier(schema), table=Identifier(name))).fetchone()
        found[name] = Digest(*map(int, row or ()))
    return found


def _names(model: ReadModel) -> Iterator[str]:
    for table in model.TABLES:
        yield table.name
        if table.versioned:
            yield twin_name(table)
