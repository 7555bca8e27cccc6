"""Issuing, rotating and revoking API keys. A secret is answered once and kept nowhere: a replay answers null."""

from datetime import datetime

import strawberry
from strawberry import ID, UNSET

from crm_es.api.payloads import Answer, Deed, Envelope, Payload, Versioned, mutation, record
from crm_es.api.rules import PARENT, ruled
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id
from crm_es.values import parse_text
from crm_es.workspaces import api_key
from crm_es.workspaces.api_key import API_KEY
from crm_es.workspaces.graphql import ApiKey
from crm_es.workspaces.member_mutations import ADMINISTER, SHOWS, check_roles
from crm_es.workspaces.tokens import ApiKeyToken


@strawberry.input(description="A new way in for a program.")
class IssueApiKeyInput(Envelope):
    name: str = strawberry.field(description="What it is for.")
    scopes: list[str] = strawberry.field(description="Keys of the roles it acts with, one at least.")
    expires_at: datetime | None = strawberry.field(
        default=UNSET, description="When it ends by itself; never, if left out."
    )


@ruled(PARENT)
@strawberry.type(description="The new key, and its secret for this once.")
class IssueApiKeyPayload(Payload):
    api_key: ApiKey | None = record(ApiKey, "The new key; null when refused.")
    secret: str | None = strawberry.field(
        default=None, description="The bearer token. It cannot be shown again: a replay answers null."
    )


@strawberry.input(description="Another secret for an API key; the old one is refused from the next request on.")
class RotateApiKeyInput(Versioned):
    id: ID = strawberry.field(description="Which key.")


@ruled(PARENT)
@strawberry.type(description="The key, and its new secret for this once.")
class RotateApiKeyPayload(Payload):
    api_key: ApiKey | None = record(ApiKey, "The key; null when refused.")
    secret: str | None = strawberry.field(
        default=None, description="The bearer token. It cannot be shown again: a replay answers null."
    )


@strawberry.input(description="End an API key for ever.")
class RevokeApiKeyInput(Versioned):
    id: ID = strawberry.field(description="Which key.")


@ruled(PARENT)
@strawberry.type(description="The key, revoked.")
class RevokeApiKeyPayload(Payload):
    api_key: ApiKey | None = record(ApiKey, "The key; null when refused.")


@strawberry.type
class KeyMutations:
    @mutation(
        IssueApiKeyPayload, ADMINISTER, shows=SHOWS, description="The secret is shown once; a replay answers null."
    )
    async def issue_api_key(deed: Deed, input: IssueApiKeyInput) -> Answer:
        await check_roles(deed, input.scopes, "scopes")
        token = ApiKeyToken.new(workspace=deed.command.workspace, key=new_id())
        events = api_key.issue(
            name=parse_text(input.name, ("name",)), scopes=input.scopes, secret_hmac=hashed(deed, token),
            now=deed.context.now, expires_at=input.expires_at or None,
        )  # fmt: skip
        return _shown(token, await deed.store.create(deed.command, API_KEY, token.key, events))

    @mutation(
        RotateApiKeyPayload, ADMINISTER, shows=SHOWS,
        description="Change an API key's secret. The new one is shown once; a replay answers null.",
    )  # fmt: skip
    async def rotate_api_key(deed: Deed, input: RotateApiKeyInput) -> Answer:
        token = ApiKeyToken.new(workspace=deed.command.workspace, key=deed.live(input.id, "ApiKey"))
        secret_hmac = hashed(deed, token)
        outcome = await deed.store.decide(
            deed.command, API_KEY, token.key, lambda was: api_key.rotate(was, secret_hmac=secret_hmac),
            expected_version=deed.expected_version,
        )  # fmt: skip
        return _shown(token, outcome)

    @mutation(
        RevokeApiKeyPayload, ADMINISTER, shows=SHOWS,
        description="Refuse an API key from the next request on. It cannot be taken back.",
    )  # fmt: skip
    async def revoke_api_key(deed: Deed, input: RevokeApiKeyInput) -> Outcome:
        return await deed.store.decide(
            deed.command, API_KEY, deed.live(input.id, "ApiKey"), api_key.revoke, expected_version=deed.expected_version
        )


def hashed(deed: Deed, token: ApiKeyToken) -> str:
    """What is kept of a secret."""
    return token.hmac(deed.context.engine.keys.pepper())


def _shown(token: ApiKeyToken, outcome: Outcome) -> Answer:
    return Answer(outcome, {"secret": None if outcome.replayed else str(token)})
