"""A row is the same for ever, and two alike are two."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from crm_es.imports.identity import RowIdentities

WORKSPACE = UUID(int=7)


def identities(rows, key=()):
    counted = RowIdentities("shop", key)
    return [counted.identify(row) for row in rows]


def test_rows_alike_to_the_letter_are_told_apart_by_their_count():
    first, second = identities([{"a": "1"}, {"a": "1"}])

    assert (first.key, second.key) == ("1#1", "1#2")
    assert first.command_id(WORKSPACE, "s") != second.command_id(WORKSPACE, "s")


def test_a_row_with_the_key_of_another_and_other_cells_is_refused():
    first, second = identities([{"id": "1", "name": "Ada"}, {"id": "1", "name": "Bob"}], key=("id",))

    assert first is not None
    assert second is None


def test_a_command_id_is_of_workspace_step_row_and_reverts():
    [row] = identities([{"a": "1"}])

    ids = {
        row.command_id(WORKSPACE, "s"),
        row.command_id(UUID(int=8), "s"),
        row.command_id(WORKSPACE, "t"),
        row.command_id(WORKSPACE, "s", reverts=1),
    }
    assert len(ids) == 4


def test_a_long_key_is_a_digest():
    [row] = identities([{"body": "x" * 10_000}])

    assert len(row.key) < 40


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.text()}), max_size=12))
def test_no_two_rows_share_a_key_and_a_second_reading_agrees(rows):
    keys = [row.key for row in identities(rows)]

    assert len(set(keys)) == len(keys)
    assert keys == [row.key for row in identities(rows)]
