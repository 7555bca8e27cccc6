"""What no client should send: each is refused with a typed error, nothing is recorded, and the next request is answered."""

import base64
from uuid import UUID

import pytest

from crm_es.api.ids import encode

pytestmark = pytest.mark.anyio
NOBODY = UUID(int=0xABC)
INVALID, UNFIT, CURSOR, LATER = "BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "BAD_CURSOR", "AS_OF_OUT_OF_RANGE"
CONTACT = encode("Contact", NOBODY)


def forged(text):
    """An id as only a liar would write it."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def code(response):
    errors = response.json().get("errors")
    return errors[0]["extensions"]["code"] if errors else None


async def head(api):
    return (await api.ask("{ viewer { position } }"))["viewer"]["position"]


@pytest.fixture(scope="module")
async def api(shared_api):
    """At the end the log is as it was, and the server is still there."""
    before = await head(shared_api)
    yield shared_api
    assert await head(shared_api) == before


NO_IDS = {
    "empty": "", "garbage": "contact", "not base64": "é", "no type": forged(str(NOBODY)), "padded": CONTACT + "==",
    "upper case": forged(f"Contact:{str(NOBODY).upper()}"), "not a uuid": forged("Contact:1234"), "too long": "A" * 5_000,
    "negative past": forged(f"Contact:{NOBODY}@-1"), "past too far": forged(f"Contact:{NOBODY}@9999999999999999999"),
    "version too high": forged(f"Event:{NOBODY}:9999999999999999999"), "NUL": forged(f"Contact:{NOBODY}\0"),
}  # fmt: skip


@pytest.mark.parametrize("id_", NO_IDS.values(), ids=NO_IDS)
@pytest.mark.parametrize(
    "field",
    ["node(id: $id) { id }", "contact(id: $id) { id }", "nodes(ids: [$id]) { id }", "entity(id: $id) { id }",
     "contacts(filter: {id: {eq: $id}}) { totalCount }", 'changes(since: "0", within: [$id]) { nodes { id } }'],
)  # fmt: skip
async def test_what_is_no_id_is_bad_input(api, field, id_):
    response = await api.post(f"query($id: ID!) {{ {field} }}", variables={"id": id_})

    assert code(response) == INVALID


@pytest.mark.parametrize(
    "id_",
    [encode("Event", NOBODY), encode("Event", NOBODY, sub=2**40), encode("Event", NOBODY, sub=NOBODY),
     encode("Change", NOBODY), encode("Change", NOBODY, sub=2**63 - 1), encode("Change", NOBODY, sub=NOBODY),
     encode("DuplicatePair", NOBODY, sub=3), encode("Contact", NOBODY, sub=3), encode("Nothing", NOBODY)],
)  # fmt: skip
async def test_an_id_of_nothing_is_nothing(api, id_):
    assert await api.ask("query($id: ID!) { node(id: $id) { id } }", id=id_) == {"node": None}


FILTERS = [
    ("contacts", "{or: []}", INVALID),
    ("contacts", "{or: null}", INVALID),
    ("contacts", "{and: null}", INVALID),
    ("contacts", "{not: null}", INVALID),
    ("contacts", "{id: null}", INVALID),
    ("contacts", "{id: {eq: null}}", INVALID),
    ("contacts", "{id: {in: null}}", INVALID),
    ("contacts", "{id: {in: [null]}}", UNFIT),
    ("contacts", "{email: {isNull: null}}", INVALID),
    ("contacts", "{company: null}", INVALID),
    ("contacts", "{recordStatus: {eq: null}}", INVALID),
    ("contacts", "{recordStatus: {eq: GONE}}", UNFIT),
    ("contacts", "{not: {or: [{not: null}]}}", INVALID),
    ("contacts", "{nothing: 1}", UNFIT),
    ("contacts", '{createdAt: {gt: "yesterday"}}', UNFIT),
    ("contacts", '{createdAt: {gt: "2026-02-30T00:00:00Z"}}', UNFIT),
    ("contacts", '{createdAt: {gt: "2026-02-20T00:00:00"}}', UNFIT),
    ("contacts", '{createdAt: {gt: "0001-01-01T00:00:00+14:00"}}', UNFIT),
    ("contacts", '{createdAt: {past: "P999999W"}}', INVALID),
    ("contacts", '{createdAt: {next: "-P999999W"}}', INVALID),
    ("contacts", '{createdAt: {past: "a while"}}', UNFIT),
    ("interactions", "{internal: null}", INVALID),
    ("interactions", "{direction: null}", INVALID),
    ("interactions", '{amount: {currency: "EUR", gt: null}}', INVALID),
    ("interactions", '{amount: {currency: "EUR", gt: 1.5}}', UNFIT),
    ("interactions", '{amount: {currency: "EUR", gt: "1e9"}}', UNFIT),
    ("events", "{commandId: null}", INVALID),
    ("events", '{commandId: "x"}', UNFIT),
    ("events", "{position: {eq: -1}}", UNFIT),
    ("events", "{position: {eq: 9999999999999999999}}", UNFIT),
]


@pytest.mark.parametrize(("field", "filter_", "expected"), FILTERS)
async def test_a_filter_that_says_nothing_sensible_is_refused(api, field, filter_, expected):
    response = await api.post(f"{{ {field}(filter: {filter_}) {{ totalCount nodes {{ id }} }} }}")

    assert code(response) in ({expected, INVALID} if expected == UNFIT else {expected})


TEXTS = [
    ("contacts", "{displayName: {eq: $text}}"),
    ("contacts", "{displayName: {in: [$text]}}"),
    ("contacts", "{displayName: {contains: $text}}"),
    ("contacts", "{email: {startsWith: $text}}"),
    ("contacts", "{tag: {contains: $text}}"),
    ("contacts", "{source: {contains: $text}}"),
    ("contacts", '{externalId: {eq: {system: $text, value: "1"}}}'),
    ("contacts", "{externalId: {system: $text}}"),
    ("interactions", "{amount: {currency: $text}}"),
    ("events", "{field: {eq: $text}}"),
    ("events", "{field: {startsWith: $text}}"),
    ("events", "{field: {in: [$text]}}"),
    ("events", "{type: {contains: $text}}"),
]


@pytest.mark.parametrize(("field", "filter_"), TEXTS)
async def test_nul_stands_in_no_text_of_a_filter(api, field, filter_):
    query = f"query($text: String!) {{ {field}(filter: {filter_}) {{ totalCount }} viewer {{ position }} }}"

    response = await api.post(query, variables={"text": "a\0b"})

    assert code(response) == INVALID
    assert response.json()["errors"][0]["extensions"]["rule"] == "text.unwritable"


async def test_nul_stands_in_nothing_that_is_searched_for(api):
    response = await api.post('{ search(text: "a\\u0000b") { nodes { id } } }')

    assert code(response) == INVALID


PAGES = [
    ("first: -1", INVALID),
    ("first: 1001", INVALID),
    ("last: -1", INVALID),
    ("last: 1001", INVALID),
    ("first: 2147483648", UNFIT),
    ('first: "1"', UNFIT),
    ("first: 1.5", UNFIT),
    ("first: 1, last: 1", INVALID),
    ('first: 1, before: "x"', INVALID),
    ('last: 1, after: "x"', INVALID),
    ('after: ""', CURSOR),
    ('after: "AAAA"', CURSOR),
    (f'after: "{"A" * 5_000}"', CURSOR),
    ('after: "\\u00e9"', CURSOR),
    ('before: "\\u0000"', CURSOR),
    (f'after: "{CONTACT}"', CURSOR),
]


@pytest.mark.parametrize(("given", "expected"), PAGES)
@pytest.mark.parametrize("field", ["contacts", "events", "members", "changes"])
async def test_a_page_that_cannot_be_is_refused(api, field, given, expected):
    since = 'since: "0", ' if field == "changes" else ""

    response = await api.post(f"{{ {field}({since}{given}) {{ nodes {{ id }} pageInfo {{ endCursor }} }} }}")

    assert code(response) == expected


ORDERS = "[{field: NAME}]", "[{field: CREATED_AT, direction: UP}]", "[{}]", "[null]"


@pytest.mark.parametrize("order", ORDERS)
async def test_an_order_that_is_none_is_refused(api, order):
    assert code(await api.post(f"{{ contacts(orderBy: {order}) {{ totalCount }} }}")) == UNFIT


async def test_more_orders_than_two_or_one_twice_are_refused(api):
    three = await api.post("{ contacts(orderBy: [{field: DISPLAY_NAME}, {field: CREATED_AT}, {field: UPDATED_AT}]) { totalCount } }")  # noqa: E501  # fmt: skip
    twice = await api.post("{ contacts(orderBy: [{field: CREATED_AT}, {field: CREATED_AT}]) { totalCount } }")

    assert code(three) == code(twice) == INVALID


MOMENTS = [
    ("{}", INVALID),
    ("{position: null}", INVALID),
    ('{position: "1", time: "2026-01-01T00:00:00Z"}', INVALID),
    ('{position: "99"}', LATER),
    ('{position: "9223372036854775807"}', LATER),
    ('{time: "9999-12-31T23:59:59Z"}', LATER),
    ('{time: "noon"}', UNFIT),
    ("{position: -1}", UNFIT),
]


@pytest.mark.parametrize(("moment", "expected"), MOMENTS)
@pytest.mark.parametrize("field", ["contacts(asOf: $) { totalCount }", f'entity(id: "{CONTACT}", asOf: $) {{ id }}'])
async def test_no_moment_but_one_that_was_can_be_asked_for(api, field, moment, expected):
    response = await api.post("{ " + field.replace("$", moment) + " }")

    assert code(response) in ({expected, INVALID} if expected == UNFIT else {expected})


async def test_a_cursor_is_good_for_its_list_order_and_moment_alone(api):
    data = await api.ask("{ members(first: 1) { pageInfo { endCursor } } }")
    cursor = data["members"]["pageInfo"]["endCursor"]
    elsewhere = [
        f'contacts(after: "{cursor}") {{ nodes {{ id }} }}',
        f'members(after: "{cursor}", asOf: {{position: "5"}}) {{ nodes {{ id }} }}',
        f'members(after: "{cursor[:-4]}") {{ nodes {{ id }} }}',
        f'members(after: "{cursor[:9]}{"A" if cursor[9] != "A" else "B"}{cursor[10:]}") {{ nodes {{ id }} }}',
        f'events(after: "{cursor}") {{ nodes {{ id }} }}',
        f'changes(since: "0", after: "{cursor}") {{ nodes {{ id }} }}',
    ]

    answers = [code(await api.post(f"{{ {field} }}")) for field in elsewhere]

    assert answers == [CURSOR] * len(elsewhere)
    assert code(await api.post(f'{{ members(after: "{cursor}") {{ nodes {{ id }} }} }}')) is None


async def test_one_bad_field_does_not_harm_those_beside_it(api):
    query = 'query { event(position: "1") { id } apiKeys { id } contact(id: "x") { id } viewer { position } }'

    body = (await api.post(query)).json()

    assert body["errors"][0]["extensions"]["code"] == INVALID
    assert body["data"]["event"] is not None
    assert body["data"] == body["data"] | await api.ask("{ viewer { position } }")
