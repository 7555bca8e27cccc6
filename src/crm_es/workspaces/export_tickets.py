"""The link to a bundle: who may fetch which, for five minutes, under an HMAC. Nothing of it is kept."""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from crm_es.config import Settings
from crm_es.errors import UnauthenticatedError
from crm_es.eventstore.event import Actor, ActorKind
from crm_es.privacy.keystore import KeyStore

LASTING: Final = timedelta(minutes=5)
_KINDS: Final = (ActorKind.MEMBER, ActorKind.API_KEY)
_SAID: Final = struct.Struct("!16s16sB16sQ")


@dataclass(frozen=True, slots=True)
class Ticket:
    workspace: UUID
    export: UUID
    actor: Actor
    until: datetime


def url(keys: KeyStore, ticket: Ticket) -> str:
    """A path with its query, below wherever the API is."""
    actor = ticket.actor
    said = _SAID.pack(
        ticket.workspace.bytes, ticket.export.bytes, _KINDS.index(actor.kind), (actor.id or UUID(int=0)).bytes,
        int(ticket.until.timestamp()),
    )  # fmt: skip
    sealed = urlsafe_b64encode(said + _mac(keys, said)).decode().rstrip("=")
    return f"/exports/{ticket.export}?ticket={sealed}"


def read(keys: KeyStore, text: str, *, export: str, now: datetime) -> Ticket:
    """Raises: UnauthenticatedError for one that is not ours, of another export, or too old."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        said, mac = raw[: _SAID.size], raw[_SAID.size :]
        workspace, id_, kind, actor, until = _SAID.unpack(said)
        ticket = Ticket(
            UUID(bytes=workspace), UUID(bytes=id_), Actor(kind=_KINDS[kind], id=UUID(bytes=actor), auth="link"),
            datetime.fromtimestamp(until, UTC),
        )  # fmt: skip
    except (ValueError, IndexError, OverflowError, struct.error) as exc:
        raise _refused() from exc
    genuine = hmac.compare_digest(mac, _mac(keys, said))
    if not genuine or ticket.until <= now or str(ticket.export) != export:
        raise _refused()
    return ticket


def folder(settings: Settings, workspace: UUID, export: UUID) -> Path:
    """Where a bundle is, once it is made."""
    return settings.exports_folder / str(workspace) / str(export)


def _mac(keys: KeyStore, said: bytes) -> bytes:
    """Under a key of the house's: a stranger who names workspaces that are not would have keys made for them."""
    return keys.blind(UUID(int=0), "download", said)


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError("This link is no good, or no longer. Ask the API for a new one.", rule="link.refused")
