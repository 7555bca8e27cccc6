"""The three doors into one database: what each process connects as."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

DATABASE: Final = "crm"
PATIENCE: Final = {
    "connect_timeout": "10",  # seconds
    "keepalives_idle": "30",  # seconds of silence, then so many questions at these intervals
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds until what was sent must be acknowledged
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseUrls:
    """`owner` migrates and founds workspaces, `app` serves requests, `projector` writes read models, `sealer` signs the log.

    A process that must not have a door has "" for it.
    """

    owner: str
    app: str
    projector: str
    sealer: str = ""

    def on(self, database: str) -> "DatabaseUrls":
        """The same doors of another database on the same server."""
        return DatabaseUrls(
            owner=on_database(self.owner, database),
            app=on_database(self.app, database),
            projector=on_database(self.projector, database),
            sealer=on_database(self.sealer, database) if self.sealer else "",
        )


def socket_urls(directory: str, database: str = DATABASE) -> DatabaseUrls:
    """The doors of an embedded server: trust on a unix socket that only its owner can reach."""

    def url(role: str) -> str:
        return patient(f"postgresql://{role}@/{database}?host={quote(directory, safe='')}")

    return DatabaseUrls(
        owner=url("postgres"), app=url("crm_app"), projector=url("crm_projector"), sealer=url("crm_sealer")
    )


def on_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def with_options(url: str, options: str) -> str:
    """Server options beside those the URL has; the keyword `options` of a connect would replace them."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} {options}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))  # libpq reads no + as a space


def patient(url: str) -> str:
    """A server that vanished without a word is given up after a minute; what the URL says of it stands."""
    parts = urlsplit(url)
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    unsaid = urlencode({name: value for name, value in PATIENCE.items() if name not in said})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, unsaid)))))


def without_password(url: str) -> str:
    """For messages: who and where, never the secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}" if parts.username else host, query=""))
