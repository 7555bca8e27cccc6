"""Erasure in the read models: what a read model holds of a subject becomes NULL, in every version of every row.

Positions stay, so the history trigger writes nothing. A rebuild comes to the same rows, since `apply` maps `Erased` to NULL.
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from psycopg import Cursor
from psycopg.sql import SQL, Composed, Identifier

from crm_es.projector.contract import Table
from crm_es.projector.tables import subject_is_array, twin_name


def scrub(cursor: Cursor[Any], schema: str, tables: Iterable[Table], workspace: UUID, subject: UUID) -> None:
    """Forget a subject in one schema: call it for `<NAME>` and, while there is one, `<NAME>__next`."""
    for table in tables:
        if table.subject is None:
            continue
        for name in (table.name, twin_name(table)) if table.versioned else (table.name,):
            _scrub_table(cursor, schema, table, name, {"workspace": workspace, "subject": subject})


def _scrub_table(cursor: Cursor[Any], schema: str, table: Table, name: str, params: dict[str, UUID]) -> None:
    personal = [Identifier(c.name) for c in table.columns if c.personal]
    shared = subject_is_array(table)
    cursor.execute(
        SQL(_LEAVE if shared else _FORGET).format(
            schema=Identifier(schema),
            table=Identifier(name),
            subject=Identifier(table.subject or ""),
            forgotten=SQL(", ").join(_forgotten(c, table, shared=shared) for c in personal),
        ),
        params,
    )


_FORGET: Final = """
UPDATE {schema}.{table} SET {forgotten}
WHERE workspace_id = %(workspace)s AND {subject} = %(subject)s
"""
# What several people share is forgotten with the last of them.
_LEAVE: Final = """
UPDATE {schema}.{table} SET {forgotten}, {subject} = array_remove({subject}, %(subject)s)
WHERE workspace_id = %(workspace)s AND {subject} @> ARRAY[%(subject)s]
"""


def _forgotten(column: Identifier, table: Table, *, shared: bool) -> Composed:
    if shared:
        return SQL("{0} = CASE WHEN cardinality({1}) > 1 THEN {0} END").format(column, Identifier(table.subject or ""))
    return SQL("{} = NULL").format(column)
