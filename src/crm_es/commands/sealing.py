"""`seal`, and `ledger`: what an operator does with the sealer's key and memory."""

import time
from base64 import b64encode
from contextlib import closing

import click

from crm_es.commands.groups import FullSentences
from crm_es.config import Settings
from crm_es.errors import ConfigurationError
from crm_es.ledger.book import Book, connect
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.memory import Memory
from crm_es.ledger.trust import trust
from crm_es.serving import sealing

ANNOUNCE_SECONDS = 30.0
ASK_SECONDS = 0.2


@click.command()
def seal() -> None:
    """Sign the logs of all workspaces as they grow, until stopped. `serve` does this too; a second sealer stands by.

    In production run it as another user of the system, with a database login of its own: CRM_SEALER_DATABASE_URL,
    CRM_SEALER_KEY, CRM_SEALER_MEMORY and CRM_LOG_ORIGIN are all it needs.
    """
    settings = Settings.from_environment()
    with sealing.door(settings) as url:
        sealing.seal(settings, url)


@click.group(cls=FullSentences)
def ledger() -> None:
    """The sealer's key and memory."""


@ledger.command("public-key")
def public_key() -> None:
    """Print the public key of the newest private one, as auditors pin it: 32 bytes in base64.

    It signs the logs, or will as soon as the sealer has announced it in all of them.
    """
    _tell(KeyFile(Settings.from_environment().sealer_key_file).newest)


@ledger.command("rotate-key")
def rotate_key() -> None:
    """Make a new key, which the sealer announces in every log: one checkpoint of each is signed by both keys.

    The old key is dropped when all logs have the new one. Prints the new public key, as `public-key` does.
    """
    settings = Settings.from_environment()
    keys = KeyFile(settings.sealer_key_file)
    with sealing.door(settings) as url, closing(connect(url)) as connection:
        if len(keys.private()) > 1:
            raise ConfigurationError("A key is being announced already. Let the sealer run until all logs have it.")
        public = keys.add()
        click.echo("The sealer announces the new key in every log, now or when it is started.", err=True)
        deadline = time.monotonic() + ANNOUNCE_SECONDS
        while time.monotonic() < deadline and not _announced(Book(connection), public):
            time.sleep(ASK_SECONDS)
    _tell(public)


def _tell(public: bytes) -> None:
    click.echo(b64encode(public))


def _announced(book: Book, public: bytes) -> bool:
    known = book.keys().get(public)
    return known is not None and all(one.key_id == known for one in book.logs().values() if one.size)


@ledger.command("new-key")
def new_key() -> None:
    """Make a key where the old one is lost for ever. Every log begins a new epoch, which is all the evidence there is then.

    Refused while there is a key; `rotate-key` follows a key without a new epoch. Prints the public key, as `public-key` does.
    """
    keys = KeyFile(Settings.from_environment().sealer_key_file)
    if keys.exists():
        raise ConfigurationError(f"CRM_SEALER_KEY: there is one, {keys.path}. `crm-es ledger rotate-key` follows it.")
    keys.make()
    _tell(keys.newest)


@ledger.command("trust-database")
def trust_database() -> None:
    """Fill a lost CRM_SEALER_MEMORY with what the database says was signed, if this key signed it.

    Whoever could write to the database may have hidden newer checkpoints. Compare with one that left the house first.
    """
    settings = Settings.from_environment()
    keys = KeyFile(settings.sealer_key_file)
    with (
        sealing.door(settings) as url,
        closing(connect(url)) as connection,
        closing(Memory(settings.sealer_memory_file)) as memory,
    ):
        for signed in trust(Book(connection), memory, keys):
            click.echo(f"{signed.size:>12,}  {signed.origin}")
