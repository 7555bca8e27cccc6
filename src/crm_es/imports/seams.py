"""What an import needs of the world: the schema, in process, and what the log already knows."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol
from uuid import UUID


class RecordName(NamedTuple):
    """A record as rows name it: `record` of the mapping, with this key."""

    record: str
    key: str


class World(Protocol):
    """The workspace an import writes to. The dry run has one that keeps what it would append to itself."""

    @property
    def run(self) -> UUID:
        """The import run."""
        ...

    async def do(
        self, mutation: str, input: Mapping[str, Any], rows: Sequence[int], *, fresh: bool
    ) -> Mapping[str, Any]:
        """A mutation for these rows. Answers position, replayed, userErrors and, of a batch, rows. `fresh`: the log does not
        hold its commandId.

        Raises: InvalidInputError, NotAllowedError where the schema refuses this input; anything else ends the import.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """What is done in this block may be written together."""
        ...

    async def look_up(self, names: Collection[RecordName]) -> dict[RecordName, UUID]:
        """Those that exist. Mutations that name them need not ask again."""
        ...

    async def fields(self, names: Mapping[RecordName, UUID]) -> dict[RecordName, Mapping[str, str]]:
        """The records' fields as they are now, as text; empty for null."""
        ...

    async def bring(self, names: Mapping[RecordName, UUID]) -> None:
        """Read these together: the mutations that come change them."""
        ...

    async def recorded(self, commands: Collection[UUID]) -> set[UUID]:
        """Which of these commands the log holds."""
        ...

    async def reverted(self, commands: Collection[UUID]) -> set[UUID]:
        """Which of these were taken back: what they did is to be recorded again."""
        ...

    async def ingested(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these (channel, external id) were recorded before."""
        ...

    def global_id(self, name: RecordName, id: UUID) -> str:
        """The record's id in the API."""
        ...
