"""What a read model says as of a position, by plain SQL over a table and its twin; and the same by folding the log."""

from functools import reduce

from crm_es.contacts.contact import evolve as evolve_contact
from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.eventstore.event import values_set
from crm_es.interactions import interaction as i


def as_of(rows, table, columns, where, *params, position):
    """Rows of `table` that stood at `position`."""
    branches = [
        f"SELECT {columns} FROM {table} WHERE position <= %s AND ({where})",
        f"SELECT {columns} FROM {table}_history WHERE position <= %s AND valid_to_position > %s AND ({where})",
    ]
    return rows(" UNION ALL ".join(branches), position, *params, position, position, *params)


def folded(log, workspace, stream, position, evolve):
    facts = [f for f in log.facts if f.workspace == workspace and f.stream == stream and f.position <= position]
    return reduce(evolve, [f.event for f in facts], None), facts


def contact_by_fold(log, workspace, contact, position):
    state, facts = folded(log, workspace, contact, position, evolve_contact)
    if state is None:
        return None
    return {
        "version": facts[-1].version,
        "record_status": state.status.value,
        "display_name": state.name,
        "given_name": state.given_name,
        "source": state.source,
        "lifecycle_stage": state.lifecycle_stage.value,
        "company_id": state.company_id,
        "owner_id": state.owner_id,
        "tags": list(state.tags),
        "merged_into": state.merged_into,
        "primary_email": next((h.value.address for h in state.emails if h.item == state.primary_email), None),
        "emails": [(h.value.address, h.value.label, h.item == state.primary_email) for h in state.emails],
        "phones": [(h.value.number, h.item == state.primary_phone) for h in state.phones],
        "updated_at": facts[-1].recorded_at,
    }


_CONTACT = (
    "version", "record_status", "display_name", "given_name", "source", "lifecycle_stage", "company_id", "owner_id", "tags",
    "merged_into", "primary_email", "updated_at",
)  # fmt: skip


def contact_by_rows(rows, workspace, contact, position):
    key = "workspace_id = %s AND id = %s"
    found = as_of(rows, "contact_profiles.contact", ", ".join(_CONTACT), key, workspace, contact, position=position)
    if not found:
        return None
    (row,) = found
    items = "workspace_id = %s AND contact_id = %s AND NOT removed"
    emails = as_of(
        rows, "contact_profiles.contact_email", "since, place, address, label, is_primary", items, workspace, contact,
        position=position,
    )  # fmt: skip
    phones = as_of(
        rows, "contact_profiles.contact_phone", "since, place, phone_number, is_primary", items, workspace, contact,
        position=position,
    )  # fmt: skip
    lists = {"emails": [r[2:] for r in sorted(emails)], "phones": [r[2:] for r in sorted(phones)]}
    return dict(zip(_CONTACT, row, strict=True)) | lists


def meanings(log, workspace, position):
    """Whom each absorbed id means, by going through the workspace's merges."""
    means = {}
    for fact in log.facts:
        if fact.workspace == workspace and fact.position <= position:
            match fact.event:
                case ContactMerged(absorbed_ids=ids):
                    means |= dict.fromkeys(ids, fact.stream)
                case ContactReleased(absorbed_ids=ids, absorbed_id=target):
                    means |= dict.fromkeys(ids, target)
                case _:
                    pass
    return means


def timeline_by_fold(log, workspace, contact, position):
    """(occurred_at, interaction) of the contact's timeline, newest first, and its counts."""
    means = meanings(log, workspace, position)
    streams = {f.stream for f in log.facts if f.workspace == workspace and f.topic == "interaction.recorded"}
    found, unshared = [], 0
    for stream in streams:
        state, _ = folded(log, workspace, stream, position, i.evolve)
        if state and not state.retracted and contact in {means.get(c, c) for c in state.contact_ids}:
            found.append((state.occurred_at, stream))
            unshared += state.visibility is not i.Visibility.SHARED
    found.sort(reverse=True)
    return found, (len(found), unshared, found[0][0] if found else None)


def timeline_by_rows(rows, workspace, contact, position):
    key = "workspace_id = %s AND canonical_id = %s"
    links = as_of(
        rows,
        "interactions.interaction_contact",
        "occurred_at, interaction_id",
        key,
        workspace,
        contact,
        position=position,
    )
    counts = as_of(
        rows, "interactions.contact_activity", "interaction_count, unshared_count, last_interaction_at",
        "workspace_id = %s AND id = %s", workspace, contact, position=position,
    )  # fmt: skip
    return sorted(links, reverse=True), counts[0] if counts else None


_INTERACTION = ("type", "subject", "body", "occurred_at", "company_id", "visibility", "contact_ids")


def interaction_by_fold(log, workspace, stream, position):
    """As folded, but for personal content: what a redaction cut is cut at every position."""
    state, facts = folded(log, workspace, stream, position, i.evolve)
    if state is None:
        return None
    found = {n: getattr(state, n) for n in _INTERACTION} | {"contact_ids": list(state.contact_ids)}
    for fact in log.facts:
        if fact.stream == stream and isinstance(fact.event, i.InteractionRedacted) and fact.position > position:
            found |= {"subject": None, "body": None} | values_set(fact.event, ("subject", "body"))
    return found | {"version": facts[-1].version, "type": str(state.type), "visibility": str(state.visibility)}


def interaction_by_rows(rows, workspace, stream, position):
    names = (*_INTERACTION, "version")
    found = as_of(
        rows, "interactions.interaction", ", ".join(names), "workspace_id = %s AND id = %s", workspace, stream,
        position=position,
    )  # fmt: skip
    return dict(zip(names, found[0], strict=True)) if found else None
