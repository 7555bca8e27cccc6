"""The words of the sales room for the schema: what each value of its enums means."""

from crm_es.api.enums import describe
from crm_es.sales.stages import DealStatus, ForecastCategory, StageType

describe(
    StageType,
    "What standing in a stage means.",
    OPEN="The deal is being worked on.",
    WON="It was won. A pipeline has exactly one such stage.",
    LOST="It was lost.",
)
describe(
    DealStatus,
    "What became of a deal.",
    OPEN="It is being worked on.",
    WON="They bought.",
    LOST="They did not.",
)
describe(
    ForecastCategory,
    "How sure a deal is in a forecast.",
    PIPELINE="It may come; what open deals are unless said otherwise.",
    BEST_CASE="It comes if all goes well.",
    COMMIT="It will come.",
    CLOSED="It was won.",
    OMITTED="Left out: lost, or not to be counted on.",
)
__all__ = ["DealStatus", "ForecastCategory", "StageType"]
