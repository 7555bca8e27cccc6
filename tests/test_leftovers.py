"""What graphql-core leaves unbegun is no fault of the test in which the garbage collector finds it."""

import gc


async def resolver() -> None:
    """Never awaited."""


def test_it_may_be_found_where_nothing_can_be_imported() -> None:
    """As within the constructor of a named tuple: then Python cannot warn of it, and says that instead."""
    left = [resolver()]
    left.append(left)  # a cycle, which nothing but the collector takes away
    del left
    bare = eval("lambda collect: collect()", {"__builtins__": {}})  # noqa: S307  # what collections.namedtuple does

    assert bare(gc.collect)
