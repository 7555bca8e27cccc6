"""What is accepted at the edge, what it becomes, and what each refusal says."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_es.currencies import DIGITS
from crm_es.errors import InvalidInputError
from crm_es.values import (
    CountryCode,
    DomainName,
    EmailAddress,
    Money,
    PhoneNumber,
    PostalAddress,
    Tag,
    email_key,
    joint_key,
    parse_body,
    parse_text,
)


def refused(parse, *arguments, **named):
    with pytest.raises(InvalidInputError) as refusal:
        parse(*arguments, **named)
    assert refusal.value.message
    return refusal.value.rule


@pytest.mark.parametrize(
    ("raw", "given_", "key"),
    [
        (" Anna@Example.COM ", "Anna@Example.COM", "anna@example.com"),
        ("anna.b+news@example.com", "anna.b+news@example.com", "anna.b+news@example.com"),
        ("王伟@例子.公司", "王伟@例子.公司", "王伟@例子.公司"),
        ("mu\u0308ller@example.org", "mu\u0308ller@example.org", "m\xfcller@example.org"),
    ],
)
def test_an_email_is_kept_as_given_and_compared_by_its_key(raw, given_, key):
    address = EmailAddress.parse(raw)

    assert (address.given, address.key) == (given_, key)


@pytest.mark.parametrize("raw", ["", "anna", "anna@", "a b@example.com", "anna@localhost", "a@b..c", "@example.com"])
def test_what_is_no_email_is_refused(raw):
    assert refused(EmailAddress.parse, raw, ("email",)) == "email.malformed"


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("+49 151 12345678", None, "+4915112345678"),
        ("0151 / 1234 5678", "DE", "+4915112345678"),
        ("(202) 555-0100", "US", "+12025550100"),
    ],
)
def test_a_phone_number_becomes_e164(raw, region, e164):
    assert PhoneNumber.parse(raw, region=region).e164 == e164


@pytest.mark.parametrize("raw", ["", "abc", "0151 12345678", "+49 1", "+1" + "2" * 300])
def test_what_is_no_phone_number_is_refused(raw):
    assert refused(PhoneNumber.parse, raw) == "phone.malformed"


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "shown"),
    [
        ("29.33", "USD", 2933, "29.33"),
        (Decimal("100.0"), "JPY", 100, "100"),
        ("1.25", "KWD", 1250, "1.250"),
        (0, "EUR", 0, "0.00"),
        ("-5.5", "EUR", -550, "-5.50"),
        ("92233720368547758.07", "USD", 2**63 - 1, "92233720368547758.07"),
        ("0E+999999999", "USD", 0, "0.00"),
    ],
)
def test_money_counts_the_minor_units_of_its_currency(amount, currency, minor, shown):
    money = Money.parse(amount, currency)

    assert (money.minor, str(money.amount)) == (minor, shown)


@pytest.mark.parametrize(
    ("amount", "currency", "rule"),
    [
        ("0.001", "USD", "money.too_many_digits"),
        ("0.5", "JPY", "money.too_many_digits"),
        ("1E-999999999", "USD", "money.too_many_digits"),
        ("92233720368547758.08", "USD", "money.too_large"),
        ("1E+999999999", "USD", "money.too_large"),
        ("ten", "USD", "money.malformed"),
        ("NaN", "USD", "money.malformed"),
        ("-Infinity", "USD", "money.malformed"),
        ("1", "XYZ", "money.unknown_currency"),
        ("1", "usd", "money.unknown_currency"),
    ],
)
def test_money_is_never_rounded_and_never_guessed(amount, currency, rule):
    assert refused(Money.parse, amount, currency) == rule


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(sorted(DIGITS)))
def test_what_money_answers_it_accepts(minor, currency):
    money = Money(minor, currency)

    assert Money.parse(money.amount, currency) == money
    assert Money.parse(str(money.amount), currency) == money


def test_money_cannot_be_changed():
    with pytest.raises(AttributeError):
        Money(1, "USD").minor = 2


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Example.com", "example.com"),
        ("https://www.example.com/a?b", "www.example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("example.com.", "example.com"),
    ],
)
def test_a_domain_is_a_host_name_in_lower_case(raw, name):
    assert DomainName.parse(raw).name == name


@pytest.mark.parametrize("raw", ["", "localhost", "-a.example", "a..b", "a b.example", "a" * 64 + ".example"])
def test_what_is_no_domain_is_refused(raw):
    assert refused(DomainName.parse, raw) == "domain.malformed"


def test_countries_are_two_letters():
    assert CountryCode.parse(" de ").code == "DE"
    assert refused(CountryCode.parse, "XX") == "country.unknown"
    assert refused(CountryCode.parse, "Germany") == "country.unknown"


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ("  ", "text.blank"),
        ("x" * 501, "text.too_long"),
        ("a\x00b", "text.unwritable"),
        ("a\ud800b", "text.unwritable"),
    ],
)
def test_text_that_says_nothing_or_cannot_be_kept_is_refused(raw, rule):
    assert refused(parse_text, raw) == rule


@pytest.mark.parametrize("text", ["王伟", "محمد", "👩‍👩‍👧 family", "e\u0301", "ﬁ"])
def test_text_is_kept_as_given(text):
    assert parse_text(f" {text}\n") == text


def test_bodies_are_kept_to_the_last_blank():
    body = " 王伟 said:\n\n" + "x" * 10_000 + "\n "

    assert parse_body(body) == body
    assert parse_body("") is None
    assert refused(parse_body, "x" * 50_001) == "text.too_long"


def test_tags_are_words_as_given():
    assert Tag.parse(" VIP ").name == "VIP"
    assert refused(Tag.parse, "x" * 101) == "text.too_long"


def test_an_address_is_parsed_by_its_parts():
    address = PostalAddress.parse({"lines": ["1 Main St "], "city": "Berlin", "region": None, "country": "de"})

    assert address == PostalAddress(lines=("1 Main St",), city="Berlin", country="DE")
    assert refused(PostalAddress.parse, {"label": "home", "lines": []}) == "address.empty"
    assert refused(PostalAddress.parse, {"lines": ["x"], "country": "Germany"}) == "country.unknown"


@given(st.text(), st.text(), st.text())
def test_joint_keys_never_mix_their_parts(a, b, c):
    assert joint_key(a, b, c) != joint_key(a, b + c)
    assert (joint_key(a, b) == joint_key(b, a)) == (a == b)


@given(st.emails())
def test_a_key_is_its_own_key(address):
    assert email_key(email_key(address)) == email_key(address)
