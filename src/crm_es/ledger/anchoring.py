"""Shipping signed checkpoints out of the house: to a file that only grows, to a webhook.

What is shipped are the entries of the log of logs, each a workspace's checkpoint, and its own newest one. Each target has a place
of its own, kept after it has taken a page: what is shipped twice is the same twice. Time stamps are in timestamps.py.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol
from urllib.parse import urlsplit

from psycopg import Connection

from crm_es.errors import ConfigurationError, UnavailableError
from crm_es.ledger.book import NIL

PAGE: Final = 200
SECONDS: Final = 15
LONGEST_ANSWER: Final = 64 * 1024
_HEAD: Final[LiteralString] = """
SELECT size, note FROM ledger.checkpoint WHERE workspace_id = %s ORDER BY epoch DESC, size DESC LIMIT 1
"""
_NOTES: Final[LiteralString] = """
SELECT number, note FROM ledger.note WHERE number > %s AND number <= %s ORDER BY number LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Shipment:
    """Checkpoints of workspaces, (number in the log of logs, note), and the log of logs' own that covers them."""

    notes: Sequence[tuple[int, str]]
    head: str


class Target(Protocol):
    """Raises UnavailableError where it did not take a shipment."""

    @property
    def name(self) -> str: ...

    def take(self, shipment: Shipment) -> None: ...


@dataclass(frozen=True, slots=True)
class ToFile:
    """A line of JSON each, on the disk before it counts. Put it where nobody here can change what it holds."""

    path: Path

    @property
    def name(self) -> str:
        return f"file:{self.path.absolute()}"

    def take(self, shipment: Shipment) -> None:
        lines = [{"number": number, "note": note} for number, note in shipment.notes]
        write(self.path, [*lines, {"note": shipment.head}])


@dataclass(frozen=True, slots=True)
class ToWebhook:
    """One POST a page: {head, notes: [{number, note}]}. Any address is the operator's to choose; redirects are not followed."""

    url: str

    @property
    def name(self) -> str:
        return f"webhook:{self.url}"

    def take(self, shipment: Shipment) -> None:
        notes = [{"number": number, "note": note} for number, note in shipment.notes]
        post(self.url, json.dumps({"head": shipment.head, "notes": notes}).encode(), "application/json")


def write(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Add lines with the time of writing. Raises: UnavailableError."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    text = "".join(json.dumps({"at": at, **line}) + "\n" for line in lines)
    try:
        with path.open("a") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise UnavailableError(f"{path} cannot be written ({exc.strerror}).") from exc


def post(url: str, body: bytes, media: str) -> bytes:
    """The answer to a POST. Raises: UnavailableError: no answer in time, or another than 2xx; a redirect is none."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{url}: expected a URL http://… or https://….")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"Content-Type": media, "User-Agent": "crm-es anchor"})
        answer = connection.getresponse()
        read = answer.read(LONGEST_ANSWER + 1)
    except (OSError, HTTPException) as exc:
        raise UnavailableError(
            f"{parts.scheme}://{parts.hostname} did not take it: {exc or type(exc).__name__}."
        ) from exc
    finally:
        connection.close()
    if not 200 <= answer.status < 300 or len(read) > LONGEST_ANSWER:  # noqa: PLR2004
        raise UnavailableError(f"{parts.scheme}://{parts.hostname} did not take it: status {answer.status}.")
    return read


class Places:
    """How far each target is, in a file beside the data. Lost, everything is shipped again, which harms nobody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def __getitem__(self, name: str) -> int:
        return self._known.get(name, 0)

    def __setitem__(self, name: str, number: int) -> None:
        self._known[name] = number
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.write_text(json.dumps(self._known, indent=2, sort_keys=True) + "\n")
        beside.rename(self._path)


def ship(connection: Connection[Any], target: Target, places: Places) -> int:
    """Everything the target does not have yet; how many checkpoints that were. Raises: UnavailableError."""
    connection.execute("SELECT set_config('app.workspace', %s, false)", [str(NIL)])
    head = connection.execute(_HEAD, [NIL]).fetchone()
    if head is None:
        return 0
    size, note = head
    if places[target.name] > size:  # the log of logs was begun anew after a loss: all of it is news
        places[target.name] = 0
    shipped = 0
    while rows := connection.execute(_NOTES, [places[target.name], size, PAGE]).fetchall():
        target.take(Shipment(rows, note))
        places[target.name] = rows[-1][0]
        shipped += len(rows)
    return shipped
