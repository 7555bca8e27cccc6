"""Jobs whose rows stand beside the log, for who watches them by id: nothing is projected when they move, so they are looked
at now and then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from crm_es.api import finding
from crm_es.api.enums import EntityType
from crm_es.api.ids import NodeId
from crm_es.context import Context
from crm_es.reads.model import read_of
from crm_es.workspaces.jobs import JobStatus

TYPES: Final[Mapping[str, EntityType]] = {"Import": EntityType.IMPORT, "Revert": EntityType.REVERT}
LOOK_SECONDS: Final = 1.0


class Watched:
    """Some jobs, as they were when they were last told of."""

    def __init__(self, named: Iterable[NodeId], types: Sequence[EntityType] | None) -> None:
        self._told: dict[NodeId, Sequence[Any] | None] = {
            each: None for each in named if each.type in TYPES and (types is None or TYPES[each.type] in types)
        }
        self._done: set[NodeId] = set()

    @property
    def resting(self) -> bool:
        """Whether none of them will move any more."""
        return len(self._done) == len(self._told)

    async def moved(self, context: Context) -> list[NodeId]:
        """Those that stand otherwise than when they were last told of; at first all that the viewer may see."""
        found = []
        for named in self._told.keys() - self._done:
            record = await finding.node(context, named)
            if record is None or (row := record._row) == self._told[named]:  # noqa: SLF001  # all of it is compared
                continue
            self._told[named] = row
            found.append(named)
            if row[read_of(type(record)).index["status"]] == JobStatus.DONE:
                self._done.add(named)
        return sorted(found, key=lambda named: (named.type, named.id))


async def of_id(context: Context, id_: UUID) -> NodeId | None:
    """The job with this uuid that the viewer may see."""
    for named in (NodeId(name, id_) for name in TYPES):
        if await finding.node(context, named) is not None:
            return named
    return None
