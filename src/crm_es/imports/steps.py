"""The steps that rows take together: one mutation each, or one for many of them, and what these answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid5

from crm_es.errors import CrmError, InvalidInputError, NotAllowedError
from crm_es.eventstore.commit import queued
from crm_es.imports.plan import INGESTED, Batched, PlannedStep
from crm_es.imports.rows import Prepared
from crm_es.imports.seams import World
from crm_es.imports.tally import Rejection, Verdict

T = TypeVar("T")
APPEND = 200
"""Rows of one append: longer ones hold the log's lock for everybody."""
Errors = Sequence[Mapping[str, Any]]


class Work(NamedTuple):
    """A step that a row takes, and its input, ids and all."""

    planned: PlannedStep
    row: Prepared
    built: dict[str, Any]


class Done(NamedTuple):
    work: Work
    errors: Errors
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    world: World
    workspace: UUID

    async def take(self, works: Sequence[Work], begun: Callable[[], object]) -> list[Done]:
        """All of them at once; `begun` is called when all appends are queued. Of two rows with the same email the first in the
        file has it."""
        done: list[Done] = []
        named = [work for work in works if _is_named(work)]
        todo = [self._singly(*new) for new in await self._not_recorded([w for w in works if not _is_named(w)], done)]
        todo += [self._together(batch) for batch in _batches(await self._not_ingested(named, done))]
        for found in await in_order(todo, begun, self.world.together):
            done += found
        return done

    async def _not_recorded(self, works: Sequence[Work], done: list[Done]) -> list[tuple[UUID, Work]]:
        """Those that no earlier run has done, with their commands: of what was taken back, the next ones."""
        commands, todo, reverts = {self._command(work): work for work in works}, list[tuple[UUID, Work]](), 0
        while commands:
            before = await self.world.recorded(commands.keys())
            again = await self.world.reverted(before) if before else set()
            done += [Done(work, (), Verdict.ALREADY) for one, work in commands.items() if one in before - again]
            todo += [one for one in commands.items() if one[0] not in before]
            reverts += 1
            commands = {self._command(work, reverts): work for command, work in commands.items() if command in again}
        return sorted(todo, key=lambda one: one[1].row.row.number)

    async def _not_ingested(self, works: Sequence[Work], done: list[Done]) -> list[Work]:
        """What has a name of its own in its channel is known by that: a batch has one commandId, and another run may cut its
        batches elsewhere."""
        known = await self.world.ingested({_name(work) for work in works}) if works else set()
        done += [Done(work, (), Verdict.ALREADY) for work in works if _name(work) in known]
        return [work for work in works if _name(work) not in known]

    def _command(self, work: Work, reverts: int = 0) -> UUID:
        return work.row.identity.command_id(self.workspace, work.planned.step.name, reverts)

    def _singly(self, command: UUID, work: Work) -> Callable[[], Awaitable[list[Done]]]:
        async def do() -> list[Done]:
            given = {**work.built, "commandId": str(command)}
            try:
                payload = await self.world.do(work.planned.step.mutation, given, [work.row.row.number], fresh=True)
            except (InvalidInputError, NotAllowedError) as exc:
                return [_refused(work, exc)]
            return [Done(work, payload["userErrors"], _verdict(payload))]

        return do

    def _together(self, works: Sequence[Work]) -> Callable[[], Awaitable[list[Done]]]:
        """All in one append; where one is refused, row by row."""

        async def do() -> list[Done]:
            batched = works[0].planned.batched
            assert batched is not None  # noqa: S101  # these are
            try:
                payload = await self._batch(batched, works, all_or_none=True)
                if payload["userErrors"] and len(works) > 1:
                    payload = await self._batch(batched, works, all_or_none=False)
            except (InvalidInputError, NotAllowedError) as exc:
                return [_refused(work, exc) for work in works]
            return list(_answered(payload, batched, works))

        return do

    async def _batch(self, batched: Batched, works: Sequence[Work], *, all_or_none: bool) -> Mapping[str, Any]:
        commands = " ".join(str(self._command(work)) for work in works)
        command = str(uuid5(self.world.run, f"{all_or_none} {commands}"))
        built = {batched.field: [work.built for work in works], "allOrNone": all_or_none, "commandId": command}
        return await self.world.do(batched.mutation, built, [work.row.row.number for work in works], fresh=False)


async def in_order(
    todo: Sequence[Callable[[], Awaitable[T]]],
    begun: Callable[[], object] = lambda: None,
    together: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[T]:
    """Each begins when the one before has left its append in the queue, or is done without: appends stand in this order,
    though many are under way. `begun` is called when that is so of all. Raises: the first failure; the others are given up."""
    turn = asyncio.Lock()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_in_turn(turn, do)) for do in todo]
            with together():
                await asyncio.sleep(0)  # they are in line now
                await turn.acquire()
            begun()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


async def _in_turn(turn: asyncio.Lock, do: Callable[[], Awaitable[T]]) -> T:
    """Who fails before its turn is over keeps it, so that nobody begins after that."""
    await turn.acquire()
    over = False

    def end() -> None:
        nonlocal over
        if not over:
            over = True
            turn.release()

    queued.set(end)
    result = await do()
    end()
    return result


def rejection(row: Prepared, planned: PlannedStep, field: str, rule: str, reason: str) -> Rejection:
    return Rejection(
        line=row.row.line, row=row.row.number, step=planned.step.name, field=field, rule=rule, reason=reason
    )


def _batches(works: Sequence[Work]) -> Iterator[list[Work]]:
    """Of one mutation each, in the order of the file."""
    of_mutation: dict[str, list[Work]] = {}
    for work in works:
        of_mutation.setdefault(work.planned.step.mutation, []).append(work)
    for found in of_mutation.values():
        yield from (found[start : start + APPEND] for start in range(0, len(found), APPEND))


def _is_named(work: Work) -> bool:
    return work.planned.ingests and work.planned.batched is not None and work.built.keys() >= INGESTED


def _name(work: Work) -> tuple[str, str]:
    return work.built["channel"], work.built["externalId"]


def _refused(work: Work, error: CrmError) -> Done:
    return Done(work, [{"field": error.field, "rule": error.rule, "message": error.message}], Verdict.UNCHANGED)


def _verdict(payload: Mapping[str, Any]) -> Verdict:
    if payload["replayed"]:
        return Verdict.ALREADY
    return Verdict.UNCHANGED if payload["position"] is None else Verdict.RECORDED


def _answered(payload: Mapping[str, Any], batched: Batched, works: Sequence[Work]) -> Iterator[Done]:
    answers = {answer["index"]: answer for answer in payload["rows"]}
    for index, work in enumerate(works):
        answer = answers.get(index, {"created": True, "userErrors": []})
        yield Done(work, _of_row(payload, answer, batched.field, index), _row_verdict(payload, answer))


def _row_verdict(payload: Mapping[str, Any], answer: Mapping[str, Any]) -> Verdict:
    return _verdict(payload) if answer["created"] else Verdict.ALREADY


def _of_row(payload: Mapping[str, Any], answer: Mapping[str, Any], field: str, index: int) -> Errors:
    """A row's errors: its own, and the batch's that name it or no row; paths seen from the row."""
    errors: list[Mapping[str, Any]] = []
    for error in (*answer["userErrors"], *payload["userErrors"]):
        path = [part for part in error["field"] or () if part != "input"]
        if path[:1] != [field] or path[:2] in ([field], [field, str(index)]):
            errors.append({**error, "field": path[2:] if path[:1] == [field] else path})
    return errors
