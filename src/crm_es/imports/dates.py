"""Dates that the mapping reads in another format than the file has them in, found in its first rows before anything runs.

One bad date is its row's affair. It is the mapping's where another format fits all of them, or its own fits none: rows that
it reads all the same (02/03/2017) would be recorded with another day than the file's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any, Final

from crm_es.imports.cells import Cell, CellError
from crm_es.imports.inputs import Fields, Items, Node, Value
from crm_es.imports.mapping import parse_datetime
from crm_es.imports.plan import Plan
from crm_es.imports.reader import read_rows
from crm_es.imports.rows import wanted
from crm_es.imports.table import MappingError, Problems

FIRST: Final = 1_000
"""Rows that are looked at."""
ENOUGH: Final = 3
"""Dates that a format must read none of, to be called wrong where no other is known that fits."""
_DAYS: Final = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%d.%m.%y", "%m/%d/%y",
    "%d/%m/%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_TIMES: Final = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
KNOWN: Final = (None, *(day + time for time in _TIMES for day in _DAYS))
_WORDS: Final = ("DateTime", "Date")


class DateFormatError(MappingError):
    """A format that is not the file's."""

    rule = "mapping.date_format"


@dataclass(slots=True)
class _Seen:
    """Dates of one place in an input: the line and the text of each."""

    where: str
    cell: Cell
    found: list[tuple[int, str]] = field(default_factory=list)


def check_dates(plan: Plan, path: Path, source: str) -> None:
    """Raises: DateFormatError, FileError."""
    problems = Problems(source)
    for seen in _read(plan, path):
        wrong = [(line, text) for line, text in seen.found if not _fits(text, seen.cell.format)]
        other = [form for form in KNOWN if all(_fits(text, form) for _, text in seen.found)] if wrong else []
        if other or (wrong and len(wrong) == len(seen.found) >= ENOUGH):
            problems.note(seen.where, _said(seen, *wrong[0], other))
    if problems.found:
        raise DateFormatError(source, problems.found)


def _read(plan: Plan, path: Path) -> Iterable[_Seen]:
    places = {
        planned.step.name: [
            _Seen(f"{planned.step.path}.input.{'.'.join(value.path)}", value.cell) for value in _dates(planned.inputs)
        ]
        for planned in plan.steps
    }
    if any(places.values()):
        for row, steps in wanted(plan, islice(read_rows(path, plan.mapping.shape), FIRST)):
            for seen in (seen for planned in steps for seen in places[planned.step.name]):
                seen.found += ((row.line, text) for text in _texts(seen.cell, row.cells))
    return (seen for found in places.values() for seen in found)


def _dates(node: Node) -> Iterator[Value]:
    match node:
        case Value(type=type_) if type_ in _WORDS:
            yield node
        case Items(items=items):
            yield from (value for item in items for value in _dates(item))
        case Fields(fields=fields):
            yield from (value for item in fields.values() for value in _dates(item))


def _texts(cell: Cell, cells: dict[str, Any]) -> list[str]:
    try:
        text = cell.text(cells)
    except CellError:
        return []
    parts = [text] if cell.split is None else text.split(cell.split)
    return [part.strip() for part in parts if part.strip()]


def _fits(text: str, form: str | None) -> bool:
    try:
        parse_datetime(text, form, UTC)
    except ValueError:
        return False
    return True


def _said(seen: _Seen, line: int, text: str, other: list[str | None]) -> str:
    """What is wrong and its mend."""
    now = f"in the format {seen.cell.format}" if seen.cell.format else "in ISO 8601"
    problem = f'line {line} has "{text}" in {"/".join(seen.cell.columns)}, which is no date {now}'
    if not other:
        return f"{problem}, nor are the other {len(seen.found) - 1:,} of the first rows; set `format`"
    mends = ["leaving out `format`" if form is None else f'format = "{form}"' for form in other[:2]]
    return f"{problem}; {' or '.join(mends)} fits it and all others of the first {FIRST:,} rows"
