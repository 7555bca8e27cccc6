"""Search over the API: what is found, how it pages, and what must not be told."""

import pytest

from crm_es.values import EmailAddress
from crm_es.workspaces import member

pytestmark = pytest.mark.anyio

SEARCH = """query($text: String!, $types: [EntityType!], $first: Int, $after: String, $last: Int, $before: String) {
  search(text: $text, types: $types, first: $first, after: $after, last: $last, before: $before) {
    nodes { label } edges { cursor field snippet score node { __typename id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture
async def people(api):
    for name, email in (
        ("Zoë Müller", "zoe@zzyzxroad.test"),
        ("Zora Mueller", "zora@zzyzxroad.test"),
        ("王小明", "wang@zzyzxroad.test"),
    ):
        await api.begin(member.MEMBER, member.invite(name=name, email=EmailAddress.parse(email), roles=("sales",)))
    await api.projected()
    return api


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zoe muller", ["Zoë Müller"]),
        ("ZORA", ["Zora Mueller"]),
        ("zora@zzyzxroad.test", ["Zora Mueller"]),
        ("小明", ["王小明"]),
        ("qqqq wwww", []),
        ("", []),
        ("   ", []),
        ("%", []),
    ],
)
async def test_records_are_found_by_what_people_type(people, text, found):
    answer = await people.ask(SEARCH, text=text)

    assert [node["label"] for node in answer["search"]["nodes"]][: len(found) or None] == found


async def test_found_records_page_both_ways(people):
    every = (await people.ask(SEARCH, text="zzyzxroad"))["search"]
    first = (await people.ask(SEARCH, text="zzyzxroad", first=2))["search"]
    rest = (await people.ask(SEARCH, text="zzyzxroad", first=2, after=first["pageInfo"]["endCursor"]))["search"]
    back = (await people.ask(SEARCH, text="zzyzxroad", last=2, before=rest["pageInfo"]["startCursor"]))["search"]

    assert len(every["edges"]) == 3
    assert [*first["edges"], *rest["edges"]] == every["edges"]
    assert back["edges"] == first["edges"]
    assert first["pageInfo"]["hasNextPage"]
    assert not rest["pageInfo"]["hasNextPage"]


async def test_a_kind_one_may_not_read_is_not_found(people):
    assert (await people.ask(SEARCH, text="zora", who="nobody"))["search"]["edges"] == []
    assert (await people.ask(SEARCH, text="zora", types=["CONTACT"]))["search"]["edges"] == []


async def test_a_text_too_long_is_refused(people):
    answer = (await people.post(SEARCH, variables={"text": "x" * 201})).json()

    assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "rule": "search.too_long", "field": ["text"]}
