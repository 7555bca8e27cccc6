"""What a knowledge article accepts and refuses."""

from dataclasses import replace
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.service import article
from crm_es.service.article import (
    ARTICLE,
    ArticleArchived,
    ArticlePublished,
    ArticleRestored,
    ArticleReviewRequested,
    ArticleSaved,
    ArticleState,
    ArticleVoted,
    Audience,
    parse_language,
)
from tests.deciding import given

FIRST = ArticleSaved(
    revision=1, title="Reset a password", body="Press F1.", language="en", audience=Audience.CUSTOMER, tags=("login",)
)
SECOND = replace(FIRST, revision=2, body="Press F2.")
TEXT = {"title": FIRST.title, "body": FIRST.body, "language": "en", "audience": Audience.CUSTOMER}
PUBLISHED = (FIRST, ArticlePublished(revision=1))
VOTER = UUID(int=7)


def test_a_new_article_is_a_draft():
    made = given(ARTICLE).when(article.save, **TEXT, tags=["login", "login"]).then(FIRST)

    assert (made.state, made.shown, made.draft) == (ArticleState.DRAFT, FIRST, FIRST)


def test_a_save_is_a_new_revision_and_keeps_the_tags_unless_others_are_given():
    given(ARTICLE, FIRST).when(article.save, **TEXT | {"body": "Press F2."}).then(SECOND)
    given(ARTICLE, FIRST).when(article.save, **TEXT, tags=[]).then(replace(FIRST, revision=2, tags=()))


def test_saving_the_same_again_is_nothing():
    given(ARTICLE, FIRST).when(article.save, **TEXT).then()
    given(ARTICLE, *PUBLISHED).when(article.save, **TEXT).then()


def test_what_is_published_stays_until_the_next_draft_is():
    edited = given(ARTICLE, *PUBLISHED, SECOND)

    assert (edited.state.shown, edited.state.draft, edited.state.state) == (FIRST, SECOND, ArticleState.PUBLISHED)
    after = edited.when(article.publish).then(ArticlePublished(revision=2))
    assert (after.shown, after.draft) == (SECOND, None)


def test_publishing_what_is_published_is_nothing():
    given(ARTICLE, *PUBLISHED).when(article.publish).then()


def test_a_review_ends_with_the_next_save_or_when_it_is_published():
    asked = given(ARTICLE, FIRST).when(article.request_review).then(ArticleReviewRequested())

    assert asked.state is ArticleState.IN_REVIEW
    given(ARTICLE, FIRST, ArticleReviewRequested()).when(article.request_review).then()
    assert given(ARTICLE, FIRST, ArticleReviewRequested(), SECOND).state.state is ArticleState.DRAFT
    assert not given(ARTICLE, FIRST, ArticleReviewRequested(), ArticlePublished(revision=1)).state.in_review


def test_there_must_be_something_to_review():
    given(ARTICLE, *PUBLISHED).when(article.request_review).then_refused(RuleViolatedError, "article.nothing_new")


def test_a_restored_article_is_a_draft_of_its_newest_text():
    back = given(ARTICLE, *PUBLISHED, SECOND, ArticleArchived()).when(article.restore).then(ArticleRestored())

    assert (back.state, back.shown, back.draft) == (ArticleState.DRAFT, SECOND, SECOND)
    given(ARTICLE, *PUBLISHED, ArticleArchived(), ArticleRestored()).when(article.publish).then(
        ArticlePublished(revision=1)
    )


@pytest.mark.parametrize("decision", [article.request_review, article.publish, article.archive])
def test_an_archived_article_takes_nothing(decision):
    given(ARTICLE, *PUBLISHED, ArticleArchived()).when(decision).then_refused(RuleViolatedError, "article.archived")


def test_an_archived_article_takes_no_draft_and_one_in_use_is_not_restored():
    given(ARTICLE, FIRST, ArticleArchived()).when(article.save, **TEXT).then_refused(
        RuleViolatedError, "article.archived"
    )
    given(ARTICLE, FIRST).when(article.restore).then_refused(RuleViolatedError, "article.not_archived")


def test_a_voter_has_one_vote():
    first, second = (ArticleVoted(helpful=helpful, voter_id=VOTER) for helpful in (True, False))

    given(ARTICLE, *PUBLISHED).when(article.vote, helpful=True, voter_id=VOTER).then(first)
    given(ARTICLE, *PUBLISHED, first).when(article.vote, helpful=True, voter_id=VOTER).then()
    after = given(ARTICLE, *PUBLISHED, first).when(article.vote, helpful=False, voter_id=VOTER).then(second)
    assert [ARTICLE.fields(after)[name] for name in ("helpfulCount", "unhelpfulCount")] == [0, 1]


def test_only_what_is_published_is_voted_on():
    for history in ((FIRST,), (*PUBLISHED, ArticleArchived())):
        given(ARTICLE, *history).when(article.vote, helpful=True, voter_id=VOTER).then_refused(
            RuleViolatedError, "article.not_published"
        )


def test_too_many_tags_are_refused():
    given(ARTICLE).when(article.save, **TEXT, tags=[str(n) for n in range(101)]).then_refused(
        InvalidInputError, "article.too_many_tags", ("tags", "100")
    )


@pytest.mark.parametrize(
    ("raw", "tag"),
    [(" EN ", "en"), ("de-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("sl-rozaj-biske", "sl-rozaj-biske")],
)
def test_languages_are_spelled_as_usual(raw, tag):
    assert parse_language(raw) == tag


@pytest.mark.parametrize("raw", ["", "e", "english!", "en_US", "de--AT", "日本", "en-" + "a-" * 20])
def test_what_is_no_language_is_refused(raw):
    with pytest.raises(InvalidInputError) as refusal:
        parse_language(raw, ("language",))

    assert (refusal.value.rule, refusal.value.field) == ("language.malformed", ("language",))
