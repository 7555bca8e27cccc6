"""Global ids: opaque to clients, `Contact:<uuid>`, `Contact:<uuid>@<position>` or `Event:<stream>:<version>` to us.

Decoding is strict, so that two ids never name one thing: `encode(*decode(id)) == id`, always.
"""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from crm_es.errors import FieldPath, InvalidInputError

_SHAPE: Final = re.compile(
    r"(?P<type>[A-Z][A-Za-z]{1,39}):(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(?::(?P<sub>[1-9][0-9]{0,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))?(?:@(?P<at>0|[1-9][0-9]{0,18}))?"
)
_LONGEST: Final = 200
_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NodeId:
    """What a global id names. `sub` is an event's version or the second record of a pair; `at` the position of a past record."""

    type: str
    id: UUID
    at: int | None = None
    sub: int | UUID | None = None


def encode(type_: str, id_: UUID, at: int | None = None, sub: int | UUID | None = None) -> str:
    """The global id of a record (as it was at position `at`)."""
    text = f"{type_}:{id_}" + ("" if sub is None else f":{sub}") + ("" if at is None else f"@{at}")
    return _opaque(text.encode())


def decode(id_: str, field: FieldPath = ()) -> NodeId:
    """What the id names. Raises: InvalidInputError `id.malformed`."""
    node = _node(id_) if len(id_) <= _LONGEST else None
    if node is None:
        raise InvalidInputError("This is not an id this API gave out.", rule="id.malformed", field=field)
    return node


@lru_cache(4096)  # the rows of a batch name the same records again and again
def _node(id_: str) -> NodeId | None:
    match = _SHAPE.fullmatch(_plain(id_))
    if match is None:
        return None
    type_, uuid, sub, at = match.groups()
    node = NodeId(type_, UUID(uuid), None if at is None else int(at), _sub(sub))
    return None if (node.at or 0) > _MAX or _too_high(node.sub) else node


def expect(id_: str, *types: str, field: FieldPath = ()) -> NodeId:
    """The same, of one of these types, past or present. Raises: InvalidInputError `id.malformed`, `id.wrong_type`."""
    node = decode(id_, field)
    if node.type not in types:
        wanted = " or ".join(types)
        raise InvalidInputError(
            f"This is the id of a {node.type}; the id of a {wanted} belongs here.", rule="id.wrong_type", field=field
        )
    return node


def live(id_: str, *types: str, field: FieldPath = ()) -> UUID:
    """The record that a mutation is about. Raises: InvalidInputError `id.malformed`, `id.wrong_type`, `id.past`."""
    node = expect(id_, *types, field=field)
    if node.at is not None:
        raise InvalidInputError(
            "This id names a record as it was; nothing can be written to the past. Send its liveId.",
            rule="id.past",
            field=field,
        )
    return node.id


def _plain(id_: str) -> str:
    """Empty for what is no such text."""
    try:
        plain = base64.b64decode(id_ + "=" * (-len(id_) % 4), altchars=b"-_", validate=True)
        return plain.decode() if _opaque(plain) == id_ else ""  # spare bits and padding: another way to write the same
    except ValueError:  # not ASCII, not base64, not UTF-8
        return ""


def _opaque(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def _sub(text: str | None) -> int | UUID | None:
    if text is None:
        return None
    return int(text) if text.isdigit() else UUID(text)


def _too_high(sub: int | UUID | None) -> bool:
    return isinstance(sub, int) and sub > _MAX
