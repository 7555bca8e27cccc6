"""What a running plan knows, and the statements it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from crm_es.reads.errors import NotReadError
from crm_es.reads.session import Moment, Reads
from crm_es.reads.sql import Slot

T = TypeVar("T")


class Environment:
    """What a running plan knows: variables, the moment, answers of the levels below by number and parent."""

    __slots__ = ("after", "below", "bound", "last", "limit", "moment", "parents", "variables")

    def __init__(self, variables: Mapping[str, Any], moment: Moment) -> None:
        self.variables = variables
        self.moment = moment
        self.below: dict[int, Mapping[UUID, Any]] = {}
        self.bound: dict[int, bytes] = {}
        self.parents: Sequence[Any] = ()
        self.after: tuple[Any, ...] = ()
        self.limit = 0
        self.last = False


@dataclass(frozen=True, slots=True)
class Statement:
    text: bytes
    parameters: tuple[Any, ...]
    models: frozenset[str]

    async def rows(self, environment: Environment, *, last: bool = False) -> list[tuple[Any, ...]]:
        """Run it; `last`: nothing of the operation follows."""
        moment = environment.moment
        # Before anything is waited for: others at the same time set what slots take.
        given = [value.take(environment) if type(value) is Slot else value for value in self.parameters]
        await moment.require(self.models)
        snapshot = await moment.reads.snapshot()
        return await snapshot.fetch(self.text, given, last=last)


async def together(reads: Reads, asking: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What all of them answer; the statements that each begins with go in one round trip. Raises: what one of them raised."""
    if len(asking) <= 1:
        return [await one() for one in asking]
    (await reads.snapshot()).expect(len(asking))
    answers = await asyncio.gather(*(one() for one in asking), return_exceptions=True)
    failed = [each for each in answers if isinstance(each, BaseException)]
    for each in sorted(
        failed, key=lambda error: isinstance(error, NotReadError)
    ):  # that one failed is why another was not read
        raise each
    return answers  # type: ignore[return-value]  # none of them failed


class Level(Protocol):
    """One level of a plan; answers by parent (`None` at the root), which is the first of what `parents` holds of it."""

    number: int

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]: ...


AT: Final = Slot(lambda environment: environment.moment.at)
PARENTS: Final = Slot(lambda environment: environment.parents)
PARENT: Final = Slot(lambda environment: environment.parents[0])
LIMIT: Final = Slot(lambda environment: environment.limit)


def key(number: int) -> Slot:
    """Of the row the page starts behind."""
    return Slot(lambda environment: environment.after[number])
