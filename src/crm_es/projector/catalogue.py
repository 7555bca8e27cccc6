"""The start-up check: whether the tables in the database stand as the read models declare them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import Cursor, IsolationLevel

from crm_es.errors import ConfigurationError
from crm_es.projector import tables
from crm_es.projector.contract import Column, ReadModel, Table

_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
"""
_INDEXES: Final = """
SELECT i.relname
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE n.nspname = %(schema)s AND x.indisvalid
"""
_FENCED: Final = """
SELECT c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind = 'r' AND c.relrowsecurity
"""


def require(url: str, models: Sequence[ReadModel]) -> None:
    """Those there are must stand as declared; missing ones the projector makes. Raises: ConfigurationError."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ  # a swap may be under way
        problems = check(cursor, [model for model in models if tables.made_as(cursor, model.NAME) is not None])
    if problems:
        raise ConfigurationError(
            "Read models do not stand as this program declares them; events are not touched:\n"
            + "\n".join(f"  {problem}" for problem in problems),
            rule="read_model.catalogue",
        )


def check(cursor: Cursor[Any], models: Sequence[ReadModel]) -> list[str]:
    """What is not as declared, one sentence each; empty when all is well."""
    return [problem for model in models for problem in _check_model(cursor, model)]


def _check_model(cursor: Cursor[Any], model: ReadModel) -> Iterator[str]:
    schema = model.NAME
    made = tables.made_as(cursor, schema)
    if made is None:
        yield f"read model {schema} does not exist yet; start the projector, or run `crm-es rebuild {schema}`"
        return
    if made != tables.fingerprint(cursor, model):
        yield f"read model {schema} was made by another version; run `crm-es rebuild {schema}`"
        return
    present = {name for (name,) in cursor.execute(_INDEXES, {"schema": schema})}
    fenced = {name for (name,) in cursor.execute(_FENCED, {"schema": schema})}
    for table in model.TABLES:
        yield from _check_table(cursor, schema, table, present, fenced)


def _check_table(cursor: Cursor[Any], schema: str, table: Table, present: set[str], fenced: set[str]) -> Iterator[str]:
    twin = tables.twin_name(table)
    sides = [(table.name, [tables.WORKSPACE, *table.columns, tables.POSITION])]
    if table.versioned:
        sides.append((twin, [*sides[0][1], tables.VALID_TO]))
    for name, columns in sides:
        yield from _check_columns(cursor, schema, name, columns)
        if name not in fenced:
            yield f"{schema}.{name} has no row-level security"
        for index in _expected_indexes(table, name, twin=name == twin):
            if index not in present:
                yield f"{schema}.{name} lacks its index {index}"


def _expected_indexes(table: Table, name: str, *, twin: bool) -> Iterator[str]:
    yield f"{name}_pkey"
    yield from (tables.index_name(name, i) for i in table.indexes if i.order or not twin)
    if tables.subject_needs_index(table):
        yield f"{name}_subject"
    if twin:
        yield f"{name}_valid_to"
    elif tables.listed(table):
        yield f"{name}_position"


def _check_columns(cursor: Cursor[Any], schema: str, name: str, columns: Sequence[Column]) -> Iterator[str]:
    rows = cursor.execute(_COLUMNS, {"schema": schema, "table": name}).fetchall()
    actual = {column: (kind, required) for column, kind, required in rows}
    for column in columns:
        kind, required = actual.pop(column.name, (None, None))
        if kind != _SPELLING.get(column.type, column.type):
            yield f"{schema}.{name}.{column.name} is {kind or 'missing'}, declared {column.type}"
        elif required == column.nullable:
            yield f"{schema}.{name}.{column.name} is {'NOT NULL' if required else 'nullable'}, declared otherwise"
    for extra in actual:
        yield f"{schema}.{name}.{extra} is not declared"


# format_type's words for the short ones
_SPELLING: Final = {"timestamptz": "timestamp with time zone", "bool": "boolean"}
