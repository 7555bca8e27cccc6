"""Makes the bundle of an export that was asked for and allowed, as of one position, from wherever a killed run left off.

What is pinned is noted in `<directory>.plan` before the first file; `.part` beside it grows until it is the bundle.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import psycopg

from crm_es.errors import RuleViolatedError, UnavailableError
from crm_es.eventstore.event import Actor, ActorKind, Command, Fact, Origin, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.exports import accounting, narrowing, trail, views
from crm_es.exports.bundle import BundleWriter, Contents, Purpose
from crm_es.exports.files import pretty, put
from crm_es.exports.page import page
from crm_es.exports.proving import Pinned, Provable, Waiting, pin
from crm_es.exports.records import VIEWS
from crm_es.exports.views import Narrowed
from crm_es.workspaces import export as exports
from crm_es.workspaces.export import EXPORT, ExportApproved, ExportCompleted, ExportRequested, ExportStatus

SEAL_SECONDS: Final = 120.0
Told = Callable[[int], None]
"""Hears how many events and rows are done; raises to stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An export as its own stream tells it."""

    workspace: UUID
    id: UUID
    asked: ExportRequested
    facts: Sequence[Fact]

    @property
    def first(self) -> Fact:
        return self.facts[0]

    @property
    def approver(self) -> Fact | None:
        return next((fact for fact in self.facts if isinstance(fact.event, ExportApproved)), None)

    @property
    def completed(self) -> ExportCompleted | None:
        return next((fact.event for fact in self.facts if isinstance(fact.event, ExportCompleted)), None)

    def purpose(self) -> Purpose:
        asked, reason = self.asked, self.first.reason
        query = {"scope": asked.scope.value, "id": asked.id and str(asked.id), "filter": asked.filter}
        return Purpose(
            requester=who(self.first.actor),
            purpose=asked.purpose,
            reason=reason if isinstance(reason, str) else None,
            approver=who(self.approver.actor) if self.approver else None,
            created_at=self.first.recorded_at.astimezone(UTC).isoformat(),
            tool=f"crm-es {version('crm-es')}",
            query={**query, "from": asked.first, "to": asked.last, "position": asked.upto},
        )


def who(actor: Actor) -> str:
    """An actor in a manifest."""
    return " ".join(str(each) for each in (actor.kind.value, actor.id, actor.auth) if each)


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """`reached(log_id)` waits until the read models show a place of the house's log."""

    url: str
    store: Store
    decode: trail.Decode
    reached: Callable[[int], None]
    keep: timedelta | None = None
    seal_seconds: float = SEAL_SECONDS

    async def order(self, workspace: WorkspaceId, id_: UUID) -> Order:
        facts = await self.store.facts(workspace, id_)
        (asked,) = (fact.event for fact in facts[:1] if isinstance(fact.event, ExportRequested))
        return Order(workspace=workspace, id=id_, asked=asked, facts=facts)

    async def make(self, workspace: WorkspaceId, id_: UUID, directory: Path, told: Told) -> Path:
        """The finished directory. Raises: what stopped it; run it again to go on. RuleViolatedError: it is not to be made."""
        order = await self.order(workspace, id_)
        loaded = await self.store.load(EXPORT, workspace, id_)
        if loaded is None or loaded.state.status not in {ExportStatus.QUEUED, ExportStatus.DONE}:
            raise RuleViolatedError("This export is not to be made (any more).", rule="export.not_queued")
        pinned = await asyncio.to_thread(self._write, order, directory, told)
        if order.completed is None:
            await self._complete(order, pinned, directory)
        return await asyncio.to_thread(self._seal, await self.order(workspace, id_), pinned, directory, told)

    def _write(self, order: Order, directory: Path, told: Told) -> Pinned:
        """All but the signed side. What was bound is not touched again."""
        with fenced(self.url, order.workspace) as connection:
            pinned = self._pin(connection, order, directory, told)
            part = part_of(directory)
            if order.completed is not None and (part / "MANIFEST.json").exists():
                return pinned
            provable = Provable(connection, order.workspace, order.asked, pinned)
            writer = _writer(directory, order, provable, pinned)
            done = _Sum(told)
            provable.fill(writer, done.events)
            self.reached(_log_id(connection, order.workspace, pinned.position))
            self._views(part, order, provable, pinned, done)
            put(part / "README.html", page(_said(order, pinned), writer.counts, [*(v.view for v in VIEWS), trail.VIEW]))
            writer.manifest(order.purpose(), custody=True, rotations=provable.rotations())
            return pinned

    def _pin(self, connection: psycopg.Connection[Any], order: Order, directory: Path, told: Told) -> Pinned:
        """Once for all runs."""
        plan = plan_of(directory)
        said = msgspec.json.decode(plan.read_bytes(), type=dict[str, Any]) if plan.exists() else {}
        if said.get("export") == str(order.id) and "pinned" in said:
            return Pinned(**said["pinned"])
        pinned = pin(connection, order.workspace, order.asked.upto, Waiting(self.seal_seconds, lambda: told(0)))
        put(plan, pretty({**said, "export": str(order.id), "pinned": asdict(pinned)}))
        return pinned

    def _views(self, part: Path, order: Order, provable: Provable, pinned: Pinned, done: "_Sum") -> None:
        asked = order.asked
        narrowed = Narrowed(
            first=provable.first,
            last=None if asked.last is None else provable.last,
            streams=provable.streams,
            condition=narrowing.condition(asked.filter) if asked.filter else None,
        )
        with fenced(self.url, order.workspace) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            views.write(
                part, connection, self.decode, workspace=order.workspace, position=pinned.position, narrowed=narrowed,
                told=done.rows,
            )  # fmt: skip

    async def _complete(self, order: Order, pinned: Pinned, directory: Path) -> None:
        data = part_of(directory) / "MANIFEST.json"
        manifest = await asyncio.to_thread(data.read_bytes)
        counts = msgspec.json.decode(manifest)["counts"]
        said = {
            "manifest_sha256": sha256(manifest).hexdigest(),
            "position": pinned.position,
            "tree_size": pinned.tree_size,
            "events": counts["events"],
            "expires_at": None if self.keep is None else _whole(datetime.now(UTC) + self.keep),
        }
        held = await accounting.held_by(self.store, WorkspaceId(order.workspace), order.asked)
        await accounting.account(
            self.url, order.workspace, order.id, actor=order.first.actor, purpose=order.asked.purpose, held=held, said=said
        )  # fmt: skip
        await self.store.decide(command(order, "complete"), EXPORT, order.id, lambda was: exports.complete(was, **said))

    def _seal(self, order: Order, pinned: Pinned, directory: Path, told: Told) -> Path:
        if not part_of(directory).exists():
            return directory
        done = order.completed.events if order.completed else 0
        told(done)
        with fenced(self.url, order.workspace) as connection:
            provable = Provable(connection, order.workspace, order.asked, pinned)
            writer = _writer(directory, order, provable, pinned)
            custody = {}
            for fact in order.facts:
                custody[fact.position] = provable.state(fact.position)
                if isinstance(fact.event, ExportCompleted):
                    break
            waiting = Waiting(self.seal_seconds, lambda: told(done))
            _make_room(directory)
            made = provable.seal(writer, custody, waiting, promised=_promised(directory))
        plan_of(directory).unlink(missing_ok=True)
        return made


class _Sum:
    """Events and rows done, as one number."""

    def __init__(self, told: Told) -> None:
        self._told, self._events, self._rows = told, 0, 0

    def events(self, done: int) -> None:
        self._events = done
        self._told(self._events + self._rows)

    def rows(self, more: int) -> None:
        self._rows += more
        self._told(self._events + self._rows)


def command(order: Order, deed: str) -> Command:
    """What the worker does to an export is done once, however often it is sent."""
    id_ = uuid5(order.id, deed)
    return Command(
        workspace=WorkspaceId(order.workspace),
        command_id=id_,
        request_hash=id_.bytes,
        actor=Actor(kind=ActorKind.SYSTEM, auth="exports"),
        correlation_id=order.first.correlation_id,
        causation_id=order.first.command_id,
        origin=Origin(client="crm-es"),
    )


@contextmanager
def fenced(url: str, workspace: UUID) -> Any:
    """A connection of the application's, in autocommit. Raises: UnavailableError."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        raise UnavailableError(f"The database does not answer: {exc}") from exc


def _writer(directory: Path, order: Order, provable: Provable, pinned: Pinned) -> BundleWriter:
    contents = Contents(
        origin=pinned.origin,
        workspace=order.workspace,
        scope=provable.scope,
        position=pinned.position,
        tree_size=pinned.tree_size,
        heads_position=pinned.tree_size,
        heads_root=pinned.root,
    )
    return BundleWriter(directory, contents)


def _said(order: Order, pinned: Pinned) -> list[tuple[str, object]]:
    said = order.purpose()
    return [
        ("Log", pinned.origin),
        ("Workspace", order.workspace),
        ("As of position", pinned.position),
        ("Scope", order.asked.scope.value.lower()),
        ("Of", order.asked.id),
        ("From position", order.asked.first),
        ("To position", order.asked.last),
        ("Views narrowed by", order.asked.filter),
        ("Purpose", said.purpose),
        ("Reason", said.reason),
        ("Asked for by", said.requester),
        ("Asked for at", said.created_at),
        ("Allowed by", said.approver),
    ]


def _log_id(connection: psycopg.Connection[Any], workspace: UUID, position: int) -> int:
    statement = "SELECT notification_id FROM es.events WHERE workspace_id = %s AND sequence = %s"
    return int(connection.execute(statement, [workspace, position]).fetchall()[0][0])


def _promised(directory: Path) -> list[int]:
    manifest = (part_of(directory) / "MANIFEST.json").read_bytes()
    sizes: list[int] = msgspec.json.decode(manifest)["rotations"]
    return sizes


def _make_room(directory: Path) -> None:
    """An empty folder of that name may be there: whoever named it meant this."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def plan_of(directory: Path) -> Path:
    """What is pinned for a bundle that is not finished."""
    return directory.with_name(f"{directory.name}.plan")


def part_of(directory: Path) -> Path:
    """A bundle in the making."""
    return directory.with_name(f"{directory.name}.part")


def forget(directory: Path) -> None:
    """All there is of a bundle, finished or not."""
    for path in (directory, part_of(directory)):
        shutil.rmtree(path, ignore_errors=True)
    plan_of(directory).unlink(missing_ok=True)
