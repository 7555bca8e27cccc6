"""Reading a mapping: what it says, and how it is refused."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_es.imports.mapping import Template, parse_datetime, parse_mapping, read_mapping
from crm_es.imports.table import MappingError

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"

WHOLE = """
name = "people"
zone = "Europe/Berlin"
key = "email"

[file]
format = "tsv"
encoding = "cp1252"

[record.person]
type = "Contact"
system = "crm"
value = "{email}"

[[step]]
mutation = "registerContact"
when = [{ record = "person", exists = false }, { column = "kind", is = ["person", "lead"] }]
[step.input]
displayName = { column = "name" }
"""


def problems_of(text: str) -> str:
    with pytest.raises(MappingError) as raised:
        parse_mapping(text, source="people.toml")
    return raised.value.message


def test_a_mapping_says_what_it_says():
    mapping = parse_mapping(WHOLE, source="people.toml")

    assert mapping.name == "people"
    assert mapping.zone == ZoneInfo("Europe/Berlin")
    assert mapping.key == ("email",)
    assert mapping.shape.delimiter == "\t"
    assert mapping.records["person"].value.columns == ("email",)
    [step] = mapping.steps
    assert [(c.record, c.column, c.test, c.values, c.expected) for c in step.when] == [
        ("person", None, "exists", (), False),
        (None, "kind", "is", ("person", "lead"), True),
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_example_reads(path):
    assert read_mapping(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('name = "people"', ""), "name: is missing"),
        (('zone = "Europe/Berlin"', 'zone = "Berlin"'), 'zone: "Berlin" is not an IANA time zone'),
        (('format = "tsv"', 'format = "xlsx"'), 'file.format: "xlsx" is none of csv, tsv, blanks, jsonl'),
        (('encoding = "cp1252"', 'encoding = "latin9000"'), 'file.encoding: "latin9000" is not an encoding'),
        (('encoding = "cp1252"', "header = false"), "file.columns: is missing: without a header line"),
        (('encoding = "cp1252"', 'delimiter = ";;"'), 'file.delimiter: must be one character, is ";;"'),
        (('system = "crm"', ""), "record.person.system: is missing"),
        (('"{email}"', '"email"'), 'record.person.value: must name a column in braces, as "{id}"'),
        (
            ('value = "{email}"', 'value = "{email}"\nconstant = "x"'),
            "record.person.constant: does not go with `value`",
        ),
        (('value = "{email}"', 'value = "{email}"\nwithin = "firm"'), 'record.person.within: "firm" is no record'),
        (('value = "{email}"', 'value = "{email}"\nwithin = "firm"'), 'record.person.within: goes with `by = "name"`'),
        (
            ('value = "{email}"', 'value = "{email}"\nmap = "people"'),
            "record.person.map: no [map.people] in this mapping",
        ),
        (('"{email}"', '"{email"'), 'record.person.value: "{email" is not a template'),
        (('record = "person"', 'record = "persons"'), 'no [record.persons] in this mapping; did you mean "person"?'),
        (("exists = false", "exist = false"), "step[1].when[1]: needs exactly one of exists"),
        (('is = ["person", "lead"]', "is = 3"), "step[1].when[2].is: must be text, or a list of texts"),
        (
            ("exists = false }", "exists = false }, { changed = ['kind'] }"),
            "follows: is missing: the columns by which rows",
        ),
        (("exists = false }", "exists = false }, { changed = 3 }"), "step[1].when[2].changed: must be text"),
        (('{ column = "kind", is', '{ colum = "kind", is'), "step[1].when[2]: tests a `column`, a `previous` one or"),
        (("mutation =", "mutatoin ="), 'step[1].mutatoin: is not a key here; did you mean "mutation"?'),
        (("[[step]]", "[[step]]\npass = 3"), "step[1].pass: must be 1 or 2"),
        (("[[step]]", "[[steps]]"), 'steps: is not a key here; did you mean "step"?'),
    ],
    ids=lambda change: change[1] if isinstance(change, tuple) else "",
)
def test_a_wrong_key_is_named_with_its_mend(change, expected):
    assert expected in problems_of(WHOLE.replace(*change))


def test_all_problems_are_told_at_once():
    message = problems_of(WHOLE.replace('name = "people"', "").replace('"tsv"', '"xls"'))

    assert "name: is missing" in message
    assert "file.format" in message


def test_text_that_is_no_toml_is_refused_with_its_place():
    assert "line 1" in problems_of("name = people")


def test_a_record_goes_by_the_word_that_a_spelling_means():
    text = WHOLE.replace('value = "{email}"', 'value = "{email}"\nmap = { "ADA@X" = "ada@x" }')
    record = parse_mapping(text, source="people.toml").records["person"]

    assert [record.key({"email": cell}) for cell in ("ADA@X", "bob@x", "")] == ["ada@x", "bob@x", ""]
    assert record.place == "email"


def test_a_constant_names_one_record_for_all_rows():
    text = WHOLE.replace('value = "{email}"', 'constant = "{us}"')
    record = parse_mapping(text, source="people.toml").records["person"]

    assert (record.key({}), record.place) == ("{us}", '"{us}"')


def test_a_template_is_empty_when_one_of_its_columns_is():
    template = Template(text="Customer {id} of {shop}")

    assert template.fill({"id": "7", "shop": "CD{Now}"}) == "Customer 7 of CD{Now}"
    assert template.fill({"id": "7", "shop": ""}) == ""


def test_a_day_without_a_time_starts_in_its_zone():
    moment = parse_datetime("3/1/2017", "%m/%d/%Y", ZoneInfo("Europe/Berlin"))

    assert moment.astimezone(UTC) == datetime(2017, 2, 28, 23, tzinfo=UTC)
    assert parse_datetime("2017-03-01T10:00:00Z", None, ZoneInfo("Asia/Tokyo")).hour == 10
