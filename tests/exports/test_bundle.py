"""The writer of bundles goes on where it was stopped, and what it makes is the same as if it never had been."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from crm_es.exports.bundle import BundleWriter, Contents, Purpose
from tests.verify.house import House, topic_of

PER_FILE = 16


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def house() -> House:
    house = House(1)
    house.grow(300)
    house.seal_heads()
    return house


def contents(house: House) -> Contents:
    return Contents(
        origin=house.origin, workspace=UUID(house.workspace), scope={"kind": "workspace"}, position=house.size - 1,
        tree_size=house.size, heads_position=house.size, heads_root="00",
    )  # fmt: skip


def write(house: House, directory: Path, *, killed_after: int | None = None) -> tuple[BundleWriter, list[int]]:
    """Until it is killed while the event after so many is read."""
    asked: list[int] = []

    def events(after: int) -> Iterator[tuple[int, bytes]]:
        asked.append(after)
        for position in range(after + 1, house.size):
            if killed_after is not None and position > killed_after:
                raise KilledError
            yield position, house.states[position - 1]

    writer = BundleWriter(directory, contents(house), per_file=PER_FILE)
    writer.events(events, topic_of)
    writer.tiles(house.tree.read)
    writer.heads(house.states[-1], house.leaves(house.size - 1))
    purpose = Purpose(requester="me", purpose="a test", created_at="2026-01-01T00:00:00Z", tool="crm-es 0")
    writer.manifest(purpose, custody=False)
    writer.seal(house.note(house.size), house.checkpoint(house.size), "key")
    return writer, asked


def all_of(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_killed_writer_goes_on_and_ends_with_the_same_bytes(house: House, tmp_path: Path) -> None:
    write(house, tmp_path / "whole")
    for at in (0, 15, 16, 17, 100, 299):
        with pytest.raises(KilledError):
            write(house, tmp_path / f"{at}", killed_after=at)
        assert not (tmp_path / f"{at}").exists()

        _, asked = write(house, tmp_path / f"{at}")

        assert asked == [at // PER_FILE * PER_FILE]
        assert all_of(tmp_path / f"{at}") == all_of(tmp_path / "whole")


def test_half_written_files_and_notes_are_not_believed(house: House, tmp_path: Path) -> None:
    write(house, tmp_path / "whole")
    with pytest.raises(KilledError):
        write(house, tmp_path / "again", killed_after=200)
    part = tmp_path / "again.part"
    (part / "events/000012.jsonl.gz.part").write_bytes(b"half")
    (part / "events/000003.jsonl.gz").write_bytes(b"something else")
    with (part / ".progress").open("ab") as progress:
        progress.write(b'{"path":"events/000012.js')
    with pytest.raises(KilledError):
        write(house, tmp_path / "again", killed_after=90)

    _, asked = write(house, tmp_path / "again")

    assert asked == [5 * PER_FILE]
    assert all_of(tmp_path / "again") == all_of(tmp_path / "whole")


def test_no_more_than_a_file_of_events_is_held(house: House, tmp_path: Path) -> None:
    """What is read ahead of what is written."""
    read = 0
    writer = BundleWriter(tmp_path / "bundle", contents(house), per_file=PER_FILE)

    def events(after: int) -> Iterator[tuple[int, bytes]]:
        nonlocal read
        for position in range(after + 1, house.size):
            read = position
            yield position, house.states[position - 1]

    told: list[tuple[int, int]] = []
    writer.events(events, topic_of, lambda done: told.append((done, read)))

    assert all(done == seen for done, seen in told)
    assert told[-1][0] == house.size - 1
