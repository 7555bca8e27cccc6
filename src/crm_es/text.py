"""Forms of text to compare and search by. Read models store them, filters fold their operands alike."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# Han, Hiragana, Katakana, Hangul: written without spaces, so searched by pairs of characters.
_CJK: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+")
_WORD: Final = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Without case, accents and width: `Ünal` → `unal`. Letters that only look accented (ø, ł) stay."""
    return fold_whole(text)


def fold_whole(text: str) -> str:
    """The same of a long text, which nobody folds twice."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    if apart.isascii():
        return apart
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def bigrams(text: str) -> list[str]:
    """Every character and every pair of neighbours in runs of CJK, once each, in order."""
    if text.isascii():
        return []
    return list(dict.fromkeys(gram for run in _CJK.findall(text) for gram in _grams(run)))


def _grams(run: str) -> Iterator[str]:
    yield from run
    yield from (run[i : i + 2] for i in range(len(run) - 1))


def digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def words(text: str) -> list[str]:
    """The words of a folded text, sorted: `Lovelace, Ada` and `ada lovelace` are the same."""
    return sorted(_WORD.findall(fold(text)))
