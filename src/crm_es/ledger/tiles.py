"""Tiles in the database: one row each, the partial ones of the right edge in rows that grow."""

from collections.abc import Iterable
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.ledger.merkle import HASH, Tile, edge_of
from crm_es.ledger.proofs import TileReader

_READ: Final[LiteralString] = """
SELECT substr(hashes, 1, %s)
FROM ledger.tile
WHERE workspace_id = %s AND epoch = %s AND level = %s AND number = %s
"""
# A row that is there already may have grown further than what is written again after a crash.
_SAVE: Final[LiteralString] = """
INSERT INTO ledger.tile (workspace_id, epoch, level, number, hashes)
SELECT u.workspace_id, u.epoch, u.level, u.number, u.hashes
FROM unnest(%s::uuid[], %s::int[], %s::smallint[], %s::bigint[], %b::bytea[]) AS u (workspace_id, epoch, level, number, hashes)
ON CONFLICT (workspace_id, epoch, level, number) DO UPDATE SET hashes = excluded.hashes
WHERE octet_length(tile.hashes) < octet_length(excluded.hashes)
"""


class MissingTileError(Exception):
    """The database has no such tile, or not all of it."""


def reader(connection: Connection[Any], workspace: UUID, epoch: int) -> TileReader:
    """Reads tiles of a log, cut to the width that is asked for."""

    def read(tile: Tile) -> bytes:
        bytes_ = tile.width * HASH
        row = connection.execute(_READ, [bytes_, workspace, epoch, tile.level, tile.number], binary=True).fetchone()
        if row is None or len(row[0]) < bytes_:
            raise MissingTileError(tile.path)
        return bytes(row[0])

    return read


def read_edge(connection: Connection[Any], workspace: UUID, epoch: int, size: int) -> list[tuple[Tile, bytes]]:
    """What growing on from `size` needs. Raises: MissingTileError."""
    read = reader(connection, workspace, epoch)
    return [(tile, read(tile)) for tile in edge_of(size)]


def save(connection: Connection[Any], grown: Iterable[tuple[UUID, int, Iterable[tuple[Tile, bytes]]]]) -> None:
    """Of each log (workspace, epoch) the tiles that it grew by; no tile twice."""
    rows = [
        (workspace, epoch, tile.level, tile.number, hashes)
        for workspace, epoch, tiles in grown
        for tile, hashes in tiles
    ]
    if rows:
        connection.execute(_SAVE, [list(column) for column in zip(*rows, strict=True)])
