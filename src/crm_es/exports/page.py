"""README.html: a bundle in a page to print. Plain HTML without scripts; every text in it is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from crm_es.exports.bundle import DEMO
from crm_es.exports.view import View

_STYLE = "body{font:14px/1.5 sans-serif;max-width:50em;margin:2em auto}table{border-collapse:collapse;width:100%}"
_CELLS = "td,th{border:1px solid #999;padding:.2em .5em;text-align:left;vertical-align:top}code{font-size:90%}"


def page(
    said: Sequence[tuple[str, object]], counts: Mapping[str, int], views: Iterable[View], *, demo: bool = False
) -> bytes:
    """`said` is what the export is, `counts` the events by type."""
    kinds = [(name, f"{number:,}") for name, number in sorted(counts.items())]
    files = [(f"views/{view.name}.csv, .parquet", view.description) for view in views]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Export of a crm_es log</title>",
        f"<style>{_STYLE}{_CELLS}</style><h1>Export of a crm_es log</h1>",
        *([f"<p><strong>{escape(DEMO)}</strong></p>"] if demo else []),
        _table(("What", ""), said),
        "<h2>Check it</h2><p>README.md says how; nothing in this page is evidence, MANIFEST.json and its signature are.</p>",
        "<h2>Views</h2>",
        _table(("File", "Rows"), files),
        "<p>Text in CSV that a spreadsheet would take for a formula has a ' in front; Parquet has it as it is.</p>",
        "<h2>Events by type</h2>",
        _table(("Type", "Events"), kinds),
        "</html>\n",
    ]
    return "\n".join(parts).encode()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    titles = "".join(f"<th>{escape(each)}" for each in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{_cell(each)}" for each in row) for row in rows)
    return f"<table><tr>{titles}\n{lines}\n</table>"


def _cell(value: Any) -> str:
    return "-" if value is None else escape(str(value))
