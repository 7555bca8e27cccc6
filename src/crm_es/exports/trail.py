"""The audit trail as a view: of every event each field it changed, who did it, when, where from, why, before and after.

Values are folded in the order of the log. The states of streams met lately are kept; an older one is folded again from its
stream, so memory does not grow with the log.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg

from crm_es.api.answers import as_json
from crm_es.eventstore.codec import Stored
from crm_es.eventstore.event import Erased, Fact
from crm_es.exports.view import TOMBSTONE, Field, Kind, Row, View
from crm_es.workspaces.folding import aggregate_of, changed, moments_of

PAGE: Final = 2_000
REMEMBERED: Final = 20_000
Decode = Callable[[Sequence[Stored]], Iterable[Fact]]

_T, _N, _M, _B = Kind.TEXT, Kind.INTEGER, Kind.MOMENT, Kind.BOOLEAN
VIEW: Final = View(
    name="audit_trail",
    description="A row for every field that an event changed; an event that changed none has one, without a field.",
    key=("position", "field"),
    fields=tuple(
        Field(name=name, kind=kind, description=said, personal=name in {"before", "after", "reason", "actorName"})
        for name, kind, said in (
            ("position", _N, "The event's place in the log."),
            ("recordedAt", _M, "When it was recorded."),
            ("occurredAt", _M, "When it happened in the world."),
            ("type", _T, "Its topic."),
            ("entityType", _T, "What kind of record it is about."),
            ("entityId", _T, "Which."),
            ("version", _N, "Its place in the record's own history."),
            ("field", _T, "The field that changed, by its name in the API."),
            ("before", _T, "The value before: text as it is, anything else as JSON."),
            ("after", _T, "The value after."),
            ("erased", _B, "Values of this event are destroyed for ever."),
            ("actorKind", _T, "Who: a person, a program, or crm-es itself."),
            ("actorId", _T, "The member or API key."),
            ("actorName", _T, "What they are called at the export's position."),
            ("onBehalfOf", _T, "Whom they acted for."),
            ("authenticatedBy", _T, "How they proved who they are."),
            ("client", _T, "Where from: what the client called itself."),
            ("address", _T, "Its network, cut to /24 or /48."),
            ("importId", _T, "The import it came with."),
            ("importRow", _N, "The row of its file."),
            ("reason", _T, "Why, in the words of whoever did it."),
            ("via", _T, "The absorbed record's id the command named."),
            ("commandId", _T, "The request that caused it."),
            ("correlationId", _T, "What belongs together across requests."),
            ("causationId", _T, "Its direct cause."),
        )
    ),
)
_PAGE: Final = """
SELECT notification_id, sequence, state
FROM es.events
WHERE workspace_id = %(workspace)s AND sequence > %(after)s AND sequence <= %(upto)s
ORDER BY sequence
LIMIT %(limit)s
"""
_POSITIONS: Final = """
SELECT sequence
FROM es.events
WHERE workspace_id = %s AND originator_id = ANY (%s) AND sequence > %s AND sequence <= %s
ORDER BY sequence
"""
_AT: Final = """
SELECT notification_id, sequence, state
FROM es.events
WHERE workspace_id = %(workspace)s AND sequence = ANY (%(positions)s)
ORDER BY sequence
"""
_EARLIER: Final = """
SELECT notification_id, sequence, state
FROM es.events
WHERE workspace_id = %(workspace)s AND originator_id = ANY (%(streams)s) AND sequence <= %(upto)s
  AND (originator_id, originator_version) > (%(stream)s, %(version)s)
ORDER BY originator_id, originator_version
LIMIT %(limit)s
"""


@dataclass(slots=True)
class _Stream:
    """A record as folded so far, by the names of the API."""

    version: int = 0
    state: Any = None
    moments: Mapping[str, object] = field(default_factory=dict)

    def shown(self, fact: Fact) -> Mapping[str, object]:
        return {} if self.version == 0 else {**aggregate_of(_kind(fact)).fields(self.state), **self.moments}

    def evolve(self, fact: Fact) -> None:
        self.state = aggregate_of(_kind(fact)).evolve(self.state, fact.event)
        self.moments = {**self.moments, **moments_of(fact, self.state)}
        self.version = fact.version


class Trail:
    """Of one workspace up to a position. `names` are those of actors, by their ids."""

    def __init__(
        self, connection: psycopg.Connection[Any], decode: Decode, workspace: UUID, position: int,
        names: Mapping[UUID, str | None],
    ) -> None:  # fmt: skip
        self._connection = connection
        self._decode = decode
        self._workspace = workspace
        self._position = position
        self._names = names
        self._known: OrderedDict[UUID, _Stream] = OrderedDict()

    def pages(
        self, first: int = 1, last: int | None = None, only: Callable[[Sequence[int]], set[int]] | None = None,
        streams: Sequence[UUID] | None = None,
    ) -> Iterator[list[Row]]:  # fmt: skip
        """From one position to another, of `streams` or all; `only` picks the positions of a page that are wanted."""
        upto = self._position if last is None else min(last, self._position)
        for facts in self._all(first - 1, upto) if streams is None else self._of(streams, first - 1, upto):
            wanted = None if only is None else only([fact.position for fact in facts])
            self._recall(facts)
            rows = [row for fact in facts for row in self._rows(fact) if wanted is None or fact.position in wanted]
            self._forget()
            if rows:
                yield rows

    def _all(self, after: int, upto: int) -> Iterator[list[Fact]]:
        while facts := self._facts(_PAGE, after=after, upto=upto, limit=PAGE):
            after = facts[-1].position
            yield facts

    def _of(self, streams: Sequence[UUID], after: int, upto: int) -> Iterator[list[Fact]]:
        """A contact's streams are few events among many: nothing else is read."""
        asked = [self._workspace, list(streams), after, upto]
        positions = [row[0] for row in self._connection.execute(_POSITIONS, asked)]
        for start in range(0, len(positions), PAGE):
            yield self._facts(_AT, positions=positions[start : start + PAGE])

    def _facts(self, statement: Any, **asked: Any) -> list[Fact]:
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(statement, {"workspace": self._workspace, **asked})
            return list(self._decode([Stored(*row) for row in cursor.fetchall()]))

    def _recall(self, facts: Sequence[Fact]) -> None:
        """Fold what came before of the page's streams that are not at hand, a page at a time."""
        began = {fact.stream for fact in facts if fact.version == 1}
        missing = {fact.stream for fact in facts} - began - self._known.keys()
        self._known |= {stream: _Stream() for stream in began | missing}
        if missing:
            asked = {"streams": list(missing), "upto": facts[0].position - 1, "limit": PAGE}
            at: dict[str, Any] = {"stream": UUID(int=0), "version": 0}
            while earlier := self._facts(_EARLIER, **asked, **at):
                for fact in earlier:
                    self._known[fact.stream].evolve(fact)
                at = {"stream": earlier[-1].stream, "version": earlier[-1].version}

    def _forget(self) -> None:
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _rows(self, fact: Fact) -> Iterator[Row]:
        stream = self._known[fact.stream]
        self._known.move_to_end(fact.stream)
        before = stream.shown(fact)
        stream.evolve(fact)
        after = stream.shown(fact)
        head, tail = _head(fact), self._tail(fact)
        for name in changed(fact, before, after) or (None,):
            yield (*head, name, _value(before, name), _value(after, name), *tail)

    def _tail(self, fact: Fact) -> Row:
        actor, run = fact.actor, fact.origin.import_
        return (
            bool(fact.erased), str(actor.kind), _id(actor.id), self._called(actor.id), _id(actor.on_behalf_of), actor.auth,
            fact.origin.client, fact.origin.address, _id(run.id if run else None), run.row if run else None, _reason(fact),
            _id(fact.via), str(fact.command_id), str(fact.correlation_id), _id(fact.causation_id),
        )  # fmt: skip

    def _called(self, id_: UUID | None) -> str | None:
        return None if id_ is None else self._names.get(id_)


def _head(fact: Fact) -> Row:
    return (fact.position, fact.recorded_at, fact.occurred_at, fact.topic, _kind(fact), str(fact.stream), fact.version)


def _kind(fact: Fact) -> str:
    return fact.topic.partition(".")[0]


def _id(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _reason(fact: Fact) -> str | None:
    return TOMBSTONE if isinstance(fact.reason, Erased) else fact.reason


def _value(shown: Mapping[str, object], name: str | None) -> str | None:
    value = None if name is None else shown.get(name)
    if value is None or type(value) is str:  # most of them
        return value
    if isinstance(value, Erased):
        return TOMBSTONE
    plain = as_json(value)
    if plain is None or isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
