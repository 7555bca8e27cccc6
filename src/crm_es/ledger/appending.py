"""How the sealer's role puts a ledger.* event into a workspace's log: through `ledger.append`, the only door it has."""

from hashlib import sha256
from typing import Any, Final, LiteralString, cast
from uuid import UUID, uuid5

from psycopg import Connection

from crm_es.errors import ConflictError
from crm_es.eventstore.codec import Codec, hole_of
from crm_es.eventstore.event import Actor, ActorKind, Change, Command, StreamId, WorkspaceId
from crm_es.ledger.log_events import LEDGER, LedgerEvent, stream_of
from crm_es.privacy.keystore import KeyStore

_VERSION: Final[LiteralString] = (
    "SELECT coalesce(max(originator_version), 0) FROM es.events WHERE originator_id = %s AND workspace_id = %s"
)
_APPEND: Final[LiteralString] = 'SELECT status, "position" FROM ledger.append(%b, %b, %b, %b, %b, %b, %b)'
_codec = Codec((LEDGER,), cast("KeyStore", None))  # nothing the ledger says is personal, so nothing is sealed or opened


def append(connection: Connection[Any], workspace: UUID, event: LedgerEvent, *, once: str) -> int:
    """Its position. `once` names it for ever: said again, it answers the position it has.

    Raises: ConflictError: another sealer was faster.
    """
    command_id = uuid5(workspace, f"{event.TOPIC}:{once}")
    row = connection.execute(_VERSION, [stream_of(workspace), workspace]).fetchone()
    version = 1 + (row[0] if row else 0)
    state = encoded(workspace, command_id, version, event)
    said = connection.execute(
        _APPEND, [workspace, command_id, sha256(once.encode()).digest(), version, event.TOPIC, state, hole_of(state)]
    ).fetchone()
    if said is None or said[0] not in {"OK", "REPLAYED"}:
        raise ConflictError(f"{event.TOPIC} was not appended: {said and said[0]}")
    return int(said[1])


def encoded(workspace: UUID, command_id: UUID, version: int, event: LedgerEvent) -> bytes:
    command = Command(
        workspace=WorkspaceId(workspace),
        command_id=command_id,
        request_hash=b"",
        actor=Actor(kind=ActorKind.SYSTEM, auth="sealer"),
        correlation_id=command_id,
    )
    change = Change(stream=StreamId(stream_of(workspace)), version=version, event=event)
    return _codec.encode(command, change, None)
