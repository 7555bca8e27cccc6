"""The smaller read models: events to rows, and the functions the API calls."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.contacts import contact_events as e
from crm_es.contacts.company import CompanyArchived, CompanyRegistered, CompanyUpdated, ExternalId
from crm_es.contacts.contact_events import Email, Item, LifecycleStage, Phone
from crm_es.eventstore.event import ERASED
from crm_es.interactions import interaction as i
from crm_es.text import bigrams, fold
from crm_es.values import Money
from crm_es.workspaces.api_key import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from crm_es.workspaces.member import MemberDeactivated, MemberInvited, MemberRolesAssigned
from crm_es.workspaces.role import RoleDefined
from crm_es.workspaces.saved_view import SavedViewRemoved, SavedViewSaved
from crm_es.workspaces.team import TeamCreated, TeamUpdated
from crm_es.workspaces.workspace import WorkspaceCreated, WorkspaceUpdated

AT = datetime(2026, 2, 1, tzinfo=UTC)
FIND = "SELECT id, field, snippet FROM search.find(%s, %s, %s, NULL, 20)"
PAIRS = "SELECT contact_id, other_id, score, matched_on FROM duplicates.pairs(%s, 20)"


def contact(name, *, email=None, phone=None, **more):
    items = {}
    if email:
        items |= {"emails": (Email(address=email),), "email_items": (Item(number=1),), "primary_email": Item(number=1)}
    if phone:
        items |= {"phones": (Phone(number=phone),), "phone_items": (Item(number=2),), "primary_phone": Item(number=2)}
    return e.ContactRegistered(display_name=name, lifecycle_stage=LifecycleStage.LEAD, **items, **more)


@pytest.fixture
def found(app):
    """Ids a search finds, best first."""
    return lambda text, digits="": [row[0] for row in app(FIND, fold(text), digits, bigrams(text))]


# Search


@pytest.mark.parametrize("text", ["Zoë Müller", "muller", "mull", "zoe muler", "MÜLLER", "zoe@exam", "Example.ORG"])
def test_a_contact_is_found_by_name_and_email_typos_included(log, workspace, project, found, text):
    zoe = uuid4()
    log.append(workspace, (zoe, contact("Zoë Müller", email="Zoe@example.org")), (uuid4(), contact("Bob Stone")))
    project()

    assert found(text) == [zoe]


def test_chinese_is_found_by_two_characters_within_a_name(log, workspace, project, found):
    li = uuid4()
    log.append(workspace, (li, contact("李小龍先生")), (uuid4(), contact("王小明")))
    project()

    assert found("小龍") == [li]


def test_a_phone_is_found_by_its_digits(log, workspace, project, found):
    ann = uuid4()
    log.append(workspace, (ann, contact("Ann Lee", phone="+493012345678")))
    project()

    assert found("12345", "12345") == [ann]


def test_a_contact_is_found_by_its_company_after_the_company_itself(log, workspace, project, found):
    acme, ann = uuid4(), uuid4()
    log.append(workspace, (acme, CompanyRegistered(name="Acme Steel")), (ann, contact("Ann Lee", company_id=acme)))
    project()

    assert found("acme") == [acme, ann]


def test_what_was_archived_absorbed_or_renamed_is_not_found(log, workspace, project, found):
    ids = uuid4(), uuid4(), uuid4()
    for id_ in ids:
        log.append(workspace, (id_, contact("Zebra Crossing")))
    log.append(workspace, (ids[0], e.ContactArchived()))
    log.append(workspace, (ids[1], e.ContactAbsorbed(survivor_id=ids[2], survivor_version=2)))
    log.append(workspace, (ids[2], e.ContactUpdated(display_name="Lion")))
    project()

    assert found("zebra") == []
    assert found("lion") == [ids[2]]


def test_a_percent_sign_is_no_wildcard(log, workspace, project, found):
    log.append(workspace, (uuid4(), contact("Ann Lee")))
    project()

    assert found("a%e") == []


def test_search_and_duplicates_stay_in_their_workspace(database, log, project, app):
    other = uuid4()
    for space in (other, other):
        log.append(space, (uuid4(), contact("Ann Lee", email="ann@example.org")))
    project()

    assert app(FIND, "ann lee", "", []) == []
    assert app(PAIRS, None) == []
    with psycopg.connect(database.app) as unset, pytest.raises(psycopg.errors.UndefinedObject):
        unset.execute(FIND, ("ann lee", "", []))


# Duplicates


def test_contacts_with_the_same_email_or_name_are_pairs_best_first(log, workspace, project, app):
    a, b, c = sorted([uuid4(), uuid4(), uuid4()])
    log.append(workspace, (a, contact("Lovelace, Ada", email="Ada@example.org")))
    log.append(workspace, (b, contact("ada lovelace", email="ada@EXAMPLE.org")))
    log.append(workspace, (c, contact("Ada LOVELACE")))
    project()

    assert app(PAIRS, None) == [(a, b, 0.975, ["email", "name"]), (a, c, 0.5, ["name"]), (b, c, 0.5, ["name"])]
    assert [row[:2] for row in app(PAIRS, c)] == [(c, a), (c, b)]


def test_a_mark_or_a_change_ends_a_pair(log, workspace, project, app):
    a, b = sorted([uuid4(), uuid4()])
    log.append(workspace, (a, contact("Ann Lee", phone="+49301")), (b, contact("Ann B Lee", phone="+49301")))
    project()
    assert len(app(PAIRS, None)) == 1

    log.append(workspace, (a, e.ContactMarkedNotDuplicate(other_id=b)), (b, e.ContactMarkedNotDuplicate(other_id=a)))
    project()
    assert app(PAIRS, None) == app(PAIRS, b) == []


def test_a_key_of_very_many_says_nothing(log, workspace, project, app):
    log.append(workspace, *[(uuid4(), contact("Front Desk")) for _ in range(21)])
    project()

    assert app(PAIRS, None) == []


# Audit trail


def test_the_trail_names_fields_and_no_values(log, workspace, project, rows):
    ann = uuid4()
    log.append(workspace, (ann, contact("Ann Lee", email="ann@example.org")))
    log.append(workspace, (ann, e.ContactOwnerChanged(owner_id=UUID(int=5))))
    project()

    found = rows(
        "SELECT position, type, stream_id, actor_kind, actor_id, fields, e::text FROM audit_trail.event e ORDER BY 1"
    )
    assert [row[:5] for row in found] == [
        (1, "contact.registered", ann, "MEMBER", UUID(int=7)),
        (2, "contact.owner_changed", ann, "MEMBER", UUID(int=7)),
    ]
    assert found[1][5] == ["owner"]
    assert not any("Ann" in row[6] or "example" in row[6] for row in found)


# Changes


def test_each_record_is_listed_once_at_its_newest(log, workspace, project, rows):
    ann, bob = uuid4(), uuid4()
    log.append(workspace, (ann, contact("Ann")), (bob, contact("Bob")))
    log.append(workspace, (ann, e.ContactTagged(tags=("a",))))
    project()
    log.append(workspace, (bob, e.ContactArchived()), (bob, e.ContactUpdated(display_name="Bo")))
    project()

    assert rows("SELECT id, type, version, gone, position FROM changes.record ORDER BY position") == [
        (ann, "CONTACT", 2, False, 3),
        (bob, "CONTACT", 3, True, 5),
    ]


def test_a_contact_that_changes_company_leaves_the_one_and_enters_the_other(log, workspace, project, rows):
    ann, old, new = uuid4(), UUID(int=1), UUID(int=2)
    log.append(workspace, (ann, contact("Ann", company_id=old)))
    log.append(workspace, (ann, e.ContactCompanyChanged(company_id=new)))
    log.append(workspace, (ann, e.ContactCompanyChanged(company_id=old)))
    project()

    assert rows("SELECT container_id, left_it, position FROM changes.contained ORDER BY 1") == [
        (old, False, 3),
        (new, True, 3),
    ]


# Companies, members


def test_a_company_is_as_its_events_say(log, workspace, project, rows):
    acme = uuid4()
    log.append(
        workspace,
        (acme, CompanyRegistered(name="Äcme", domains=("acme.org",), annual_revenue=Money(100, "EUR"),
                                 external_ids=(ExternalId(system="erp", value="7"),))),
    )  # fmt: skip
    log.append(workspace, (acme, CompanyUpdated(annual_revenue=None, country="DE")))
    log.append(workspace, (acme, CompanyArchived()))
    project()

    assert rows(
        "SELECT name_folded, domains, revenue_minor, country, record_status, version FROM contact_profiles.company"
    ) == [("acme", ["acme.org"], None, "DE", "ARCHIVED", 3)]
    assert rows("SELECT system, value FROM contact_profiles.company_external_id") == [("erp", "7")]
    assert rows("SELECT revenue_minor, revenue_currency FROM contact_profiles.company_history WHERE position = 1") == [
        (100, "EUR")
    ]


def test_workspace_members_teams_roles_keys_and_views(log, workspace, project, rows):
    ids = [uuid4() for _ in range(6)]
    log.append(
        workspace,
        (ids[0], WorkspaceCreated(name="Acme", time_zone="Europe/Berlin")), (ids[0], WorkspaceUpdated(name="Acme SE")),
        (ids[1], TeamCreated(name="North")), (ids[1], TeamUpdated(name="South")),
        (ids[2], MemberInvited(name="Ann", email="Ann@a.org", roles=("sales",), team_id=ids[1])),
        (ids[2], MemberRolesAssigned(roles=("admin", "sales"))), (ids[2], MemberDeactivated()),
        (ids[3], RoleDefined(key="sales", name="Sales", permissions=())),
        (ids[3], RoleDefined(key="sales", name="Selling", permissions=())),
        (ids[4], ApiKeyIssued(name="sync", scopes=("integration",), secret_hmac="aa")),
        (ids[4], ApiKeyRotated(secret_hmac="bb")), (ids[4], ApiKeyRevoked()),
        (ids[5], SavedViewSaved(name="Mine", target="CONTACT", filter="{}", columns=("name",))), (ids[5], SavedViewRemoved()),
    )  # fmt: skip
    project()

    assert rows("SELECT name, time_zone, demo FROM members.workspace") == [("Acme SE", "Europe/Berlin", False)]
    assert rows("SELECT name FROM members.team") == [("South",)]
    assert rows("SELECT name, email_folded, roles, team_id, deactivated_at IS NULL FROM members.member") == [
        ("Ann", "ann@a.org", ["admin", "sales"], ids[1], False)
    ]
    assert rows("SELECT key, name, version FROM members.role") == [("sales", "Selling", 2)]
    assert rows("SELECT secret_hmac, scopes, revoked_at IS NULL FROM members.api_key") == [
        ("bb", ["integration"], False)
    ]
    assert rows("SELECT name, columns, removed FROM members.saved_view") == [("Mine", ["name"], True)]


# What was erased


def test_erased_values_are_null_everywhere_and_nothing_is_parked(log, workspace, project, rows):
    ann = uuid4()
    log.append(
        workspace,
        (ann, e.ContactRegistered(display_name=ERASED, emails=ERASED, email_items=(Item(number=1),), addresses=ERASED,
                                  primary_email=Item(number=1), lifecycle_stage=LifecycleStage.LEAD)),
        (ann, e.ContactEmailChanged(item=Item(number=1), email=ERASED)),
        (ann, e.ContactPhoneAdded(item=Item(number=2), phone=ERASED, primary=True)),
        (uuid4(), i.InteractionRecorded(type=i.InteractionType.CALL, occurred_at=AT, subject=ERASED, body=ERASED,
                                        participants=ERASED, contact_ids=(ann,), visibility=i.Visibility.SHARED)),
        (uuid4(), MemberInvited(name=ERASED, email=ERASED, roles=(), external_ids=ERASED)),
    )  # fmt: skip
    project()

    assert rows("SELECT display_name, display_name_folded, primary_email, addresses FROM contact_profiles.contact") == [
        (None,) * 4
    ]
    assert rows("SELECT subject, body, participants FROM interactions.interaction") == [(None,) * 3]
    assert rows("SELECT DISTINCT text, folded, grams FROM search.term") == [(None,) * 3]
    assert rows("SELECT DISTINCT value FROM duplicates.key") == [(None,)]


def test_an_erased_person_is_missing_from_whoever_absorbed_them(log, workspace, project, rows):
    ann, bob, carl = uuid4(), uuid4(), uuid4()
    merged = e.ContactMerged(
        absorbed_id=bob, absorbed_version=1, absorbed_ids=(bob, carl), display_name=ERASED, given_name="Bob",
        emails=(Email(address="bob@x.test"), ERASED), email_items=(Item(number=1, holder=bob), Item(number=1, holder=carl)),
        primary_email=Item(number=1, holder=carl), phones=(ERASED,), phone_items=(Item(number=2, holder=carl),),
        subjects=(e.FieldSubject(field="display_name", subject=carl),),
    )  # fmt: skip
    log.append(workspace, (ann, contact("Ann", email="ann@x.test")), (ann, merged))
    project()

    assert rows("SELECT called, display_name, given_name, primary_email FROM contact_profiles.contact") == [
        (None, "Bob", "Bob", None)
    ]
    assert rows("SELECT address, is_primary FROM contact_profiles.contact_email ORDER BY address NULLS LAST") == [
        ("ann@x.test", False), ("bob@x.test", False), (None, True),
    ]  # fmt: skip
    assert rows("SELECT phone_number, label FROM contact_profiles.contact_phone") == [(None, None)]
