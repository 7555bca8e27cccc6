"""A merge taken back gives both contacts, each with what was meant for it since."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.contacts.contact import Contact, archive
from crm_es.contacts.contact_aggregate import CONTACT, reservations
from crm_es.contacts.contact_events import ContactUntagged, ContactUpdated
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry, register, update
from crm_es.contacts.merging import merge
from crm_es.contacts.unmerging import Unmerge, unmerge, values_of
from crm_es.errors import ConflictError, ErasedError, RuleViolatedError
from crm_es.eventstore.event import ERASED
from crm_es.values import EmailAddress, PhoneNumber, Tag
from tests.deciding import Log

A, B, C, D = (UUID(int=n) for n in (10, 11, 12, 13))


def log_of(*ids: UUID) -> Log:
    log = Log(CONTACT)
    for id_ in ids:
        form = ContactEdit(
            display_name=f"Contact {id_.int}",
            add_emails=[email(f"own{id_.int}@example.com")],
            add_phones=[PhoneEntry(number=PhoneNumber("+4930111111"))],
            add_tags=[Tag(f"tag{id_.int}"), Tag("shared")],
        )
        log.append({id_: register(form)})
    return log


def email(address: str) -> EmailEntry:
    return EmailEntry(address=EmailAddress(address))


def merged(log: Log, survivor: UUID, absorbed: UUID) -> None:
    done = merge(log.load(survivor), log.load(absorbed))
    log.append({survivor: done.survivor, absorbed: done.absorbed})


def unmerged(log: Log, survivor: UUID, absorbed: UUID, **named: object) -> Unmerge:
    done = unmerge(log.load(survivor), log.streams[survivor], log.load(absorbed), **named)
    log.append({survivor: done.survivor, absorbed: done.absorbed})
    return done


def edit(log: Log, id_: UUID, **form: object) -> None:
    log.edit(id_, lambda contact: update(contact, ContactEdit(**form), reason="test"))


def addresses(contact: Contact) -> set[str]:
    return {held.known.address for held in contact.emails if held.known}


def test_nothing_happened_since_and_both_are_as_before():
    log = log_of(A, B)
    before = log.load(A).state, log.load(B).state

    merged(log, A, B)
    done = unmerged(log, A, B)

    assert (log.load(A).state, log.load(B).state) == before
    assert done.undecided == ()


def test_an_edit_of_each_identity_returns_to_it():
    log = log_of(A, B)
    merged(log, A, B)

    edit(log, A, job_title="Pilot", add_emails=[email("later@a.example")])
    edit(log, B, given_name="Bea", add_emails=[email("later@b.example")])
    unmerged(log, A, B)

    a, b = log.load(A).state, log.load(B).state
    assert (a.job_title, a.given_name, addresses(a)) == ("Pilot", None, {"own10@example.com", "later@a.example"})
    assert (b.job_title, b.given_name, addresses(b)) == (None, "Bea", {"own11@example.com", "later@b.example"})


def test_the_facts_handed_on_name_their_originals():
    log = log_of(A, B)
    merged(log, A, B)
    edit(log, B, job_title="Pilot")

    done = unmerged(log, A, B)

    handed = next(event for event in done.absorbed if isinstance(event, ContactUpdated))
    assert (handed.original.stream, handed.original.version, handed.original.via) == (A, 3, B)


def test_an_adopted_email_removed_from_the_survivor_is_gone_from_the_absorbed():
    log = log_of(A, B)
    merged(log, A, B)

    edit(log, A, remove_emails=[EmailAddress("own11@example.com")])
    unmerged(log, A, B)

    assert addresses(log.load(B).state) == set()
    assert addresses(log.load(A).state) == {"own10@example.com"}


def test_an_adopted_tag_removed_from_the_survivor_is_gone_from_the_absorbed():
    log = log_of(A, B)
    merged(log, A, B)

    edit(log, A, remove_tags=[Tag("tag11"), Tag("tag10")])
    unmerged(log, A, B)

    assert log.load(A).state.tags == ("shared",)
    assert log.load(B).state.tags == ("shared",)


def test_a_change_of_an_adopted_value_stays_with_the_survivor_and_is_listed():
    log = log_of(A, B)
    edit(log, B, job_title="Pilot")
    merged(log, A, B)

    edit(log, A, job_title="Captain")
    done = unmerged(log, A, B)

    assert log.load(A).state.job_title == "Captain"
    assert log.load(B).state.job_title == "Pilot"
    assert done.undecided == (3,)


def test_removing_a_tag_that_both_had_is_listed():
    log = log_of(A, B)
    merged(log, A, B)

    edit(log, A, remove_tags=[Tag("shared")])
    done = unmerged(log, A, B)

    assert done.undecided == (3,)
    assert "shared" in log.load(B).state.tags
    assert "shared" not in log.load(A).state.tags


def test_a_primary_mark_that_went_over_comes_back():
    log = log_of(A, B)
    done = merge(log.load(A), log.load(B), {"primaryEmail": B, "primaryPhone": B})
    log.append({A: done.survivor, B: done.absorbed})
    assert log.load(A).state.primary_email.holder == B

    unmerged(log, A, B)

    for id_ in (A, B):
        state = log.load(id_).state
        assert state.primary_email == state.emails[0].item
        assert state.primary_phone == state.phones[0].item


def test_only_the_outer_merge_of_a_chain_can_be_taken_back():
    log = log_of(A, B, C)
    merged(log, B, C)
    merged(log, A, B)

    with pytest.raises(RuleViolatedError) as refusal:
        unmerged(log, B, C)

    assert refusal.value.rule == "contact.unmerge_outer_first"
    unmerged(log, A, B)
    unmerged(log, B, C)
    assert addresses(log.load(C).state) == {"own12@example.com"}


def test_an_edit_of_a_nested_identity_finds_its_way_through_both_unmerges():
    log = log_of(A, B, C)
    merged(log, B, C)
    merged(log, A, B)

    edit(log, C, job_title="Pilot", add_emails=[email("later@c.example")])
    unmerged(log, A, B)
    unmerged(log, B, C)

    assert log.load(C).state.job_title == "Pilot"
    assert addresses(log.load(C).state) == {"own12@example.com", "later@c.example"}
    for id_ in (A, B):
        assert log.load(id_).state.job_title is None


def test_a_contact_that_is_not_merged_cannot_be_unmerged():
    log = log_of(A, B)

    with pytest.raises(RuleViolatedError) as refusal:
        unmerged(log, A, B)

    assert refusal.value.rule == "contact.not_merged"


def test_a_survivor_that_moved_on_is_a_conflict():
    log = log_of(A, B)
    merged(log, A, B)
    facts = list(log.streams[A])
    edit(log, A, job_title="Pilot")

    with pytest.raises(ConflictError):
        unmerge(log.load(A), facts, log.load(B))


def test_an_erased_contact_stays_merged():
    log = log_of(A, B)
    merged(log, A, B)
    log.append({B: [ContactUpdated(display_name=ERASED)]})

    with pytest.raises(ErasedError):
        unmerged(log, A, B)


def test_a_survivor_archived_by_the_name_of_the_absorbed_comes_back_without_what_a_third_contact_took():
    log = log_of(A, B)
    edit(log, A, add_emails=[email("second10@example.com"), email("third10@example.com")])
    merged(log, A, B)
    log.edit(B, archive)
    taken = {("email", f"{name}10@example.com"): D for name in ("own", "second")}
    wanted = values_of(log.load(A), log.load(B), unmerge(log.load(A), log.streams[A], log.load(B)))
    assert set(taken) < wanted

    done = unmerged(log, A, B, holders=taken)

    survivor = log.load(A).state
    assert set(done.lost) == set(taken)
    assert not survivor.archived
    assert [held.known.address for held in survivor.emails] == ["third10@example.com"]
    assert survivor.primary_email == survivor.emails[0].item
    assert log.load(B).state.archived


def test_a_value_that_a_third_contact_took_is_lost_and_listed():
    log = log_of(A, B)
    merged(log, A, B)
    log.edit(A, archive)
    wanted = values_of(log.load(A), log.load(B), unmerge(log.load(A), log.streams[A], log.load(B)))
    assert wanted == {("email", "own11@example.com")}

    done = unmerged(log, A, B, holders={("email", "own11@example.com"): D})

    assert done.lost == (("email", "own11@example.com"),)
    assert log.load(B).state.emails == ()
    assert log.load(A).state.archived


def test_reservations_do_not_move():
    log = log_of(A, B)

    def reserved() -> set[object]:
        return {one for id_ in (A, B) for one in reservations(id_, log.load(id_).state)}

    before = reserved()
    merged(log, A, B)
    assert reserved() == before
    unmerged(log, A, B)
    assert reserved() == before


def test_tags_of_both_sides_in_one_event_are_parted():
    log = log_of(A, B)
    merged(log, A, B)
    edit(log, B, add_tags=[Tag("new")])
    log.append({A: [ContactUntagged(tags=("new", "tag10"))]})

    unmerged(log, A, B)

    assert set(log.load(A).state.tags) == {"shared"}
    assert set(log.load(B).state.tags) == {"shared", "tag11"}


def test_a_merge_taken_back_leaves_no_trace_in_a_later_one():
    log = log_of(A, B, C)
    edit(log, B, job_title="Pilot")
    merged(log, A, B)
    merged(log, A, C)
    unmerged(log, A, B)
    merged(log, A, B)

    unmerged(log, A, C)
    unmerged(log, A, B)

    assert log.load(A).state.job_title is None
    assert log.load(B).state.job_title == "Pilot"
    assert log.load(C).state.job_title is None


# Any interleaving


@dataclass
class Twins:
    """Four contacts that get merged and unmerged, and beside them what each would be had it been alone."""

    log: Log = field(default_factory=lambda: log_of(A, B, C, D))
    alone: Log = field(default_factory=lambda: log_of(A, B, C, D))
    count: int = 0

    def roots(self) -> list[UUID]:
        return [id_ for id_ in (A, B, C, D) if self.log.load(id_).state.merged_into is None]

    def merge(self, first: int, second: int) -> None:
        roots = self.roots()
        survivor, absorbed = roots[first % len(roots)], roots[second % len(roots)]
        if survivor != absorbed:
            merged(self.log, survivor, absorbed)

    def unmerge(self, which: int) -> bool:
        roots = self.roots()
        loose = [id_ for id_ in (A, B, C, D) if self.log.load(id_).state.merged_into in roots]
        if loose:
            absorbed = loose[which % len(loose)]
            unmerged(self.log, self.log.load(absorbed).state.merged_into, absorbed)
        return bool(loose)

    def both(self, id_: UUID, **form: object) -> None:
        edit(self.log, id_, **form)
        edit(self.alone, id_, **form)

    def edit(self, which: int, what: int) -> None:
        """Each new value is new to all, so that no edit finds its work done already by another contact's."""
        id_ = (A, B, C, D)[which % 4]
        self.count += 1
        match what % 7:
            case 0:
                self.both(id_, job_title=f"Title {self.count}")
            case 1:
                self.both(id_, owner_id=UUID(int=self.count))
            case 2:
                self.both(id_, add_emails=[email(f"new{self.count}@example.com")])
            case 3:
                self.both(id_, add_tags=[Tag(f"new{self.count}")])
            case 4:
                self.both(id_, add_phones=[PhoneEntry(number=PhoneNumber(f"+49{self.count:09}"))])
            case 5:
                self.both(id_, source=f"Source {self.count}", display_name=f"Name {self.count}")
            case _:
                self.remove_email(id_, what)

    def remove_email(self, id_: UUID, which: int) -> None:
        """Whoever's it is, whomever it is said of."""
        held = sorted(addresses(self.log.load(id_, follow=True).state))
        if held:
            gone = [EmailAddress(held[which % len(held)])]
            edit(self.log, id_, remove_emails=gone)
            for twin in (A, B, C, D):
                edit(self.alone, twin, remove_emails=gone)


def seen(contact: Contact) -> dict[str, object]:
    return {
        "names": (contact.display_name, contact.job_title, contact.source, contact.owner_id),
        "emails": addresses(contact),
        "phones": {held.known.number for held in contact.phones},
        "tags": set(contact.tags),
        "marks": (contact.primary_email is None, contact.primary_phone is None),
    }


def check_marks(contact: Contact) -> None:
    for held, primary in ((contact.emails, contact.primary_email), (contact.phones, contact.primary_phone)):
        assert primary in [one.item for one in held] if held else primary is None


STEP = st.tuples(st.sampled_from(["edit", "edit", "edit", "merge", "unmerge"]), st.integers(0, 99), st.integers(0, 99))


@settings(max_examples=200)
@given(st.lists(STEP, max_size=25))
def test_any_interleaving_gives_every_contact_back(steps):
    twins = Twins()

    for kind, first, second in steps:
        match kind:
            case "edit":
                twins.edit(first, second)
            case "merge":
                twins.merge(first, second)
            case _:
                twins.unmerge(first)
        for id_ in twins.roots():
            check_marks(twins.log.load(id_).state)
    while twins.unmerge(0):
        pass

    for id_ in (A, B, C, D):
        assert seen(twins.log.load(id_).state) == seen(twins.alone.load(id_).state)
        check_marks(twins.log.load(id_).state)


@settings(max_examples=50)
@given(st.lists(STEP, max_size=15))
def test_reservations_are_never_held_twice(steps):
    twins = Twins()

    for kind, first, second in steps:
        if kind == "edit":
            twins.edit(first, second)
        elif kind == "merge":
            twins.merge(first, second)
        else:
            twins.unmerge(first)
        taken = [(one.kind, one.value) for id_ in (A, B, C, D) for one in reservations(id_, twins.log.load(id_).state)]
        assert len(taken) == len(set(taken))
