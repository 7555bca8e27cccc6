"""Public holidays by ISO 3166: dates out of the `holidays` package, asked once, when a calendar is published."""

import re
import warnings
from datetime import date
from typing import Final

from crm_es.errors import FieldPath, InvalidInputError

FIRST_YEAR: Final = 2000  # tickets that are imported are older than their policy
YEARS_AHEAD: Final = 20
_CODE: Final = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,3}))?")


def public_holidays(code: str, year: int, field: FieldPath = ()) -> tuple[date, ...]:
    """Of a country (`DE`) or of a part of it (`DE-BY`), observed days too, as known now, up to 20 years after `year`.

    Raises: InvalidInputError `calendar.unknown_holidays`.
    """
    import holidays  # noqa: PLC0415  # takes a third of a second, which only publishing a policy should

    found = _CODE.fullmatch(code)
    years = range(FIRST_YEAR, year + YEARS_AHEAD + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of some countries fewer years are known
            known = found and holidays.country_holidays(found[1], subdiv=found[2], years=years)
    except NotImplementedError:
        known = None
    if known is None:
        message = "Write an ISO 3166 code of a country or a part of it, such as DE or DE-BY."
        raise InvalidInputError(message, rule="calendar.unknown_holidays", field=field)
    return tuple(sorted(known))
