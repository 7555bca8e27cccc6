"""What a stage is, for pipelines and deals alike, and the closed sets of the sales room. Plain values."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from crm_es.errors import FieldPath, InvalidInputError

CHANCE_DIGITS: Final = Decimal("0.000001")
LONGEST_ROT: Final = 3_650


class StageType(StrEnum):
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class DealStatus(StrEnum):
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class ForecastCategory(StrEnum):
    PIPELINE = "PIPELINE"
    BEST_CASE = "BEST_CASE"
    COMMIT = "COMMIT"
    CLOSED = "CLOSED"
    OMITTED = "OMITTED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A column of a pipeline. `probability` is of winning, 0 to 1; a deal rots that waits there `rot_days`."""

    id: UUID
    name: str
    type: StageType
    probability: Decimal
    rot_days: int | None = None


def parse_chance(raw: float | Decimal, field: FieldPath = ()) -> Decimal:
    """0 to 1, to six digits. Raises: InvalidInputError `probability.out_of_range`."""
    chance = Decimal(str(raw))
    if not chance.is_finite() or not 0 <= chance <= 1:
        raise InvalidInputError("A probability is a number from 0 to 1.", rule="probability.out_of_range", field=field)
    return chance.quantize(CHANCE_DIGITS).normalize() + 0


def parse_rot_days(raw: int | None, field: FieldPath = ()) -> int | None:
    """Raises: InvalidInputError `stage.rot_days_out_of_range`."""
    if raw is not None and not 1 <= raw <= LONGEST_ROT:
        message = f"A deal rots after 1 to {LONGEST_ROT:,} days, or never: leave the field out."
        raise InvalidInputError(message, rule="stage.rot_days_out_of_range", field=field)
    return raw
