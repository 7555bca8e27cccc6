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
from crm_es.exports.proving import EPOCH_OVER, Pinned, Provable, Waiting, epoch_of, is_demo, pin
from crm_es.exports.records import VIEWS
from crm_es.exports.views import Narrowed
from crm_es.workspaces import export as exports
from crm_es.workspaces.export import EXPORT, ExportApproved, ExportCompleted, ExportRequested, ExportStatus

SEAL_SECONDS: Final = 120.0
SEAL: Final = "the seal"
GONE: Final = "export.gone"
OVER: Final = frozenset({GONE, EPOCH_OVER})
"""What ends an export for ever."""
_PARKED: Final = "SELECT read_model FROM es.bookmark WHERE parked IS NOT NULL ORDER BY read_model"
Told = Callable[[int, str], None]
"""Hears how many events and rows are done, and what it is at; raises to stop."""
Says = Callable[[str | None], None]
"""Hears what is waited for; None: nothing any more."""
NOBODY: Final[Says] = lambda _: None  # noqa: E731  # a default that does nothing


class StoppedError(Exception):
    """Told to stop, or cancelled; what is there is left as it is."""


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

    async def make(self, workspace: WorkspaceId, id_: UUID, directory: Path, told: Told, says: Says = NOBODY) -> Path:
        """The finished directory. Raises: what stopped it; run it again to go on. RuleViolatedError: it is not to be made."""
        order = await self.order(workspace, id_)
        loaded = await self.store.load(EXPORT, workspace, id_)
        if loaded is None or loaded.state.status not in {ExportStatus.QUEUED, ExportStatus.DONE}:
            raise RuleViolatedError("This export is not to be made (any more).", rule="export.not_queued")
        if order.completed is not None and await asyncio.to_thread(_is_whole, directory):
            return directory
        pinned = await asyncio.to_thread(self._write, order, directory, told, says)
        if order.completed is None:
            await self._complete(order, pinned, directory)
        return await asyncio.to_thread(self._seal, await self.order(workspace, id_), pinned, directory, told, says)

    async def fail(self, workspace: WorkspaceId, id_: UUID, error: str) -> None:
        """Recorded as what can never be made."""
        order = await self.order(workspace, id_)
        deed = command(order, f"fail {uuid5(id_, error)}")
        await self.store.decide(deed, EXPORT, id_, lambda was: exports.fail(was, error=error))

    def _write(self, order: Order, directory: Path, told: Told, says: Says) -> Pinned:
        """All but the signed side. What was bound is not touched again."""
        if order.completed is not None:
            if not is_bound(order, directory):
                raise RuleViolatedError("What was recorded of this export is gone. Ask for it again.", rule=GONE)
            return Pinned(**_planned(directory)["pinned"])
        with fenced(self.url, order.workspace) as connection:
            pinned = self._pin(connection, order, directory, told, says)
            part = part_of(directory)
            provable = Provable(connection, order.workspace, order.asked, pinned)
            writer = _writer(directory, order, provable, pinned)
            done = _Sum(told)
            provable.fill(writer, done.events, done.still)
            self._show(connection, order.workspace, pinned)
            self._views(part, order, provable, pinned, done)
            demo = is_demo(connection, order.workspace)
            views_ = [*(v.view for v in VIEWS), trail.VIEW]
            put(part / "README.html", page(_said(order, pinned), writer.counts, views_, demo=demo))
            writer.manifest(order.purpose(), custody=True, rotations=provable.rotations(), demo=demo)
            if epoch_of(connection, order.workspace) != pinned.epoch:
                raise UnavailableError("The log began a new epoch meanwhile. The export begins anew in it.")
            return pinned

    def _pin(
        self, connection: psycopg.Connection[Any], order: Order, directory: Path, told: Told, says: Says
    ) -> Pinned:
        """Once for all runs of this program, in one epoch of the log. What another left is not gone on with."""
        said, tool = _planned(directory), order.purpose().tool
        if said.get("export") == str(order.id) and "pinned" in said:
            pinned = Pinned(**said["pinned"])
            if said.get("tool") == tool and pinned.epoch == epoch_of(connection, order.workspace):
                return pinned
        shutil.rmtree(part_of(directory), ignore_errors=True)
        waiting = Waiting(connection, self.seal_seconds, stopped=lambda: told(0, SEAL), says=says)
        pinned = pin(connection, order.workspace, order.asked.upto, waiting)
        plan = {**said, "export": str(order.id), "tool": tool, "pinned": asdict(pinned)}
        put(plan_of(directory), pretty(plan))
        return pinned

    def _show(self, connection: psycopg.Connection[Any], workspace: UUID, pinned: Pinned) -> None:
        """Returns once the read models show all that is pinned. Raises: UnavailableError."""
        self.reached(_log_id(connection, workspace, pinned.position))
        stopped = [row[0] for row in connection.execute(_PARKED)]
        if stopped:
            names = ", ".join(stopped)
            message = f"Stopped at an event they cannot apply: {names}. `crm-es rebuild {stopped[0]}` makes them anew."
            raise UnavailableError(message, rule="read_model.parked")

    def _views(self, part: Path, order: Order, provable: Provable, pinned: Pinned, done: "_Sum") -> None:
        asked = order.asked
        narrowed = Narrowed(
            first=provable.first,
            last=None if asked.last is None else provable.last,
            streams=provable.streams,
            condition=narrowing.condition(asked.filter) if asked.filter else None,
        )
        with fenced(self.url, order.workspace) as connection:
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
        held = await accounting.held_by(self.store, WorkspaceId(order.workspace), order.asked, pinned.position)
        await accounting.account(
            self.url, order.workspace, order.id, actor=order.first.actor, purpose=order.asked.purpose, held=held, said=said
        )  # fmt: skip
        await self.store.decide(command(order, "complete"), EXPORT, order.id, lambda was: exports.complete(was, **said))

    def _seal(self, order: Order, pinned: Pinned, directory: Path, told: Told, says: Says) -> Path:
        if not part_of(directory).exists():
            return directory
        done = order.completed.events if order.completed else 0
        told(done, SEAL)
        with fenced(self.url, order.workspace) as connection:
            provable = Provable(connection, order.workspace, order.asked, pinned)
            writer = _writer(directory, order, provable, pinned)
            custody = {}
            for fact in order.facts:
                custody[fact.position] = provable.state(fact.position)
                if isinstance(fact.event, ExportCompleted):
                    break
            waiting = Waiting(connection, self.seal_seconds, stopped=lambda: told(done, SEAL), says=says)
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
        self._told(self._events + self._rows, "events")

    def still(self) -> None:
        self._told(self._events + self._rows, "proofs")

    def rows(self, more: int, view: str) -> None:
        self._rows += more
        self._told(self._events + self._rows, view.replace("_", " "))


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


def is_bound(order: Order, directory: Path) -> bool:
    """Whether what lies here is what the log has recorded of a completed export."""
    manifest, plan = part_of(directory) / "MANIFEST.json", plan_of(directory)
    if order.completed is None or not (manifest.exists() and plan.exists()):
        return False
    return sha256(manifest.read_bytes()).hexdigest() == order.completed.manifest_sha256


def _is_whole(directory: Path) -> bool:
    """Whether an earlier run has finished it, perhaps but for its very last step."""
    whole = directory.exists() and any(directory.iterdir()) and not part_of(directory).exists()
    if whole:
        plan_of(directory).unlink(missing_ok=True)
    return whole


def _planned(directory: Path) -> dict[str, Any]:
    plan = plan_of(directory)
    return msgspec.json.decode(plan.read_bytes(), type=dict[str, Any]) if plan.exists() else {}


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
