"""One cell becomes one input value: trimmed, mapped, scaled, converted to what the schema's type wants.

Conversion follows the scalar of the input field, so a mapping says only what the file cannot: formats, factors, words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from crm_es.imports.mapping import Maps, Template, parse_datetime, read_words
from crm_es.imports.table import StrictTable

ABSENT = object()
OTHERWISE = ("reject", "keep", "empty")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
TRUE, FALSE = frozenset({"true", "yes", "y", "1", "t"}), frozenset({"false", "no", "n", "0", "f"})


class CellError(ValueError):
    """A cell cannot be what the field needs; says why in words that follow the column's name, and quotes no cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Where a value comes from (a column or a template) and what is done to it, in this order: default, map, scale.

    `clears`: where it is empty the field is null, not left out.
    """

    source: Template
    default: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "reject"
    scale: Decimal | None = None
    decimal_mark: str = "."
    format: str | None = None
    zone: ZoneInfo | None = None
    split: str | None = None
    clears: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns

    def text(self, cells: dict[str, str]) -> str:
        """The cell's text, mapped; empty when there is nothing to say."""
        text = self.source.fill(cells) or self.default
        return self._mapped(text) if text and self.words else text

    def _mapped(self, text: str) -> str:
        if text in self.words or self.otherwise != "reject":
            return self.words.get(text, text if self.otherwise == "keep" else "")
        raise CellError("has a value the mapping's `map` does not list; add it, or set `otherwise`")


def read_cell(table: StrictTable, maps: Maps) -> Cell:
    """`{ column = "revenue", scale = "1000000" }` or `{ template = "Customer {id}" }`."""
    column, template = table.text("column"), table.text("template")
    source = Template(text=template or "{" + (column or "") + "}")
    try:
        named = source.columns
    except ValueError:
        table.note("template", f'"{template}" has braces that do not match')
        source, named = Template(text=""), ()
    if (column is None) == (template is None):
        table.note("", "has either `column` or `template`")
    elif template is not None and not named:
        table.note("template", "names no column; write a constant without a table")
    cell = Cell(
        source=source,
        default=table.text("default") or "",
        words=read_words(table, maps),
        otherwise=table.choice("otherwise", OTHERWISE, "reject"),
        scale=table.parsed("scale", _plain, 'a factor in quotes, like "1000000" or "0.01"'),
        decimal_mark=table.choice("decimal_mark", (".", ","), "."),
        format=table.text("format"),
        zone=table.parsed("zone", ZoneInfo, 'an IANA time zone like "Europe/Berlin"'),
        split=table.text("split"),
        clears=clears(table),
    )
    table.done()
    return cell


def clears(table: StrictTable) -> bool:
    """`empty`: whether an empty cell says null, or nothing."""
    return table.choice("empty", ("leave", "null"), "leave") == "null"


def _plain(text: str) -> Decimal:
    """A number in plain digits: Python's own reader would let pass `1_000`, `NaN` and digits of other scripts."""
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


Convert = Callable[[str, Cell, ZoneInfo], Any]


def _integer(text: str, cell: Cell, zone: ZoneInfo) -> int:
    number = _number(text, cell, zone)
    if number != number.to_integral_value():
        raise CellError("must be a whole number")
    return int(number)


def _number(text: str, cell: Cell, _zone: ZoneInfo) -> Decimal:
    """Thousands separators are not guessed: 1,234 is one and a bit in half of the world."""
    try:
        number = _plain(text.replace(",", ".") if cell.decimal_mark == "," and "." not in text else text)
    except ValueError:
        raise CellError(f'must be a number with the decimal mark "{cell.decimal_mark}" and no other') from None
    return number if cell.scale is None else number * cell.scale


def _decimal(text: str, cell: Cell, zone: ZoneInfo) -> str:
    number = _number(text, cell, zone)
    return format(number if cell.scale is None else number.normalize(), "f")


def _boolean(text: str, _cell: Cell, _zone: ZoneInfo) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise CellError("must be true or false, yes or no, 1 or 0")
    return text.lower() in TRUE


def _moment(text: str, cell: Cell, zone: ZoneInfo) -> datetime:
    try:
        return parse_datetime(text, cell.format, cell.zone or zone).astimezone(UTC)
    except (ValueError, OverflowError):
        wanted = f"in the format {cell.format}" if cell.format else "in ISO 8601; set `format` for another"
        raise CellError(f"must be a date {wanted}") from None


def _datetime(text: str, cell: Cell, zone: ZoneInfo) -> str:
    return _moment(text, cell, zone).isoformat().replace("+00:00", "Z")


def _date(text: str, cell: Cell, zone: ZoneInfo) -> str:
    day: date = _moment(text, cell, zone).astimezone(cell.zone or zone).date()
    return day.isoformat()


def _text(text: str, cell: Cell, zone: ZoneInfo) -> str:
    """Numbers wanted as text keep the file's digits, unless they are scaled."""
    return text if cell.scale is None else _decimal(text, cell, zone)


CONVERSIONS: Mapping[str, Convert] = {
    "Int": _integer,
    "Float": lambda text, cell, zone: float(_number(text, cell, zone)),
    "Decimal": _decimal,
    "Boolean": _boolean,
    "DateTime": _datetime,
    "Date": _date,
}


def convert(type_name: str, text: str, cell: Cell, zone: ZoneInfo) -> Any:
    """What the schema's scalar or enum `type_name` takes for this text. Raises: CellError."""
    return CONVERSIONS.get(type_name, _text)(text, cell, zone)
