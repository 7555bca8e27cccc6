"""What a mapping says, read from TOML: the file's shape, the records its rows speak of, the steps to take for each row.

Input fields are kept as written here; `plan.py` binds them to the schema's types.
"""

import codecs
import hashlib
import string
import tomllib
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from crm_es.imports.table import MappingError, Problems, StrictTable, did_you_mean

Maps = MappingOf[str, dict[str, str]]
FORMATS = ("csv", "tsv", "blanks", "jsonl")
MATCHES = ("external_id", "name")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileShape:
    """How rows stand in the file. `columns` name them where the file itself does not (no header, JSON lines)."""

    format: str = "csv"
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    skip_lines: int = 0
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """`Customer {id}`: text with columns in braces."""

    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for _, name in _parts(self.text) if name is not None)

    def fill(self, cells: dict[str, str]) -> str:
        """Empty when any of its columns is: half a name is no name."""
        filled = ""
        for literal, name in _parts(self.text):
            filled += literal
            if name is not None:
                if not (cell := cells.get(name)):
                    return ""
                filled += cell
        return filled


@cache
def _parts(text: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, name) for literal, name, _, _ in string.Formatter().parse(text))


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordKey:
    """A record the rows speak of, found by an external id (system, value) or by its name, never by its fields.

    `words` are spellings of the file and what they mean. `within` names the record that has this one as a part of it.
    """

    name: str
    type: str
    by: str
    system: str
    value: Template
    words: dict[str, str] = field(default_factory=dict)
    within: str | None = None

    def key(self, cells: dict[str, str]) -> str:
        """What a row calls it; empty when it names none."""
        text = self.value.fill(cells)
        return self.words.get(text, text)

    @property
    def place(self) -> str:
        """Where its key stands, for people."""
        return "/".join(self.value.columns) or f'"{self.key({})}"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One test of a step's `when`: over a column, over what it said in the row before, over columns that changed since, over
    whether a record exists, or over a field of it as it is now."""

    column: str | None = None
    previous: str | None = None
    record: str | None = None
    field: str | None = None
    test: str = "is"
    values: tuple[str, ...] = ()
    expected: bool = True
    words: MappingOf[str, str] | None = None
    """Of columns that `changed`: what spellings mean, to compare by that."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the file it looks at."""
        named = (self.column, self.previous)
        return (*(name for name in named if name is not None), *(self.values if self.test == "changed" else ()))

    @property
    def looks_back(self) -> bool:
        return self.previous is not None or self.test == "changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One mutation a row may cause. Steps of pass 2 run when the whole file went through pass 1."""

    name: str
    mutation: str
    number: int
    when: tuple[Condition, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"step[{self.number}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """A mapping as its author wrote it. `digest` changes when it does."""

    name: str
    digest: str
    shape: FileShape
    zone: ZoneInfo | None
    key: tuple[str, ...]
    follows: tuple[str, ...]
    """Columns that rows share which tell one story: `previous` is the row above that has them alike."""
    maps: dict[str, dict[str, str]]
    records: dict[str, RecordKey]
    passes: tuple[tuple[Step, ...], ...]

    @property
    def steps(self) -> Iterator[Step]:
        return (step for steps in self.passes for step in steps)


def read_mapping(path: Path) -> Mapping:
    """The mapping in a TOML file. Raises: MappingError naming every wrong key."""
    text = path.read_text(encoding="utf-8")
    return parse_mapping(text, source=path.name)


def parse_mapping(text: str, *, source: str) -> Mapping:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise MappingError(source, [f"not TOML: {exc}"]) from exc
    problems = Problems(source)
    table = StrictTable(data, "", problems)
    mapping = _mapping(table, hashlib.sha256(text.encode()).hexdigest())
    table.done()
    problems.raise_any()
    return mapping


def _mapping(table: StrictTable, digest: str) -> Mapping:
    maps = _maps(table.table("map"))
    records = _records(table.table("record"), maps)
    steps = [(_pass(t), _step(t, n, records, maps)) for n, t in enumerate(table.tables("step"), 1)]
    if not steps:
        table.note("step", "is missing: a mapping needs at least one [[step]] with a mutation")
    _refuse_twins(table, [step.name for _, step in steps])
    follows = table.texts("follows") or ()
    if not follows and any(condition.looks_back for _, step in steps for condition in step.when):
        table.note("follows", "is missing: the columns by which rows follow one another")
    return Mapping(
        name=table.text("name", required=True) or "",
        digest=digest,
        shape=_shape(table.table("file")),
        zone=table.parsed("zone", ZoneInfo, 'an IANA time zone like "Europe/Berlin"'),
        key=table.texts("key") or (),
        follows=follows,
        maps=maps,
        records=records,
        passes=tuple(tuple(s for p, s in steps if p == number) for number in sorted({p for p, _ in steps})),
    )


def _refuse_twins(table: StrictTable, names: list[str]) -> None:
    for name in sorted({n for n in names if names.count(n) > 1}):
        table.note("step", f'two steps are called "{name}": give them a `name` each')


def _shape(table: StrictTable) -> FileShape:
    kind = table.choice("format", FORMATS, "csv")
    shape = FileShape(
        format=kind,
        encoding=table.parsed("encoding", lambda name: codecs.lookup(name).name, "an encoding Python knows") or "utf-8",
        header=table.flag("header", default=kind in ("csv", "tsv")),
        columns=table.texts("columns") or (),
        skip_lines=table.number("skip_lines") or 0,
        delimiter=_one_character(table, "delimiter") or ("\t" if kind == "tsv" else ","),
        quote=_one_character(table, "quote") or '"',
        escape=_one_character(table, "escape"),
    )
    if not shape.header and not shape.columns:
        table.note("columns", "is missing: without a header line the mapping names the columns, in order")
    if shape.header and shape.columns:
        table.note(
            "columns", "does not go with a header line: set `header = false` and `skip_lines = 1` to rename columns"
        )
    table.done()
    return shape


def _one_character(table: StrictTable, key: str) -> str | None:
    value = table.text(key)
    if value is not None and len(value) != 1:
        table.note(key, f'must be one character, is "{value}"')
        return None
    return value


def _records(table: StrictTable, maps: Maps) -> dict[str, RecordKey]:
    names = table.names()
    records = {name: _record(name, table.table(name), maps) for name in names}
    for name, record in records.items():
        if record.within is not None and (record.within not in records or records[record.within].value.columns):
            table.note(f"{name}.within", f'"{record.within}" is no record of this mapping that has a `constant`')
    return records


def _maps(table: StrictTable) -> dict[str, dict[str, str]]:
    """`[map.NAME]`: value maps that several columns use."""
    return {name: table.words(name) for name in table.names()}


def read_words(table: StrictTable, maps: Maps) -> dict[str, str]:
    """`map`: words written out, or the name of a [map.NAME] of the mapping."""
    if not isinstance(table.peek("map"), str):
        return table.words("map")
    name = table.text("map") or ""
    if name not in maps:
        table.note("map", f"no [map.{name}] in this mapping{did_you_mean(name, maps)}")
    return maps.get(name, {})


def _record(name: str, table: StrictTable, maps: Maps) -> RecordKey:
    by = table.choice("by", MATCHES, "external_id")
    record = RecordKey(
        name=name,
        type=table.text("type", required=True) or "",
        by=by,
        system=table.text("system", required=by == "external_id") or "",
        value=_key(table),
        words=read_words(table, maps),
        within=table.text("within"),
    )
    if record.within is not None and by != "name":
        table.note("within", 'goes with `by = "name"`')
    table.done()
    return record


def _key(table: StrictTable) -> Template:
    """`value`, a template, or `constant`, which is the same for all rows."""
    if (constant := table.text("constant")) is not None:
        if table.peek("value") is not None:
            table.note("constant", "does not go with `value`")
        return Template(text=constant.replace("{", "{{").replace("}", "}}"))
    value = Template(text=table.parsed("value", _template, "a template like {column}") or "")
    if not value.columns:
        table.note("value", 'must name a column in braces, as "{id}"; for one record of all rows write `constant`')
    return value


def _template(text: str) -> str:
    """The text itself. Raises: ValueError for unbalanced braces, empty names and formatting."""
    for _, name, form, conversion in string.Formatter().parse(text):
        if name == "" or form or conversion:
            raise ValueError(text)
    return text


def _pass(table: StrictTable) -> int:
    number = table.number("pass")
    if number not in (None, 1, 2):
        table.note("pass", "must be 1 or 2")
    return number or 1


def _step(table: StrictTable, number: int, records: dict[str, RecordKey], maps: Maps) -> Step:
    mutation = table.text("mutation", required=True) or ""
    inputs = table.take("input")
    if not isinstance(inputs, dict):
        table.note("input", "is missing: a table of input fields")
        inputs = {}
    step = Step(
        name=table.text("name") or mutation,
        mutation=mutation,
        number=number,
        when=tuple(_condition(t, records, maps) for t in table.tables("when")),
        inputs=inputs,
    )
    table.done()
    return step


def _condition(table: StrictTable, records: dict[str, RecordKey], maps: Maps) -> Condition:
    for test, expected in (("changed", True), ("repeated", False)):
        if (columns := table.texts(test)) is not None:
            words = read_words(table, maps)
            table.done()
            return Condition(test="changed", values=columns, expected=expected, words=words)
    return _tested(table, records)


def _tested(table: StrictTable, records: dict[str, RecordKey]) -> Condition:
    column, previous = table.text("column"), table.text("previous")
    record, name = table.text("record"), table.text("field")
    if len([one for one in (column, previous, record) if one is not None]) != 1:
        table.note("", "tests a `column`, a `previous` one or a `record`, or which columns `changed` or `repeated`")
    if record is not None and record not in records:
        table.note("record", f"no [record.{record}] in this mapping{did_you_mean(record, records)}")
    test, values, expected = _test(table, of_record=record is not None and name is None)
    table.done()
    return Condition(
        column=column, previous=previous, record=record, field=name, test=test, values=values, expected=expected
    )


def _test(table: StrictTable, *, of_record: bool) -> tuple[str, tuple[str, ...], bool]:
    allowed = ("exists",) if of_record else ("is", "is_not", "empty")
    given = [name for name in allowed if name in table.names()]
    if len(given) != 1:
        table.note("", f"needs exactly one of {', '.join(allowed)}")
        return "is", (), True
    if given[0] in ("is", "is_not"):
        return given[0], table.texts(given[0]) or (), True
    return given[0], (), table.flag(given[0], default=True)


def parse_datetime(text: str, form: str | None, zone: tzinfo) -> datetime:
    """An aware moment; without an offset it is in `zone`, without a time the start of that day. Raises: ValueError."""
    moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007  # zone follows
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
