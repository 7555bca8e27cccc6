"""From a bearer to somebody: members and keys as the read model has them, and what their roles permit now."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from crm_es.catalog import AGGREGATES
from crm_es.commands.workspaces import command
from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnauthenticatedError, UnavailableError
from crm_es.eventstore.event import ActorKind, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.projector.runner import Projector
from crm_es.reads.driver import ReadConnections
from crm_es.uuids import new_id
from crm_es.workspaces import api_key, member, role, workspace
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.api_key import API_KEY
from crm_es.workspaces.identity import Authenticator
from crm_es.workspaces.member import MEMBER
from crm_es.workspaces.role import ROLE, Permission
from crm_es.workspaces.tokens import ApiKeyToken, DevelopmentIssuer, Verifier
from crm_es.workspaces.workspace import WORKSPACE
from projections import members
from tests.waiting import PATIENCE_MS, soon

pytestmark = pytest.mark.anyio


@dataclass(kw_only=True)
class Installation:
    settings: Settings
    store: Store
    projector: Projector
    authenticator: Authenticator
    pepper: bytes
    workspace: WorkspaceId
    bookmark: int = 0

    async def member(self, *roles: str) -> UUID:
        fresh = new_id()
        await self.store.create(command(self.workspace), MEMBER, fresh, member.register(name="Ada", roles=roles))
        return self.project(fresh)

    async def key(self, *scopes: str, expires_at: datetime | None = None) -> ApiKeyToken:
        token = ApiKeyToken.new(workspace=self.workspace, key=new_id())
        issued = api_key.issue(
            name="Shop",
            scopes=scopes,
            secret_hmac=token.hmac(self.pepper),
            now=datetime.now(UTC),
            expires_at=expires_at,
        )
        await self.store.create(command(self.workspace), API_KEY, token.key, issued)
        self.project(token.key)
        return token

    def project(self, made: UUID) -> UUID:
        self.projector.drain()
        self.bookmark += 1
        return made

    def token(self, member: UUID, *, workspace: UUID | None = None, now: datetime | None = None) -> str:
        return DevelopmentIssuer(self.settings).issue(
            workspace=workspace or self.workspace, member=member, now=now or datetime.now(UTC)
        )


@pytest.fixture
async def house(ready_database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Installation]:
    settings = Settings(data_dir=tmp_path)
    keys = KeyStore.open(tmp_path / "keys.sqlite", b"r" * 32)
    store = await Store.open(ready_database.app, AGGREGATES, keys)
    connections = ReadConnections(ready_database.app, size=2, statement_timeout_ms=PATIENCE_MS)
    house = Installation(
        settings=settings,
        store=store,
        projector=Projector(ready_database.projector, store.codec.decode_each, [members]),
        authenticator=Authenticator(
            connections=connections,
            verifier=Verifier.of(settings),
            pepper=keys.pepper(),
            bookmark=lambda: house.bookmark,
            read_model=members.NAME,
            topics=members.TOPICS or (),
        ),
        pepper=keys.pepper(),
        workspace=WorkspaceId(new_id()),
    )
    yield house
    await connections.close()
    await store.close()
    keys.close()


async def refused(house: Installation, bearer: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        await house.authenticator.authenticate(bearer)
    return caught.value.rule


async def test_a_member_signs_in_with_the_roles_of_now(house: Installation) -> None:
    ada = await house.member("sales", "auditor")

    identity = await house.authenticator.authenticate(house.token(ada))

    assert (identity.workspace, identity.member_id, identity.api_key_id) == (house.workspace, ada, None)
    assert (identity.actor.kind, identity.actor.id, identity.actor.auth) == (ActorKind.MEMBER, ada, "jwt")
    assert identity.actor.session
    assert identity.role_keys == ("sales", "auditor")
    assert identity.permissions.scope(EntityType.CONTACT, Action.AUDIT) is Scope.WORKSPACE


async def test_days_and_weeks_begin_as_the_workspace_says(house: Installation) -> None:
    ada = await house.member("sales")
    made = workspace.create(name="Acme", time_zone="Asia/Tokyo", week_starts_on=7)
    await house.store.create(command(house.workspace), WORKSPACE, house.workspace, made)
    house.project(ada)

    identity = await house.authenticator.authenticate(house.token(ada))

    assert (identity.time_zone, identity.week_starts_on) == ("Asia/Tokyo", 7)


async def test_a_changed_role_holds_with_the_next_request_of_the_same_token(house: Installation) -> None:
    ada = await house.member("sales")
    token = house.token(ada)
    before = await house.authenticator.authenticate(token)

    decision = lambda state: member.assign_roles(state, ["auditor"], other_admins=1)  # noqa: E731
    await house.store.decide(command(house.workspace), MEMBER, ada, decision)
    house.project(ada)

    after = await house.authenticator.authenticate(token)
    assert before.permissions.scope(EntityType.CONTACT, Action.UPDATE)
    assert after.permissions.scope(EntityType.CONTACT, Action.UPDATE) is None


async def test_a_deactivated_member_is_refused(house: Installation) -> None:
    ada = await house.member("sales")
    token = house.token(ada)
    await house.authenticator.authenticate(token)

    await house.store.decide(
        command(house.workspace), MEMBER, ada, lambda state: member.deactivate(state, other_admins=1)
    )
    house.project(ada)

    assert await refused(house, token) == "member.unknown"


async def test_a_token_does_not_open_another_workspace(house: Installation) -> None:
    ada = await house.member("admin")

    assert await refused(house, house.token(ada, workspace=new_id())) == "member.unknown"


async def test_expired_foreign_and_unknown_bearers_are_told_apart(house: Installation) -> None:
    ada = await house.member("admin")
    old = house.token(ada, now=datetime.now(UTC) - timedelta(days=2))
    key = OKPKey.generate_key("Ed25519")
    foreign = jwt.encode({"alg": "Ed25519", "typ": "at+jwt"}, {"sub": str(ada)}, key, algorithms=["Ed25519"])

    assert await refused(house, old) == "token.expired"
    assert await refused(house, foreign) == "token.foreign"
    assert await refused(house, house.token(new_id())) == "member.unknown"


async def test_nobody_is_called_unknown_while_who_came_is_not_shown(house: Installation) -> None:
    ada = new_id()
    await house.store.create(command(house.workspace), MEMBER, ada, member.register(name="Ada", roles=["sales"]))

    with pytest.raises(UnavailableError):
        await house.authenticator.authenticate(house.token(ada))

    house.projector.drain()
    assert (await house.authenticator.authenticate(house.token(ada))).member_id == ada


async def test_a_workspaces_own_role_permits_what_its_record_says(house: Installation) -> None:
    reader = Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.WORKSPACE, fields=("phones",))
    defined = role.define(None, key="caller", name="Caller", permissions=[reader])
    await house.store.create(command(house.workspace), ROLE, new_id(), defined)
    ada = await house.member("caller", "no-such-role")

    permissions = (await house.authenticator.authenticate(house.token(ada))).permissions

    assert permissions.listed == (reader,)
    assert "emails" in permissions.masked(EntityType.CONTACT)
    assert "phones" not in permissions.masked(EntityType.CONTACT)


async def test_a_program_signs_in_with_its_key(house: Installation) -> None:
    token = await house.key("integration")

    identity = await house.authenticator.authenticate(str(token))

    assert (identity.workspace, identity.member_id, identity.api_key_id) == (house.workspace, None, token.key)
    assert (identity.actor.kind, identity.actor.auth) == (ActorKind.API_KEY, "api_key")
    assert identity.permissions.scope(EntityType.CONTACT, Action.CREATE)
    assert identity.expires_at is None


async def test_a_wrong_secret_and_another_workspaces_key_are_the_same_unknown_key(house: Installation) -> None:
    token = await house.key("integration")
    wrong = ApiKeyToken.new(workspace=house.workspace, key=token.key)
    elsewhere = ApiKeyToken(workspace=new_id(), key=token.key, secret=token.secret)

    assert await refused(house, str(wrong)) == "api_key.unknown"
    assert await refused(house, str(elsewhere)) == "api_key.unknown"


async def test_a_revoked_or_rotated_key_is_refused_with_the_next_request(house: Installation) -> None:
    revoked, rotated = await house.key("integration"), await house.key("integration")
    for token in (revoked, rotated):
        await house.authenticator.authenticate(str(token))

    await house.store.decide(command(house.workspace), API_KEY, revoked.key, api_key.revoke)
    await house.store.decide(
        command(house.workspace), API_KEY, rotated.key, lambda state: api_key.rotate(state, secret_hmac="00" * 32)
    )
    house.project(revoked.key)

    assert await refused(house, str(revoked)) == "api_key.revoked"
    assert await refused(house, str(rotated)) == "api_key.unknown"


async def test_an_expired_key_is_refused_though_nothing_was_projected_since(house: Installation) -> None:
    for seconds in (1, 4, 16, 64):  # until we are faster than the key
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        token = await house.key("integration", expires_at=end)
        with suppress(UnauthenticatedError):
            await house.authenticator.authenticate(str(token))
            break
    else:
        pytest.fail("no key was ever taken")

    await soon(lambda: datetime.now(UTC) > end)

    assert await refused(house, str(token)) == "api_key.expired"
