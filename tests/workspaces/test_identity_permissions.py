"""The permissions table: denied by default, widest grant wins, what no role shows is masked."""

import pytest

from crm_es.errors import NotAllowedError
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import MASKABLE, ROLES, Permissions, may

WRITES = frozenset(Action) - {Action.READ, Action.AUDIT}


def test_the_built_in_roles_are_these() -> None:
    assert set(ROLES) == {"admin", "manager", "sales", "service", "marketing", "auditor", "privacy", "integration"}


def test_no_role_or_an_unknown_one_permits_nothing() -> None:
    for permissions in (Permissions.of([]), Permissions.of(["root", "ADMIN"])):
        assert not permissions.listed
        assert all(permissions.scope(t, a) is None for t in EntityType for a in Action)


def test_an_auditor_reads_everything_and_writes_nothing() -> None:
    auditor = Permissions.of(["auditor"])

    assert all(auditor.scope(t, a) is Scope.WORKSPACE for t in EntityType for a in (Action.READ, Action.AUDIT))
    assert all(auditor.scope(t, a) is None for t in EntityType for a in WRITES)


def test_only_administrators_administer_and_only_they_and_auditors_audit() -> None:
    administering = {role for role in ROLES if Permissions.of([role]).scope(EntityType.MEMBER, Action.ADMINISTER)}
    auditing = {role for role in ROLES for t in EntityType if Permissions.of([role]).scope(t, Action.AUDIT)}

    assert administering == {"admin"}
    assert auditing == {"admin", "auditor"}


def test_only_administrators_and_privacy_officers_erase() -> None:
    assert {role for role in ROLES if Permissions.of([role]).scope(EntityType.CONTACT, Action.ERASE)} == {
        "admin",
        "privacy",
    }


def test_every_built_in_permission_reaches_the_workspace_and_masks_nothing() -> None:
    for role in ROLES:
        permissions = Permissions.of([role])
        assert {p.scope for p in permissions.listed} == {Scope.WORKSPACE}
        assert not any(permissions.masked(t) for t in EntityType)


def test_whoever_may_change_a_type_may_read_it() -> None:
    for role in ROLES:
        permissions = Permissions.of([role])
        for permission in permissions.listed:
            if permission.action in {Action.UPDATE, Action.ASSIGN, Action.ARCHIVE, Action.MERGE}:
                assert permissions.scope(permission.type, Action.READ), (role, permission)


def test_several_roles_permit_together_the_widest_of_each() -> None:
    custom = {
        "own": may([Action.READ], [EntityType.DEAL], Scope.OWN, fields=("emails",)),
        "team": may([Action.READ], [EntityType.DEAL], Scope.TEAM, fields=("phones",)),
        "merger": may([Action.MERGE], [EntityType.CONTACT]),
    }

    both = Permissions.of(["team", "own", "merger"], custom)

    assert both.scope(EntityType.DEAL, Action.READ) is Scope.TEAM
    assert both.scope(EntityType.CONTACT, Action.MERGE) is Scope.WORKSPACE
    assert both.scope(EntityType.DEAL, Action.UPDATE) is None


def test_a_role_that_names_fields_masks_the_others_until_another_role_shows_them() -> None:
    custom = {"caller": may([Action.READ], [EntityType.CONTACT], fields=("phones",))}

    masked = Permissions.of(["caller"], custom).masked(EntityType.CONTACT)

    assert masked == MASKABLE[EntityType.CONTACT] - {"phones"}
    assert not Permissions.of(["caller", "sales"], custom).masked(EntityType.CONTACT)


def test_a_workspace_cannot_redefine_a_built_in_role() -> None:
    custom = {"auditor": may(WRITES, EntityType)}

    assert Permissions.of(["auditor"], custom).scope(EntityType.CONTACT, Action.UPDATE) is None


def test_a_missing_permission_says_what_may_not_be_done() -> None:
    with pytest.raises(NotAllowedError, match="You may not merge a contact") as caught:
        Permissions.of(["auditor"]).require(EntityType.CONTACT, Action.MERGE)

    assert caught.value.rule == "permission.denied"
