"""docs/events.md says what the code says."""

from tests.events_page import PAGE, page


def test_the_page_of_events_is_as_the_code():
    assert PAGE.read_text() == page(), "run python -m tests.events_page"
