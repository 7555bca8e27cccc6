"""What became of the rows: counts by step, and those refused."""

from dataclasses import dataclass, field
from enum import StrEnum

MEANT_FOR_FILE = "file"
"""The step of a row that was refused before any step: its line cannot be read."""


class Verdict(StrEnum):
    """What one step did for one row."""

    RECORDED = "recorded"
    ALREADY = "already"
    """An earlier run recorded it."""
    UNCHANGED = "unchanged"
    """The mutation changed nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """A row that was refused: where it stands in the file, which step and input field, and why."""

    line: int
    row: int
    step: str
    field: str
    rule: str
    reason: str


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of one run, growing."""

    rows: int = 0
    steps: dict[str, dict[Verdict, int]] = field(default_factory=dict)
    blanks: dict[str, dict[str, int]] = field(default_factory=dict)
    """By column and step: the rows whose cell of that column is empty, of those that take the step."""
    rejections: list[Rejection] = field(default_factory=list)
    rejected_rows: set[int] = field(default_factory=set)

    def count(self, step: str, verdict: Verdict) -> None:
        counts = self.steps.setdefault(step, dict.fromkeys(Verdict, 0))
        counts[verdict] += 1

    def blank(self, column: str, step: str) -> None:
        steps = self.blanks.setdefault(column, {})
        steps[step] = steps.get(step, 0) + 1

    def reject(self, rejection: Rejection) -> None:
        """A row is refused once: nothing is tried with it afterwards."""
        self.rejections.append(rejection)
        self.rejected_rows.add(rejection.row)

    @property
    def rejected(self) -> int:
        return len(self.rejected_rows)

    @property
    def recorded(self) -> int:
        return sum(counts[Verdict.RECORDED] for counts in self.steps.values())
