"""Adds to the frozen corpus what it lacks: one stored event of each topic and schema, as the log keeps it.

    python -m tests.eventstore.freeze

What is there is never written again: `corpus/<aggregate>.jsonl` shows that what was stored once is read for ever. Each
line holds the stored bytes as text (`state`) and the event they open to (`opened`). The keys are in `corpus/keys.sqlite`,
under a root key that protects nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.canonical import encode_exact
from crm_es.eventstore.codec import Codec, hole_of
from crm_es.eventstore.event import (
    Actor,
    ActorKind,
    Change,
    Command,
    Event,
    ImportOrigin,
    Origin,
    StreamId,
    WorkspaceId,
)
from crm_es.privacy.keystore import KeyStore
from tests.eventstore.one_of_each import one_of

CORPUS: Final = Path(__file__).parent / "corpus"
KEYS: Final = CORPUS / "keys.sqlite"
ROOT: Final = bytes(range(32))
WORKSPACE: Final = WorkspaceId(UUID("0190163d-0000-7000-8000-000000000001"))
RECORDED_AT: Final = b"2026-03-01T12:00:00.000001Z"


def lines(aggregate: str) -> list[dict[str, Any]]:
    """What is frozen of an aggregate."""
    file = CORPUS / f"{aggregate}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def name(state: str) -> tuple[str, int]:
    """Topic and schema of a stored event."""
    envelope = json.loads(state)
    return envelope["type"], envelope["schema"]


def opened(event: Event) -> Any:
    """The event as plain JSON, to compare."""
    return json.loads(encode_exact(event))


def missing() -> Iterator[tuple[str, type[Event]]]:
    """The classes whose present schema is not frozen yet, each with its aggregate."""
    for aggregate in AGGREGATES:
        frozen = {name(line["state"]) for line in lines(aggregate.name)}
        for event_class in aggregate.events:
            if (event_class.TOPIC, getattr(event_class, "SCHEMA", 1)) not in frozen:
                yield aggregate.name, event_class


def stored(codec: Codec, event: Event) -> bytes:
    """The bytes that the log would keep, with every part of the envelope."""
    stream = StreamId(uuid5(WORKSPACE, event.TOPIC))
    command = Command(
        workspace=WORKSPACE,
        command_id=uuid5(stream, "command"),
        request_hash=b"\0" * 32,
        actor=Actor(kind=ActorKind.MEMBER, id=uuid5(stream, "actor"), auth="jwt", session="s1"),
        correlation_id=uuid5(stream, "correlation"),
        origin=Origin(client="crm", address="192.0.2.0/24", import_=ImportOrigin(id=uuid5(stream, "import"), row=1)),
        causation_id=uuid5(stream, "causation"),
        reason="for the corpus",
    )
    change = Change(stream=stream, version=1, event=event, via=uuid5(stream, "via"))
    keys = {
        person: codec.keys.take(WORKSPACE)
        for person in sorted(codec.persons(event, command.reason, change.via), key=str)
    }
    state = codec.encode(command, change, keys.pop(None, None), keys)
    hole = hole_of(state)
    return state[:hole] + RECORDED_AT + state[hole + len(RECORDED_AT) :]


def freeze() -> None:
    CORPUS.mkdir(exist_ok=True)
    keys = KeyStore.open(KEYS, ROOT)
    codec = Codec(AGGREGATES, keys)
    for aggregate, event_class in list(missing()):
        event = one_of(event_class)
        line = {"state": stored(codec, event).decode(), "opened": opened(event)}
        with (CORPUS / f"{aggregate}.jsonl").open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    keys.close()


if __name__ == "__main__":
    freeze()
