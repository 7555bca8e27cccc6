"""Whose turn it is: rows that wait for others, as if each of them went when all above it had gone.

A row waits while one above it is on its way to change a record that it names, or with a record that it changes itself, asks the
state of, or needs and nobody knows yet. Of each row that waits one record is remembered for which it does: only when
something happens to that the row is looked at again.
"""

from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from crm_es.imports.plan import PlannedStep
from crm_es.imports.rows import Prepared
from crm_es.imports.seams import RecordName


@dataclass(kw_only=True, slots=True)
class Going:
    """A row on its way: the steps before it, the records it must have for itself, and those that it needs."""

    row: Prepared
    steps: list[PlannedStep]
    own: frozenset[RecordName]
    others: frozenset[RecordName]

    @classmethod
    def of(cls, row: Prepared, steps: Iterable[PlannedStep]) -> "Going":
        wanted = [planned for planned in steps if row.wants(planned)]
        own = {row.names[r] for planned in wanted for r in planned.changes if r in row.names}
        needed = {row.names[r] for planned in wanted for r in planned.records if r in row.names}
        return cls(row=row, steps=wanted, own=frozenset(own), others=frozenset(needed - own))

    @property
    def done(self) -> bool:
        return self.row.rejected or not self.steps

    @property
    def number(self) -> int:
        return self.row.row.number


@dataclass(slots=True)
class _Line:
    """The rows that name a record, and those that must have it for themselves, by their numbers in the file."""

    rows: OrderedDict[int, None] = field(default_factory=OrderedDict)
    owners: deque[int] = field(default_factory=deque)
    waiting: list[tuple[int, Going]] = field(default_factory=list)

    def last(self, *, known: bool) -> float:
        """The number up to which nobody is held back."""
        if known:
            return self.owners[0] if self.owners else inf
        return next(iter(self.rows), inf)


class Turns:
    """`known` are the records that exist, as far as somebody looked; it changes as the rows go."""

    def __init__(self, known: Container[RecordName]) -> None:
        self._known = known
        self._rows: OrderedDict[int, Going] = OrderedDict()
        self._ready: list[tuple[int, Going]] = []
        self._lines: dict[RecordName, _Line] = {}

    def __len__(self) -> int:
        """The rows on their way."""
        return len(self._rows)

    @property
    def line(self) -> int:
        """The first line of the file that is not done."""
        return next(iter(self._rows.values())).row.line

    def admit(self, one: Going) -> None:
        """The next row of the file."""
        if one.done:
            return
        self._rows[one.number] = one
        for name in one.own | one.others:
            line = self._lines.setdefault(name, _Line())
            line.rows[one.number] = None
            if name in one.own:
                line.owners.append(one.number)
        heappush(self._ready, (one.number, one))

    def free(self, at_most: int) -> list[Going]:
        """Those that need not wait, in the order of the file. Each is to come `back`."""
        found: list[Going] = []
        while self._ready and len(found) < at_most:
            number, one = heappop(self._ready)
            for name in one.own | one.others:
                line = self._lines[name]
                if line.last(known=name in self._known) < number:
                    heappush(line.waiting, (number, one))
                    break
            else:
                found.append(one)
        return found

    def learnt(self, names: Iterable[RecordName]) -> None:
        """These are known now."""
        for name in names:
            if line := self._lines.get(name):
                self._wake(line, known=True)

    def back(self, one: Going) -> None:
        """A row that took a step: it is done, or has another one before it."""
        if not one.done:
            heappush(self._ready, (one.number, one))
            return
        del self._rows[one.number]
        for name in one.own | one.others:
            line = self._lines[name]
            del line.rows[one.number]
            if name in one.own:
                line.owners.remove(one.number)
            self._wake(line, known=name in self._known)
            if not line.rows:
                del self._lines[name]

    def _wake(self, line: _Line, *, known: bool) -> None:
        last = line.last(known=known)
        while line.waiting and line.waiting[0][0] <= last:
            heappush(self._ready, heappop(line.waiting))
