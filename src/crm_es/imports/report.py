"""The report of refused rows: a CSV beside the run, one line a row. It names fields; the cells stay in their file."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from crm_es.imports.tally import Rejection


def report_path(file: Path, mapping: str, folder: Path) -> Path:
    """`purchases.csv` through `shop` → `purchases.shop.rejected.csv`."""
    return folder / f"{file.stem}.{mapping}.rejected.csv"


def write_report(path: Path, rejections: Sequence[Rejection]) -> None:
    """In the order of the file. An earlier report of the same file gives way, also to an empty one."""
    path.unlink(missing_ok=True)
    if not rejections:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f.name for f in fields(Rejection))
        writer.writerows(astuple(r) for r in sorted(rejections, key=lambda r: r.row))
