"""Two furnished workspaces in one running application: ours, and a neighbour's whose every text is a canary."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from crm_es.app import serving
from crm_es.config import AccessMode
from crm_es.contacts import company, editing
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import Identity as ChannelIdentity
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry
from crm_es.eventstore.event import WorkspaceId
from crm_es.interactions import recording
from crm_es.interactions.interaction import INTERACTION, InteractionType
from crm_es.occasions import Occasion
from crm_es.sales import dealing, pipeline, product
from crm_es.sales.deal import DEAL
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.dealing import DealEdit
from crm_es.sales.pipeline import PIPELINE
from crm_es.sales.product import PRODUCT, ProductEdit
from crm_es.sales.stages import Stage, StageType
from crm_es.service import article, calendar, queue, sla, sla_policy, ticket, ticket_editing
from crm_es.service.enums import Priority, SlaKind
from crm_es.service.ticket_aggregate import TICKET
from crm_es.serving.sealing import sealing
from crm_es.values import DomainName, EmailAddress, ExternalId, Money, PhoneNumber, PostalAddress, Tag
from crm_es.workspaces import api_key, export, member, role, saved_view, team, workspace
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import ROLES
from crm_es.workspaces.role import Permission
from tests.api.conftest import Api, Place, identity, place, running
from tests.isolation.walking import Asking

__all__ = ["place"]
CANARY = "Zyzzogeton"
TOKEN = "their admin"


@dataclass
class Side:
    """One workspace: `uuids` of one record of each type, `word` in every text of theirs."""

    api: Api
    word: str
    uuids: dict[str, UUID] = field(default_factory=dict)

    def ids(self) -> dict[str, str]:
        return {kind: self.api.id(kind, id_) for kind, id_ in self.uuids.items()}

    def head(self) -> int:
        with psycopg.connect(self.api.engine.store.recorder.datastore.url) as connection:
            connection.execute("SELECT set_config('app.workspace', %s, true)", [str(self.api.workspace)])
            row = connection.execute("SELECT sequence FROM es.head").fetchone()
        return row[0] if row else 0


@dataclass
class Neighbours:
    """`ours` asks; `theirs` must never be heard of."""

    ours: Side
    theirs: Side

    @property
    def asking(self) -> Asking:
        return Asking(self.ours.ids(), self.ours.word)

    async def post(self, query: str, variables: dict[str, Any] | None = None, who: str = "admin") -> Any:
        response = await self.ours.api.post(query, who=who, variables=variables or {})
        body = response.json()
        assert response.status_code == 200, (query, body)
        assert self.theirs.word.lower() not in json.dumps(body, ensure_ascii=False).lower(), (query, variables, body)
        return body


async def furnish(side: Side) -> None:
    """A record of each kind, the side's word wherever a text may stand."""
    api, word = side.api, side.word
    low = word.lower()
    by = api.known["admin"].member_id
    assert by is not None
    founded = workspace.create(name=f"{word} Inc", time_zone="UTC")
    side.uuids["Workspace"] = await api.begin(workspace.WORKSPACE, founded, id=api.workspace)
    side.uuids["Team"] = await api.begin(team.TEAM, team.create(f"Team {word}"), reason=f"because {word}")
    invited = member.invite(
        name=f"Max {word}", email=EmailAddress.parse(f"max.{low}@{low}.test"), roles=("admin",),
        team_id=side.uuids["Team"],
    )  # fmt: skip
    side.uuids["Member"] = await api.begin(member.MEMBER, invited, id=by)
    for name, known in api.known.items():
        if known.workspace == api.workspace and known.member_id != by and known.role_keys:
            roles = [each for each in known.role_keys if each in ROLES] or ["sales"]
            other = member.invite(name=f"{name} {word}", email=EmailAddress.parse(f"{name}@{low}.test"), roles=roles)
            await api.begin(member.MEMBER, other, id=known.member_id)
    peek = Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.WORKSPACE, fields=())
    side.uuids["Role"] = await api.begin(
        role.ROLE, role.define(None, key=f"peek_{low}", name=f"Peek {word}", permissions=[peek])
    )
    issued = api_key.issue(
        name=f"Key {word}", scopes=["sales"], secret_hmac=bytes(32).hex(), expires_at=None, now=datetime.now(UTC)
    )
    side.uuids["ApiKey"] = await api.begin(api_key.API_KEY, issued)
    saved = saved_view.save(
        None, name=f"View {word}", target=EntityType.CONTACT, filter={"displayName": {"eq": word}}, by=by, shared=True
    )
    side.uuids["SavedView"] = await api.begin(saved_view.SAVED_VIEW, saved)
    await _records(side, by)
    side.uuids["Import"] = _import(api, word)
    wanted = export.request(export.Wanted(), purpose=f"audit of {word}", reason=f"because {word}", by=uuid4())
    side.uuids["Export"] = await api.begin(export.EXPORT, wanted, reason=f"because {word}")
    await api.projected()


def _import(api: Api, word: str) -> UUID:
    with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
        connection.execute(
            """
            INSERT INTO es.import_run (workspace_id, id, mapping, mapping_hash, file_name, file_hash, status)
            VALUES (%s, %s, %s, '', %s, '', 'DONE')
            """,
            [api.workspace, run := uuid4(), word, f"{word}.csv"],
        )
    return run


async def _records(side: Side, by: UUID) -> None:
    api, word, low = side.api, side.word, side.word.lower()
    home = PostalAddress(lines=(f"1 {word} Street",), city=word, country="DE")
    firm = CompanyEdit(
        name=f"{word} GmbH", industry=word, add_domains=[DomainName(f"{low}.example")], addresses=(home,), owner_id=by,
        add_tags=[Tag.parse(word)], add_external_ids=[ExternalId(system="erp", value=word)],
    )  # fmt: skip
    side.uuids["Company"] = firm_id = uuid4()
    await api.begin(COMPANY, company.register(firm, id=firm_id), id=firm_id)
    branch = CompanyEdit(name=f"{word} Branch", parent_id=firm_id)
    await api.begin(COMPANY, company.register(branch, id=(branch_id := uuid4())), id=branch_id)
    person = ContactEdit(
        display_name=f"Dr. {word}", given_name=word, family_name=f"von {word}", job_title=f"Chief {word}", source=word,
        addresses=(home,), company_id=firm_id, owner_id=by, add_tags=[Tag.parse(word)],
        add_emails=[EmailEntry(address=EmailAddress.parse(f"{low}@{low}.example"))],
        add_phones=[PhoneEntry(number=PhoneNumber.parse("+49 151 12345678"), label=word)],
        add_identities=[ChannelIdentity(channel="chat", external_id=word)],
        add_external_ids=[ExternalId(system="crm", value=word)],
    )  # fmt: skip
    side.uuids["Contact"] = contact = await api.begin(CONTACT, editing.register(person), reason=f"because {word}")
    await api.begin(
        CONTACT,
        editing.register(
            ContactEdit(display_name=f"Dr. {word}", company_id=branch_id, add_phones=person.add_phones, owner_id=by)
        ),
    )
    called = recording.record(
        type=InteractionType.CALL, occurred_at=datetime(2025, 1, 1, tzinfo=UTC), channel="phone",
        external_id=word, subject=f"About {word}", body=f"{word} said hello.", contact_ids=(contact,),
        company_id=firm_id, member_id=by,
    )  # fmt: skip
    side.uuids["Interaction"] = await api.begin(INTERACTION, called)
    await _sales(side, by)
    await _service(side)


async def _service(side: Side) -> None:
    api, word = side.api, side.word
    uuids, at = side.uuids, Occasion(datetime(2025, 1, 1, tzinfo=UTC))
    uuids["Queue"] = await api.begin(queue.QUEUE, queue.create(queue.QueueEdit(name=f"Queue {word}")))
    always = calendar.Calendar(
        time_zone="UTC", hours=tuple(calendar.OpeningHours(weekday=day, opens=0, closes=1440) for day in range(1, 8))
    )
    target = sla.SlaTarget(kind=SlaKind.RESOLUTION, priority=Priority.NORMAL, seconds=3_600)
    policy = sla_policy.stream_of(api.workspace, f"{word} Gold")
    promised = sla_policy.publish(
        None, name=f"{word} Gold", queue_ids=[uuids["Queue"]], targets=[target], calendar=always
    )
    await api.begin(sla_policy.SLA_POLICY, promised, id=policy)
    uuids["SlaPolicy"] = sla_policy.version_id(policy, 1)
    asked = ticket_editing.open_ticket(
        sla_policy_id=policy, sla_policy_version=1,
        title=f"Ticket {word}", queue_id=uuids["Queue"], requester_id=uuids["Contact"], company_id=uuids["Company"],
        tags=[Tag.parse(word)], external_ids=[ExternalId(system="desk", value=word)], on=at,
    )  # fmt: skip
    uuids["Ticket"] = id_ = await api.begin(TICKET, asked, reason=f"because {word}")
    by = api.known["admin"].member_id
    note = recording.record(
        type=InteractionType.NOTE, occurred_at=at.at, body=f"{word} is angry.", subject=word, ticket_id=id_, internal=True,
        member_id=by, contact_ids=(uuids["Contact"],),
    )  # fmt: skip
    written = await api.begin(INTERACTION, note)
    await api.change(TICKET, id_, lambda was: ticket.reply(was, written, internal=True, on=at))
    await api.change(TICKET, id_, lambda was: ticket.resolve(was, resolution=f"Sent {word} away", on=at))
    await api.change(TICKET, id_, lambda was: ticket.rate(was, 1, f"{word} is rude"))
    await api.change(TICKET, id_, lambda was: ticket.reopen(was, on=at, window=None))
    await api.change(TICKET, id_, lambda was: ticket.assign(was, by, on=at))
    text: dict[str, Any] = {"language": "en", "audience": article.Audience.CUSTOMER, "tags": [word]}
    written = article.save(None, title=f"{word} for beginners", body=f"Ask {word}.", **text)
    side.uuids["Article"] = id_ = await api.begin(article.ARTICLE, written)
    await api.change(article.ARTICLE, id_, article.publish)
    linked = ticket_editing.TicketEdit(add_article_ids=[id_])
    await api.change(TICKET, uuids["Ticket"], lambda was: ticket_editing.update(was, linked))
    await api.change(article.ARTICLE, id_, lambda was: article.save(was, title=word, body=f"Ask {word} again.", **text))


async def _sales(side: Side, by: UUID) -> None:
    """A product, a pipeline and two deals in it, one of them in a second pipeline's first stage."""
    api, word = side.api, side.word
    price, known = Money(2933, "EUR"), [ExternalId(system="erp", value=word)]
    listed = product.register(ProductEdit(name=f"{word} Mug", sku=word, family=word, price=price), known)
    side.uuids["Product"] = await api.begin(PRODUCT, listed, reason=f"because {word}")
    chances = {StageType.OPEN: "0.5", StageType.WON: "1", StageType.LOST: "0"}
    stages = [
        Stage(id=uuid4(), name=f"{word} {type_}", type=type_, probability=Decimal(chance), rot_days=30)
        for type_, chance in chances.items()
    ]
    side.uuids["Stage"] = stages[0].id
    made = pipeline.create(name=f"{word} Sales", stages=stages)
    side.uuids["Pipeline"] = where = await api.begin(PIPELINE, made, reason=f"because {word}")
    line = DealLine(product_id=side.uuids["Product"], quantity=Decimal(2), unit_price=price)
    form = DealEdit(
        name=f"Deal of {word}", amount=price, expected_close_date=date(2025, 1, 1), company_id=side.uuids["Company"], owner_id=by,
        contacts=[DealContact(contact_id=side.uuids["Contact"], part=word)], lines=[(line, f"For {word}")],
    )  # fmt: skip
    on = Occasion(datetime(2025, 1, 1, tzinfo=UTC))  # in the charts that the walk asks for
    begun = dealing.open_deal(form, pipeline_id=where, stage_id=stages[0].id, rank="a", on=on, external_ids=known)
    side.uuids["Deal"] = deal = await api.begin(DEAL, begun, reason=f"because {word}")
    lost = {"reason": f"{word} said no", "stage_id": stages[2].id, "rank": "b", "on": on}
    gone = await api.begin(DEAL, dealing.open_deal(form, pipeline_id=where, stage_id=stages[0].id, rank="a", on=on))
    await api.change(DEAL, gone, lambda was: dealing.lose(was, **lost))
    about = recording.record(
        type=InteractionType.NOTE, occurred_at=datetime(2025, 1, 1, tzinfo=UTC), subject=f"Deal {word}", deal_id=deal,
        contact_ids=[side.uuids["Contact"]], member_id=by,
    )  # fmt: skip
    await api.begin(INTERACTION, about)


async def read(place: Place, side: Side, who: str) -> None:
    """A row in the access log, which is there with the answer."""
    await side.api.projected()
    reach = "query Reach($id: ID!) { contact(id: $id) { emails { address } } }"
    response = await side.api.post(
        reach, who=who, variables={"id": side.ids()["Contact"]}, extensions={"purpose": side.word}
    )
    assert response.json()["data"]["contact"]["emails"]
    with psycopg.connect(place.urls.owner) as connection:
        side.uuids["Access"] = connection.execute(
            "SELECT id FROM access.entry WHERE workspace_id = %s", [side.api.workspace]
        ).fetchone()[0]


@pytest.fixture(scope="session")
async def neighbours(place: Place, anyio_backend) -> AsyncIterator[Neighbours]:  # noqa: ARG001  # fixtures
    """For tests that leave ours as it is."""
    async with moved_in(place) as both:
        yield both


@pytest.fixture
async def new_neighbours(place: Place, anyio_backend) -> AsyncIterator[Neighbours]:  # noqa: ARG001  # fixtures
    """For tests that do as they like with ours."""
    async with moved_in(place) as both:
        yield both


@asynccontextmanager
async def moved_in(place: Place) -> AsyncIterator[Neighbours]:
    ours, theirs = WorkspaceId(uuid4()), WorkspaceId(uuid4())
    known = {name: identity(ours, name) for name in ROLES} | {"nobody": identity(ours)}
    known[TOKEN] = identity(theirs, "admin")
    app = serving(place.settings, lambda: running(place, known))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.test") as client,
    ):
        engine = app.state.engine
        mine = Side(Api(app, client, engine, known, ours), "Acme")
        other = Side(Api(app, client, engine, {"admin": known[TOKEN]}, theirs), CANARY)
        await furnish(mine)
        await furnish(other)
        await read(place, mine, "admin")
        await read(place, other, TOKEN)
        engine.access.mode = AccessMode.OFF  # so that the list of who read what stays as it is
        sealing(place.settings, place.urls.sealer).drain()
        yield Neighbours(mine, other)
