"""What a view of a bundle is: columns and rows of plain values. `schema/<view>.json` is its Table Schema (Frictionless)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

TOMBSTONE = "[erased]"
"""What stands where a value was whose key is destroyed."""

Value = str | int | bool | date | datetime | None
Row = tuple[Value, ...]


class Kind(StrEnum):
    """Names as Table Schema has them. DECIMAL is written as text with all its digits; LIST is JSON."""

    TEXT = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    MOMENT = "datetime"
    DECIMAL = "number"
    LIST = "array"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A column of a view, by its name in the API. `personal`: it holds, or derives from, a person's data."""

    name: str
    kind: Kind
    description: str
    personal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """`views/<name>.csv`, `views/<name>.parquet`, `schema/<name>.json`."""

    name: str
    description: str
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ("id",)


Pages = Iterable[list[Row]]
PagesFrom = Callable[[Value], Pages]
"""Rows in the order of the view's first column, from a value of it on; None: all."""


def schema_of(view: View) -> dict[str, Any]:
    """A Table Schema; `pii` is ours."""
    return {
        "$schema": "https://datapackage.org/profiles/2.0/tableschema.json",
        "name": view.name,
        "description": view.description,
        "fields": [
            {"name": field.name, "type": field.kind.value, "description": field.description, "pii": field.personal}
            for field in view.fields
        ],
        "primaryKey": list(view.key),
        "missingValues": [""],
    }
