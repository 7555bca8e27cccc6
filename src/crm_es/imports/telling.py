"""The end of an import in words, the same for the run and for its rehearsal."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from crm_es.imports.session import Done
from crm_es.imports.tally import Rejection, Tally, Verdict

REASONS: Final = 10
LINES: Final = 5


def told(done: Done, *, dry_run: bool) -> str:
    tally = done.tally
    lines = [f"{tally.rows:,} rows, {tally.rejected:,} refused{' (dry run: nothing was recorded)' if dry_run else ''}."]
    lines += _table(tally)
    lines += _blanks(tally)
    if done.events is not None:
        lines.append(f"The run would record {done.events:,} events.")
    if done.report is not None:
        lines += _refusals(tally, done.report)
    if done.stopped:
        lines.append("Stopped. What was recorded stays; run the import again to go on.")
    return "\n".join(lines)


def _table(tally: Tally) -> list[str]:
    width = max((len(step) for step in tally.steps), default=0)
    head = f"  {'step':<{width}}" + "".join(f"{verdict.value:>12}" for verdict in Verdict)
    rows = [
        f"  {step:<{width}}" + "".join(f"{n:>12,}" for n in counts.values()) for step, counts in tally.steps.items()
    ]
    return [head, *rows] if rows else []


def _blanks(tally: Tally) -> list[str]:
    """What was not in the file, and the steps that did without."""
    return [
        f"  {column} is empty in {sum(steps.values()):,} rows ({', '.join(f'{n:,} {name}' for name, n in steps.items())})"
        for column, steps in tally.blanks.items()
    ]


def _refusals(tally: Tally, report: Path) -> Iterator[str]:
    """Why rows were refused, the most frequent reason first, with the words and the lines of its first rows."""
    reasons = by_reason(tally.rejections)
    yield f"Refused rows, all of them in {report}:"
    for found in reasons[:REASONS]:
        first = found[0]
        where = ", ".join(filter(None, (first.step, first.field)))
        lines = ", ".join(str(one.line) for one in found[:LINES]) + (", …" if found[LINES:] else "")
        yield f"{len(found):>8,}  {where}: {first.reason} ({first.rule}; line{'s' if found[1:] else ''} {lines})"
    if rest := reasons[REASONS:]:
        yield f"{sum(map(len, rest)):>8,}  for {len(rest):,} other reason{'s' if rest[1:] else ''}"


def by_reason(rejections: Sequence[Rejection]) -> list[list[Rejection]]:
    """Those of one step, field and rule together, in the order of the file; the most first."""

    def reason(one: Rejection) -> tuple[str, str, str]:
        return one.step, one.field, one.rule

    together = groupby(sorted(rejections, key=lambda one: (reason(one), one.row)), reason)
    return sorted((list(found) for _, found in together), key=lambda found: (-len(found), found[0].row))
