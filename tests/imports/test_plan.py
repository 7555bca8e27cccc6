"""A mapping bound to a schema: inputs row by row, and every key that does not fit."""

from zoneinfo import ZoneInfo

import pytest
from graphql import build_schema

from crm_es.imports.identity import RowIdentity
from crm_es.imports.inputs import RecordRef, RowProblem
from crm_es.imports.mapping import parse_mapping
from crm_es.imports.plan import make_plan
from crm_es.imports.table import MappingError

SCHEMA = build_schema("""
scalar Decimal scalar DateTime scalar Date
enum Kind { PERSON ROBOT }
type Contact { id: ID! }
type Query { contact: Contact }
input MoneyInput { amount: Decimal!, currency: String! }
input EmailInput { address: String!, primary: Boolean }
input RegisterInput {
  name: String!, kind: Kind, age: Int, share: Float, born: Date, seen: DateTime, worth: MoneyInput, active: Boolean
  emails: [EmailInput!], tags: [String!], friendId: ID, commandId: ID, size: Kind! = PERSON }
input NoteInput { channel: String, externalId: String, body: String }
input NotesInput { notes: [NoteInput!]!, allOrNone: Boolean! = true, commandId: ID }
type Problem { code: String, message: String, field: [String!], rule: String }
type Payload { position: String, replayed: Boolean, userErrors: [Problem!]! }
type Row { index: Int!, created: Boolean!, userErrors: [Problem!]! }
type RowsPayload { position: String, replayed: Boolean, rows: [Row!]!, userErrors: [Problem!]! }
type Mutation {
  register(input: RegisterInput!): Payload! note(input: NoteInput!): Payload! notes(input: NotesInput!): RowsPayload! }
""")
IDENTITY = RowIdentity(key="k#1", digest="d")
FRIEND = '[map.kinds]\nr = "ROBOT"\n[record.friend]\ntype = "Contact"\nsystem = "s"\nvalue = "{friend}"\n'


def worth(options: str = "") -> str:
    cell = ", ".join(filter(None, ["column = 'a'", options]))
    return f"worth = {{ amount = {{ {cell} }}, currency = 'USD' }}"


def dollars(amount: str) -> dict:
    return {"worth": {"amount": amount, "currency": "USD"}}


def plan(inputs: str, *, columns: str = "a b friend", mutation: str = "register"):
    text = f'name = "m"\n{FRIEND}[[step]]\nmutation = "{mutation}"\n[step.input]\n{inputs}'
    mapping = parse_mapping(text, source="m.toml")
    return make_plan(mapping, SCHEMA, tuple(columns.split()), ZoneInfo("Asia/Tokyo"), "m.toml")


def build(inputs: str, *, mutation: str = "register", **cells: str):
    made = plan(inputs, columns=" ".join([*cells, "friend"]), mutation=mutation)
    [step] = made.steps
    return step.build(made.view({"friend": "", **cells}), IDENTITY, "m")


@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        ("age = { column = 'a' }", "42", {"age": 42}),
        ("age = { column = 'a', scale = '1000' }", "1.5", {"age": 1500}),
        ("share = { column = 'a', scale = '0.01' }", "25", {"share": 0.25}),
        (worth(), "29.30", dollars("29.30")),
        (worth("scale = '1000000'"), "1100.04", dollars("1100040000")),
        (worth("decimal_mark = ','"), "1,5", dollars("1.5")),
        (worth(), "", {}),
        ("kind = { column = 'a', map = { p = 'PERSON' } }", "p", {"kind": "PERSON"}),
        ("kind = { column = 'a', map = 'kinds' }", "r", {"kind": "ROBOT"}),
        ("kind = { column = 'a', map = { p = 'PERSON' }, otherwise = 'empty' }", "x", {}),
        ("kind = { column = 'a', default = 'ROBOT' }", "", {"kind": "ROBOT"}),
        ("born = { column = 'a', format = '%d.%m.%Y' }", "24.12.1999", {"born": "1999-12-24"}),
        ("seen = { column = 'a' }", "1999-12-24", {"seen": "1999-12-23T15:00:00Z"}),
        ("seen = { column = 'a', zone = 'UTC' }", "1999-12-24", {"seen": "1999-12-24T00:00:00Z"}),
        ("active = { column = 'a' }", "Yes", {"active": True}),
        ("tags = ['x', { column = 'a' }]", "", {"tags": ["x"]}),
        ("tags = { column = 'a', split = ';' }", "x; y;;", {"tags": ["x", "y"]}),
        ("emails = [{ address = { column = 'a' }, primary = true }]", "", {}),
        ("emails = [{ address = { template = '{a}@x.org' } }]", "ada", {"emails": [{"address": "ada@x.org"}]}),
        ("friendId = { record = 'friend' }", "", {}),
        ("friendId = { record = 'friend', empty = 'null' }", "", {"friendId": None}),
        ("friendId = { null = true }", "", {"friendId": None}),
        ("age = { column = 'a', empty = 'null' }", "", {"age": None}),
        ("age = { column = 'a', empty = 'null' }", "7", {"age": 7}),
    ],
)  # fmt: skip
def test_a_cell_becomes_what_its_field_takes(field, cell, expected):
    assert build(f"name = 'n'\n{field}", a=cell) == {"name": "n", **expected}


def test_a_relation_is_known_by_its_key_until_it_is_looked_up():
    built = build("name = 'n'\nfriendId = { record = 'friend' }", friend="Bob")

    assert built["friendId"] == RecordRef(record="friend", key="Bob")


@pytest.mark.parametrize(
    ("field", "cell", "path", "reason"),
    [
        ("age = { column = 'a' }", "4.5", ("age",), "a must be a whole number."),
        ("age = { column = 'a' }", "1_000", ("age",), 'a must be a number with the decimal mark "." and no other.'),
        (worth(), "1,000.00", ("worth", "amount"), "no other"),
        ("kind = { column = 'a', map = { p = 'PERSON' } }", "x", ("kind",), "the mapping's `map` does not list"),
        ("seen = { column = 'a', format = '%Y%m%d' }", "19971301", ("seen",), "a must be a date in the format %Y%m%d."),
        ("active = { column = 'a' }", "maybe", ("active",), "true or false"),
        ("emails = [{ address = { column = 'a' }, primary = { column = 'b' } }]", "", ("emails", "0", "address"), "a is empty"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_is_refused_at_its_field(field, cell, path, reason):
    with pytest.raises(RowProblem) as raised:
        build(f"name = 'n'\n{field}", a=cell, b="yes")

    assert raised.value.field == path
    assert reason in raised.value.reason


def test_a_required_field_that_is_empty_refuses_the_row():
    with pytest.raises(RowProblem, match="required and a is empty"):
        build("name = { column = 'a' }", a="")


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("nmae = 'x'", 'step[1].input.nmae: is no field of RegisterInput; did you mean "name"?'),
        ("age = 3", "step[1].input.name: is missing: RegisterInput requires it"),
        ("name = 'x'\nage = 'old'", "step[1].input.age: Int cannot"),
        ("name = 'x'\nkind = 'PERSN'", "PERSON"),
        ("name = 'x'\nkind = { column = 'a', map = { p = 'PERSN' } }", '"PERSN" is no Kind; did you mean "PERSON"?'),
        ("name = 'x'\nage = { column = 'c' }", 'step[1].input: the file has no column "c"'),
        ("name = 'x'\nage = { column = 'a', scale = 'million' }", 'input.age.scale: "million" is not a factor'),
        ("name = 'x'\nage = { column = 'a', fromat = 'x' }", 'fromat: is not a key here; did you mean "format"?'),
        ("name = 'x'\nage = { column = 'a', split = ';' }", "gives several values, and this field takes one"),
        ("name = 'x'\nworth = { column = 'a' }", "needs a table with fields of MoneyInput, not one cell"),
        ("name = 'x'\nkind = { column = 'a', map = 'kind' }", 'no [map.kind] in this mapping; did you mean "kinds"?'),
        ("name = 'x'\nkind = { column = 'a', map = { p = 3 } }", "must be a table from text to text"),
        ("name = 'x'\nfriendId = { record = 'frend' }", 'no [record.frend] in this mapping; did you mean "friend"?'),
        ("name = { null = true }", "step[1].input.name.null: does not go with String!"),
        ("name = { column = 'a', empty = 'null' }", "step[1].input.name.empty: does not go with String!"),
        ("name = 'x'\ntags = { column = 'a', empty = 'null' }", "input.tags.empty: does not go with [String!]"),
        ("name = 'x'\nfriendId = { null = false }", "input.friendId.null: is true, or left out"),
        ("name = { record = 'friend' }", "gives an id, and this field takes String"),
        ("name = 'x'\ncommandId = 'y'", "is set by the import itself"),
    ],
)
def test_a_key_that_does_not_fit_the_schema_is_named(inputs, expected):
    with pytest.raises(MappingError) as raised:
        plan(inputs)

    assert expected in raised.value.message


def test_an_unknown_mutation_is_named_with_the_nearest():
    with pytest.raises(MappingError, match='no mutation "registr"; did you mean "register"'):
        plan("name = 'x'", mutation="registr")


def test_the_batch_of_a_mutation_is_found_by_its_shape():
    [note] = plan("body = { column = 'a' }", mutation="note").steps
    [register] = plan("name = 'x'").steps

    assert (note.batched.mutation, note.batched.field) == ("notes", "notes")
    assert register.batched is None


def test_what_is_recorded_from_a_row_is_named_by_the_row():
    built = build("body = { column = 'a' }", mutation="note", a="x")

    assert built == {"body": "x", "channel": "m", "externalId": "k#1"}


def test_rows_that_say_the_same_are_recorded_under_names_of_their_own():
    made = plan("body = { column = 'a' }", mutation="note")
    [step] = made.steps
    view = made.view({"a": "x", "b": "", "friend": ""})

    built = [step.build(view, RowIdentity(key=key, digest="d"), "m") for key in ("k#1", "k#2")]

    assert [(one["body"], one["externalId"]) for one in built] == [("x", "k#1"), ("x", "k#2")]
