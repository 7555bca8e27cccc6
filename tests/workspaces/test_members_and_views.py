"""What workspaces, members, teams, roles, API keys and saved views accept and refuse."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from crm_es.errors import ErasedError, InvalidInputError, NotAllowedError, RuleViolatedError
from crm_es.eventstore.event import ERASED, Reservation
from crm_es.values import EmailAddress, ExternalId, joint_key
from crm_es.workspaces import api_key, member, role, saved_view, team, workspace
from crm_es.workspaces.actions import Action, EntityType, Scope
from tests.deciding import given

ID, OTHER = UUID(int=40), UUID(int=41)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ADMIN = member.MemberInvited(name="Ada", email="Ada@example.com", roles=("admin",))


# Workspaces


def test_a_workspace_reads_dates_in_its_zone():
    given(workspace.WORKSPACE).when(lambda _: workspace.create(name="Acme", time_zone="Europe/Berlin")).then(
        workspace.WorkspaceCreated(name="Acme", time_zone="Europe/Berlin")
    )


def test_conventions_that_do_not_exist_are_refused():
    new = given(workspace.WORKSPACE)

    for named, rule, field in (
        ({"time_zone": "Mars/Base"}, "workspace.unknown_time_zone", "timeZone"),
        ({"time_zone": "../etc/passwd"}, "workspace.unknown_time_zone", "timeZone"),
        ({"currency": "XYZ"}, "workspace.unknown_currency", "currency"),
        ({"week_starts_on": 0}, "workspace.no_weekday", "weekStartsOn"),
    ):
        new.when(lambda _, n=named: workspace.create(name="Acme", **n)).then_refused(InvalidInputError, rule, (field,))


def test_only_what_changed_of_a_workspace_is_said():
    acme = given(workspace.WORKSPACE, workspace.WorkspaceCreated(name="Acme", demo=True))

    after = acme.when(workspace.update, name="Acme", currency="EUR").then(workspace.WorkspaceUpdated(currency="EUR"))

    assert after.demo


# Members


def test_the_last_admin_stays():
    ada = given(member.MEMBER, ADMIN)

    ada.when(member.deactivate, other_admins=0).then_refused(RuleViolatedError, "member.last_admin")
    ada.when(member.assign_roles, ["sales"], other_admins=0).then_refused(RuleViolatedError, "member.last_admin")
    ada.when(member.deactivate, other_admins=1).then(member.MemberDeactivated())
    ada.when(member.assign_roles, ["sales", "admin"], other_admins=0).then(
        member.MemberRolesAssigned(roles=("sales", "admin"))
    )


def test_a_member_who_is_no_admin_may_go():
    given(member.MEMBER, member.MemberRegistered(name="Bob")).when(member.deactivate, other_admins=0).then(
        member.MemberDeactivated()
    )


def test_the_same_roles_again_change_nothing():
    given(member.MEMBER, ADMIN).when(member.assign_roles, ["admin", "admin"], other_admins=0).then()


def test_a_deactivated_member_accepts_nothing_and_frees_the_email():
    gone = given(member.MEMBER, ADMIN, member.MemberDeactivated())

    gone.when(member.assign_roles, ["admin"], other_admins=1).then_refused(RuleViolatedError, "member.deactivated")
    assert member.MEMBER.reservations(ID, gone.state) == frozenset()


def test_an_erased_member_accepts_nothing():
    erased = member.MemberInvited(name=ERASED, email=ERASED, roles=("sales",))

    given(member.MEMBER, erased).when(member.deactivate, other_admins=1).then_refused(ErasedError, "record.erased")


def test_an_invitation_names_a_role():
    given(member.MEMBER).when(
        lambda _: member.invite(name="Ada", email=EmailAddress("ada@example.com"), roles=[])
    ).then_refused(InvalidInputError, "member.no_role", ("roles",))


def test_members_come_from_files_without_an_email():
    known = ExternalId(system="sales_teams", value="Ada")

    after = (
        given(member.MEMBER)
        .when(lambda _: member.register(name="Ada", external_ids=[known], team_id=OTHER))
        .then(member.MemberRegistered(name="Ada", external_ids=(known,), team_id=OTHER))
    )

    assert member.MEMBER.reservations(ID, after) == {
        Reservation(kind="external_id", value=joint_key("member", "sales_teams", "Ada"), holder=ID)
    }


def test_emails_of_members_are_reserved_whatever_their_case():
    state = given(member.MEMBER, ADMIN).state

    assert {one.value for one in member.MEMBER.reservations(ID, state)} == {"ada@example.com"}


# Teams and roles


def test_a_team_is_renamed_once():
    east = given(team.TEAM, team.TeamCreated(name="East"))

    east.when(team.update, "West").then(team.TeamUpdated(name="West"))
    east.when(team.update, "East").then()
    assert {one.value for one in team.TEAM.reservations(ID, east.state)} == {"east"}


def test_a_role_is_defined_as_a_whole():
    reads = role.Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.TEAM, fields=("displayName",))
    defined = role.RoleDefined(key="field-sales", name="Field sales", permissions=(reads,))
    form = {"key": "field-sales", "name": "Field sales", "permissions": [reads, reads]}

    given(role.ROLE).when(lambda _: role.define(None, **form)).then(defined)
    given(role.ROLE, defined).when(role.define, **form).then()
    given(role.ROLE, defined).when(role.define, **(form | {"key": "other"})).then_refused(
        RuleViolatedError, "role.key_changed", ("key",)
    )
    given(role.ROLE).when(lambda _: role.define(None, **(form | {"key": "Field Sales"}))).then_refused(
        InvalidInputError, "role.malformed_key", ("key",)
    )


# API keys


def test_an_api_key_is_issued_rotated_and_revoked():
    issued = api_key.ApiKeyIssued(name="Sync", scopes=("sales",), secret_hmac="aa")

    given(api_key.API_KEY).when(
        lambda _: api_key.issue(name="Sync", scopes=["sales", "sales"], secret_hmac="aa", now=NOW)
    ).then(issued)
    after = (
        given(api_key.API_KEY, issued)
        .when(api_key.rotate, secret_hmac="bb")
        .then(api_key.ApiKeyRotated(secret_hmac="bb"))
    )
    assert after.secret_hmac == "bb"
    given(api_key.API_KEY, issued).when(api_key.revoke).then(api_key.ApiKeyRevoked())


def test_a_revoked_key_stays_revoked():
    revoked = given(api_key.API_KEY, api_key.ApiKeyRevoked())

    revoked.when(api_key.revoke).then_refused(RuleViolatedError, "api_key.revoked")
    revoked.when(api_key.rotate, secret_hmac="bb").then_refused(RuleViolatedError, "api_key.revoked")


def test_a_key_that_could_do_nothing_is_refused():
    for scopes, expires, rule in (([], None, "api_key.no_scope"), (["sales"], NOW - timedelta(1), "api_key.expired")):
        given(api_key.API_KEY).when(
            lambda _, s=scopes, e=expires: api_key.issue(name="x", scopes=s, secret_hmac="aa", now=NOW, expires_at=e)
        ).then_refused(InvalidInputError, rule)


# Saved views


def test_a_view_keeps_its_filter_as_json():
    form = {"name": "Mine", "target": EntityType.CONTACT, "filter": {"b": 1.5, "a": "é"}, "columns": ["displayName"]}
    saved = saved_view.SavedViewSaved(
        name="Mine",
        target=EntityType.CONTACT,
        filter='{"a":"é","b":1.5}',
        columns=("displayName",),
        owner_id=ID,
    )

    given(saved_view.SAVED_VIEW).when(lambda _: saved_view.save(None, by=ID, **form)).then(saved)
    mine = given(saved_view.SAVED_VIEW, saved)
    mine.when(saved_view.save, by=ID, **form).then()
    assert saved_view.SAVED_VIEW.fields(mine.state)["filter"] == {"a": "é", "b": 1.5}


def test_a_view_is_changed_and_removed_by_its_owner_alone():
    saved = saved_view.SavedViewSaved(name="Mine", target=EntityType.CONTACT, filter="{}", owner_id=ID)
    mine = given(saved_view.SAVED_VIEW, saved)

    mine.when(saved_view.remove, by=OTHER).then_refused(NotAllowedError, "saved_view.not_mine")
    mine.when(saved_view.remove, by=ID).then(saved_view.SavedViewRemoved())
    given(saved_view.SAVED_VIEW, saved, saved_view.SavedViewRemoved()).when(saved_view.remove, by=ID).then_refused(
        RuleViolatedError, "saved_view.removed"
    )


def test_too_many_columns_are_refused():
    form = {"name": "Mine", "target": EntityType.CONTACT, "filter": {}, "columns": ["x"] * 201}

    given(saved_view.SAVED_VIEW).when(lambda _: saved_view.save(None, by=ID, **form)).then_refused(
        InvalidInputError, "saved_view.too_many_columns", ("columns",)
    )
