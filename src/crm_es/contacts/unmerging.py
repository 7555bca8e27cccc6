"""Taking a merge back: what happened since goes to the contact it was about.

An item (email, phone, identity, external id, tag) tells whose it is; any other event goes where it was addressed (`via`).
A change, addressed to the survivor, of a value that came from the absorbed contact could be either's: it stays with the
survivor and is listed. Both streams get new events, so that each folds alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts.contact import Contact, ContactStatus, Held, evolve, fold
from crm_es.contacts.contact_aggregate import reservations
from crm_es.contacts.contact_events import (
    ContactArchived,
    ContactCompanyChanged,
    ContactEmailAdded,
    ContactEmailChanged,
    ContactEmailRemoved,
    ContactEvent,
    ContactExternalIdAdded,
    ContactExternalIdRemoved,
    ContactIdentityAdded,
    ContactIdentityRemoved,
    ContactLifecycleStageChanged,
    ContactMerged,
    ContactOwnerChanged,
    ContactPhoneAdded,
    ContactPhoneChanged,
    ContactPhoneRemoved,
    ContactReleased,
    ContactRestored,
    ContactTagged,
    ContactUnmerged,
    ContactUntagged,
    ContactUpdated,
    Item,
    Original,
)
from crm_es.contacts.editing import ATTRIBUTES, successor
from crm_es.errors import ConflictError, ErasedError, RuleViolatedError
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import ERASED, Event, Fact, personal_fields, values_set

_ADDED: Final = (ContactEmailAdded, ContactPhoneAdded, ContactIdentityAdded, ContactExternalIdAdded)
_ITEM_EVENTS: Final = (
    *_ADDED,
    ContactEmailChanged,
    ContactEmailRemoved,
    ContactPhoneChanged,
    ContactPhoneRemoved,
    ContactIdentityRemoved,
    ContactExternalIdRemoved,
)
_SINGLE: Final = (*ATTRIBUTES, "lifecycle_stage", "company_id", "owner_id")
_LISTS: Final[Mapping[str, type[Any]]] = {
    "emails": ContactEmailRemoved,
    "phones": ContactPhoneRemoved,
    "identities": ContactIdentityRemoved,
    "external_ids": ContactExternalIdRemoved,
}
_MARKS: Final = {"emails": "primary_email", "phones": "primary_phone"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmerge:
    """The events of both streams; `undecided` are versions of the survivor's stream.

    `lost` are the (kind, normal form) that a third contact has taken since: they come back without them.
    """

    survivor: list[ContactEvent]
    absorbed: list[ContactEvent]
    undecided: tuple[int, ...]
    lost: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A fact's event, or the part of it that concerns one side."""

    fact: Fact
    event: ContactEvent

    @property
    def via(self) -> UUID | None:
        original = getattr(self.event, "original", UNSET)
        return original.via if isinstance(original, Original) else self.fact.via


@dataclass(slots=True)
class _Allocation:
    """The parts after a merge by side, and the versions that could be either's.

    `items` and `tags` are the absorbed contact's on the survivor's stream; `adopted` the attributes whose value is its own.
    """

    merge: ContactMerged
    shared: frozenset[str]
    survivor: list[_Part] = field(default_factory=list)
    absorbed: list[_Part] = field(default_factory=list)
    undecided: list[int] = field(default_factory=list)
    items: set[Item] = field(default_factory=set)
    tags: set[str] = field(init=False)
    adopted: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tags = set(self.merge.tags) if isinstance(self.merge.tags, tuple) else set()
        self.adopted = values_set(self.merge, _SINGLE).keys() | set()

    def allocate_item(self, part: _Part, event: Any) -> None:
        """A new item is whose id was addressed; any other event of an item is the item's."""
        if isinstance(event, _ADDED):
            theirs = self._addressed(part)
            self.items |= {event.item} if theirs else set()
        else:
            theirs = event.item.holder in self.merge.absorbed_ids or event.item in self.items
        (self.absorbed if theirs else self.survivor).append(part)

    def allocate_tags(self, part: _Part, event: ContactTagged | ContactUntagged) -> None:
        """Tags go one by one: one event can hold some of each side."""
        adding, addressed = isinstance(event, ContactTagged), self._addressed(part)
        theirs = tuple(tag for tag in event.tags if addressed or (tag in self.tags and not adding))
        ours = tuple(tag for tag in event.tags if tag not in theirs)
        if theirs:
            self.absorbed.append(replace(part, event=replace(event, tags=theirs)))
        if ours:
            self.survivor.append(replace(part, event=replace(event, tags=ours)))
        if not adding and self.shared & set(ours):
            self.undecided.append(part.fact.version)
        self.tags = (self.tags | set(theirs)) - set(ours) if adding else self.tags - set(theirs)

    def allocate_value(self, part: _Part) -> None:
        """Attributes and the rest go where they were addressed; over a value of the absorbed contact nobody can tell."""
        changed = set(values_set(part.event, _SINGLE))
        if self._addressed(part):
            self.absorbed.append(part)
            self.adopted |= changed
            return
        self.survivor.append(part)
        if changed & self.adopted and not isinstance(part.event, ContactMerged):
            self.undecided.append(part.fact.version)
        self.adopted -= changed

    def _addressed(self, part: _Part) -> bool:
        return part.via in self.merge.absorbed_ids


def unmerge(
    survivor: Loaded[Contact],
    facts: Sequence[Fact],
    absorbed: Loaded[Contact],
    *,
    holders: Mapping[tuple[str, str], UUID] | None = None,
) -> Unmerge:
    """`facts` is the survivor's whole stream. `holders` says who has the values of `values_of` both contacts' ends.

    Raises: ErasedError; RuleViolatedError `contact.not_merged`, `contact.unmerge_outer_first`; ConflictError when the
    survivor moved on after `facts` were read.
    """
    _check(survivor, facts, absorbed)
    parts = _standing(facts)
    merge = next(p for p in reversed(parts) if _is_merge_of(p.event, absorbed.id))
    assert isinstance(merge.event, ContactMerged)  # noqa: S101  # _is_merge_of says so
    before, after = _around(parts, merge)
    shared = frozenset(fold(None, (p.event for p in before)).tags) & frozenset(absorbed.state.tags)
    allocation = _allocate(merge.event, after, shared)
    target = _settled(fold(None, (p.event for p in (*before, *allocation.survivor))))
    released = _released(survivor.state, merge.event, target)
    returned = _returned(survivor.id, absorbed, allocation.absorbed)
    ours = {survivor.id, *survivor.state.absorbed_ids}
    lost = {key for key, holder in (holders or {}).items() if holder not in ours}
    stayed = [released, *_between(evolve(survivor.state, released), target)]
    # The survivor's, too: archived meanwhile, its values were free for others.
    short = _losses(survivor.id, fold(survivor.state, stayed), lost)
    gone = _losses(absorbed.id, fold(absorbed.state, returned), lost)
    return Unmerge(
        survivor=[*stayed, *(event for event, _ in short)],
        absorbed=[*returned, *(event for event, _ in gone)],
        undecided=tuple(allocation.undecided),
        lost=tuple(key for _, key in (*short, *gone)),
    )


def values_of(survivor: Loaded[Contact], absorbed: Loaded[Contact], unmerged: Unmerge) -> set[tuple[str, str]]:
    """The unique values that the two come back with, to ask the store who holds them."""
    both = ((survivor, unmerged.survivor), (absorbed, unmerged.absorbed))
    held = (one for loaded, events in both for one in reservations(loaded.id, fold(loaded.state, events)))
    return {(one.kind, one.value) for one in held}


def _check(survivor: Loaded[Contact], facts: Sequence[Fact], absorbed: Loaded[Contact]) -> None:
    if ContactStatus.ERASED in (survivor.state.status, absorbed.state.status):
        raise ErasedError("One of the two was erased: the merge stands for ever.")
    if absorbed.state.merged_into != survivor.id:
        raise RuleViolatedError("This contact is not merged.", rule="contact.not_merged", field=("absorbedId",))
    if survivor.state.merged_into is not None:
        message = "Its survivor was itself merged into another contact: take that merge back first."
        raise RuleViolatedError(message, rule="contact.unmerge_outer_first", field=("absorbedId",))
    if not facts or facts[-1].version != survivor.version:
        raise ConflictError("The survivor was changed meanwhile. Try again.", rule="record.busy")


def _is_merge_of(event: ContactEvent, absorbed_id: UUID) -> bool:
    return isinstance(event, ContactMerged) and event.absorbed_id == absorbed_id


def _around(parts: Sequence[_Part], merge: _Part) -> tuple[list[_Part], list[_Part]]:
    index = next(i for i, part in enumerate(parts) if part is merge)
    return list(parts[:index]), list(parts[index + 1 :])


def _standing(facts: Iterable[Fact]) -> list[_Part]:
    """The stream as if the merges that were taken back had never been: without what those gave and took away."""
    parts: list[_Part] = []
    undone: UUID | None = None
    for fact in facts:
        event: Any = fact.event
        if isinstance(event, ContactReleased):
            undone = fact.command_id
            merge = next(p for p in reversed(parts) if _is_merge_of(p.event, event.absorbed_id))
            before, after = _around(parts, merge)
            merged: Any = merge.event
            parts = before + _allocate(merged, after).survivor
        elif fact.command_id != undone:
            parts.append(_Part(fact=fact, event=event))
    return parts


# Whose is it?


def _allocate(merge: ContactMerged, parts: Iterable[_Part], shared: frozenset[str] = frozenset()) -> _Allocation:
    """`shared` are tags that both had before the merge."""
    sides = _Allocation(merge=merge, shared=shared)
    for part in parts:
        match part.event:
            case ContactTagged() | ContactUntagged():
                sides.allocate_tags(part, part.event)
            case event if isinstance(event, _ITEM_EVENTS):
                sides.allocate_item(part, event)
            case _:
                sides.allocate_value(part)
    return sides


# What each side gets


def _released(was: Contact, merge: ContactMerged, target: Contact) -> ContactReleased:
    """With whoever has a primary mark from now on, where it leaves with an item."""
    leaving = ContactReleased(absorbed_id=merge.absorbed_id, absorbed_ids=merge.absorbed_ids)
    now = evolve(was, leaving)
    return replace(leaving, **{m: getattr(target, m) for m in _MARKS.values() if getattr(now, m) != getattr(was, m)})


def _returned(survivor_id: UUID, absorbed: Loaded[Contact], parts: Iterable[_Part]) -> list[ContactEvent]:
    """The absorbed contact's events: itself again, then what was meant for it, its items renamed."""
    events: list[ContactEvent] = [ContactUnmerged(survivor_id=survivor_id)]
    renamed: dict[Item, Item] = {}
    for part in parts:
        if isinstance(part.event, _ADDED) and _erased(part.event):
            continue
        state = fold(absorbed.state, events)
        event = replace(_renamed(part.event, state, absorbed.id, renamed), original=_original(survivor_id, part))
        if evolve(state, event) != state:
            events.append(event)
    return events


def _original(survivor_id: UUID, part: _Part) -> Original:
    known = getattr(part.event, "original", UNSET)
    if isinstance(known, Original):
        return known
    return Original(stream=survivor_id, version=part.fact.version, via=part.fact.via)


def _renamed(event: Any, state: Contact, absorbed_id: UUID, renamed: dict[Item, Item]) -> Any:
    if isinstance(event, _ADDED):
        renamed[event.item] = Item(number=state.last_number + 1, subject=_other(event.item.subject, absorbed_id))
        named: Any = replace(event, item=renamed[event.item])
        return (
            replace(named, primary=event.primary or not _primary(state, event)) if hasattr(event, "primary") else named
        )
    if not isinstance(event, _ITEM_EVENTS):
        return _own_again(event, absorbed_id) if isinstance(event, ContactUpdated) else event
    own = replace(event.item, holder=None) if event.item.holder == absorbed_id else event.item
    named = _without_erased(replace(event, item=renamed.get(event.item, own)))
    if not hasattr(event, "promoted"):
        return named
    held = state.emails if isinstance(event, ContactEmailRemoved) else state.phones
    return replace(named, promoted=successor(held, _primary(state, event), named.item))


def _own_again(event: ContactUpdated, absorbed_id: UUID) -> ContactUpdated:
    """On the contact's own stream only what is about yet another one has to say so."""
    others = tuple(one for one in event.subjects or () if one.subject != absorbed_id)
    kept: ContactUpdated = _without_erased(replace(event, subjects=others or UNSET))
    return kept


def _without_erased(event: Any) -> Any:
    """What was erased since cannot be told again."""
    gone = _erased(event)
    return replace(event, **dict.fromkeys(gone, UNSET)) if gone else event


def _erased(event: Event) -> list[str]:
    return [name for name in personal_fields(type(event)) if getattr(event, name) is ERASED]


def _other(subject: UUID | None, absorbed_id: UUID) -> UUID | None:
    return None if subject == absorbed_id else subject


def _primary(state: Contact, event: object) -> Item | None:
    return state.primary_email if isinstance(event, ContactEmailAdded | ContactEmailRemoved) else state.primary_phone


def _settled(contact: Contact) -> Contact:
    """A primary mark that went with an item of the other side falls to the oldest that is left."""

    def settled(held: Sequence[Held[Any]], primary: Item | None) -> Item | None:
        items = [one.item for one in held]
        return primary if primary in items else next(iter(items), None)

    return replace(
        contact,
        primary_email=settled(contact.emails, contact.primary_email),
        primary_phone=settled(contact.phones, contact.primary_phone),
    )


def _between(now: Contact, then: Contact) -> list[ContactEvent]:
    """The events that lead from one state to the other, where the first has all items of the second."""
    events: list[ContactEvent] = _attributes(now, then)
    if then.owner_id != now.owner_id:
        events.append(ContactOwnerChanged(owner_id=then.owner_id))
    if then.company_id != now.company_id:
        events.append(ContactCompanyChanged(company_id=then.company_id))
    if then.lifecycle_stage is not now.lifecycle_stage:
        events.append(ContactLifecycleStageChanged(lifecycle_stage=then.lifecycle_stage))
    events += _removals(now, then)
    if then.primary_email and then.primary_email != now.primary_email:
        events.append(ContactEmailChanged(item=then.primary_email, primary=True))
    if then.primary_phone and then.primary_phone != now.primary_phone:
        events.append(ContactPhoneChanged(item=then.primary_phone, primary=True))
    if gone := tuple(tag for tag in now.tags if tag not in then.tags):
        events.append(ContactUntagged(tags=gone))
    if back := tuple(tag for tag in then.tags if tag not in now.tags):
        events.append(ContactTagged(tags=back))
    if then.archived is not now.archived:
        events.append(ContactArchived() if then.archived else ContactRestored())
    return events


def _removals(now: Contact, then: Contact) -> Iterator[ContactEvent]:
    """How items go; one that leaves nobody with its primary mark says so."""
    for name, removed in _LISTS.items():
        kept, mark = {held.item for held in getattr(then, name)}, _MARKS.get(name)
        for held in getattr(now, name):
            last = mark and getattr(now, mark) == held.item and getattr(then, mark) is None
            if held.item not in kept:
                yield removed(item=held.item, **({"promoted": None} if last else {}))


def _attributes(now: Contact, then: Contact) -> list[ContactEvent]:
    """A value that is the same but about another person is told again: it must outlive the erasure of the first."""
    differ = [
        name
        for name in ATTRIBUTES
        if getattr(then, name) != getattr(now, name) or then.subject_of(name) != now.subject_of(name)
    ]
    if not differ:
        return []
    values: dict[str, Any] = {name: None if (value := getattr(then, name)) is ERASED else value for name in differ}
    values |= {"addresses": values["addresses"] or ()} if "addresses" in values else {}
    about = tuple(one for one in sorted(then.subjects, key=lambda one: one.field) if one.field in differ)
    return [ContactUpdated(**values, subjects=about or UNSET)]


def _losses(id_: UUID, contact: Contact, lost: set[tuple[str, str]]) -> list[tuple[ContactEvent, tuple[str, str]]]:
    """The items that a third contact has by now, each with how it leaves."""
    found: list[tuple[ContactEvent, tuple[str, str]]] = []
    for name, removed in _LISTS.items():
        for held in getattr(contact, name):
            leaves = removed(item=held.item, **_promoted(contact, name, held.item))
            freed = reservations(id_, contact) - reservations(id_, evolve(contact, leaves))
            if keys := {(one.kind, one.value) for one in freed} & lost:
                contact = evolve(contact, leaves)
                found.append((leaves, keys.pop()))
    return found


def _promoted(contact: Contact, name: str, item: Item) -> dict[str, Any]:
    return {"promoted": successor(contact.emails, contact.primary_email, item)} if name == "emails" else {}
