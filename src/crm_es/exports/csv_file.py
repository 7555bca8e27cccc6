"""CSV as RFC 4180 has it, in UTF-8, safe to open in a spreadsheet: text that would be taken for a formula gets a ' in front."""

import csv
import io
from datetime import date, datetime
from typing import Final

from crm_es.api.scalars import instant
from crm_es.exports.view import PLAIN, Row, Value, View

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class CsvFile:
    """Rows to bytes, some at a time."""

    def __init__(self, view: View) -> None:
        self._text = [field.kind not in PLAIN for field in view.fields]
        self._head = [field.name for field in view.fields]

    def begin(self) -> bytes:
        return _lines([self._head])

    def rows(self, rows: list[Row]) -> bytes:
        return _lines([[_cell(v, text=text) for v, text in zip(row, self._text, strict=True)] for row in rows])

    def end(self) -> bytes:
        return b""


def _lines(rows: list[list[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()


def _cell(value: Value, *, text: bool) -> str:
    said = _said(value)
    return f"'{said}" if said.startswith(FORMULA) and text else said


def _said(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return instant(value)
        case date():
            return value.isoformat()
        case _:
            return str(value)
