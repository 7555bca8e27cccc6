"""Global ids: what they name, and how they refuse."""

from base64 import urlsafe_b64encode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_es.api import ids
from crm_es.errors import InvalidInputError

ANN = UUID("01966c4e-7b0f-7000-8000-000000000001")


def test_an_id_is_the_base64_of_type_and_uuid_without_padding():
    assert ids.encode("Contact", ANN) == urlsafe_b64encode(f"Contact:{ANN}".encode()).decode().rstrip("=")


@given(
    st.sampled_from(["Contact", "ApiKey", "Event"]),
    st.uuids(),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.integers(1, 10**9) | st.uuids(),
)
def test_an_id_names_what_it_was_made_of(type_, uuid, at, sub):
    assert ids.decode(ids.encode(type_, uuid, at, sub)) == ids.NodeId(type_, uuid, at, sub)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "💥",
        "Contact:1",
        ids.encode("Contact", ANN) + "=",
        ids.encode("Contact", ANN) + "\n",
        ids.encode("Contact", ANN)[:-1],
        ids.encode("Contact", ANN) * 9,
        urlsafe_b64encode(f"Contact:{str(ANN).upper()}".encode()).decode().rstrip("="),
        urlsafe_b64encode(f"Contact:{ANN}@007".encode()).decode().rstrip("="),
        urlsafe_b64encode(f"Contact:{ANN}@9999999999999999999".encode()).decode().rstrip("="),
        urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="),
    ],
)
def test_any_other_text_is_malformed(bad):
    with pytest.raises(InvalidInputError) as refused:
        ids.decode(bad, ("id",))

    assert (refused.value.rule, refused.value.field) == ("id.malformed", ("id",))


@given(st.text(max_size=80))
def test_decoding_never_crashes(text):
    with pytest.raises(InvalidInputError):
        ids.decode(text)


def test_two_spellings_of_one_id_are_not_both_taken():
    canonical = ids.encode("Contact", ANN)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for letter in last:
        try:
            ids.decode(canonical[:-1] + letter)
        except InvalidInputError:
            continue
        accepted.append(letter)

    assert canonical[-1] in accepted
    assert all(
        ids.decode(canonical[:-1] + letter) != ids.decode(canonical) for letter in accepted if letter != canonical[-1]
    )


def test_a_past_id_is_refused_in_a_mutation():
    with pytest.raises(InvalidInputError) as refused:
        ids.live(ids.encode("Contact", ANN, 7), "Contact", field=("id",))

    assert refused.value.rule == "id.past"


def test_an_id_of_another_type_says_which_was_expected():
    with pytest.raises(InvalidInputError, match=r"Company.*Contact") as refused:
        ids.live(ids.encode("Company", uuid4()), "Contact")

    assert refused.value.rule == "id.wrong_type"
