"""Writing, reviewing, publishing and archiving knowledge articles, and voting on them."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import strawberry
from msgspec import UNSET
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record, said
from crm_es.api.references import Reference, addressed, check, within_reach
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.inputs import each, may_say
from crm_es.errors import NotAllowedError
from crm_es.eventstore.store import Outcome
from crm_es.service import article
from crm_es.service.article import ARTICLE, Audience
from crm_es.service.article_graphql import Article
from crm_es.uuids import new_id
from crm_es.values import TEXT_LENGTH, Tag, parse_text

SHOWS: Final = ("articles",)


@strawberry.input(description="A new article, or a new draft of one: the whole of it.")
class SaveArticleInput(Versioned):
    id: ID | None = may_say("Which article; a new one, if left out.")
    title: str = strawberry.field(description="What to call it.")
    body: str = strawberry.field(description="The text, exactly as it is to be kept.")
    language: str = strawberry.field(description="BCP 47, as en or de-AT.")
    audience: Audience = strawberry.field(description="Whom it is for.")
    tags: list[str] | None = may_say("All of the words on it; those it has, if left out.")


@ruled(PARENT)
@strawberry.type(description="The article as it is now.")
class SaveArticlePayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.input(description="Ask for somebody to read the draft before it is published.")
class RequestArticleReviewInput(Versioned):
    id: ID = strawberry.field(description="Which article.")


@ruled(PARENT)
@strawberry.type(description="The article, in review.")
class RequestArticleReviewPayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.input(description="Show the newest draft to its readers.")
class PublishArticleInput(Versioned):
    id: ID = strawberry.field(description="Which article.")


@ruled(PARENT)
@strawberry.type(description="The article, published.")
class PublishArticlePayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.input(description="Put an article away: lists and searches leave it out.")
class ArchiveArticleInput(Versioned):
    id: ID = strawberry.field(description="Which article.")


@ruled(PARENT)
@strawberry.type(description="The article, archived.")
class ArchiveArticlePayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.input(description="Take an archived article back, as a draft.")
class RestoreArticleInput(Versioned):
    id: ID = strawberry.field(description="Which article.")


@ruled(PARENT)
@strawberry.type(description="The article, a draft again.")
class RestoreArticlePayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.input(description="Whether an article helped; the last vote counts.")
class VoteArticleInput(Envelope):
    id: ID = strawberry.field(description="Which article.")
    helpful: bool = strawberry.field(description="Whether it helped.")
    contact_id: ID | None = may_say("The contact who says so; you yourself, if left out.")


@ruled(PARENT)
@strawberry.type(description="The article with its votes.")
class VoteArticlePayload(Payload):
    article: Article | None = record(Article, "The article; null when refused.")


@strawberry.type
class ArticleMutations:
    @mutation(
        SaveArticlePayload, needs(EntityType.ARTICLE, Action.CREATE), shows=SHOWS,
        description="Write an article, or a new draft of one. What is published stays as it is until the draft is.",
    )  # fmt: skip
    async def save_article(deed: Deed, input: SaveArticleInput) -> Outcome:
        text = _parsed(input)
        if not input.id:
            return await deed.store.create(deed.command, ARTICLE, new_id(), article.save(None, **text))
        permit(deed.context, EntityType.ARTICLE, Action.UPDATE)
        return await _decide(deed, input.id, Action.UPDATE, lambda was: article.save(was, **text))

    @mutation(
        RequestArticleReviewPayload, needs(EntityType.ARTICLE, Action.UPDATE), shows=SHOWS,
        description="Ask for a draft to be read before it is published.",
    )  # fmt: skip
    async def request_article_review(deed: Deed, input: RequestArticleReviewInput) -> Outcome:
        return await _decide(deed, input.id, Action.UPDATE, article.request_review)

    @mutation(
        PublishArticlePayload, needs(EntityType.ARTICLE, Action.UPDATE), shows=SHOWS,
        description="Publish the newest draft as a revision that never changes again.",
    )  # fmt: skip
    async def publish_article(deed: Deed, input: PublishArticleInput) -> Outcome:
        return await _decide(deed, input.id, Action.UPDATE, article.publish)

    @mutation(
        ArchiveArticlePayload, needs(EntityType.ARTICLE, Action.ARCHIVE), shows=SHOWS,
        description="Put an article away.",
    )  # fmt: skip
    async def archive_article(deed: Deed, input: ArchiveArticleInput) -> Outcome:
        return await _decide(deed, input.id, Action.ARCHIVE, article.archive)

    @mutation(
        RestoreArticlePayload, needs(EntityType.ARTICLE, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived article back, as a draft.",
    )  # fmt: skip
    async def restore_article(deed: Deed, input: RestoreArticleInput) -> Outcome:
        return await _decide(deed, input.id, Action.ARCHIVE, article.restore)

    @mutation(
        VoteArticlePayload, needs(EntityType.ARTICLE, Action.READ), shows=SHOWS,
        description="Say whether a published article helped.",
    )  # fmt: skip
    async def vote_article(deed: Deed, input: VoteArticleInput) -> Outcome:
        voter = await _voter(deed, input)
        return await _decide(
            deed, input.id, Action.READ, lambda was: article.vote(was, helpful=input.helpful, voter_id=voter)
        )


async def _decide(deed: Deed, global_id: str, action: Action, decision: Callable[[Any], Any]) -> Outcome:
    id_ = deed.live(global_id, "Article")
    await within_reach(deed, action, Article, {id_: ("id",)})
    async with addressed("article"):
        return await deed.store.decide(deed.command, ARTICLE, id_, decision, expected_version=deed.expected_version)


async def _voter(deed: Deed, input: VoteArticleInput) -> UUID:
    """Raises: NotAllowedError for those who only read; NotFoundError for a contact that is not there."""
    if not deed.context.permissions.write:
        raise NotAllowedError("Your roles let you read and nothing else.")
    if input.contact_id:
        contact = ids.live(input.contact_id, "Contact", field=("contactId",))
        await check(deed, [Reference(CONTACT, contact, ("contactId",))])
        return contact
    actor = deed.command.actor.id
    if actor is None:
        raise NotAllowedError("Only somebody can vote.")
    return actor


def _parsed(input: SaveArticleInput) -> dict[str, Any]:
    parse_text(input.body, ("body",), longest=TEXT_LENGTH)
    tags = said(() if input.tags is None else input.tags)
    return {
        "title": parse_text(input.title, ("title",)),
        "body": input.body,
        "language": article.parse_language(input.language, ("language",)),
        "audience": input.audience,
        "tags": tags if tags is UNSET else [tag.name for tag in each("tags", tags, Tag.parse)],
    }
