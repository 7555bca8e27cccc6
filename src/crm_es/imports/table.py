"""A TOML table read strictly: every wrong key or value is noted with its path and its mend, then all are raised at once."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crm_es.errors import InvalidInputError


class MappingError(InvalidInputError):
    """The mapping can never work as it is; `problems` are all that was found, each naming its key."""

    rule = "mapping.invalid"

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{source} is not a mapping that can run:", *(f"  {p}" for p in self.problems)]))


class Problems:
    """What is wrong with one mapping so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[str] = []

    def note(self, path: str, problem: str) -> None:
        self.found.append(f"{path}: {problem}" if path else problem)

    def raise_any(self) -> None:
        if self.found:
            raise MappingError(self.source, self.found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "column"?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


class StrictTable:
    """One table being read. Keys not taken when `done` is called are problems."""

    def __init__(self, data: Any, path: str, problems: Problems) -> None:
        if not isinstance(data, Mapping):
            problems.note(path, f"must be a table, is {_kind(data)}")
            data = {}
        self._rest: dict[str, Any] = dict(data)
        self._known: list[str] = []
        self.path = path
        self.problems = problems

    def at(self, key: str) -> str:
        return ".".join(part for part in (self.path, key) if part)

    def note(self, key: str, problem: str) -> None:
        self.problems.note(self.at(key), problem)

    def take(self, key: str) -> Any:
        """The raw value, or None when the key is absent (TOML has no null)."""
        self._known.append(key)
        return self._rest.pop(key, None)

    def peek(self, key: str) -> Any:
        """The raw value, not taken yet."""
        return self._rest.get(key)

    def table(self, key: str) -> "StrictTable":
        return StrictTable(self.take(key) or {}, self.at(key), self.problems)

    def tables(self, key: str) -> list["StrictTable"]:
        """An array of tables; absent = none. Paths count from 1, as people do."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.note(key, f"must be an array of tables, is {_kind(value)}")
            return []
        return [StrictTable(item, f"{self.at(key)}[{n}]", self.problems) for n, item in enumerate(value, 1)]

    def text(self, key: str, *, required: bool = False) -> str | None:
        value: str | None = self._typed(key, str, "text in quotes")
        if required and not value:
            self.note(key, "is missing")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._typed(key, bool, "true or false")
        return default if value is None else value

    def number(self, key: str) -> int | None:
        value: int | None = self._typed(key, int, "a whole number")
        if isinstance(value, bool):
            self.note(key, "must be a whole number, is true or false")
            return None
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(key)
        if value is None:
            return default
        if value not in allowed:
            self.note(key, f'"{value}" is none of {", ".join(allowed)}{did_you_mean(value, allowed)}')
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; one text alone is a list of one."""
        value = self.take(key)
        if value is None:
            return None
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.note(key, "must be text, or a list of texts")
            return None
        return tuple(items)

    def words(self, key: str) -> dict[str, str]:
        """A table from text to text; absent = empty."""
        value = self.take(key) or {}
        if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
            self.note(key, 'must be a table from text to text, as { "Philipines" = "Philippines" }')
            return {}
        return value

    def parsed(self, key: str, parse: Callable[[str], Any], wanted: str) -> Any:
        """Text turned into a value by `parse`; its ValueError or LookupError becomes a problem."""
        value = self.text(key)
        if value is None:
            return None
        try:
            return parse(value)
        except (ValueError, LookupError, ArithmeticError):
            self.note(key, f'"{value}" is not {wanted}')
            return None

    def names(self) -> tuple[str, ...]:
        return tuple(self._rest)

    def done(self) -> None:
        for key in self._rest:
            self.note(key, f"is not a key here{did_you_mean(key, self._known)}")

    def _typed(self, key: str, kind: type, wanted: str) -> Any:
        value = self.take(key)
        if value is None or isinstance(value, kind):
            return value
        self.note(key, f"must be {wanted}, is {_kind(value)}")
        return None


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)
