"""Knowledge articles as the API shows them, and where to find them."""

from datetime import datetime
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.enums import Action, describe
from crm_es.api.nodes import Entity
from crm_es.errors import InvalidInputError
from crm_es.reads import filters
from crm_es.reads.declare import Orders, Source, State, column, connection, lookup, many, one, read_type
from crm_es.reads.filters import FilterField
from crm_es.reads.sql import Query
from crm_es.service.article import ArticleState, Audience
from crm_es.text import bigrams, fold
from crm_es.workspaces.actions import PUT_AWAY
from projections import articles

describe(
    ArticleState,
    "Where an article is in its life.",
    DRAFT="Being written.",
    IN_REVIEW="Somebody is asked to read it before it is published.",
    PUBLISHED="A revision is there for its readers; a newer draft may be in the making.",
    ARCHIVED="Put away.",
)
describe(
    Audience,
    "Whom an article is for.",
    INTERNAL="Us alone.",
    CUSTOMER="Customers too.",
)
LONGEST: Final = 200
_ESCAPED: Final = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})  # of LIKE


@read_type(Source("articles", articles.TEXT))
class ArticleRevision:
    """An article's text as it was saved once. It never changes."""

    revision: int = column("revision", "Counts the saves.")
    title: str = column("title", "What it is called.")
    body: str = column("body", "The text.")
    language: str = column("language", "BCP 47, as en or de-AT.")
    audience: Audience = column("audience", "Whom it is for.", render=Audience)
    tags: list[str] = column("tags", "Words on it.")
    saved_at: datetime = column("saved_at", "When it was saved.")
    published_at: datetime | None = column("published_at", "When it was last published.")


def _published(_query: Query, alias: LiteralString) -> Composable:
    return SQL("{} IS NOT NULL").format(Identifier(alias, "published_at"))


def _left(record_status: str) -> frozenset[Action] | None:
    """What the state of an article leaves to do; None: everything."""
    return PUT_AWAY if record_status == "ARCHIVED" else None


@read_type(
    Source("articles", articles.ARTICLE), entity="ARTICLE", label="title",
    orders=Orders(columns={}, default=(("title_folded", "ASC"),)), filter=lambda: ArticleFilter,
    listed=("record_status", "ACTIVE"), state=State(columns=("record_status",), leaves=_left),
)  # fmt: skip
class Article(Entity):
    """A text of the knowledge base: its published revision, and the newest draft until there is one."""

    title: str = column("title", "What it is called.")
    body: str = column("body", "The text.", beside=Source("articles", articles.BODY))
    language: str = column("language", "BCP 47, as en or de-AT.")
    state: ArticleState = column("state", "Where it is in its life.", render=ArticleState)
    audience: Audience = column("audience", "Whom it is for.", render=Audience)
    revision: int = column("revision", "Which of its revisions is shown; they count the saves.")
    published_at: datetime | None = column("published_at", "When the revision shown was published.")
    archived_at: datetime | None = column("archived_at", "Since when it is put away.")
    tags: list[str] = column("tags", "Words on it.")
    in_review: bool = column("in_review", "Whether somebody is asked to read the draft.")
    draft = one("draft_id", lambda: ArticleRevision, "The newest text, as long as it is not published.")
    revisions = many(
        lambda: ArticleRevision, via="article_id", order=("-revision",), where=_published,
        description="The revisions that were published, newest first.",
    )  # fmt: skip
    helpful_count: int = column(
        "helpful_count", "How many found it helpful.", beside=Source("articles", articles.TALLY)
    )
    unhelpful_count: int = column("unhelpful_count", "How many did not.", beside=Source("articles", articles.TALLY))


def _of_text(query: Query, alias: LiteralString, operand: Any) -> Composable:
    """All of the words, each as it begins or stands within another; of CJK their pairs of characters."""
    return SQL("{} IN (SELECT f.id FROM articles.found({}, {}, {}, {}) f)").format(
        Identifier(alias, "id"), query.bind(operand, "text", _longest), query.bind(operand, "text[]", _patterns),
        query.bind(operand, "text[]", _pairs), query.bind(query.at, "bigint"),
    )  # fmt: skip


def _words(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise InvalidInputError(f"Search for {LONGEST} characters at most.", rule="search.too_long", field=("text",))
    return fold(text).split()


def _patterns(text: str) -> list[str]:
    return [f"%{word.translate(_ESCAPED)}%" for word in _words(text)]


def _longest(text: str) -> str:
    return max(_patterns(text), key=len, default="%")


def _pairs(text: str) -> list[str]:
    return bigrams(" ".join(_words(text)))


ArticleFilter: Any = filters.filter_type(
    "ArticleFilter",
    lambda: Article,
    text=FilterField(str, _of_text, fields=("title", "body", "tags"), columns=("id",)),
    state=filters.equals("state", ArticleState, "text"),
    audience=filters.equals("audience", Audience, "text"),
    language=filters.equals("language", str, "text"),
    tag=filters.items("tags", fields=("tags",)),
)


@strawberry.type
class ArticleQueries:
    article = lookup(lambda: Article, "A knowledge article by id.")
    articles = connection(
        lambda: Article, order=False,
        description="Knowledge articles, by title. Archived ones are left out, unless the filter names a state.",
    )  # fmt: skip
