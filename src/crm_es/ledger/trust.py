"""Beginning the sealer's memory anew from the database: only what its own keys signed, and only of logs it knows nothing of."""

from crm_es.errors import ConfigurationError
from crm_es.ledger.book import Book
from crm_es.ledger.checkpoint import NoteError, verify
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.memory import Memory, Signed


def trust(book: Book, memory: Memory, keys: KeyFile) -> list[Signed]:
    """What was taken over. Raises: ConfigurationError: a checkpoint is none of ours."""
    publics = {number: public for public, number in book.keys().items()}
    taken = []
    for workspace, kept in book.logs().items():
        if memory.of(workspace) is not None or not kept.size:
            continue
        public = publics[kept.key_id]
        try:
            signed = verify(kept.note, origin=kept.origin, public=public if public in keys.private() else keys.newest)
        except NoteError as exc:
            raise ConfigurationError(
                f"The newest checkpoint of {kept.origin} is not signed by this key: {exc}"
            ) from exc
        taken.append(
            Signed(workspace=workspace, epoch=kept.epoch, origin=kept.origin, size=signed.size, root=signed.root)
        )
    memory.put(taken)
    return taken
