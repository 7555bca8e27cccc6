"""The one function that makes read-model tables: keys, history twins, row-level security, grants, indexes.

Whatever stands here is in every read model alike, so none can forget it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, LiteralString

from psycopg import Cursor
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from crm_es.projector.contract import Column, Index, ReadModel, Table

WORKSPACE: Final = Column(name="workspace_id", type="uuid")
POSITION: Final = Column(name="position", type="bigint")
VALID_TO: Final = Column(name="valid_to_position", type="bigint")

# Transition tables make one INSERT of a statement's superseded rows. TG_TABLE_SCHEMA, since a rebuilt schema is renamed;
# equal positions (a second write of one event, scrubbing) leave nothing; a position that went back breaks the twin's check.
_KEEP_HISTORY: Final = """
CREATE FUNCTION {schema}.keep_history() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = on AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.%I SELECT o.*, n.position FROM old_rows o JOIN new_rows n USING (%s)'
    ' WHERE n.position <> o.position', TG_TABLE_SCHEMA, TG_TABLE_NAME || '_history', TG_ARGV[0]);
  RETURN NULL;
END $$
"""
_REFUSE: Final = """
CREATE FUNCTION {schema}.refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_SCHEMA LIKE '%\\_\\_next' THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'rows of a read model end by an UPDATE of "removed"' USING ERRCODE = '42501';
END $$
"""


def twin_name(table: Table) -> str:
    return f"{table.name}_history"


def functions(model: ReadModel) -> tuple[LiteralString, ...]:
    """The SQL functions a read model brings along; most have none."""
    declared: tuple[LiteralString, ...] = getattr(model, "FUNCTIONS", ())
    return declared


def create(cursor: Cursor[Any], model: ReadModel, schema: str) -> None:
    """Make an empty read model in a new schema: `<NAME>` for the live one, `<NAME>__next` while rebuilding."""
    for statement in definition(model, schema):
        cursor.execute(statement)
    cursor.execute(
        SQL("COMMENT ON SCHEMA {} IS {}").format(Identifier(schema), Literal(fingerprint(cursor, model))),
    )


def drop(cursor: Cursor[Any], schema: str) -> None:
    cursor.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))


def fingerprint(cursor: Cursor[Any], model: ReadModel) -> str:
    """A hash of the whole definition, kept as the schema's comment: tells a changed declaration from the tables made."""
    text = ";".join(statement.as_string(cursor) for statement in definition(model, "any"))
    return f"crm_es {model.VERSION} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def made_as(cursor: Cursor[Any], schema: str) -> str | None:
    """The fingerprint a schema was made with; None when it does not exist or is not ours."""
    row = cursor.execute("SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (schema,)).fetchone()
    return row[0] if row else None


def definition(model: ReadModel, schema: str) -> Iterator[Composed]:
    """Every statement that makes the read model, in order."""
    name = Identifier(schema)
    for text in ("CREATE SCHEMA {schema}", _KEEP_HISTORY, _REFUSE):
        yield SQL(text).format(schema=name)
    for table in model.TABLES:
        yield from _table(name, table)
    for text in functions(model):
        yield SQL(text).format(schema=name)
    yield SQL("GRANT USAGE ON SCHEMA {schema} TO crm_app").format(schema=name)
    yield SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO crm_app").format(schema=name)


def _table(schema: Identifier, table: Table) -> Iterator[Composed]:
    yield _create_table(schema, table)
    yield from _fence(schema, table.name)
    for index in table.indexes:
        yield _create_index(schema, table, index)
    if subject_needs_index(table):
        yield _subject_index(schema, table, table.name)
    if table.versioned:
        yield from _twin(schema, table)
    if listed(table):
        yield SQL("CREATE INDEX {} ON {}.{} (workspace_id, position)").format(
            Identifier(f"{table.name}_position"), schema, Identifier(table.name)
        )


def listed(table: Table) -> bool:
    """Whether the past of a whole workspace is listed: early on few live rows are old enough, and are found by position.

    A list within one record is short enough to go by that record's index.
    """
    return table.versioned and any(index.order and len(index.columns) == 1 for index in table.indexes)


def _create_table(schema: Identifier, table: Table) -> Composed:
    return SQL("CREATE TABLE {}.{} ({}, CONSTRAINT {} PRIMARY KEY ({})) WITH (fillfactor = {})").format(
        schema,
        Identifier(table.name),
        _columns([WORKSPACE, *table.columns, POSITION]),
        Identifier(f"{table.name}_pkey"),
        _names(["workspace_id", *table.key]),
        Literal(85 if table.versioned else 100),  # room to update in place
    )


def _twin(schema: Identifier, table: Table) -> Iterator[Composed]:
    name = twin_name(table)
    yield SQL(
        "CREATE TABLE {}.{} ({}, CONSTRAINT {} PRIMARY KEY ({}), CONSTRAINT {} CHECK (valid_to_position > position))"
        " WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)"
    ).format(
        schema,
        Identifier(name),
        _columns([WORKSPACE, *table.columns, POSITION, VALID_TO]),
        Identifier(f"{name}_pkey"),
        _names(["workspace_id", *table.key, "position"]),
        Identifier(f"{name}_forward"),
    )
    yield from _fence(schema, name)
    yield SQL("CREATE INDEX {} ON {}.{} (workspace_id, valid_to_position)").format(
        Identifier(f"{name}_valid_to"), schema, Identifier(name)
    )
    for index in table.indexes:
        if index.order:
            yield _create_index(schema, table, index, twin=True)
    if subject_needs_index(table):
        yield _subject_index(schema, table, name)
    yield SQL(
        "CREATE TRIGGER keep_history AFTER UPDATE ON {}.{} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION {}.keep_history({})"
    ).format(schema, Identifier(table.name), schema, Literal(", ".join(("workspace_id", *table.key))))
    for each in (table.name, name):
        yield SQL(
            "CREATE TRIGGER refuse_delete AFTER DELETE OR TRUNCATE ON {}.{}"
            " FOR EACH STATEMENT EXECUTE FUNCTION {}.refuse_delete()"
        ).format(schema, Identifier(each), schema)


def _fence(schema: Identifier, name: str) -> Iterator[Composed]:
    table = Identifier(name)
    yield SQL("ALTER TABLE {}.{} ENABLE ROW LEVEL SECURITY").format(schema, table)
    yield SQL(
        "CREATE POLICY own_workspace ON {}.{}"
        " USING (workspace_id = (SELECT pg_catalog.current_setting('app.workspace')::uuid))"
    ).format(schema, table)
    yield SQL("GRANT SELECT ON {}.{} TO crm_app").format(schema, table)


def _create_index(schema: Identifier, table: Table, index: Index, *, twin: bool = False) -> Composed:
    name = twin_name(table) if twin else table.name
    return SQL("CREATE {unique}INDEX {name} ON {schema}.{table} USING {method} ({columns}){include}{where}").format(
        unique=SQL("UNIQUE " if index.unique and not twin else ""),
        name=Identifier(index_name(name, index)),
        schema=schema,
        table=Identifier(name),
        method=SQL(index.method),
        columns=SQL(", ").join(_index_columns(table, index)),
        include=SQL(" INCLUDE (position, valid_to_position)" if twin and index.order else ""),
        where=SQL(" WHERE {}").format(SQL(index.where)) if index.where else SQL(""),
    )


def index_name(table: str, index: Index) -> str:
    return f"{table}_by_{index.name}"


def _index_columns(table: Table, index: Index) -> Iterator[Composable]:
    yield SQL("workspace_id")
    direction = SQL(" DESC NULLS LAST" if index.descending else "")
    for column in index.columns:
        yield SQL(column) + direction if index.method == "btree" else SQL(column)
    if index.method == "btree" and not index.unique:
        for column in table.key:
            if column not in index.columns:
                yield Identifier(column) + SQL(" DESC" if index.descending else "")


def _subject_index(schema: Identifier, table: Table, name: str) -> Composed:
    return SQL("CREATE INDEX {} ON {}.{} USING {}{})").format(
        Identifier(f"{name}_subject"),
        schema,
        Identifier(name),
        SQL("gin (" if subject_is_array(table) else "btree (workspace_id, "),
        Identifier(table.subject or ""),
    )


def subject_is_array(table: Table) -> bool:
    """Whether rows of the table may be about several people."""
    return any(c.name == table.subject and c.type.endswith("[]") for c in table.columns)


def subject_needs_index(table: Table) -> bool:
    return table.subject is not None and table.subject != table.key[0]


def _columns(columns: Sequence[Column]) -> Composed:
    return SQL(", ").join(_column(c) for c in columns)


def _column(column: Column) -> Composed:
    return SQL("{} {}{}{}").format(
        Identifier(column.name),
        SQL(column.type),
        SQL(" COLLATE {}").format(Identifier(column.collate)) if column.collate else SQL(""),
        SQL("" if column.nullable else " NOT NULL"),
    )


def _names(names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(n) for n in names)
