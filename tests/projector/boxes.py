"""A read model for the projector's own tests: boxes that are put somewhere, counted, and may break the program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch, Column, Index, Sql, Table

NAME = "boxes"
VERSION = 1
BOX = Table(
    name="box",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="place", type="text", personal=True, collate="C"),
        Column(name="moves", type="integer", default=0),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="labels", type="text[]", default=[]),
        Column(name="detail", type="jsonb", null=True),
        Column(name="made_at", type="timestamptz"),
    ),
    subject="owner_id",
    indexes=(
        Index(name="place", columns=("place",), order=True),
        Index(name="place_down", columns=("place",), order=True, descending=True),
        Index(name="text", columns=("place gin_trgm_ops",), method="gin"),
    ),
)
MOVE = Table(
    name="move",
    columns=(Column(name="box_id", type="uuid"), Column(name="place", type="text")),
    key=("position",),
    versioned=False,
)
LATEST = Table(
    name="latest", columns=(Column(name="id", type="uuid"), Column(name="topic", type="text")), versioned=False
)
TABLES = (BOX, MOVE, LATEST)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxMade:
    TOPIC: ClassVar[str] = "box.made"
    place: str = "here"
    owner: UUID | None = None
    labels: tuple[str, ...] = ()
    detail: object = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxMoved:
    TOPIC: ClassVar[str] = "box.moved"
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxBroken:
    """The read model cannot apply it."""

    TOPIC: ClassVar[str] = "box.broken"
    how: str = "program"


@dataclass(frozen=True, kw_only=True, slots=True)
class AllMoved:
    """Moves every box of the workspace made so far."""

    TOPIC: ClassVar[str] = "box.all_moved"
    place: str


TOPICS = frozenset({"box.made", "box.moved", "box.broken", "box.all_moved"})


def apply(batch: Batch, facts: Sequence[Fact]) -> None:
    for fact in facts:
        match fact.event:
            case BoxMade(place=place, owner=owner, labels=labels, detail=detail):
                batch.insert(
                    BOX, fact, id=fact.stream, place=place, owner_id=owner, labels=list(labels), detail=detail,
                    made_at=fact.recorded_at,
                )  # fmt: skip
            case BoxMoved(place=place):
                batch.update(BOX, fact, {"id": fact.stream}, place=place, moves=Sql("moves + 1"))
                batch.insert(MOVE, fact, box_id=fact.stream, place=place)
            case AllMoved(place=place):
                batch.execute(
                    fact,
                    "UPDATE {schema}.box SET place = %(place)s, position = %(position)s"
                    " WHERE workspace_id = %(workspace_id)s AND position < %(position)s",
                    place=place,
                )
            case BoxBroken(how="data"):
                batch.update(BOX, fact, {"id": fact.stream}, moves=Sql("1 / 0"))
            case BoxBroken():
                raise ValueError("cannot apply this")
        batch.put(LATEST, fact, id=fact.stream, topic=fact.topic)
