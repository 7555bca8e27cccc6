"""What a running plan knows, and the statements it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from crm_es.reads.session import Moment
from crm_es.reads.sql import Slot


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
        await moment.require(self.models)
        given = [value.take(environment) if type(value) is Slot else value for value in self.parameters]
        snapshot = await moment.reads.snapshot()
        return await snapshot.fetch(self.text, given, last=last)


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
