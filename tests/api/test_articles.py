"""Knowledge articles from a draft to what their readers find."""

import pytest

from tests.api.test_contacts import PROBLEMS, register

pytestmark = pytest.mark.anyio

FIELDS = """id liveId version label title body language state audience revision publishedAt archivedAt tags inReview
  helpfulCount unhelpfulCount viewerCan draft { revision title body } revisions { revision body publishedAt }"""
SAVE = f"mutation($input: SaveArticleInput!) {{ saveArticle(input: $input) {{ article {{ {FIELDS} }} {PROBLEMS} }} }}"
LIST = "query($filter: ArticleFilter, $asOf: AsOf) { articles(filter: $filter, asOf: $asOf) { totalCount nodes { title } } }"
PRESSING = {"title": "Reset a password", "body": "Press F1.", "language": "en", "audience": "CUSTOMER"}


async def save(api, **given):
    payload = (await api.ask(SAVE, input=PRESSING | given))["saveArticle"]
    assert payload["userErrors"] == [], payload
    return payload["article"]


async def do(api, name, article, who="admin", **given):
    kind = f"{name[0].upper()}{name[1:]}Input!"
    query = f"mutation($input: {kind}) {{ {name}(input: $input) {{ position article {{ {FIELDS} }} {PROBLEMS} }} }}"
    return (await api.ask(query, who=who, input={"id": article["id"]} | given))[name]


async def done(api, name, article, **given):
    payload = await do(api, name, article, **given)
    assert payload["userErrors"] == [], payload
    return payload["article"]


def problems(payload):
    return [(error["rule"], error["field"]) for error in payload["userErrors"]]


async def titles(api, as_of=None, **filter_):
    found = (await api.ask(LIST, filter=filter_, asOf=as_of))["articles"]
    assert found["totalCount"] == len(found["nodes"])
    return [node["title"] for node in found["nodes"]]


async def test_a_draft_is_reviewed_published_and_improved(api):
    drafted = await save(api, tags=["login"], language="EN")
    asked = await done(api, "requestArticleReview", drafted)
    published = await done(api, "publishArticle", drafted)
    edited = await save(api, id=drafted["id"], body="Press F2.")
    again = await done(api, "publishArticle", drafted)

    assert (drafted["state"], drafted["revision"], drafted["language"]) == ("DRAFT", 1, "en")
    assert drafted["draft"] == {"revision": 1, "title": "Reset a password", "body": "Press F1."}
    assert (asked["state"], asked["inReview"]) == ("IN_REVIEW", True)
    assert (published["state"], published["draft"], published["label"]) == ("PUBLISHED", None, "Reset a password")
    assert (edited["state"], edited["revision"], edited["body"]) == ("PUBLISHED", 1, "Press F1.")
    assert (edited["draft"]["body"], edited["tags"]) == ("Press F2.", ["login"])
    assert (again["revision"], again["body"], again["version"]) == (2, "Press F2.", 5)
    assert [each["body"] for each in again["revisions"]] == ["Press F2.", "Press F1."]
    assert again["publishedAt"] == again["revisions"][0]["publishedAt"] > published["publishedAt"]


async def test_an_archived_article_leaves_lists_and_comes_back_as_a_draft(api):
    article = await save(api)
    await done(api, "publishArticle", article)

    archived = await done(api, "archiveArticle", article)
    listed = await titles(api), await titles(api, state="ARCHIVED"), await titles(api, text="password")
    restored = await done(api, "restoreArticle", article)

    assert (archived["state"], archived["viewerCan"]) == (
        "ARCHIVED",
        ["READ", "ARCHIVE", "REVEAL", "EXPORT", "ERASE", "AUDIT"],
    )
    assert archived["archivedAt"]
    assert listed == ([], ["Reset a password"], [])
    assert (restored["state"], restored["archivedAt"], restored["publishedAt"]) == ("DRAFT", None, None)
    assert problems(await do(api, "restoreArticle", article)) == [("article.not_archived", None)]
    assert await titles(api) == ["Reset a password"]


async def test_votes_are_counted_once_a_voter(api):
    article, contact = await save(api), await register(api)

    early = await do(api, "voteArticle", article, helpful=True)
    await done(api, "publishArticle", article)
    await done(api, "voteArticle", article, helpful=True)
    await done(api, "voteArticle", article, helpful=True, who="sales")
    await done(api, "voteArticle", article, helpful=True, contactId=contact["id"])
    changed = await done(api, "voteArticle", article, helpful=False)
    repeated = await do(api, "voteArticle", article, helpful=False)

    assert problems(early) == [("article.not_published", None)]
    assert (changed["helpfulCount"], changed["unhelpfulCount"]) == (2, 1)
    assert repeated["position"] is None
    assert problems(await do(api, "voteArticle", article, who="auditor", helpful=True)) == [("permission.denied", None)]


async def test_text_finds_all_of_its_words_wherever_they_stand(api):
    await save(
        api, title="Passwort zurücksetzen", body="Drücken Sie F1, dann 50 % warten_und lesen.", tags=["Anmeldung"]
    )
    await save(api, title="Drucker", body="Papier nachlegen.")

    for text in ("ZURUCKSETZEN", "sie passwort", "anmeldung f1", "50 %", "warten_und", "nachlegen papier"):
        assert len(await titles(api, text=text)) == 1, text
    for text in ("passwort papier", "warten%und", "5_ %", "f9"):
        assert await titles(api, text=text) == [], text
    assert len(await titles(api, text=" ")) == 2


async def test_text_finds_chinese_japanese_and_korean(api):
    await save(api, title="重置密码", body="请按F1键然后等待。", language="zh")
    await save(api, title="パスワードの再設定", body="F1キーを押してください。", language="ja")
    await save(api, title="비밀번호 재설정", body="F1 키를 누르세요.", language="ko")

    found = {
        text: await titles(api, text=text) for text in ("密码", "按 F1", "スワード", "再設定 F1", "번호", "置码", "密")
    }

    assert found == {
        "密码": ["重置密码"], "按 F1": ["重置密码"], "スワード": ["パスワードの再設定"], "再設定 F1": ["パスワードの再設定"],
        "번호": ["비밀번호 재설정"], "置码": [], "密": ["重置密码"],
    }  # fmt: skip


async def test_a_draft_of_a_published_article_is_not_found_before_it_is_published(api):
    article = await save(api)
    await done(api, "publishArticle", article)
    await save(api, id=article["id"], body="Call us.")

    hidden = await titles(api, text="call"), await titles(api, text="press")
    position = (await done(api, "publishArticle", article)) and await api.ask("{ viewer { position } }")
    await save(api, id=article["id"], title="Another")

    at = {"position": str(int(position["viewer"]["position"]) - 1)}
    assert hidden == ([], ["Reset a password"])
    assert (await titles(api, text="call"), await titles(api, text="press")) == (["Reset a password"], [])
    assert (await titles(api, at, text="call"), await titles(api, at, text="press")) == hidden


async def test_the_search_of_all_records_finds_articles_by_title(api):
    search = "query($text: String!) { search(text: $text, types: [ARTICLE]) { edges { field node { id } } } }"

    async def hits(payload, text):
        waiting = {"CRM-Min-Position": payload["position"]}
        found = (await api.post(search, variables={"text": text}, headers=waiting)).json()["data"]["search"]["edges"]
        return [(edge["field"], edge["node"]["id"]) for edge in found]

    article = await save(api, title="重置密码 Password")
    published = await do(api, "publishArticle", article)
    shown = await hits(published, "password"), await hits(published, "密码")
    archived = await do(api, "archiveArticle", article)

    assert shown == ([("title", article["id"])],) * 2
    assert await hits(archived, "password") == []


async def test_a_published_article_is_found_by_what_readers_see_not_by_its_draft(api):
    search = "query($text: String!) { search(text: $text, types: [ARTICLE]) { edges { snippet } } }"

    async def hits(*words):
        """Which of them find it, once all is shown."""
        waiting = {"CRM-Min-Position": (await api.ask("{ viewer { position } }"))["viewer"]["position"]}
        found = [(await api.post(search, variables={"text": text}, headers=waiting)).json() for text in words]
        return [bool(each["data"]["search"]["edges"]) for each in found]

    article = await save(api, title="Password")
    await save(api, id=article["id"], title="Kennwort")
    assert await hits("password", "kennwort") == [False, True]
    await done(api, "publishArticle", article)
    await save(api, id=article["id"], title="Geheim")
    assert await hits("kennwort", "geheim") == [True, False]
    await done(api, "publishArticle", article)
    assert await hits("kennwort", "geheim") == [False, True]
    await save(api, id=article["id"], title="Losung")
    await done(api, "archiveArticle", article)
    await done(api, "restoreArticle", article)
    assert await hits("geheim", "losung") == [False, True]


async def test_lists_narrow_by_state_audience_language_and_tag(api):
    await save(api, title="Ours", audience="INTERNAL", tags=["a"])
    german = await save(api, title="Deutsch", language="de", tags=["b"])
    await done(api, "publishArticle", german)

    assert await titles(api) == ["Deutsch", "Ours"]
    assert await titles(api, audience="INTERNAL") == ["Ours"]
    assert await titles(api, language="de") == ["Deutsch"]
    assert await titles(api, state="PUBLISHED") == ["Deutsch"]
    assert await titles(api, tag={"eq": "a"}) == ["Ours"]
    assert await titles(api, text="press", state="DRAFT") == ["Ours"]


async def test_a_past_article_shows_what_was_published_then(api):
    article = await save(api)
    await done(api, "publishArticle", article)
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await save(api, id=article["id"], title="Newer", body="Newer.")
    await done(api, "publishArticle", article)
    await done(api, "voteArticle", article, helpful=True)

    query = f"query($id: ID!, $at: AsOf) {{ article(id: $id, asOf: $at) {{ asOf {FIELDS} }} }}"
    past = (await api.ask(query, id=article["id"], at={"position": then}))["article"]
    refetched = await api.ask(
        f"query($id: ID!) {{ node(id: $id) {{ ... on Article {{ asOf {FIELDS} }} }} }}", id=past["id"]
    )
    refused = await do(api, "archiveArticle", past)

    assert (past["title"], past["body"], past["helpfulCount"], past["asOf"]) == (*list(PRESSING.values())[:2], 0, then)
    assert past["revisions"] == [{"revision": 1, "body": "Press F1.", "publishedAt": past["publishedAt"]}]
    assert past["liveId"] == article["id"]
    assert refetched["node"] == past
    assert problems(refused) == [("id.past", ["id"])]


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"title": " "}, "text.blank", ["title"]),
        ({"body": ""}, "text.blank", ["body"]),
        ({"language": "English"}, "language.malformed", ["language"]),
        ({"tags": ["a", " "]}, "text.blank", ["tags", "1"]),
        ({"body": "x" * 50_001}, "text.too_long", ["body"]),
    ],
)
async def test_what_cannot_be_an_article_is_refused(api, given, rule, field):
    assert await api.refused(SAVE, input=PRESSING | given) == [("INVALID", rule, field)]


async def test_history_tells_what_was_written_and_published(api):
    article = await save(api)
    await done(api, "publishArticle", article)

    query = """query($id: ID!) { article(id: $id) { history { nodes { type changes { field from to } } } } }"""
    published, saved = (await api.ask(query, id=article["id"]))["article"]["history"]["nodes"]

    assert (saved["type"], [change["field"] for change in saved["changes"]]) == ("article.saved", ["draft"])
    told = {change["field"]: change for change in published["changes"]}
    assert (told["state"]["from"], told["state"]["to"]) == ("DRAFT", "PUBLISHED")
    assert (told["draft"]["from"]["body"], told["draft"]["to"]) == ("Press F1.", None)
    assert told["publishedAt"]["to"]


async def test_two_who_edit_at_once_learn_of_each_other(api):
    article = await save(api)
    await save(api, id=article["id"], body="Press F3.")

    conflict = await api.refused(
        SAVE, input=PRESSING | {"id": article["id"], "body": "Press F4.", "expectedVersion": 1}
    )

    assert conflict == [("VERSION_CONFLICT", "record.version_conflict", None)]
