"""A contact is exported with what was said of it under the ids of those it absorbed."""

import json
from uuid import UUID

import pytest

from crm_es.api import ids
from crm_es.workspaces.export import ExportScope, Wanted
from tests.exports.test_bundles import SAME, files, logged, office, position_of, rows, verify  # noqa: F401  # fixture

pytestmark = pytest.mark.anyio


async def test_a_survivor_is_exported_with_what_named_only_whom_it_absorbed(office, api):  # noqa: F811
    ada, bea, cleo = [await contact(api, name) for name in ("Ada", "Bea", "Cleo")]
    of_old = {"type": "NOTE", "contactIds": [cleo], "body": "Of old.", "occurredAt": "2025-01-01T00:00:00Z"}
    told = await said(api, "recordInteraction", "interaction { id }", **of_old)
    note = str(ids.decode(told["interaction"]["id"]).id)
    for survivor, absorbed in ((bea, cleo), (ada, bea)):
        await said(api, "mergeContacts", "position", survivorId=survivor, absorbedId=absorbed, reason="one person")
    one, *others = [ids.decode(each).id for each in (ada, bea, cleo)]

    bundle = await office.make(Wanted(scope=ExportScope.SUBJECT, id=one))
    await said(api, "unmergeContact", "position", absorbedId=bea, reason="two after all")
    later = await office.make(Wanted(scope=ExportScope.SUBJECT, id=one), name="later")
    before = await office.make(Wanted(scope=ExportScope.SUBJECT, id=one, upto=position_of(bundle)), name="before")

    scope = {"kind": "subject", "id": str(one)}
    scopes = [json.loads((each / "MANIFEST.json").read_text())["scope"] for each in (bundle, later)]
    assert scopes == [{**scope, "absorbed": sorted(map(str, others))}, scope]
    assert [verify(each) for each in (bundle, later, before)] == [0, 0, 0]
    assert [row["id"] for row in rows(bundle, "interactions")] == [note]
    assert rows(later, "interactions") == []
    assert {UUID(row["id"]) for row in rows(bundle, "contacts")} == {one, *others}
    assert files(before, *SAME) == files(bundle, *SAME)
    held = [set(row[1]) for row in logged(office)]
    assert [{one, *others} <= each for each in held] == [True, False, True]
    assert all(one in each for each in held)


async def contact(api, name):
    return (await said(api, "registerContact", "contact { id }", displayName=name))["contact"]["id"]


async def said(api, mutation, answer, **given):
    kind = f"{mutation[0].upper()}{mutation[1:]}Input"
    document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ {answer} userErrors {{ message }} }} }}"
    told = (await api.ask(document, i=given))[mutation]
    assert told["userErrors"] == []
    return told
