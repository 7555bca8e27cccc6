"""An import of purchases during which importer, projector and database are killed, one after the other, and then run again."""

import subprocess
import threading
from contextlib import contextmanager
from decimal import Decimal
from random import Random

import pytest

from tests.commands.running import CRM, crm, environment
from tests.imports.office import EXAMPLES, shared_data
from tests.waiting import PATIENCE_SECONDS, eventually

MAPPING = EXAMPLES / "cdnow.toml"
NUMBERS = """{
  contacts { totalCount }
  purchases: interactions(filter: { type: { eq: PURCHASE } }) { totalCount summary { amount { amount currency } } }
  first: interactions(first: 1, orderBy: [{ field: OCCURRED_AT, direction: ASC }]) { nodes { occurredAt } }
  last: interactions(first: 1, orderBy: [{ field: OCCURRED_AT, direction: DESC }]) { nodes { occurredAt } }
}"""


def numbers(installation):
    """Contacts, purchases, dollars, first and last day."""
    found = installation.ask(NUMBERS)
    (dollars,) = found["purchases"]["summary"]["amount"]
    days = [found[name]["nodes"][0]["occurredAt"][:10] for name in ("first", "last")]
    return found["contacts"]["totalCount"], found["purchases"]["totalCount"], dollars["amount"], *days


@pytest.fixture
def small(tmp_path):
    """A file of the same shape, and what must come of it. Some rows are alike to the letter: they are purchases too."""
    random = Random(1997)
    rows = [
        (f"{n:05}", f"{n:04}", f"1997{random.randint(1, 12):02}{random.randint(1, 28):02}", 1, cents / 100)
        for n, cents in ((random.randint(1, 80), Decimal(random.randint(99, 9_999))) for _ in range(290))
    ]
    rows += rows[:10]
    file = tmp_path / "purchases.txt"
    file.write_text("".join(f" {a} {b} {c} {d} {e:>7.2f}\n" for a, b, c, d, e in rows))
    days = sorted(f"{day[:4]}-{day[4:6]}-{day[6:]}" for _, _, day, _, _ in rows)
    return file, (len({row[0] for row in rows}), 300, f"{sum(row[-1] for row in rows):.2f}", days[0], days[-1])


@contextmanager
def importing(installation, file):
    """`crm-es import` in a process of its own."""
    with subprocess.Popen(
        [*CRM, "import", str(MAPPING), str(file), "--workspace", str(installation.workspace)],
        env=environment(installation.data_dir), cwd=installation.data_dir, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        yield process


def hurt(installation, file, total):
    with installation.held(total // 5) as reached, importing(installation, file) as process:
        eventually(reached)
        process.kill()
    with installation.held(total * 3 // 5) as late, importing(installation, file) as process:
        with installation.held(total * 2 // 5) as early:
            eventually(early)
            installation.kill_projector()
        eventually(late)
        installation.kill_database()
        said = process.communicate(timeout=PATIENCE_SECONDS)[1].decode()
    assert process.returncode == 1, said
    assert "Traceback" not in said


def again(installation, file):
    """Until it says that all is there; a database that is still coming up is a reason to wait."""
    eventually(lambda: run(installation, file).returncode == 0)


def run(installation, file):
    return crm(installation.data_dir, "import", str(MAPPING), str(file), "--workspace", str(installation.workspace))


@pytest.mark.slow
def test_an_import_during_which_everything_is_killed_ends_with_the_same_numbers(installation, small):
    file, expected = small
    shop = installation.beside("Shop small")

    hurt(shop, file, expected[0] + expected[1])
    again(shop, file)

    check(shop, file, expected)


REAL = (2_357, 6_919, "244091.94", "1997-01-01", "1998-06-30")


@pytest.fixture(scope="module")
def real(installation):
    """A shop whose real purchases were imported while everything was killed, and the file."""
    folder = shared_data()
    shop, file = installation.beside("Shop real"), folder / "purchases" / "cdnow_sample.txt"
    hurt(shop, file, REAL[0] + REAL[1])
    again(shop, file)
    return shop, file


@pytest.mark.slow
def test_so_does_that_of_the_real_file(real):
    shop, file = real

    check(shop, file, REAL)


def check(shop, file, expected):
    """All is there; once more changes nothing; what is live is what a rebuild gives."""
    shop.serving.get_until("/readyz", 200)
    assert numbers(shop) == expected
    before = shop.events()
    again(shop, file)
    assert shop.events() == before
    shop.check()


@pytest.mark.slow
def test_a_rebuild_after_the_real_import_is_not_noticed(real):
    shop, _ = real
    shop.serving.get_until("/readyz", 200)
    over, seen = threading.Event(), []

    def read():
        while not over.is_set():
            seen.append(numbers(shop))

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: seen)
    for _ in range(20):  # once, unless that gave too few answers to notice anything
        shop.command("rebuild")
        if len(seen) >= 5:
            break
    over.set()
    reader.join()

    assert len(seen) >= 5
    assert set(seen) == {REAL}
    shop.check()
