from crm_es.reads.recent import Recent


def test_the_least_used_goes_when_there_are_too_many() -> None:
    recent = Recent[int](2, 100)
    recent.put("a", 1, 1)
    recent.put("b", 2, 1)
    recent.get("a")
    recent.put("c", 3, 1)

    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_the_least_used_go_when_they_are_too_large_together() -> None:
    recent = Recent[int](10, 100)
    for number, key in enumerate("abc"):
        recent.put(key, number, 40)
    recent.put("c", 5, 90)

    assert [recent.get(key) for key in "abc"] == [None, None, 5]


def test_what_is_larger_than_all_may_be_is_answered_and_not_kept() -> None:
    recent = Recent[int](10, 100)

    assert recent.put("a", 1, 101) == 1
    assert recent.get("a") is None
    assert recent.put("b", 2, 100) == recent.get("b") == 2
