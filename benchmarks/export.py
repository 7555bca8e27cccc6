"""An export of a whole log: events a second, the most memory, bytes; then killed again and again, and what that costs.

    sh scripts/bench export [--events 100000] [--kills 6]

`crm-es export` runs as for everybody, in a process of its own. The second one is killed (SIGKILL) at moments chosen by chance,
and run again; what must be the same byte for byte is compared with the first. Then both are checked by what lies in the bundle,
in a virtual environment that has `cryptography` and nothing else.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import _business
from _pages import Bench, bench

from crm_es.exports.making import part_of

SAME = ("events", "tiles", "heads", "views", "schema")
GROWING = ("events", "heads", "views")
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """A process from its start to its end; `cpu` is its own and its sealer's, `first` when it wrote its first byte."""

    seconds: float
    cpu: float
    first: float
    memory: int
    code: int
    said: str


def run(argv: Sequence[str], folder: Path, kill: Callable[[int], bool] = lambda _size: False) -> Run:
    """`folder` is what grows; `kill` is asked with its size."""
    begun, spent, first, peak, before = time.perf_counter(), cpu(), 0.0, 0, grown(folder)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            size = grown(folder)
            first = first or (time.perf_counter() - begun if size > before else 0.0)
            if kill(size):
                process.send_signal(signal.SIGKILL)
            time.sleep(LOOK_SECONDS)
        said = process.communicate()[0]
    return Run(time.perf_counter() - begun, cpu() - spent, first, peak, process.returncode, said)


def cpu() -> float:
    """Seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_of(pid: int) -> int:
    """The most memory it ever had, in KB; 0 once it has ended."""
    with suppress(OSError, StopIteration, IndexError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0


def grown(folder: Path) -> int:
    """How large the few large files are, finished or not."""
    size = 0
    for name in GROWING:
        with suppress(OSError):
            size += sum(each.stat().st_size for each in os.scandir(part_of(folder) / name))
    return size


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def exporting(out: Path, *more: str) -> list[str]:
    crm = [sys.executable, "-m", "crm_es", "export"]
    return [*crm, "--workspace", "Bench", "--purpose", "bench", "--out", str(out), *more]


def whole(out: Path, events: int) -> int:
    """The first export; its position."""
    done = run(exporting(out), out)
    assert done.code == 0, done.said
    size = size_of(out)
    print(
        f"exported {events:,} events in {done.seconds:.1f} s, {done.cpu:.1f} s of CPU: {events / done.seconds:,.0f} events/s; "
        f"{done.memory / 1024:.0f} MB of memory at most; {size / 1e6:,.0f} MB, load {os.getloadavg()[0]:.1f}"
    )
    for folder in SAME:
        print(f"  {folder:8}{size_of(out / folder) / 1e6:10,.1f} MB")
    return int(json.loads((out / "MANIFEST.json").read_text())["position"])


def killed(out: Path, position: int, size: int, kills: int) -> None:
    """The same again, dying at moments on the way."""
    dice, spent, memory, firsts = random.Random(1), 0.0, 0, []
    for share in sorted(dice.random() for _ in range(kills)):
        one = run(exporting(out, "--at", str(position)), out, lambda now, share=share: now > size * share)  # type: ignore[misc]
        spent, memory = spent + one.seconds, max(memory, one.memory)
        firsts.append(one.first)
    last = run(exporting(out, "--at", str(position)), out)
    assert last.code == 0, last.said
    print(
        f"killed {kills} times and run again: {spent + last.seconds:.1f} s in all, {max(memory, last.memory) / 1024:.0f} MB; "
        f"from its start to its first new byte a run took {min(firsts[1:]):.1f} to {max(firsts[1:]):.1f} s"
    )


def same(one: Path, other: Path) -> None:
    first, second = ({path.relative_to(out): digest(path) for path in files(out)} for out in (one, other))
    assert first == second, sorted(str(path) for path in first if first[path] != second.get(path))
    print(f"{len(first):,} files of {', '.join(SAME)}: the same bytes")


def files(out: Path) -> list[Path]:
    return [path for folder in SAME for path in (out / folder).rglob("*") if path.is_file()]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def check(place: Path, bundle: Path) -> None:
    """As its README says, where nothing else is installed."""
    python = place / "checking/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place / "checking")], check=True)  # noqa: S603
        subprocess.run([str(python), "-m", "pip", "install", "-q", "cryptography"], check=True)  # noqa: S603
    key, origin = bundle / "PUBLIC_KEY", (bundle / "ORIGIN").read_text().strip()
    argv = [
        str(python),
        "-I",
        str(bundle / "crm_verify.py"),
        "full",
        str(bundle),
        "--origin",
        origin,
        "--public-key",
        str(key),
    ]
    done = run(argv, bundle)
    assert done.code == 0, done.said
    verdict = json.loads(done.said.splitlines()[-1])
    took, memory = f"{done.seconds:.1f} s, {done.cpu:.1f} s of CPU", done.memory / 1024
    print(f"verified {verdict['events']:,} events in {took}, {memory:.0f} MB the first process")


async def prepared(place: Bench, events: int) -> None:
    begun = time.perf_counter()
    await _business.write(place, events)
    print(f"a business of {events:,} events: {time.perf_counter() - begun:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=6)
    options = parser.parse_args()
    with bench() as place, tempfile.TemporaryDirectory(prefix="crm-es-bundles-") as folder:
        asyncio.run(prepared(place, options.events))
        measure(Path(folder), options.events, options.kills)


def measure(folder: Path, events: int, kills: int) -> None:
    one, other = folder / "one", folder / "other"
    position = whole(one, events)
    killed(other, position, sum(size_of(one / name) for name in GROWING), kills)
    same(one, other)
    for bundle in (one, other):
        check(folder, bundle)


if __name__ == "__main__":
    main()
