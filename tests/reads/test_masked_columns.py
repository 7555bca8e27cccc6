"""Columns that two fields share: masking one empties it, and not the other."""

import pytest

from crm_es.reads.model import read_of
from crm_es.sales.graphql import Deal


@pytest.mark.parametrize(
    ("masked", "columns"),
    [
        ({"weightedAmount"}, {"weighted_minor"}),
        ({"amount"}, {"amount_minor", "amount_value"}),
        ({"amount", "weightedAmount"}, {"weighted_minor", "amount_minor", "amount_value", "amount_currency"}),
        ({"name"}, {"name"}),
    ],
)
def test_what_another_field_needs_beside_its_own_value_is_read_all_the_same(masked, columns):
    assert read_of(Deal).masked(frozenset(masked)) == columns
