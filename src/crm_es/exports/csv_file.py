"""CSV as RFC 4180 has it, in UTF-8, safe to open in a spreadsheet: text that would be taken for a formula gets a ' in front."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from crm_es.api.scalars import instant
from crm_es.exports.view import Kind, Row, View

FORMULA: Final = frozenset("=+-@\t\r")
_BOOLEANS: Final = {None: None, True: "true", False: "false"}


class CsvFile:
    """Rows to bytes, some at a time."""

    def __init__(self, view: View) -> None:
        self._shown = [_SHOWN.get(field.kind, _texts) for field in view.fields]
        self._head = [field.name for field in view.fields]

    def begin(self) -> bytes:
        return _lines([self._head])

    def rows(self, rows: Sequence[Row]) -> bytes:
        columns = [shown(column) for shown, column in zip(self._shown, zip(*rows, strict=True), strict=True)]
        return _lines(zip(*columns, strict=True))

    def end(self) -> bytes:
        return b""


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """None is an empty cell."""
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()


def _texts(column: Sequence[Any]) -> Sequence[Any]:
    return [f"'{value}" if value is not None and value[:1] in FORMULA else value for value in column]


def _moments(column: Sequence[Any]) -> Sequence[Any]:
    said = {value: instant(value) for value in set(column) if value is not None}
    return [said.get(value) for value in column]


_SHOWN: Final[dict[Kind, Callable[[Sequence[Any]], Sequence[Any]]]] = {
    Kind.INTEGER: lambda column: column,
    Kind.DECIMAL: lambda column: column,
    Kind.DATE: lambda column: [None if value is None else value.isoformat() for value in column],
    Kind.BOOLEAN: lambda column: [_BOOLEANS[value] for value in column],
    Kind.MOMENT: _moments,
}
