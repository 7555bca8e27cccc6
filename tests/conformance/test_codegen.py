"""What a frontend's build makes of the schema: types of every operation it can already write, strict enough for `tsc`."""

import json

import pytest
from graphql import parse, print_ast

from crm_es.schema import text
from tests.api import contract
from tests.api.served import need_node, node

pytestmark = [pytest.mark.anyio, pytest.mark.node, pytest.mark.slow]
SCALARS = dict.fromkeys(["Date", "DateTime", "Decimal", "Duration", "Position", "TimeZone", "UUID"], "string") | {
    "JSON": "unknown"
}
USE = """import type { ContactListQuery, EditContactMutationVariables } from "./operations";

export function names(page: ContactListQuery): string[] {
  // @ts-expect-error a name may be null: erased, or masked
  const name: string = page.contacts.edges[0].node.displayName;
  return page.contacts.edges.map(({ node }) => node.displayName ?? node.liveId).concat(name);
}

// null clears, what is left out stays
export const change: EditContactMutationVariables = { input: { id: "x", jobTitle: null, expectedVersion: 3 } };
"""


@pytest.fixture(autouse=True)
def installed():
    need_node()


async def test_codegen_and_strict_typescript_accept_schema_and_operations(tmp_path):
    parsed = (parse(document).definitions for document in contract.possible().values())
    written = {contract.name(each): print_ast(each) for definitions in parsed for each in definitions}
    (tmp_path / "schema.graphql").write_text(text())
    (tmp_path / "operations.graphql").write_text("\n".join(written.values()))
    (tmp_path / "use.ts").write_text(USE)
    config = {
        "schema": str(tmp_path / "schema.graphql"),
        "documents": str(tmp_path / "operations.graphql"),
        "config": {"strictScalars": True, "scalars": SCALARS},
        "generates": {
            str(tmp_path / "types.ts"): {"plugins": ["typescript"]},
            str(tmp_path / "operations.ts"): {"plugins": ["typescript-operations"]},
        },
    }
    (tmp_path / "codegen.json").write_text(json.dumps(config))

    generated, said = await node("node_modules/.bin/graphql-codegen", "--config", str(tmp_path / "codegen.json"))
    assert generated == 0, said
    checked, said = await node(
        "node_modules/.bin/tsc", "--strict", "--noEmit", "--skipLibCheck", "--noUnusedLocals", "--target", "es2022",
        "--module", "esnext", "--moduleResolution", "bundler", str(tmp_path / "use.ts"), str(tmp_path / "types.ts"),
    )  # fmt: skip

    assert checked == 0, said
    assert "export type MergeMutation" in (tmp_path / "operations.ts").read_text()
