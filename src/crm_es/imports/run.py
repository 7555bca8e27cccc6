"""An import from its first row to its last: pass by pass, wave by wave. Running it again is how it resumes.

Nothing is remembered between runs but what the log holds, so a run that was killed has nothing to repair.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from crm_es.imports.plan import Plan, PlannedStep
from crm_es.imports.reader import read_rows
from crm_es.imports.seams import World
from crm_es.imports.steps import Wave
from crm_es.imports.tally import Rejection, Tally
from crm_es.imports.waves import WAVE, Prepared, cut, prepare


class Watcher(Protocol):
    """Who follows a run: the progress bar, the run's row in the database."""

    async def begin_pass(self, number: int) -> None: ...
    async def advance(self, line: int, tally: Tally) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One file through one mapping into one workspace.

    `stop_on_error` takes rows one by one, so that nothing after the refused row is recorded. `stopped` asks after each
    wave whether to end here.
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
            for wave in self._waves():
                if number == 1:
                    self._count(wave, tally)
                await self._wave(wave, steps, tally)
                if self.stopped() or (self.stop_on_error and tally.rejections):
                    return

    def _waves(self) -> Iterator[list[Prepared | Rejection]]:
        prepared = prepare(self.plan, read_rows(self.path, self.plan.mapping.shape))
        return cut(self.plan, prepared, 1 if self.stop_on_error else WAVE)

    async def _wave(self, wave: list[Prepared | Rejection], steps: tuple[PlannedStep, ...], tally: Tally) -> None:
        rows = [one for one in wave if isinstance(one, Prepared) and one.row.number not in tally.rejected_rows]
        running = Wave(plan=self.plan, world=self.world, workspace=self.workspace, tally=tally, rows=rows)
        await running.run(steps)
        last = wave[-1]
        await self.watcher.advance(last.line if isinstance(last, Rejection) else last.row.line, tally)

    def _count(self, wave: list[Prepared | Rejection], tally: Tally) -> None:
        tally.rows += len(wave)
        for one in wave:
            if isinstance(one, Rejection):
                tally.reject(one)
                continue
            for column, step in one.blanks(self.plan):
                tally.blank(column, step)
