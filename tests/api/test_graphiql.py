"""GraphiQL in a real browser: loads, runs a query with the token in its address, shows the docs, and speaks to nobody else."""

from urllib.parse import urlsplit

import pytest

from tests.api.chromium import browser, page
from tests.api.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]
EXECUTE = ".graphiql-execute-button[aria-label^=Execute]"
"""While a query runs, the same button stops it."""


@pytest.fixture(autouse=True)
def installed():
    if browser() is None:
        pytest.skip("no Chromium here")


async def test_a_browser_runs_a_query_and_reads_the_docs_and_asks_no_other_host(api):
    token = api.token(api.known["admin"].member_id)
    async with served(api.app) as address, page() as graphiql:
        await graphiql.go(f"http://{address}/graphql#token={token}")
        await graphiql.click(EXECUTE, "document.querySelector('.result-window')?.innerText.includes('Europe/Berlin')")
        shown = "document.querySelector('.graphiql-doc-explorer')?.innerText.includes('Mutation')"
        await graphiql.click("button[aria-label='Show Documentation Explorer']", shown)
        bar = await graphiql.value("location.href")

    hosts = {urlsplit(url).netloc for url in graphiql.requests if urlsplit(url).scheme not in {"data", "blob", "about"}}
    assert hosts == {address}
    assert f"http://{address}/graphql" in graphiql.requests
    assert graphiql.faults == []
    assert token not in bar  # an address is copied and logged


async def test_without_a_token_the_page_says_what_is_missing(api):
    async with served(api.app) as address, page() as graphiql:
        await graphiql.go(f"http://{address}/graphql")
        await graphiql.click(EXECUTE, "document.querySelector('.result-window')?.innerText.includes('UNAUTHENTICATED')")
