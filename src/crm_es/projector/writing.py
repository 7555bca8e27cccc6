"""Pages on their way into the database: each in a transaction of its own, sent before the page before it is answered."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from crm_es.projector import bookmarks
from crm_es.projector.pages import Page
from crm_es.projector.target import Target


@contextmanager
def in_a_row(connection: Connection[Any]) -> Iterator[None]:
    """Pages sent inside stand when the block is left. Left by an error, some of them do, each whole, none without those
    before it: from what fails on, the server skips all until the block ends. The bookmarks tell.
    """
    try:
        with connection.pipeline():
            yield
    finally:
        if not connection.closed:
            connection.rollback()  # of a page that did not come to its end


def send(
    connection: Connection[Any], group: Sequence[Target], page: Page, meanwhile: Callable[[], object], *, tell: bool
) -> None:
    """Write a page to all of these; `tell` those who wait for read models. `meanwhile` is done while the server works."""
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    for target in group:
        target.apply(connection, page.facts, meanwhile)
    if tell:
        cursor.execute("NOTIFY crm_projected")
    bookmarks.advance_or_fail(cursor, [t.schema for t in group], old=page.after, new=page.last)
    cursor.execute("COMMIT")
