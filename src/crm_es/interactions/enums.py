"""The enums of interactions, described for the schema."""

from crm_es.api.enums import describe
from crm_es.interactions.interaction import Direction, InteractionType, ParticipantPart, TextFormat, Visibility

describe(
    InteractionType,
    "What kind of contact there was.",
    CALL="By telephone.",
    EMAIL="By email.",
    MEETING="In a room or by video.",
    NOTE="Something a member wrote down.",
    CHAT="In a chat window.",
    SMS="By text message.",
    SOCIAL_MESSAGE="By a message on a social network.",
    WEB_VISIT="They looked at our pages.",
    FORM="They sent a form.",
    PURCHASE="They bought something.",
    SURVEY="They answered questions.",
    CHECK_IN="They were at a place of ours.",
    OTHER="Anything else.",
)
describe(
    Direction,
    "Who began it.",
    INBOUND="They turned to us.",
    OUTBOUND="We turned to them.",
    INTERNAL="Among ourselves.",
)
describe(
    Visibility,
    "Who in the workspace sees it.",
    PRIVATE="The members who took part, and auditors.",
    TEAM="Their team besides.",
    SHARED="Everybody who may read interactions.",
)
describe(
    ParticipantPart,
    "What part somebody took.",
    FROM="Wrote it.",
    TO="It was written to.",
    CC="Got a copy.",
    BCC="Got a copy that the others do not see.",
    ATTENDEE="Was there.",
    CALLER="Called.",
    CALLEE="Was called.",
)
describe(
    TextFormat,
    "How a text is written.",
    PLAIN="As it is.",
    MARKDOWN="CommonMark.",
    HTML="HTML; clean it before showing.",
)

__all__ = ["Direction", "InteractionType", "ParticipantPart", "TextFormat", "Visibility"]
