"""Bytes and back: what is written is read again, what cannot be kept is refused, what cannot be opened is said so."""

import atexit
import json
import secrets
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from crm_es.errors import InvalidInputError, KeyUnavailableError
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.codec import LARGEST_STATE, Codec, Stored, hole_of
from crm_es.eventstore.event import ERASED, Actor, ActorKind, Change, ImportOrigin, Origin, pii
from crm_es.privacy.keystore import KeyStore
from crm_es.values import Money
from tests.eventstore.samples import (
    AGGREGATES,
    FIRM,
    FirmFounded,
    PersonAdded,
    PersonChanged,
    VisitLinked,
    VisitRecorded,
    VisitRedacted,
    command,
)

RECORDED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
WORKSPACE, STREAM = UUID(int=1), UUID(int=2)
DIRECTORY = Path(tempfile.mkdtemp(prefix="crm-es-codec-"))
atexit.register(shutil.rmtree, DIRECTORY)
KEYS = KeyStore.open(DIRECTORY / "keys.sqlite", secrets.token_bytes(32))
CODEC = Codec(AGGREGATES, KEYS)


def stored(codec, asked, change, key=None):
    """What the log would hold."""
    needed = (key or codec.keys.take(asked.workspace)) if codec.needs_key(change.event, asked.reason) else None
    state = codec.encode(asked, change, needed, {change.via: needed} if change.via and needed else {})
    hole = hole_of(state)
    return Stored(11, 7, state[:hole] + f"{RECORDED:%Y-%m-%dT%H:%M:%S.%fZ}".encode() + state[hole + 27 :])


def fact_of(event, codec=CODEC, **envelope):
    change = Change(stream=STREAM, version=envelope.pop("version", 1), event=event, via=envelope.pop("via", None))
    return codec.decode(stored(codec, command(WORKSPACE, **envelope), change))


text = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
personal = st.none() | st.just(UNSET) | text
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(-(2**70), 2**70)
events = st.one_of(
    st.builds(PersonAdded, name=personal, email=personal, tags=st.lists(text).map(tuple)),
    st.builds(PersonChanged, name=personal, email=personal, city=personal),
    st.builds(
        VisitRecorded,
        person_ids=st.lists(st.uuids()).map(tuple),
        body=personal,
        at=st.just(UNSET) | moments,
        seconds=st.just(UNSET) | numbers,
        amount=st.none() | st.just(UNSET) | st.builds(Money, numbers, st.sampled_from(["EUR", "USD", "JPY"])),
        quantity=st.just(UNSET) | st.decimals(allow_nan=False, allow_infinity=False),
    ),
    st.builds(VisitLinked, person_ids=st.lists(st.uuids()).map(tuple)),
    st.builds(VisitRedacted, body=personal),
    st.builds(FirmFounded, name=text, domain=st.none() | text),
)
actors = st.builds(
    Actor, kind=st.sampled_from(ActorKind), id=st.none() | st.uuids(), on_behalf_of=st.none() | st.uuids(),
    auth=st.none() | text, session=st.none() | text,
)  # fmt: skip
origins = st.builds(
    Origin, client=st.none() | text, address=st.none() | text,
    import_=st.none() | st.builds(ImportOrigin, id=st.uuids(), row=st.integers(1, 10**9)),
)  # fmt: skip


envelopes = st.fixed_dictionaries(
    {
        "actor": actors,
        "origin": origins,
        "reason": st.none() | text,
        "via": st.none() | st.uuids(),
        "occurred_at": st.none() | moments,
        "causation_id": st.none() | st.uuids(),
        "command_id": st.uuids(),
        "correlation_id": st.uuids(),
    }
)


@given(events, envelopes)
def test_every_event_comes_back_with_its_envelope(event, envelope):
    fact = fact_of(event, **envelope)

    assert fact.event == event
    assert {name: getattr(fact, name) for name in envelope} == {
        **envelope,
        "occurred_at": envelope["occurred_at"] or RECORDED,
    }
    assert fact.recorded_at == RECORDED
    assert (fact.position, fact.log_id, fact.version, fact.stream) == (7, 11, 1, STREAM)


@given(events)
def test_the_bytes_are_canonical(event):
    row = stored(CODEC, command(WORKSPACE), Change(stream=STREAM, version=1, event=event))

    body = json.loads(row.state, parse_float=lambda text: pytest.fail(f"a float: {text}"))

    assert row.state == json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    assert set(body) == {
        "actor", "causation_id", "command_id", "correlation_id", "data", "occurred_at", "origin", "reason", "recorded_at",
        "schema", "stream", "type", "version", "via", "workspace",
    }  # fmt: skip


def test_integers_beyond_53_bits_and_money_are_strings():
    event = VisitRecorded(seconds=2**53, amount=Money(2933, "USD"), quantity=Decimal("1.50"))

    data = json.loads(stored(CODEC, command(WORKSPACE), Change(stream=STREAM, version=1, event=event)).state)["data"]

    assert data["seconds"] == "9007199254740992"
    assert data["amount"] == {"currency": "USD", "minor": "2933"}
    assert data["quantity"] == "1.50"


@pytest.mark.parametrize("evil", ["a\x00b", "\ud800", "\\\x00", "\udfff tail"])
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda evil: PersonAdded(name=evil), ("name",)),
        (lambda evil: PersonAdded(tags=("fine", evil)), ("tags",)),
        (lambda evil: FirmFounded(name="fine", domain=evil), ("domain",)),
    ],
)
def test_text_that_cannot_be_kept_is_refused_by_field(evil, make, field):
    with pytest.raises(InvalidInputError) as refused:
        fact_of(make(evil))

    assert (refused.value.rule, refused.value.field) == ("text.unwritable", field)


def test_text_that_only_looks_like_nul_is_kept():
    assert fact_of(FirmFounded(name="\\u0000 and \\\\u0000")).event.name == "\\u0000 and \\\\u0000"


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    TOPIC: ClassVar[str] = "label.set"
    custom: dict[str, Any]


LABEL = Aggregate(
    name="label", events=(Labelled,), evolve=lambda _state, event: event, reservations=lambda _s, _e: frozenset(),
    fields=dict, touches=lambda _event: (),
)  # fmt: skip


@pytest.mark.parametrize("custom", [{"a\x00": "b"}, {"\ud800": "b"}, {"a": {"deep": ["\x00"]}}])
def test_keys_and_nested_text_are_looked_at_too(custom):
    with pytest.raises(InvalidInputError):
        fact_of(Labelled(custom=custom), Codec((LABEL,), KEYS))


def test_a_float_is_refused_wherever_it_stands():
    with pytest.raises(TypeError):
        fact_of(Labelled(custom={"a": [1.5]}), Codec((LABEL,), KEYS))


def test_an_event_class_with_a_float_is_refused_at_start():
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Weighed:
        TOPIC: ClassVar[str] = "label.weighed"
        kilos: float | None = None

    with pytest.raises(TypeError, match="float"):
        Codec((replace(LABEL, events=(Weighed,)),), KEYS)


def test_two_classes_of_one_topic_are_refused_at_start():
    with pytest.raises(ValueError, match=r"firm\.founded"):
        Codec((FIRM, FIRM), KEYS)


@pytest.mark.parametrize("event", [FirmFounded(name="x" * 70_000), PersonAdded(name="界" * 25_000)])
def test_what_is_too_long_is_refused_by_field(event):
    with pytest.raises(InvalidInputError) as refused:
        fact_of(event)

    assert (refused.value.rule, refused.value.field) == ("event.too_long", ("name",))


def test_ten_thousand_characters_of_any_script_fit():
    body = ("ب" * 2500) + ("界" * 2500) + ("😀" * 2500) + ("x" * 2500)

    row = stored(CODEC, command(WORKSPACE), Change(stream=STREAM, version=1, event=VisitRecorded(body=body)))

    assert len(row.state) <= LARGEST_STATE
    assert CODEC.decode(row).event.body == body


def test_a_destroyed_key_leaves_tombstones_and_the_rest():
    row = stored(
        CODEC,
        command(WORKSPACE, reason="why"),
        Change(stream=STREAM, version=1, event=PersonAdded(name="Ann", tags=("vip",))),
    )
    KEYS.destroy([CODEC.decode(row).key_id])

    fact = CODEC.decode(row)

    assert fact.event == PersonAdded(name=ERASED, tags=("vip",))
    assert (fact.erased, fact.reason) == ({"name"}, ERASED)


def test_a_key_that_is_nowhere_is_unavailable_and_never_erased():
    row = stored(CODEC, command(WORKSPACE), Change(stream=STREAM, version=1, event=PersonAdded(name="Ann")))
    elsewhere = Codec(AGGREGATES, KeyStore.open(DIRECTORY / "others.sqlite", secrets.token_bytes(32)))

    with pytest.raises(KeyUnavailableError):
        elsewhere.decode(row)


@pytest.mark.parametrize(
    "change",
    [
        Change(stream=STREAM, version=2, event=PersonAdded(name="Ann")),
        Change(stream=UUID(int=3), version=1, event=PersonAdded(name="Ann")),
        Change(stream=STREAM, version=1, event=PersonAdded(email="Ann")),
    ],
    ids=["version", "stream", "field"],
)
def test_a_sealed_value_opens_nowhere_but_in_its_place(change):
    key, asked = KEYS.take(WORKSPACE), command(WORKSPACE)
    one = stored(CODEC, asked, Change(stream=STREAM, version=1, event=PersonAdded(name="Ann")), key)
    other = stored(CODEC, asked, change, key)
    ours, theirs = (
        next(filter(None, map(json.loads(row.state)["data"].get, ("name", "email")))) for row in (one, other)
    )

    moved = other.state
    for part in ("c", "n"):
        moved = moved.replace(theirs[part].encode(), ours[part].encode())

    with pytest.raises(KeyUnavailableError):
        CODEC.decode(other._replace(state=moved))


def test_an_older_shape_is_lifted_step_by_step():
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Named:
        TOPIC: ClassVar[str] = "label.named"
        name: str = pii()
        colour: str

    @dataclass(frozen=True, kw_only=True, slots=True)
    class NamedNow:
        TOPIC: ClassVar[str] = "label.named"
        SCHEMA: ClassVar[int] = 3
        name: str = pii()
        shade: str
        size: int

    old = Codec((replace(LABEL, events=(Named,)),), KEYS)
    row = stored(old, command(WORKSPACE), Change(stream=STREAM, version=1, event=Named(name="Ann", colour="red")))
    now = Codec(
        (replace(LABEL, events=(NamedNow,)),),
        KEYS,
        {
            ("label.named", 1): lambda data: {"name": data["name"], "shade": data["colour"]},
            ("label.named", 2): lambda data: {**data, "size": 1},
        },
    )

    assert now.decode(row).event == NamedNow(name="Ann", shade="red", size=1)


def test_a_page_is_decoded_with_one_look_into_the_key_store():
    rows = [
        stored(CODEC, command(WORKSPACE), Change(stream=uuid4(), version=1, event=PersonAdded(name=f"n{n}")))
        for n in range(50)
    ]
    KEYS.forget_cached()
    asked, answer = [], KEYS._rows.keys
    KEYS._rows.keys = lambda ids: asked.append(ids) or answer(ids)
    try:
        facts = CODEC.decode_many(rows)
    finally:
        del KEYS._rows.keys

    assert [fact.event.name for fact in facts] == [f"n{n}" for n in range(50)]
    assert len(asked) == 1


def test_sealed_values_have_one_format_for_ever():
    row = stored(CODEC, command(WORKSPACE), Change(stream=STREAM, version=1, event=PersonAdded(name="Ann")))

    value = json.loads(row.state)["data"]["name"]

    assert list(value) == ["$pii", "c", "k", "n"]
    assert value["$pii"] == 1
    assert msgspec.convert(value["k"], UUID) == CODEC.decode(row).key_id
