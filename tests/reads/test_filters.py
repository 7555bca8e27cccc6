"""What each filter keeps."""

import pytest

from crm_es.errors import InvalidInputError
from crm_es.workspaces.actions import EntityType, Scope
from tests.reads import small
from tests.reads.world import NOW, Granted, World, gid

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(world: World) -> World:
    """Anna (VIP, customer of Acme), Bert (archived), Çelik (no company), and nobody."""
    world.team = world.insert(small.MEMBER, name="not a team")  # type: ignore[attr-defined]
    world.max = world.insert(small.MEMBER, name="Max", team_id=world.team)  # type: ignore[attr-defined]
    world.ida = world.insert(small.MEMBER, name="Ida")  # type: ignore[attr-defined]
    world.acme = world.insert(  # type: ignore[attr-defined]
        small.COMPANY, name="Acme", revenue_minor=2933, revenue_currency="USD"
    )
    world.anna = world.insert(  # type: ignore[attr-defined]
        small.CONTACT, display_name="Anna Jäger", company_id=world.acme, stage="CUSTOMER", tags=["vip", "Été"],
        owner_id=world.max, last_at=NOW,
    )  # fmt: skip
    world.insert(small.EMAIL, contact_id=world.anna, address="anna@example.com")
    world.insert(small.EMAIL, contact_id=world.anna, address="gone@example.com", removed=True)
    world.insert(small.CONTACT, display_name="Bert", record_status="ARCHIVED")
    world.insert(small.CONTACT, display_name="Çelik", owner_id=world.ida)
    world.insert(small.CONTACT, display_name=None)
    return world


async def names(world: World, given: str, **options: object) -> list[str | None]:
    data = await world.ask(
        f"{{ contacts(filter: {{{given}}}, orderBy: [{{field: DISPLAY_NAME}}]) {{ totalCount nodes {{ displayName }} }} }}",
        **options,
    )
    found = [node["displayName"] for node in data["contacts"]["nodes"]]
    assert data["contacts"]["totalCount"] == len(found)
    return found


ANNA, BERT, CELIK = "Anna Jäger", "Bert", "Çelik"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", [ANNA, CELIK, None]),
        ("recordStatus: {eq: ARCHIVED}", [BERT]),
        ("recordStatus: {in: [ACTIVE, ARCHIVED]}", [ANNA, BERT, CELIK, None]),
        ("recordStatus: {in: []}", []),
        ("or: [{recordStatus: {eq: ARCHIVED}}, {stage: {eq: CUSTOMER}}]", [ANNA, BERT]),
        ("not: {recordStatus: {eq: ARCHIVED}}", [ANNA, CELIK, None]),
        ('displayName: {eq: "anna jäger"}', []),
        ('displayName: {eq: "Anna Jäger"}', [ANNA]),
        ('displayName: {in: ["Bert", "Çelik"]}', [CELIK]),
        ('displayName: {contains: "jager"}', [ANNA]),
        ('displayName: {startsWith: "ÇEL"}', [CELIK]),
        ('displayName: {startsWith: "cel"}', [CELIK]),
        ('displayName: {contains: "%"}', []),
        ("displayName: {isNull: true}", [None]),
        ('not: {displayName: {eq: "Çelik"}}', [ANNA, None]),
        ('not: {displayName: {startsWith: "c"}}', [ANNA, None]),
        ('and: [{displayName: {contains: "a"}}, {stage: {eq: CUSTOMER}}]', [ANNA]),
        ("and: []", [ANNA, CELIK, None]),
        ('email: {eq: "anna@example.com"}', [ANNA]),
        ('email: {startsWith: "gone"}', []),
        ("email: {isNull: true}", [CELIK, None]),
        ('email: {isNull: false, contains: "ANNA"}', [ANNA]),
        ('tag: {eq: "vip"}', [ANNA]),
        ('tag: {in: ["x", "vip"]}', [ANNA]),
        ('tag: {startsWith: "ete"}', [ANNA]),
        ("tag: {isNull: true}", [CELIK, None]),
        ("companyId: {isNull: false}", [ANNA]),
        ('company: {name: {eq: "Acme"}}', [ANNA]),
        ('company: {not: {name: {eq: "Acme"}}}', []),
        ('company: {revenue: {currency: "USD", gte: "29.33"}}', [ANNA]),
        ('company: {revenue: {currency: "USD", gt: "29.33"}}', []),
        ('company: {revenue: {currency: "EUR", gte: "1"}}', []),
        ('company: {revenue: {currency: "USD", lt: "29.335"}}', [ANNA]),
        ('lastAt: {past: "P1D"}', [ANNA]),
        ('lastAt: {next: "PT1H"}', [ANNA]),
        ('lastAt: {lt: "2026-06-01T00:00:00Z"}', []),
        ('lastAt: {lte: "2026-06-01T02:00:00+02:00"}', [ANNA]),
        ("lastAt: {isNull: true}", [CELIK, None]),
    ],
)  # fmt: skip
async def test_a_filter_keeps(people: World, given: str, found: list[str]) -> None:
    assert await names(people, given) == found


async def test_filters_by_members(people: World) -> None:
    max_ = people.max  # type: ignore[attr-defined]
    team = gid("Team", people.team)  # type: ignore[attr-defined]

    assert await names(people, "ownerId: {isMe: true}", member_id=max_) == [ANNA]
    assert await names(people, "ownerId: {isMe: false}", member_id=max_) == [CELIK, None]
    assert await names(people, "ownerId: {isMe: true}") == []
    assert await names(people, f'ownerId: {{inTeam: "{team}"}}') == [ANNA]
    assert await names(people, f'ownerId: {{eq: "{gid("Member", max_)}"}}') == [ANNA]
    assert await names(people, "ownerId: {in: []}") == []


async def test_ids_of_the_past_mean_the_record(people: World) -> None:
    acme = gid("Company", people.acme, 4)  # type: ignore[attr-defined]

    assert await names(people, f'companyId: {{in: ["{acme}"]}}') == [ANNA]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("displayName: {eq: null}", ("filter", "displayName", "eq")),
        ("displayName: null", ("filter", "displayName")),
        ("or: []", ("filter", "or")),
        ("company: {or: []}", ("filter", "company", "or")),
        ('companyId: {eq: "x"}', ()),
        ("not: {company: {name: {eq: null}}}", ("filter", "not", "company", "name", "eq")),
    ],
)
async def test_a_filter_is_refused(people: World, given: str, field: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await names(people, given)
    assert refused.value.field == field or not field


async def test_a_masked_field_is_null_and_can_be_neither_filtered_nor_ordered_by(people: World) -> None:
    hidden = Granted(hidden={EntityType.CONTACT: frozenset({"displayName", "company", "emails", "meetings"})})
    card = "{ contacts { nodes { displayName shouted label company { id } emails { address } maskedFields } } }"

    data = await people.ask(card, permissions=hidden)

    assert data["contacts"]["nodes"][-1] == {
        "displayName": None,
        "shouted": None,
        "label": None,
        "company": None,
        "emails": None,
        "maskedFields": ["company", "displayName", "emails", "meetings"],
    }
    for given in ('displayName: {eq: "Anna"}', 'email: {eq: "x"}', "or: [{not: {companyId: {isNull: true}}}]"):
        with pytest.raises(InvalidInputError):
            await people.ask(f"{{ contacts(filter: {{{given}}}) {{ totalCount }} }}", permissions=hidden)
    with pytest.raises(InvalidInputError):
        await people.ask("{ contacts(orderBy: [{field: DISPLAY_NAME}]) { totalCount } }", permissions=hidden)


@pytest.mark.parametrize(
    ("scope", "found"), [(Scope.WORKSPACE, [ANNA, CELIK, None]), (Scope.TEAM, [ANNA]), (Scope.OWN, []), (None, [])]
)
async def test_scopes_limit_rows_everywhere(people: World, scope: Scope | None, found: list[str]) -> None:
    colleague = people.insert(small.MEMBER, name="Eva", team_id=people.team)  # type: ignore[attr-defined]
    granted = Granted(scopes={EntityType.CONTACT: scope})

    assert await names(people, "", permissions=granted, member_id=colleague) == found
    data = await people.ask(
        "query ($i: ID!) { contact(id: $i) { displayName } companies { nodes { contacts { totalCount } } } }",
        {"i": gid("Contact", people.anna)},  # type: ignore[attr-defined]
        permissions=granted,
        member_id=colleague,
    )
    seen = ANNA in found
    assert data == {
        "contact": {"displayName": ANNA} if seen else None,
        "companies": {"nodes": [{"contacts": {"totalCount": int(seen)}}]},
    }


async def test_lists_are_asked_for_some_and_none_of_what_may_be_seen(people: World) -> None:
    acme = people.acme  # type: ignore[attr-defined]
    people.insert(small.COMPANY, name="Bolt")

    async def firms(given: str, **options: object) -> list[str]:
        data = await people.ask(f"{{ companies(filter: {{contacts: {{{given}}}}}) {{ nodes {{ name }} }} }}", **options)
        return [node["name"] for node in data["companies"]["nodes"]]

    nobody = Granted(scopes={EntityType.CONTACT: None})
    assert await firms('some: {displayName: {eq: "Anna Jäger"}}') == ["Acme"]
    assert await firms('none: {displayName: {eq: "Anna Jäger"}}') == ["Bolt"]
    assert await firms('some: {stage: {eq: CUSTOMER}}, none: {displayName: {contains: "x"}}') == ["Acme"]
    assert await firms("") == ["Acme", "Bolt"]
    assert await firms("some: {}", permissions=nobody) == []
    people.insert(small.CONTACT, display_name="Old", company_id=acme, record_status="ARCHIVED")
    assert await firms('some: {displayName: {eq: "Old"}}') == []
    assert await firms('some: {displayName: {eq: "Old"}, recordStatus: {eq: ARCHIVED}}') == ["Acme"]


async def test_nothing_is_learned_of_a_related_record_one_may_not_see(people: World) -> None:
    nobody = Granted(scopes={EntityType.COMPANY: None})

    assert await names(people, 'company: {name: {eq: "Acme"}}', permissions=nobody) == []
    assert await names(people, 'not: {company: {name: {eq: "Acme"}}}', permissions=nobody) == [ANNA, CELIK, None]


async def test_what_hangs_on_a_link_is_asked_for_too(people: World) -> None:
    meeting = people.insert(small.MEETING, subject="Lunch, private", private=True)
    people.insert(small.GUEST, contact_id=people.anna, meeting_id=meeting)  # type: ignore[attr-defined]

    assert await names(people, "meetings: {some: {}}") == []
    people.insert(
        small.GUEST, contact_id=people.anna,  # type: ignore[attr-defined]
        meeting_id=people.insert(small.MEETING, subject="Tea", private=False),
    )  # fmt: skip
    assert await names(people, "meetings: {some: {}}") == [ANNA]
    assert await names(people, "meetings: {none: {}}") == [CELIK, None]


@pytest.mark.parametrize("given", ["meetings: {some: null}", "meetings: {some: {or: []}}"])
async def test_a_filter_of_a_list_is_refused_too(people: World, given: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await names(people, given)
    assert refused.value.field[:3] == ("filter", "meetings", "some")
