"""Values parsed once at the edge and trusted inside. Each `parse` raises InvalidInputError with a rule, a field and a mend.

Text is kept as given: no case, form or spelling is changed, only white space around it goes.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import total_ordering
from json.encoder import encode_basestring
from typing import Final, NoReturn, Self

import email_validator
import phonenumbers

from crm_es.currencies import DIGITS
from crm_es.errors import FieldPath, InvalidInputError

_COUNTRY_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
_COUNTRIES: Final = frozenset(_COUNTRY_CODES.split())
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_UNWRITABLE: Final = re.compile("[\x00\ud800-\udfff]")
_LARGEST: Final = 2**63 - 1
NAME_LENGTH: Final = 500
TEXT_LENGTH: Final = 50_000
TAG_LENGTH: Final = 100


def refuse(rule: str, message: str, field: FieldPath) -> NoReturn:
    """Raises: InvalidInputError, always."""
    raise InvalidInputError(message, rule=rule, field=field)


def writable(text: str) -> bool:
    """Whether it can be kept at all: no U+0000, no half of a surrogate pair."""
    return _UNWRITABLE.search(text) is None


def parse_text(raw: str, field: FieldPath = (), *, longest: int = NAME_LENGTH) -> str:
    """Text that says something, without the white space around it.

    Raises: InvalidInputError `text.blank`, `text.too_long`, `text.unwritable` (U+0000, half a surrogate pair).
    """
    text = raw.strip()
    if not text:
        refuse("text.blank", "Write something, or leave the field out.", field)
    if len(text) > longest:
        refuse("text.too_long", f"Shorten it to {longest:,} characters; it has {len(text):,}.", field)
    if not writable(text):
        refuse("text.unwritable", "Remove the characters that are not text (U+0000, half surrogates).", field)
    return text


def parse_body(raw: str, field: FieldPath = ()) -> str | None:
    """A body of up to 50,000 characters, exactly as given, white space included; None for an empty one.

    An event's 65,535 bytes may still be fewer than its characters need: the store refuses that. Raises: as `parse_text`.
    """
    if not raw:
        return None
    if raw.strip():
        parse_text(raw, field, longest=TEXT_LENGTH)
    return raw


def joint_key(*parts: str) -> str:
    """One value of many, unmistakably: (channel, external id) or (record type, system, value), as reservations hold them."""
    return f"[{json_texts(*parts)}]"


def json_texts(*texts: str) -> str:
    """As `json.dumps` writes the inside of a list of texts, without what makes that slow for short ones."""
    return ", ".join(map(encode_basestring, texts))


def email_key(address: str) -> str:
    """What two spellings of one address share: NFC, lower case; dots and plus parts count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", address).lower())


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An address as given; two are the same where their keys are. No DNS is asked."""

    given: str

    @property
    def key(self) -> str:
        return email_key(self.given)

    @classmethod
    def parse(cls, raw: str, field: FieldPath = ()) -> Self:
        """Raises: InvalidInputError `email.malformed`."""
        given = raw.strip()
        try:
            email_validator.validate_email(given, check_deliverability=False, test_environment=True)
        except email_validator.EmailNotValidError as exc:
            raise InvalidInputError(
                f"Write an address such as anna@example.com: {exc}", rule="email.malformed", field=field
            ) from exc
        return cls(given)


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number in E.164: +4915112345678."""

    e164: str

    @classmethod
    def parse(cls, raw: str, field: FieldPath = (), *, region: str | None = None) -> Self:
        """`region` (ISO 3166) is where a number without + is dialled. Numbers need to be possible, not in service.

        Raises: InvalidInputError `phone.malformed`.
        """
        try:
            number = phonenumbers.parse(raw, region)
        except phonenumbers.NumberParseException as exc:
            message = "Write the number with its country code, such as +49 151 12345678."
            raise InvalidInputError(message, rule="phone.malformed", field=field) from exc
        if not phonenumbers.is_possible_number(number):
            refuse("phone.malformed", "This number is too short or too long for its country.", field)
        return cls(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


@dataclass(frozen=True, slots=True)
class DomainName:
    """A host name in lower case, international ones in punycode: xn--mller-kva.example."""

    name: str

    @classmethod
    def parse(cls, raw: str, field: FieldPath = ()) -> Self:
        """Takes also a web address, and means its host. Raises: InvalidInputError `domain.malformed`."""
        host = re.sub(r"^[a-z][a-z0-9+.-]*://", "", raw.strip().lower()).split("/")[0].rstrip(".")
        try:
            name = host.encode("idna").decode()
        except UnicodeError:
            name = ""
        labels = name.split(".")
        if len(labels) < 2 or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):  # noqa: PLR2004  # RFC 1035
            refuse("domain.malformed", "Write a domain such as example.com.", field)
        return cls(name)


@dataclass(frozen=True, slots=True)
class CountryCode:
    """ISO 3166-1 alpha-2."""

    code: str

    @classmethod
    def parse(cls, raw: str, field: FieldPath = ()) -> Self:
        """Raises: InvalidInputError `country.unknown`."""
        code = raw.strip().upper()
        if code not in _COUNTRIES:
            refuse("country.unknown", "Write a two-letter ISO 3166 country code such as DE.", field)
        return cls(code)


@dataclass(frozen=True, slots=True)
class Tag:
    """A word on a record, as given; "VIP" and "vip" are two."""

    name: str

    @classmethod
    def parse(cls, raw: str, field: FieldPath = ()) -> Self:
        """Raises: InvalidInputError as `parse_text`."""
        return cls(parse_text(raw, field, longest=TAG_LENGTH))


@total_ordering
class Money:
    """An amount in minor units of an ISO 4217 currency: `Money(2933, "USD")` is 29.33 dollars. Immutable."""

    __slots__ = ("currency", "minor")
    currency: str
    minor: int

    def __init__(self, minor: int, currency: str) -> None:
        object.__setattr__(self, "minor", minor)
        object.__setattr__(self, "currency", currency)

    @classmethod
    def parse(cls, amount: Decimal | int | str, currency: str, field: FieldPath = ()) -> Self:
        """Never rounds: digits the currency does not have are refused, zeros behind them are not digits.

        Raises: InvalidInputError `money.unknown_currency`, `money.malformed`, `money.too_many_digits`, `money.too_large`.
        """
        digits = DIGITS.get(currency)
        if digits is None:
            refuse("money.unknown_currency", "Write an ISO 4217 currency code such as USD.", (*field, "currency"))
        try:
            value = Decimal(amount)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            refuse("money.malformed", 'Write an amount such as "1054.00".', (*field, "amount"))
        return cls(_minor_units(value, digits, currency, (*field, "amount")), currency)

    @property
    def amount(self) -> Decimal:
        """With all the digits of its currency: 29.33, 100 (JPY), 1.250 (KWD)."""
        return Decimal(self.minor).scaleb(-DIGITS.get(self.currency, 2))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Money is immutable: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and (self.minor, self.currency) == (other.minor, other.currency)

    def __lt__(self, other: Self) -> bool:
        return (self.currency, self.minor) < (other.currency, other.minor)

    def __hash__(self) -> int:
        return hash((self.minor, self.currency))

    def __repr__(self) -> str:
        return f"Money({self.minor}, {self.currency!r})"


def _minor_units(value: Decimal, digits: int, currency: str, field: FieldPath) -> int:
    """By integers: a Decimal context would round, and 1E+999999 would fill the memory."""
    if not value:
        return 0
    if value.adjusted() + digits > len(str(_LARGEST)):
        refuse("money.too_large", "The amount does not fit into 64 bits of minor units.", field)
    sign, figures, exponent = value.as_tuple()
    shift = int(exponent) + digits
    if shift < 0 and (-shift >= len(figures) or any(figures[shift:])):
        refuse("money.too_many_digits", f"{currency} has {digits} digits after the point; nothing is rounded.", field)
    kept = figures[:shift] if shift < 0 else (*figures, *[0] * shift)
    minor = int("".join(map(str, kept)))
    if minor > _LARGEST:
        refuse("money.too_large", "The amount does not fit into 64 bits of minor units.", field)
    return -minor if sign else minor


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalId:
    """What another system calls a record: ("cdnow", "00004")."""

    system: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PostalAddress:
    """Lines as written; `country` is an ISO 3166-1 alpha-2 code."""

    label: str | None = None
    lines: tuple[str, ...] = ()
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, object], field: FieldPath = ()) -> Self:
        """`raw` has the keys of this class. Raises: InvalidInputError `address.empty`, or as its parts."""
        lines = raw.get("lines")
        given = [
            parse_text(str(line), (*field, "lines")) for line in (lines if isinstance(lines, list | tuple) else ())
        ]
        parts = {
            name: parse_text(str(raw[name]), (*field, name))
            for name in ("label", "postal_code", "city", "region")
            if raw.get(name)
        }
        country = CountryCode.parse(str(raw["country"]), (*field, "country")).code if raw.get("country") else None
        if not given and not parts.keys() - {"label"} and not country:
            refuse("address.empty", "Write at least one line of the address.", field)
        return cls(lines=tuple(given), country=country, **parts)


def address_answer(address: PostalAddress) -> dict[str, object]:
    """As the API answers it."""
    return {
        "label": address.label,
        "lines": list(address.lines),
        "postalCode": address.postal_code,
        "city": address.city,
        "region": address.region,
        "country": address.country,
    }


def money_answer(money: Money | None) -> dict[str, str] | None:
    """As the API answers it: {"amount": "29.33", "currency": "USD"}."""
    return {"amount": str(money.amount), "currency": money.currency} if money else None
