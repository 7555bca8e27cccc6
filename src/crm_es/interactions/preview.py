"""The beginning of a text as plain words on one line, for lists. Pure."""

import re
from html.parser import HTMLParser
from typing import Final

from crm_es.interactions.interaction import TextFormat

LONGEST: Final = 1_000
_UNSEEN: Final = frozenset({"script", "style", "head", "title"})
_BLOCKS: Final = frozenset({"p", "div", "br", "li", "tr", "td", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"})
_LINK: Final = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_MARKS: Final = re.compile(r"^\s{0,3}(#{1,6}|>|[-*+]|\d+\.)\s+|[*_`~]{1,3}", re.MULTILINE)


def needed(length: int) -> int:
    """How much of a body makes a preview of this length; markup may be most of it."""
    return 20 * length + 4_000


def beginning(body: str, format_: TextFormat, length: int) -> str:
    match format_:
        case TextFormat.HTML:
            text = _words_of(body)
        case TextFormat.MARKDOWN:
            text = _MARKS.sub("", _LINK.sub(r"\1", body))
        case TextFormat.PLAIN:
            text = body
    return " ".join(text.split())[:length]


def _words_of(html: str) -> str:
    words = _Words()
    words.feed(html)
    return "".join(words.found)


class _Words(HTMLParser):
    """Gathers what a reader sees. A cut-off end is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.found.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.found.append(data)
