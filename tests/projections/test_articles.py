"""Knowledge articles: events to rows, as of any position, however the log is cut."""

from random import Random
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_es.errors import CrmError
from crm_es.projector.rebuild import Rebuild
from crm_es.projector.runner import Projector
from crm_es.service import article
from crm_es.service.article import Audience, evolve
from projections import articles
from tests.projections.past import as_of, folded

TITLES = ("Reset a password", "重置密码", "Ünal", "F1")


class Shelf:
    """One workspace's articles, and random but lawful deeds with them."""

    def __init__(self, log, workspace, random):
        self.log, self.workspace, self.random = log, workspace, random
        self.states = {}

    def steps(self, count):
        for _ in range(count):
            if not self.states or self.random.random() < 0.05:
                self.append(UUID(int=self.random.getrandbits(128)), article.save(None, **self.text()))
            id_ = self.random.choice(list(self.states))
            try:
                self.append(id_, self.deed()(self.states[id_]))
            except CrmError:
                continue

    def deed(self):
        text, helpful, voter = self.text(), self.random.random() < 0.5, UUID(int=self.random.randrange(4))
        return self.random.choice(
            [
                article.publish, article.publish, article.archive, article.restore, article.request_review,
                lambda was: article.save(was, **text), lambda was: article.save(was, **text),
                lambda was: article.vote(was, helpful=helpful, voter_id=voter),
            ]
        )  # fmt: skip

    def text(self):
        r = self.random
        words = {"title": r.choice(TITLES), "body": r.choice(["Press F1.", "按 F1。", "Call us."]), "language": "en"}
        return words | {"audience": r.choice(list(Audience)), "tags": r.choice([(), ("a",), ("a", "b")])}

    def append(self, id_, events):
        self.log.append(self.workspace, *((id_, event) for event in events))
        for event in events:
            self.states[id_] = evolve(self.states.get(id_), event)


def by_fold(state, facts):
    shown, draft = state.shown, state.draft
    helpful = sum(state.votes.values())
    return {
        "version": facts[-1].version, "state": state.state, "record_status": "ARCHIVED" if state.archived else "ACTIVE",
        "revision": shown.revision, "title": shown.title, "language": shown.language, "audience": shown.audience,
        "tags": list(shown.tags), "in_review": state.in_review, "published": state.published,
        "updated_at": facts[-1].recorded_at, "body": shown.body, "draft": draft and draft.revision,
        "votes": (helpful, len(state.votes) - helpful),
    }  # fmt: skip


def by_rows(rows, workspace, id_, position):
    columns = (
        "version", "state", "record_status", "revision", "title", "language", "audience", "tags", "in_review", "updated_at",
        "published_at", "draft_id",
    )  # fmt: skip

    def one(table, names, key="id", value=id_):
        of = f"workspace_id = %s AND {key} = %s"
        found = as_of(rows, f"articles.{table}", ", ".join(names), of, workspace, value, position=position)
        return found[0] if found else None

    row = one("article", columns)
    if row is None:
        return None
    found = dict(zip(columns, row, strict=True))
    found["published"] = found.pop("published_at") is not None
    draft = found.pop("draft_id")
    found["draft"] = draft and one("text", ["revision"], value=draft)[0]
    return found | {"body": one("body", ["body"])[0], "votes": one("tally", ["helpful_count", "unhelpful_count"])}


def test_articles_as_of_any_position_equal_their_fold(log, workspace, project, rows):
    shelf = Shelf(log, workspace, Random(3))
    shelf.steps(500)
    Shelf(log, uuid4(), Random(4)).steps(20)
    project()
    random, seen = Random(1), set()

    for _ in range(250):
        id_, position = random.choice(list(shelf.states)), random.randint(1, log.positions[workspace])
        state, facts = folded(log, workspace, id_, position, evolve)
        expected = None if state is None else by_fold(state, facts)
        assert by_rows(rows, workspace, id_, position) == expected, (id_, position)
        seen.add(expected and expected["state"])

    assert seen == {None, *article.ArticleState}


def test_words_are_found_in_what_was_shown_then(log, workspace, project, app):
    shelf = Shelf(log, workspace, Random(5))
    shelf.steps(250)
    other = Shelf(log, uuid4(), Random(6))
    other.steps(30)
    project()
    find = "SELECT id FROM articles.found(%s, %s, %s, %s)"

    for position in (None, *Random(2).sample(range(1, log.positions[workspace]), 25)):
        upto = position or log.positions[workspace]
        states = {id_: folded(log, workspace, id_, upto, evolve)[0] for id_ in shelf.states}
        for word, pairs in (("call", []), ("f1", []), ("密码", ["密", "码", "密码"]), ("unal", [])):
            found = app(find, f"%{word}%", [f"%{word}%"], pairs, position)
            wanted = {id_ for id_, state in states.items() if state and word in text_of(state.shown)}
            assert sorted(found) == sorted((id_,) for id_ in wanted), (word, position)


def text_of(shown):
    return f"{shown.title} {shown.body}".lower().replace("ü", "u")


@settings(
    max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(1, 60), min_size=2, max_size=4), size=st.integers(1, 60))
def test_rebuilt_articles_equal_live_ones_for_any_cuts(database, shared_log, seed, pieces, size):
    log = shared_log(database.owner)
    shelf = Shelf(log, uuid4(), Random(seed))
    for steps in pieces:
        shelf.steps(steps)
        Projector(database.projector, log.decode, [articles], page_size=size).drain()

    outcomes = Rebuild(database.projector, log.decode, [articles]).run(check=True)

    assert {o.read_model: o.differing for o in outcomes if o.differing} == {}
