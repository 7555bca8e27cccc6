"""Saved views: kept, changed and removed by their owner, valid as long as the schema would take them."""

from uuid import uuid4

import pytest

from crm_es.api import ids
from crm_es.workspaces import saved_view
from crm_es.workspaces.actions import EntityType
from crm_es.workspaces.saved_view import SAVED_VIEW

pytestmark = pytest.mark.anyio

VIEW = "view { id name target filter orderBy columns shared owner { name } valid }"
DONE = "position replayed userErrors { code rule field }"
SAVE = f"mutation($input: SaveViewInput!) {{ saveView(input: $input) {{ {VIEW} {DONE} }} }}"
REMOVE = "mutation($input: RemoveViewInput!) { removeView(input: $input) { removedId userErrors { code rule field } } }"
VIEWS = "{ savedViews { id name valid } }"


def hot(**more):
    given = {"name": "Hot", "target": "CONTACT", "filter": {"lifecycleStage": {"eq": "LEAD"}}}
    return given | {"orderBy": [{"field": "CREATED_AT", "direction": "DESC"}]} | more


async def saved(api, who="admin", **more):
    payload = (await api.ask(SAVE, who=who, input=hot(**more)))["saveView"]
    assert payload["userErrors"] == []
    return payload["view"]


async def test_a_view_is_kept_as_it_was_given(api):
    view = await saved(api, columns=["displayName", "owner"])

    assert view | {"id": ...} == {
        "id": ..., **hot(), "columns": ["displayName", "owner"], "shared": False, "owner": {"name": "Admin"}, "valid": True,
    }  # fmt: skip
    changed = await saved(api, id=view["id"], name="Hotter", shared=True)
    assert (changed["id"], changed["name"], changed["columns"], changed["shared"]) == (view["id"], "Hotter", None, True)


async def test_a_view_is_valid_while_the_list_would_take_it(api):
    good = await saved(api)
    unfiltered = await saved(api, target="MEMBER", filter={}, orderBy=None)
    by = api.known["admin"].member_id
    old = []
    for said in ({"filter": {"gone": True}}, {"filter": {}, "order_by": [{"field": "SHOE_SIZE"}]}):
        moved = saved_view.save(None, name="Old", target=EntityType.CONTACT, by=by, **said)
        old.append(api.id("SavedView", await api.begin(SAVED_VIEW, moved)))
    await api.projected()

    views = (await api.ask(VIEWS))["savedViews"]

    valid = {each["id"]: each["valid"] for each in views}
    assert valid == {good["id"]: True, unfiltered["id"]: True, old[0]: False, old[1]: False}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"filter": {"shoeSize": {"eq": 43}}}, ["filter"]),
        ({"filter": {"or": [{}, {"email": {"resembles": "ada"}}]}}, ["filter", "or", "1", "email"]),
        ({"filter": {"lifecycleStage": {"eq": "FRIEND"}}}, ["filter", "lifecycleStage", "eq"]),
        ({"orderBy": [{"field": "SHOE_SIZE"}]}, ["orderBy", "0", "field"]),
        ({"target": "MEMBER", "orderBy": None}, ["filter"]),
        ({"target": "COMPANY", "orderBy": None}, ["filter"]),
    ],
)
async def test_what_the_list_would_not_take_is_no_view(api, given, field):
    assert await api.refused(SAVE, input=hot(**given)) == [("INVALID", "saved_view.misfit", field)]


async def test_a_misfit_is_told_as_the_list_would(api):
    payload = (await api.ask(SAVE.replace("field }", "field message }"), input=hot(filter={"shoeSize": {}})))[
        "saveView"
    ]

    assert payload["userErrors"][0]["message"] == (
        "Expected value of type 'ContactFilter' not to include unknown field 'shoeSize'."
    )


async def test_a_shared_view_is_seen_by_all_and_changed_by_its_owner(api):
    mine, shared = await saved(api), await saved(api, shared=True)

    seen = (await api.ask(VIEWS, who="sales"))["savedViews"]

    assert [each["id"] for each in seen] == [shared["id"]]
    assert await api.refused(SAVE, who="sales", input=hot(id=shared["id"])) == [
        ("NOT_ALLOWED", "saved_view.not_mine", None)
    ]
    for change, given in ((SAVE, hot(id=mine["id"])), (REMOVE, {"id": mine["id"]})):
        assert await api.refused(change, who="sales", input=given) == [("NOT_FOUND", "record.not_found", ["id"])]


async def test_a_removed_view_is_gone(api):
    view = await saved(api)

    removed = (await api.ask(REMOVE, input={"id": view["id"]}))["removeView"]

    assert removed == {"removedId": view["id"], "userErrors": []}
    assert (await api.ask(VIEWS))["savedViews"] == []
    assert await api.refused(REMOVE, input={"id": view["id"]}) == [("NOT_FOUND", "record.not_found", ["id"])]


async def test_the_same_command_saves_one_view(api):
    command = str(uuid4())

    first, second = [(await api.ask(SAVE, input=hot(commandId=command)))["saveView"] for _ in range(2)]

    assert second == first | {"replayed": True}
    assert len((await api.ask(VIEWS))["savedViews"]) == 1


async def test_what_cannot_be_a_view_is_refused_where_it_stands(api):
    assert await api.refused(SAVE, input=hot(name="")) == [("INVALID", "text.blank", ["name"])]
    assert await api.refused(SAVE, input=hot(filter=[])) == [("INVALID", "saved_view.malformed_filter", ["filter"])]
    assert await api.refused(SAVE, who="nobody", input=hot()) == [("NOT_ALLOWED", "permission.denied", None)]
    assert await api.refused(REMOVE, input={"id": ids.encode("SavedView", uuid4())}) == [
        ("NOT_FOUND", "record.not_found", None)
    ]
