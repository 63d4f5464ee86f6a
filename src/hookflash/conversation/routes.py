"""What was said and done, over HTTP: contacts and their consent, sessions, messages, turns, the journal."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, computed_field

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.base.phone import Address
from hookflash.conversation import read_store as store
from hookflash.conversation.journal import Broken
from hookflash.conversation.journal_store import verify_journal
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.rest.storable import FreeObject, bounded

contacts = router("/v1/contacts", "contacts")
sessions = router("/v1/sessions", "sessions")
messages = router("/v1/messages", "messages")
turns = router("/v1/turns", "messages")
journal = router("/v1/journal", "journal")

ContactId = Annotated[str, Path(max_length=64, examples=["cont_06bq3v0d5k8n2r7t1w4y9zac3e"])]
SessionId = Annotated[str, Path(max_length=64, examples=["sess_06bq3v0d5k8n2r7t1w4y9zac3e"])]
MessageId = Annotated[str, Path(max_length=64, examples=["msg_06bq3v0d5k8n2r7t1w4y9zac3e"])]
TurnId = Annotated[str, Path(max_length=64, examples=["turn_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Sender = Annotated[str, Path(max_length=160, description="Our number or Messaging Service.", examples=["+15550100200"])]
OfContact = Annotated[str | None, Query(max_length=64, description="Only those of this contact.")]
ReadingContacts = Annotated[Caller, allowed("contacts:read")]
WritingContacts = Annotated[Caller, allowed("contacts:write")]


class ShownAddress(BaseModel):
    """A way to reach a person."""

    model_config = ConfigDict(from_attributes=True)

    address: str = Field(examples=["+15550111222", "whatsapp:+15550111222"])
    unreachable_code: int | None = Field(description="Twilio's error code that says that it takes no messages.")


class ShownOptOut(BaseModel):
    """What a person said about messages from one sender."""

    model_config = ConfigDict(from_attributes=True)

    address: str
    sender: str
    opted_out: bool
    via: str = Field(description="How we know: `keyword`, `api`, an error of Twilio's.")
    since: datetime


class ShownContact(BaseModel):
    """One person, whatever they write from."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str | None
    language: str | None = Field(examples=["en"])
    traits: dict[str, Any] = Field(description="What the company knows of them; the assistant is told.")
    addresses: list[ShownAddress]
    opt_outs: list[ShownOptOut]
    created_at: datetime
    last_seen_at: datetime


class ContactChanges(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, examples=["Ada"])
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$", examples=["es"])
    traits: FreeObject = Field(
        {}, description="Changed one by one; a trait that is null is forgotten.", examples=[{"plan": "gold"}]
    )


class ShownSession(BaseModel):
    """A window of context: what is said in it is remembered, until it was quiet for long enough."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    contact_id: str
    assistant_id: str
    revision: int = Field(description="The assistant's revision that it began with, and keeps.")
    experiment_id: str | None = Field(description="The experiment that it takes part in.")
    variant: str | None = Field(description="The experiment's variant that serves it.")
    started_at: datetime
    last_at: datetime
    verified_at: datetime | None = Field(description="When the person proved in it that they hold their phone.")

    @computed_field(description="Whether they have.")
    def verified(self) -> bool:
        return self.verified_at is not None


class ShownMedia(BaseModel):
    """An attachment."""

    model_config = ConfigDict(from_attributes=True)

    content_type: str
    size: int | None = Field(None, description="Bytes.")
    transcript: str | None = Field(None, description="What a voice note says.")
    failure: str | None = Field(None, description="Why it could not be fetched or understood.")


class ShownMessage(BaseModel):
    """A message, and how far it got."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    contact_id: str
    integration_id: str
    session_id: str | None
    turn_id: str | None
    direction: str = Field(description="`in` or `out`.")
    kind: str = Field(
        description="in: text. out: answer, acknowledgement, notice, code (to verify somebody), tool (a link, a reminder), "
        "rating (the question how it was)."
    )
    address: str = Field(description="Theirs.")
    sender: str = Field(description="Ours.")
    text: str
    media: list[ShownMedia]
    language: str | None
    state: str = Field(
        description="in: unanswered, answered, silenced, human, stale, failed. out: waiting, posting, parked, discarded, "
        "withheld, failed, then Twilio's: queued, sent, delivered, read, undelivered ..."
    )
    why: str | None = Field(description="Why it is in that state.")
    via: str = Field(description="webhook or backfill.")
    sid: str | None = Field(description="Twilio's id.")
    in_reply_to: str | None
    part: int
    attempts: int
    error_code: int | None = Field(description="Twilio's.")
    error: str | None
    segments: int | None
    cost_micros: int = Field(description="Millionths of a US dollar.")
    at: datetime
    created_at: datetime
    updated_at: datetime


class Resolution(BaseModel):
    """What to do with a parked message."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["send_again", "discard"]


class ShownVerdict(BaseModel):
    """What one gate said."""

    gate: str
    verdict: str = Field(description="Pass, Reply, Silence or HandOff.")
    why: str | None


class ShownSource(BaseModel):
    """A passage that the answer was given."""

    chunk_id: int
    document_id: str
    title: str
    score: float
    dense: float | None
    keyword: float | None
    cited: bool = Field(description="Whether the answer rests on it.")
    url: str | None = None


class ShownUsage(BaseModel):
    """What was consumed; money in millionths of a US dollar."""

    input_tokens: int = 0
    output_tokens: int = 0
    embedded_tokens: int = 0
    model_micros: int = 0
    embedding_micros: int = 0


class ShownTurn(BaseModel):
    """Everything about one turn: what was said, found, decided and answered, by which model, at what cost."""

    id: str
    contact_id: str
    session_id: str
    message_ids: list[str] = Field(description="The messages that it answered and those that it sent.")
    said: str
    question: str | None = Field(description="What was searched for.")
    answered: str
    kind: str = Field(description="answered, clarified, unknown, failed, or why nothing was said.")
    confidence: float | None
    model: str | None
    prompt_revision: str | None
    language: str | None
    verdicts: list[ShownVerdict]
    sources: list[ShownSource]
    usage: ShownUsage
    degraded: list[str] = Field(description="Each fallback that was taken, and why.")
    stages: dict[str, float] = Field(description="Milliseconds.")
    cost_micros: int = Field(description="Model, embedding and messages, in millionths of a US dollar.")
    at: datetime


class ShownEntry(BaseModel):
    """An entry of the journal."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    kind: str = Field(examples=["turn", "sent", "integration.updated"])
    subject: str = Field(description="The id of what it is about.")
    contact_id: str | None
    body: dict[str, Any]
    hash: str = Field(description="SHA-256 of what the entry says.")


class ShownBreach(BaseModel):
    """The first record that is not as it was written."""

    what: str = Field(description="altered, missing, reordered or unlisted.")
    record: str


class Verification(BaseModel):
    """Whether the journal is as it was written."""

    sound: bool
    entries: int | None = Field(description="Entries that were checked.")
    seals: int | None = Field(description="Seals that were checked.")
    unsealed: int | None = Field(description="Entries that wait for their seal.")
    broken: ShownBreach | None


# Contacts


@contacts.get("", **listed(ShownContact))
async def list_contacts(
    asked: ListAsked,
    caller: ReadingContacts,
    address: Annotated[
        str | None,
        Query(max_length=160, description="The one that has this address.", examples=["whatsapp:+15550111222"]),
    ] = None,
) -> Listing[ShownContact] | Response:
    """All contacts, oldest first."""
    # A plus sign that was not escaped arrives as a space.
    wanted = str(Address.parse(address.replace(" ", "+"))) if address is not None else None

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.ContactRow]:
        return await store.list_contacts(conn, limit, cursor, wanted)

    return await caller.list(asked, read, ShownContact.model_validate)


@contacts.get("/{contact_id}", responses=answers(404))
async def get_contact(contact_id: ContactId, caller: ReadingContacts) -> ShownContact:
    """One contact with addresses and opt-outs."""
    async with caller.transaction() as conn:
        return ShownContact.model_validate(await store.get_contact(conn, contact_id))


@contacts.patch("/{contact_id}", responses=answers(404))
async def update_contact(contact_id: ContactId, body: ContactChanges, caller: WritingContacts) -> ShownContact:
    """Change name, language or traits."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    async with caller.transaction() as conn:
        if "traits" in changes:
            contact = await store.get_contact(conn, contact_id, lock=True)
            merged = contact.traits | changes["traits"]
            try:
                changes["traits"] = bounded({name: value for name, value in merged.items() if value is not None})
            except ValueError as error:
                raise Invalid(f"The traits are too many: {error}.", field="traits") from None
        changed = await store.update_contact(conn, contact_id, changes)
        await caller.record(conn, "contact.updated", contact_id, contact_id, changed=sorted(changes))
    return ShownContact.model_validate(changed)


@contacts.put("/{contact_id}/opt-outs/{sender}", responses=answers(404))
async def opt_out(contact_id: ContactId, sender: Sender, caller: WritingContacts) -> ShownContact:
    """Let nothing leave for this person from a sender, also nothing that waits already."""
    return await _set_opt_out(contact_id, sender, caller, out=True)


@contacts.delete("/{contact_id}/opt-outs/{sender}", responses=answers(404))
async def opt_in(contact_id: ContactId, sender: Sender, caller: WritingContacts) -> ShownContact:
    """Let a sender write to this person again. An opt-out that Twilio keeps itself ends only when they text START."""
    return await _set_opt_out(contact_id, sender, caller, out=False)


async def _set_opt_out(contact_id: str, sender: str, caller: Caller, *, out: bool) -> ShownContact:
    async with caller.transaction() as conn:
        changed, addresses = await store.set_opt_out(conn, caller.account_id, contact_id, sender, caller.now(), out=out)
        kind = "contact.opted_out" if out else "contact.opted_in"
        await caller.record(conn, kind, contact_id, contact_id, sender=sender, addresses=addresses)
    return ShownContact.model_validate(changed)


# Sessions


@sessions.get("", **listed(ShownSession))
async def list_sessions(
    asked: ListAsked, caller: Annotated[Caller, allowed("sessions:read")], contact_id: OfContact = None
) -> Listing[ShownSession] | Response:
    """Sessions, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.SessionRow]:
        return await store.list_sessions(conn, limit, cursor, contact_id)

    return await caller.list(asked, read, ShownSession.model_validate)


@sessions.get("/{session_id}", responses=answers(404))
async def get_session(session_id: SessionId, caller: Annotated[Caller, allowed("sessions:read")]) -> ShownSession:
    """One session."""
    async with caller.transaction() as conn:
        return ShownSession.model_validate(await store.get_session(conn, session_id))


# Messages and turns


@messages.get("", **listed(ShownMessage))
async def list_messages(
    asked: ListAsked,
    caller: Annotated[Caller, allowed("messages:read")],
    contact_id: OfContact = None,
    session_id: Annotated[str | None, Query(max_length=64, description="Only those of this session.")] = None,
    state: Annotated[
        str | None, Query(max_length=40, description="Only those in this state.", examples=["parked"])
    ] = None,
    direction: Annotated[Literal["in", "out"] | None, Query(description="Only those to us, or from us.")] = None,
) -> Listing[ShownMessage] | Response:
    """Messages in the order in which they were stored. Those that need a person's decision have the state `parked`."""
    wanted = {"contact_id": contact_id, "session_id": session_id, "state": state, "direction": direction}

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.MessageRow]:
        return await store.list_messages(conn, limit, cursor, wanted)

    return await caller.list(asked, read, ShownMessage.model_validate)


@messages.get("/{message_id}", responses=answers(404))
async def get_message(message_id: MessageId, caller: Annotated[Caller, allowed("messages:read")]) -> ShownMessage:
    """One message."""
    async with caller.transaction() as conn:
        return ShownMessage.model_validate(await store.get_message(conn, message_id))


@messages.post("/{message_id}/resolve", responses=answers(404, 409))
async def resolve_message(
    message_id: MessageId, body: Resolution, caller: Annotated[Caller, allowed("messages:write")]
) -> ShownMessage:
    """Decide about a parked message. 409 when it is not parked, or not any more."""
    async with caller.transaction() as conn:
        resolved = await store.resolve_parked(conn, message_id, caller.now(), send_again=body.action == "send_again")
        await caller.record(conn, "message.resolved", message_id, resolved.contact_id, action=body.action)
    return ShownMessage.model_validate(resolved)


@turns.get("/{turn_id}", responses=answers(404))
async def get_turn(turn_id: TurnId, caller: Annotated[Caller, allowed("messages:read")]) -> ShownTurn:
    """The whole record of one turn."""
    async with caller.transaction() as conn:
        turn = await store.get_turn(conn, turn_id)
    record = turn.record
    return ShownTurn(
        id=turn.id,
        contact_id=turn.contact_id,
        session_id=turn.session_id,
        message_ids=turn.message_ids,
        said=turn.said,
        question=turn.question,
        answered=turn.answered,
        kind=turn.kind,
        confidence=turn.confidence,
        model=turn.model,
        prompt_revision=turn.prompt_revision,
        language=turn.language,
        verdicts=[ShownVerdict(gate=g, verdict=v, why=why) for g, v, why in record.get("verdicts", ())],
        sources=[ShownSource.model_validate(source) for source in record.get("sources", ())],
        usage=ShownUsage.model_validate(record.get("usage", {})),
        degraded=record.get("degraded", []),
        stages=record.get("stages", {}),
        cost_micros=turn.cost_micros,
        at=turn.at,
    )


# The journal


@journal.get("", **listed(ShownEntry))
async def list_journal(
    asked: ListAsked,
    caller: Annotated[Caller, allowed("journal:read")],
    subject: Annotated[str | None, Query(max_length=100, description="Only about what has this id.")] = None,
    contact_id: OfContact = None,
    kind: Annotated[str | None, Query(max_length=60, description="Only of this kind.", examples=["turn"])] = None,
) -> Listing[ShownEntry] | Response:
    """What was done, by whom and why, in order."""
    wanted = {"subject": subject, "contact_id": contact_id, "kind": kind}

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.JournalRow]:
        return await store.list_journal(conn, limit, cursor, wanted)

    return await caller.list(asked, read, ShownEntry.model_validate)


@journal.get("/verify")
async def verify(caller: Annotated[Caller, allowed("journal:read")]) -> Verification:
    """Read the whole journal again, and name the first record that is not as it was written."""
    async with caller.transaction() as conn:
        found = await verify_journal(conn, caller.account_id)
    if isinstance(found, Broken):
        breach = ShownBreach(what=found.what, record=found.record)
        return Verification(sound=False, entries=None, seals=None, unsealed=None, broken=breach)
    return Verification(sound=True, entries=found.entries, seals=found.seals, unsealed=found.unsealed, broken=None)
