"""A knowledge article: drafts, review, published revisions that never change again, votes. Nothing in it is personal.

Every save is a revision. What readers see is the published one; until there is one, the newest draft.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import FieldPath, InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, no_subject

MOST_TAGS: Final = 100
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", re.ASCII | re.IGNORECASE)
_REGION_LENGTH, _SCRIPT_LENGTH = 2, 4


class ArticleState(StrEnum):
    DRAFT = "DRAFT"
    IN_REVIEW = "IN_REVIEW"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"


class Audience(StrEnum):
    INTERNAL = "INTERNAL"
    CUSTOMER = "CUSTOMER"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticleSaved:
    """The whole of the draft, which replaces the one before it. Revisions count the saves, from 1."""

    TOPIC: ClassVar[str] = "article.saved"
    FIELDS: ClassVar[tuple[str, ...]] = ("draft",)
    revision: int
    title: str
    body: str
    language: str
    audience: Audience
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticleReviewRequested:
    TOPIC: ClassVar[str] = "article.review_requested"
    FIELDS: ClassVar[tuple[str, ...]] = ("inReview",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticlePublished:
    """The draft is what readers see from now on."""

    TOPIC: ClassVar[str] = "article.published"
    FIELDS: ClassVar[tuple[str, ...]] = (
        "state", "revision", "title", "body", "language", "audience", "tags", "draft", "inReview", "publishedAt",
    )  # fmt: skip
    revision: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticleArchived:
    TOPIC: ClassVar[str] = "article.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("state", "archivedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticleRestored:
    """A draft again, to be published anew."""

    TOPIC: ClassVar[str] = "article.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("state", "draft", "archivedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArticleVoted:
    """Whether it helped. A voter (a contact, a member, an API key) has one vote; the last one counts."""

    TOPIC: ClassVar[str] = "article.voted"
    FIELDS: ClassVar[tuple[str, ...]] = ("helpfulCount", "unhelpfulCount")
    helpful: bool
    voter_id: UUID


ArticleEvent = (
    ArticleSaved | ArticleReviewRequested | ArticlePublished | ArticleArchived | ArticleRestored | ArticleVoted
)

NO_VOTES: Final[Mapping[UUID, bool]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """`shown` is what readers see, `draft` what is newer; both are the same until something is published."""

    shown: ArticleSaved | None = None
    draft: ArticleSaved | None = None
    published: bool = False
    in_review: bool = False
    archived: bool = False
    votes: Mapping[UUID, bool] = field(default_factory=lambda: NO_VOTES)

    @property
    def newest(self) -> ArticleSaved | None:
        return self.draft or self.shown

    @property
    def state(self) -> ArticleState:
        if self.archived:
            return ArticleState.ARCHIVED
        if self.published:
            return ArticleState.PUBLISHED
        return ArticleState.IN_REVIEW if self.in_review else ArticleState.DRAFT


def evolve(article: Article | None, event: ArticleEvent) -> Article:
    """The state after one more event. Never raises on stored history."""
    was = article or Article()
    match event:
        case ArticleSaved():
            return replace(was, draft=event, shown=was.shown if was.published else event, in_review=False)
        case ArticleReviewRequested():
            return replace(was, in_review=True)
        case ArticlePublished():
            return replace(was, shown=was.newest, draft=None, published=True, in_review=False)
        case ArticleArchived():
            return replace(was, archived=True, in_review=False)
        case ArticleRestored():
            return replace(was, shown=was.newest, draft=was.newest, published=False, archived=False)
        case ArticleVoted(helpful=helpful, voter_id=voter):
            return replace(was, votes={**was.votes, voter: helpful})
        case _:
            assert_never(event)


def parse_language(raw: str, field: FieldPath = ()) -> str:
    """A BCP 47 tag in its usual spelling: `zh-hant-tw` → `zh-Hant-TW`. Raises: InvalidInputError `language.malformed`."""
    tag = raw.strip()
    if len(tag) > 35 or not _LANGUAGE.fullmatch(tag):  # noqa: PLR2004  # RFC 5646, 4.4.1
        message = "Write a language tag such as en, de-AT or zh-Hant."
        raise InvalidInputError(message, rule="language.malformed", field=field)
    first, *rest = tag.lower().split("-")
    return "-".join([first, *map(_subtag, rest)])


def _subtag(part: str) -> str:
    return part.upper() if len(part) == _REGION_LENGTH else part.title() if len(part) == _SCRIPT_LENGTH else part


# Decisions


def save(
    article: Article | None,
    *,
    title: str,
    body: str,
    language: str,
    audience: Audience,
    tags: Sequence[str] | UnsetType = UNSET,
) -> list[ArticleEvent]:
    """A new article (None), or a new draft; without `tags` it keeps those it has. Nothing where it is so already.

    Raises: RuleViolatedError `article.archived`; InvalidInputError `article.too_many_tags`.
    """
    if article:
        _check_not_archived(article)
    newest = article.newest if article else None
    kept = _tags(newest, tags)
    event = ArticleSaved(
        revision=newest.revision + 1 if newest else 1,
        title=title,
        body=body,
        language=language,
        audience=audience,
        tags=kept,
    )
    return [] if newest and replace(event, revision=newest.revision) == newest else [event]


def _tags(newest: ArticleSaved | None, tags: Sequence[str] | UnsetType) -> tuple[str, ...]:
    if isinstance(tags, UnsetType):
        return newest.tags if newest else ()
    kept = tuple(dict.fromkeys(tags))
    if len(kept) > MOST_TAGS:
        message = f"At most {MOST_TAGS} tags."
        raise InvalidInputError(message, rule="article.too_many_tags", field=("tags", str(MOST_TAGS)))
    return kept


def request_review(article: Article) -> list[ArticleEvent]:
    """Raises: RuleViolatedError `article.archived`, `article.nothing_new`."""
    _check_not_archived(article)
    if article.draft is None:
        message = "There is no draft newer than what is published: save one first."
        raise RuleViolatedError(message, rule="article.nothing_new")
    return [] if article.in_review else [ArticleReviewRequested()]


def publish(article: Article) -> list[ArticleEvent]:
    """Nothing where there is no newer draft. Raises: RuleViolatedError `article.archived`."""
    _check_not_archived(article)
    return [] if article.draft is None else [ArticlePublished(revision=article.draft.revision)]


def archive(article: Article) -> list[ArticleEvent]:
    """Raises: RuleViolatedError `article.archived`."""
    _check_not_archived(article)
    return [ArticleArchived()]


def restore(article: Article) -> list[ArticleEvent]:
    """Raises: RuleViolatedError `article.not_archived`."""
    if not article.archived:
        raise RuleViolatedError("This article is not archived.", rule="article.not_archived")
    return [ArticleRestored()]


def vote(article: Article, *, helpful: bool, voter_id: UUID) -> list[ArticleEvent]:
    """Raises: RuleViolatedError `article.not_published`."""
    if article.state is not ArticleState.PUBLISHED:
        raise RuleViolatedError("Only a published article can be voted on.", rule="article.not_published")
    return [] if article.votes.get(voter_id) is helpful else [ArticleVoted(helpful=helpful, voter_id=voter_id)]


def _check_not_archived(article: Article) -> None:
    if article.archived:
        raise RuleViolatedError("This article is archived: restore it first.", rule="article.archived")


# What the store asks


def _fields(article: Article) -> Mapping[str, object]:
    helpful = sum(article.votes.values())
    return {
        **(_content(article.shown) if article.shown else {}),
        "state": article.state.value,
        "draft": _content(article.draft) if article.draft else None,
        "inReview": article.in_review,
        "helpfulCount": helpful,
        "unhelpfulCount": len(article.votes) - helpful,
    }


def _content(saved: ArticleSaved) -> dict[str, object]:
    return {
        "revision": saved.revision,
        "title": saved.title,
        "body": saved.body,
        "language": saved.language,
        "audience": saved.audience.value,
        "tags": list(saved.tags),
    }


ARTICLE: Aggregate[Article, ArticleEvent] = Aggregate(
    name="article",
    events=get_args(ArticleEvent),
    evolve=evolve,
    fields=_fields,
    moments={"publishedAt": lambda article: article.published, "archivedAt": lambda article: article.archived},
    subjects=no_subject,
)
