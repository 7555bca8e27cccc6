"""What we know in writing: knowledge articles as readers see them, their drafts and published revisions, found by words.

Text is searched through `articles.found`, which looks in the workspace of the setting `app.workspace`: under row-level
security the text indexes would not be used.
"""

from collections.abc import Sequence
from typing import Any, Final, LiteralString, assert_never
from uuid import UUID, uuid5

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch, Column, Index, Sql, Table
from crm_es.service import article
from crm_es.text import bigrams, fold, fold_whole

NAME = "articles"
VERSION = 2

_CONTENT: Final = (
    Column(name="revision", type="integer"),
    Column(name="title", type="text"),
    Column(name="title_folded", type="text", collate="C"),
    Column(name="language", type="text"),
    Column(name="audience", type="text"),
    Column(name="tags", type="text[]"),
)
# Its own columns of content are those of the text shown, so that lists need no other table; the body would be copied into the
# twin with every vote.
ARTICLE: Final = Table(
    name="article",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="state", type="text"),
        Column(name="shown_id", type="uuid"),
        Column(name="draft_id", type="uuid", null=True),
        *_CONTENT,
        Column(name="in_review", type="bool", default=False),
        Column(name="published_at", type="timestamptz", null=True),
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    indexes=(
        Index(name="title", columns=("title_folded",), order=True),
        Index(name="active_title", columns=("record_status", "title_folded"), order=True),
    ),
)
BODY: Final = Table(name="body", columns=(Column(name="id", type="uuid"), Column(name="body", type="text")))
TEXT: Final = Table(
    name="text",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="article_id", type="uuid"),
        *_CONTENT,
        Column(name="body", type="text"),
        Column(name="folded", type="text"),
        Column(name="grams", type="text[]"),
        Column(name="saved_at", type="timestamptz"),
        Column(name="published_at", type="timestamptz", null=True),
    ),
    indexes=(
        Index(name="article", columns=("article_id", "revision"), descending=True, order=True),
        Index(name="trigrams", columns=("folded gin_trgm_ops",), method="gin"),
        Index(name="grams", columns=("grams",), method="gin"),
    ),
)
VOTE: Final = Table(
    name="vote",
    columns=(
        Column(name="article_id", type="uuid"),
        Column(name="voter_id", type="uuid"),
        Column(name="helpful", type="bool"),
    ),
    key=("article_id", "voter_id"),
)
TALLY: Final = Table(
    name="tally",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="helpful_count", type="integer", default=0),
        Column(name="unhelpful_count", type="integer", default=0),
    ),
)
TABLES: tuple[Table, ...] = (ARTICLE, BODY, TEXT, VOTE, TALLY)
TOPICS = frozenset(e.TOPIC for e in article.ArticleEvent.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        _apply(batch, fact)


def _apply(batch: Batch, fact: Fact) -> None:
    event: article.ArticleEvent = fact.event  # type: ignore[assignment]
    match event:
        case article.ArticleSaved():
            _save(batch, fact, event)
        case article.ArticleReviewRequested():
            _touch(batch, fact, in_review=True, state=Sql(_UNLESS_PUBLISHED, "IN_REVIEW"))
        case article.ArticlePublished(revision=revision):
            _publish(batch, fact, _text_id(fact, revision))
        case article.ArticleArchived():
            _touch(
                batch, fact, state="ARCHIVED", record_status="ARCHIVED", in_review=False, archived_at=fact.recorded_at
            )
        case article.ArticleRestored():
            newest = Sql("coalesce(draft_id, shown_id)")
            now = {"archived_at": None, "published_at": None, "draft_id": newest}
            _touch(batch, fact, state="DRAFT", record_status="ACTIVE", **now)
            _show(batch, fact)
        case article.ArticleVoted(helpful=helpful, voter_id=voter):
            _touch(batch, fact)
            batch.save(VOTE, fact, article_id=fact.stream, voter_id=voter, helpful=helpful)
            batch.execute(fact, _COUNT, id=fact.stream)
        case _:
            assert_never(event)


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(ARTICLE, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _text_id(fact: Fact, revision: int) -> UUID:
    return uuid5(fact.stream, str(revision))


def _save(batch: Batch, fact: Fact, event: article.ArticleSaved) -> None:
    text, content = _text_id(fact, event.revision), _content(event)
    written = {"body": event.body, "saved_at": fact.recorded_at, **_words(event)}
    batch.insert(TEXT, fact, id=text, article_id=fact.stream, **content, **written)
    if fact.version == 1:
        begun = {"version": 1, "created_at": fact.recorded_at, "updated_at": fact.recorded_at}
        batch.insert(ARTICLE, fact, id=fact.stream, state="DRAFT", shown_id=text, draft_id=text, **content, **begun)
        batch.insert(BODY, fact, id=fact.stream, body=event.body)
        batch.insert(TALLY, fact, id=fact.stream)
    else:
        _touch(batch, fact, draft_id=text, in_review=False, state=Sql(_UNLESS_PUBLISHED, "DRAFT"))
        _show(batch, fact)


def _content(event: article.ArticleSaved) -> dict[str, Any]:
    return {
        "revision": event.revision, "title": event.title, "title_folded": fold(event.title), "language": event.language,
        "audience": event.audience, "tags": list(event.tags),
    }  # fmt: skip


def _words(event: article.ArticleSaved) -> dict[str, Any]:
    folded = fold_whole("\n".join((event.title, *event.tags, event.body)))
    return {"folded": folded, "grams": bigrams(folded)}


def _publish(batch: Batch, fact: Fact, text: UUID) -> None:
    now = {"published_at": fact.recorded_at, "in_review": False}
    _touch(batch, fact, state="PUBLISHED", shown_id=text, draft_id=None, **now)
    _show(batch, fact)
    batch.update(TEXT, fact, {"id": text}, published_at=fact.recorded_at)


def _show(batch: Batch, fact: Fact) -> None:
    """The published text, else the newest: its content becomes the article's."""
    batch.execute(fact, _SHOW, id=fact.stream)
    batch.execute(fact, _SHOW_BODY, id=fact.stream)


_UNLESS_PUBLISHED: Final = "CASE WHEN published_at IS NULL THEN {value} ELSE state END"
_SHOW: Final = """
UPDATE {schema}.article a
SET shown_id = t.id, revision = t.revision, title = t.title, title_folded = t.title_folded,
    language = t.language, audience = t.audience, tags = t.tags, position = %(position)s
FROM {schema}.text t
WHERE a.workspace_id = %(workspace_id)s AND a.id = %(id)s AND t.workspace_id = a.workspace_id
  AND t.id = CASE WHEN a.published_at IS NULL THEN coalesce(a.draft_id, a.shown_id) ELSE a.shown_id END
"""
_SHOW_BODY: Final = """
UPDATE {schema}.body b
SET body = t.body, position = %(position)s
FROM {schema}.article a
JOIN {schema}.text t ON t.workspace_id = a.workspace_id AND t.id = a.shown_id
WHERE a.workspace_id = %(workspace_id)s AND a.id = %(id)s
  AND b.workspace_id = a.workspace_id AND b.id = a.id AND b.body <> t.body
"""
_COUNT: Final = """
UPDATE {schema}.tally
SET helpful_count = n.helpful, unhelpful_count = n.votes - n.helpful, position = %(position)s
FROM (
  SELECT count(*) AS votes, count(*) FILTER (WHERE v.helpful) AS helpful
  FROM {schema}.vote v
  WHERE v.workspace_id = %(workspace_id)s AND v.article_id = %(id)s AND v.position <= %(position)s
) n
WHERE workspace_id = %(workspace_id)s AND id = %(id)s
"""
# `patterns` are of folded words and must all match, `longest` is one of them; `pairs` are CJK characters and pairs. `upto` is
# a position, or null for the present: what is looked for is the text that the article showed then.
_FOUND: LiteralString = """
CREATE FUNCTION {schema}.found(longest text, patterns text[], pairs text[], upto bigint)
RETURNS TABLE (id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  WITH space AS MATERIALIZED (
    SELECT current_setting('app.workspace')::uuid AS workspace_id
  ), hit AS (
    SELECT t.id, t.article_id
    FROM {schema}.text t
    WHERE t.workspace_id = (SELECT s.workspace_id FROM space s)
      AND pairs = '{{}}' AND t.folded LIKE longest AND t.folded LIKE ALL (patterns)
    UNION ALL
    SELECT t.id, t.article_id
    FROM {schema}.text t
    WHERE t.workspace_id = (SELECT s.workspace_id FROM space s)
      AND pairs <> '{{}}' AND t.grams @> pairs AND t.folded LIKE ALL (patterns)
  )
  SELECT a.id
  FROM hit h
  JOIN {schema}.article a
    ON a.workspace_id = (SELECT s.workspace_id FROM space s) AND a.id = h.article_id AND a.shown_id = h.id
  WHERE upto IS NULL OR a.position <= upto
  UNION ALL
  SELECT a.id
  FROM hit h
  JOIN {schema}.article_history a
    ON a.workspace_id = (SELECT s.workspace_id FROM space s) AND a.id = h.article_id AND a.shown_id = h.id
  WHERE a.position <= upto AND a.valid_to_position > upto;
END
"""
FUNCTIONS: tuple[LiteralString, ...] = (_FOUND,)
