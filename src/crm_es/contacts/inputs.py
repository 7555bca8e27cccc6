"""What mutations of contacts take, and how it becomes a form of parsed values: each refusal names its place in the input."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.payloads import Envelope, Versioned
from crm_es.api.references import Reference
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_events import Identity
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry
from crm_es.contacts.parts import LifecycleStage
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.reads.operands import ExternalIdInput
from crm_es.values import EmailAddress, ExternalId, PhoneNumber, PostalAddress, Tag, joint_key, parse_text
from crm_es.workspaces.member import MEMBER

T = TypeVar("T")
LABEL_LENGTH: Final = 100


def may_say(description: str) -> Any:
    """A field that may be left out."""
    return strawberry.field(default=UNSET, description=description)


@strawberry.input(description="An address to write to.")
class EmailInput:
    address: str = strawberry.field(description="Such as anna@example.com.")
    label: str | None = may_say("As work or home.")
    primary: bool | None = may_say("The one to use; takes the mark from the one that has it.")


@strawberry.input(description="A number to call.")
class PhoneInput:
    number: str = strawberry.field(description="With its country code, as +49 151 12345678.")
    label: str | None = may_say("As work or mobile.")
    primary: bool | None = may_say("The one to use; takes the mark from the one that has it.")


@strawberry.input(description="Where post goes.")
class AddressInput:
    lines: list[str] = strawberry.field(description="Street and house, as written on an envelope.")
    label: str | None = may_say("As office or home.")
    postal_code: str | None = may_say("As written there.")
    city: str | None = may_say("Town.")
    region: str | None = may_say("State, county or province.")
    country: str | None = may_say("ISO 3166-1 alpha-2.")


@strawberry.input(description="Who a contact is on a channel.")
class ChannelIdentityInput:
    channel: str = strawberry.field(description="Where, as `whatsapp`.")
    external_id: str = strawberry.field(description="Their id there.")


@strawberry.input(description="A new contact; one name at least.")
class RegisterContactInput(Envelope):
    display_name: str | None = may_say("What to call the person; made of the other names if left out.")
    given_name: str | None = may_say("As given.")
    family_name: str | None = may_say("As given.")
    emails: list[EmailInput] | None = may_say("Addresses; the first is primary unless another says so.")
    phones: list[PhoneInput] | None = may_say("Numbers; the first is primary unless another says so.")
    addresses: list[AddressInput] | None = may_say("Where post goes.")
    identities: list[ChannelIdentityInput] | None = may_say("Who they are on channels.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call them.")
    job_title: str | None = may_say("What they do there.")
    company_id: ID | None = may_say("Where they work.")
    lifecycle_stage: LifecycleStage | None = may_say("How far they have come; SUBSCRIBER if left out.")
    owner_id: ID | None = may_say("Who looks after them.")
    source: str | None = may_say("Where we know them from.")
    tags: list[str] | None = may_say("Words on the record.")


@strawberry.input(description="Changes of a contact: what is left out stays, null clears.")
class UpdateContactInput(Versioned):
    id: ID = strawberry.field(description="Which contact.")
    display_name: str | None = may_say("What to call the person.")
    given_name: str | None = may_say("As given.")
    family_name: str | None = may_say("As given.")
    job_title: str | None = may_say("What they do there.")
    company_id: ID | None = may_say("Where they work.")
    lifecycle_stage: LifecycleStage | None = may_say("How far they have come; going back needs a reason.")
    owner_id: ID | None = may_say("Who looks after them.")
    source: str | None = may_say("Where we know them from.")
    add_emails: list[EmailInput] | None = may_say("An address already there is changed.")
    remove_emails: list[str] | None = may_say("Addresses to take away.")
    add_phones: list[PhoneInput] | None = may_say("A number already there is changed.")
    remove_phones: list[str] | None = may_say("Numbers to take away.")
    add_tags: list[str] | None = may_say("Words to put on the record.")
    remove_tags: list[str] | None = may_say("Words to take off.")
    addresses: list[AddressInput] | None = may_say("All of them.")
    add_identities: list[ChannelIdentityInput] | None = may_say("Who they are on channels, besides.")
    remove_identities: list[ChannelIdentityInput] | None = may_say("Who they are not.")
    add_external_ids: list[ExternalIdInput] | None = may_say("What other systems call them, besides.")
    remove_external_ids: list[ExternalIdInput] | None = may_say("What they do not.")


def registration(input: RegisterContactInput) -> ContactEdit:
    """Null and absent are the same in a new record. Raises: InvalidInputError."""
    return _form(
        input,
        lambda value: msgspec.UNSET if value in (None, UNSET) else value,
        add_emails=list(each("emails", input.emails, email)),
        add_phones=list(each("phones", input.phones, phone)),
        add_identities=list(each("identities", input.identities, identity)),
        add_external_ids=list(each("externalIds", input.external_ids, external_id)),
        add_tags=list(each("tags", input.tags, Tag.parse)),
    )


def edit(input: UpdateContactInput) -> ContactEdit:
    """Raises: InvalidInputError."""
    if input.lifecycle_stage is None:
        message = "A contact is always at some stage: leave the field out."
        raise InvalidInputError(message, rule="field.required", field=("lifecycleStage",))
    return _form(
        input,
        lambda value: msgspec.UNSET if value is UNSET else value,
        add_emails=list(each("addEmails", input.add_emails, email)),
        remove_emails=list(each("removeEmails", input.remove_emails, EmailAddress.parse)),
        add_phones=list(each("addPhones", input.add_phones, phone)),
        remove_phones=list(each("removePhones", input.remove_phones, PhoneNumber.parse)),
        add_identities=list(each("addIdentities", input.add_identities, identity)),
        remove_identities=list(each("removeIdentities", input.remove_identities, identity)),
        add_external_ids=list(each("addExternalIds", input.add_external_ids, external_id)),
        remove_external_ids=list(each("removeExternalIds", input.remove_external_ids, external_id)),
        add_tags=list(each("addTags", input.add_tags, Tag.parse)),
        remove_tags=list(each("removeTags", input.remove_tags, Tag.parse)),
    )


def _form(input: RegisterContactInput | UpdateContactInput, taken: Callable[[Any], Any], **lists: Any) -> ContactEdit:
    names = ("display_name", "given_name", "family_name", "job_title", "source")
    return ContactEdit(
        **{name: text(taken(getattr(input, name)), name) for name in names},
        addresses=addresses(taken(input.addresses)),
        company_id=reference(taken(input.company_id), "Company", "companyId"),
        owner_id=reference(taken(input.owner_id), "Member", "ownerId"),
        lifecycle_stage=taken(input.lifecycle_stage),
        **lists,
    )


def references(form: Any) -> Iterator[Reference]:
    """The records a form names beside its own; of a company's form too."""
    if isinstance(getattr(form, "company_id", None), UUID):
        yield Reference(COMPANY, form.company_id, ("companyId",))
    if isinstance(getattr(form, "parent_id", None), UUID):
        yield Reference(COMPANY, form.parent_id, ("parentId",))
    if isinstance(form.owner_id, UUID):
        yield Reference(MEMBER, form.owner_id, ("ownerId",))


def places(form: ContactEdit, *, adding: bool) -> dict[tuple[str, str], FieldPath]:
    """Where in the input each value stands that must be unique, by (kind, normal form)."""
    names = [LISTS[name] if adding else name for name in ("emails", "identities", "externalIds")]
    keys = (
        [("email", entry.address.key) for entry in form.add_emails],
        [("identity", joint_key(one.channel, one.external_id)) for one in form.add_identities],
        [("external_id", joint_key("contact", one.system, one.value)) for one in form.add_external_ids],
    )
    return {key: (name, str(index)) for name, many in zip(names, keys, strict=True) for index, key in enumerate(many)}


LISTS: Final = {
    "emails": "addEmails", "phones": "addPhones", "identities": "addIdentities", "externalIds": "addExternalIds",
    "tags": "addTags", "domains": "addDomains",
}  # fmt: skip
"""Where an update names what a record's list gains."""


# Values, wherever they stand


def each(field: str, items: Sequence[Any] | None, parse: Callable[[Any, FieldPath], T]) -> Iterator[T]:
    for index, item in enumerate(items or ()):
        yield parse(item, (field, str(index)))


def text(value: Any, name: str) -> Any:
    return parse_text(value, (camel(name),)) if isinstance(value, str) else value


def label(value: Any, field: FieldPath) -> Any:
    if value is UNSET:
        return msgspec.UNSET
    return parse_text(value, (*field, "label"), longest=LABEL_LENGTH) if value else None


def reference(value: Any, type_: str, field: str) -> Any:
    return ids.live(value, type_, field=(field,)) if isinstance(value, str) else value


def addresses(value: Any) -> Any:
    """All of them; null is none."""
    if value is msgspec.UNSET:
        return value
    return tuple(each("addresses", value, address))


def address(item: AddressInput, field: FieldPath) -> PostalAddress:
    return PostalAddress.parse({name: part for name, part in vars(item).items() if part is not UNSET}, field)


def email(item: EmailInput, field: FieldPath) -> EmailEntry:
    parsed = EmailAddress.parse(item.address, (*field, "address"))
    return EmailEntry(address=parsed, label=label(item.label, field), primary=item.primary is True)


def phone(item: PhoneInput, field: FieldPath) -> PhoneEntry:
    parsed = PhoneNumber.parse(item.number, (*field, "number"))
    return PhoneEntry(number=parsed, label=label(item.label, field), primary=item.primary is True)


def identity(item: ChannelIdentityInput, field: FieldPath) -> Identity:
    return Identity(
        channel=parse_text(item.channel, (*field, "channel")),
        external_id=parse_text(item.external_id, (*field, "externalId")),
    )


def external_id(item: ExternalIdInput, field: FieldPath) -> ExternalId:
    return ExternalId(
        system=parse_text(item.system, (*field, "system")), value=parse_text(item.value, (*field, "value"))
    )


def external_id_places(external_ids: Sequence[ExternalId], kind: str) -> dict[tuple[str, str], FieldPath]:
    """Where in the input each external id of a new record stands, by (kind, normal form) of its reservation."""
    keys = (joint_key(kind, one.system, one.value) for one in external_ids)
    return {("external_id", key): ("externalIds", str(index)) for index, key in enumerate(keys)}
