"""An import from its first row to its last: pass by pass, round by round. Running it again is how it resumes.

Nothing is remembered between runs but what the log holds, so a run that was killed has nothing to repair.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol
from uuid import UUID

from crm_es.imports.plan import Plan, PlannedStep
from crm_es.imports.reader import read_rows
from crm_es.imports.rounds import Rounds
from crm_es.imports.rows import Prepared, prepare
from crm_es.imports.seams import World
from crm_es.imports.tally import Rejection, Tally
from crm_es.imports.turns import Going, Turns

AT_ONCE = 4_000
"""Rows under way: of long stories told row by row, as tickets have them, few are free at a time."""


class Watcher(Protocol):
    """Who follows a run: the progress bar, the run's row in the database."""

    async def begin_pass(self, number: int) -> None: ...
    async def advance(self, line: int, tally: Tally) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One file through one mapping into one workspace.

    `stop_on_error` takes rows one by one, so that nothing after the refused row is recorded. `stopped` asks after each
    round whether to end here.
    """

    plan: Plan
    path: Path
    world: World
    workspace: UUID
    watcher: Watcher
    stop_on_error: bool = False
    stopped: Callable[[], bool] = lambda: False

    async def run(self, tally: Tally) -> None:
        """Counts in `tally` as it goes, so that its caller knows how far a run came that failed."""
        for number, steps in enumerate(self.plan.passes, 1):
            await self.watcher.begin_pass(number)
            await self._pass(self._prepared(tally, first=number == 1), steps, tally)
            if self._over(tally):
                return

    def _prepared(self, tally: Tally, *, first: bool) -> Iterator[Prepared | Rejection]:
        """The rows of the file, counted in the first pass; those that were refused come no more in the second."""
        for one in prepare(self.plan, read_rows(self.path, self.plan.mapping.shape)):
            if first:
                self._count(one, tally)
                yield one
            elif isinstance(one, Prepared) and one.row.number not in tally.rejected_rows:
                yield one

    def _count(self, one: Prepared | Rejection, tally: Tally) -> None:
        tally.rows += 1
        if isinstance(one, Rejection):
            tally.reject(one)
            return
        for column, step in one.blanks(self.plan):
            tally.blank(column, step)

    async def _pass(self, rows: Iterator[Prepared | Rejection], steps: tuple[PlannedStep, ...], tally: Tally) -> None:
        rounds = Rounds(plan=self.plan, world=self.world, workspace=self.workspace, tally=tally)
        most, line = 1 if self.stop_on_error else AT_ONCE, 0
        turns = Turns(rounds.known)
        try:
            while not self._over(tally):
                admitted = list(islice(rows, most - len(turns)))
                for one in admitted:
                    if isinstance(one, Prepared):
                        turns.admit(Going.of(one, steps))
                if turns and not self._over(tally):
                    await rounds.round(turns)
                elif not admitted:
                    return
                line = admitted[-1].line if admitted else line
                await self.watcher.advance(turns.line - 1 if turns else line, tally)
            await rounds.end(turns)
        finally:
            await rounds.give_up()

    def _over(self, tally: Tally) -> bool:
        return self.stopped() or (self.stop_on_error and bool(tally.rejections))
