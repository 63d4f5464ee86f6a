"""Talking with assistants under Twilio's names: messages and their answers, sessions, feedback, policies."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Response
from pydantic import BaseModel

from hookflash.assistant import store as assistants_store
from hookflash.base.errors import Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page
from hookflash.base.phone import Address
from hookflash.base.secret import Secret
from hookflash.channels.accept import Acceptor
from hookflash.channels.store import Integrations
from hookflash.compat import message_store as store
from hookflash.compat import policy_store, shapes
from hookflash.compat.answer_jobs import Waiting
from hookflash.compat.door_routes import entered, given, here, listed, router, shown
from hookflash.compat.names import Here, Thing, address_of, line_of
from hookflash.compat.paging import Asked
from hookflash.conversation.intake import Arrival
from hookflash.conversation.turn import Pass
from hookflash.db.pool import Connection
from hookflash.insight import feedback_store
from hookflash.insight.feedback import Feedback
from hookflash.rest.caller import Caller

talk = router()

Reading = Annotated[Caller, entered("sessions:read")]
Saying = Annotated[Caller, entered("messages:write")]
ReadingMessages = Annotated[Caller, entered("messages:read")]
ReadingTools = Annotated[Caller, entered("tools:read")]
Judging = Annotated[Caller, entered("sessions:write")]
Owning = Annotated[Caller, entered("keys:write")]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What talking through the API needs besides the office; it lies in `app.state.counterpart`.

    `per_day` bounds the messages of an account (0: nothing does), `patience` how long a request waits, in seconds.
    """

    integrations: Integrations
    waiting: Waiting
    secret_of: Callable[[str], Secret]
    per_day: int
    patience: float = 60.0


class SigningSecret(BaseModel):
    """What the webhooks of an account are signed with, as Twilio signs them with the Auth Token."""

    secret: str


def webhook_secret(signing: bytes, account_id: str) -> Secret:
    """An account's own, so that none of them can sign for another."""
    return Secret(hmac.new(signing, f"webhooks of {account_id}".encode(), hashlib.sha256).hexdigest()[:32])


def _counterpart(request: Request) -> Counterpart:
    found: Counterpart = request.app.state.counterpart
    return found


@talk.post("/v1/Assistants/{their_id}/Messages")
async def say(their_id: str, request: Request, caller: Saying) -> Response:
    """Say something, and get the answer; with `webhook` it is posted there when it is known."""
    body = await given(request, shapes.MessageGiven)
    if not body.body.strip():
        raise Invalid("something must be said", field="body")
    counterpart, clock = _counterpart(request), caller.office.clock
    webhook = _webhook(body.webhook)
    try:
        address = address_of(body.identity)
    except Invalid as error:
        raise Invalid(error.message, field="identity") from None
    our_id = Thing.ASSISTANT.ours(their_id)
    async with caller.transaction() as conn:
        assistant = await assistants_store.get(conn, our_id)
        integration = await store.open_door(conn, counterpart.integrations, caller.account_id, our_id, assistant.name)
    intake = store.Intake(caller.office.db, clock, body.session_id, body.identity, webhook, counterpart.per_day)
    arrival = Arrival(
        account_id=caller.account_id,
        integration_id=integration.id,
        sid=new_id("api"),
        address=address,
        sender=Address.parse(line_of(our_id, body.mode or "chat")),
        text=body.body,
        media=(),
        at=clock.now(),
        via=store.VIA,
    )
    accepted = await Acceptor(intake, clock).accept(integration, arrival)
    at, session = here(request, caller), intake.session or ""
    if webhook is not None:
        queued = shapes.Answered(status="queued", session_id=session, account_sid=at.sid, identity=body.identity)
        return shown(queued, 202)
    if accepted.message_id is None:  # pragma: no cover - its sid is new
        raise Invalid("this message is known already")
    if accepted.state not in ("unanswered", "answered"):
        verdict = accepted.verdicts[-1][1]
        why = None if isinstance(verdict, Pass) else verdict.why
        return shown(_failed(at, session, body.identity, why or accepted.state, aborted=True))
    outcome = await counterpart.waiting.outcome(caller.account_id, accepted.message_id, counterpart.patience)
    if outcome is None:
        why = f"no answer within {counterpart.patience:g} seconds; it will be among the messages of the session"
        return shown(_failed(at, session, body.identity, why, aborted=False))
    return shown(outcome.shown(at))


def _failed(at: Here, session: str, identity: str, why: str, *, aborted: bool) -> shapes.Answered:
    return shapes.Answered(
        status="failure",
        flagged=False,
        aborted=aborted,
        session_id=session,
        account_sid=at.sid,
        identity=identity,
        error=why,
    )


def _webhook(url: str | None) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and not parts.username and url.isprintable()
    except ValueError:
        whole = None
    if not whole or not url.isascii() or " " in url:
        raise Invalid("an address such as https://example.com/answers is expected", field="webhook")
    return url


@talk.get("/v1/SigningSecret")
async def signing_secret(request: Request, caller: Owning) -> Response:
    """Not of Twilio's: by this the receiver of a webhook checks X-Twilio-Signature, in place of an Auth Token."""
    secret = _counterpart(request).secret_of(caller.account_id)
    return shown(SigningSecret(secret=secret.get_secret_value()))


# Sessions


@talk.get("/v1/Sessions")
async def list_sessions(request: Request, caller: Reading) -> Response:
    """All of the account, oldest first."""
    at = here(request, caller)

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Session]:
        return await store.sessions(conn, at, asked.size, asked.cursor)

    return await listed(request, caller, "sessions", read)


# Before the one below: the caller's name of a session may have slashes in it.
@talk.get("/v1/Sessions/{name:path}/Messages")
async def list_messages(name: str, request: Request, caller: ReadingMessages) -> Response:
    """What was said in a session, in its order."""
    at = here(request, caller)

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Message]:
        return await store.messages(conn, at, name, asked.size, asked.cursor)

    return await listed(request, caller, "messages", read)


@talk.get("/v1/Sessions/{name:path}")
async def get_session(name: str, request: Request, caller: Reading) -> Response:
    """One, by the name that its caller gave it."""
    async with caller.transaction() as conn:
        return shown(await store.session_of(conn, here(request, caller), name))


# Feedback


def _feedback(at: Here, found: Feedback, session: str) -> shapes.Feedback:
    return shapes.Feedback(
        assistant_id=Thing.ASSISTANT.theirs(found.assistant_id),
        id=Thing.FEEDBACK.theirs(found.id),
        account_sid=at.sid,
        message_id=Thing.MESSAGE.theirs(found.message_id) if found.message_id else "",
        score=found.score,
        session_id=session,
        text=found.text,
        date_created=found.created_at,
        date_updated=found.created_at,
    )


@talk.get("/v1/Assistants/{their_id}/Feedbacks")
async def list_feedback(their_id: str, request: Request, caller: Reading) -> Response:
    """Of one assistant, oldest first."""
    at, our_id = here(request, caller), Thing.ASSISTANT.ours(their_id)

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Feedback]:
        await assistants_store.get(conn, our_id)
        page = await feedback_store.page(conn, asked.size, asked.cursor, assistant_id=our_id)
        names = await store.names_of(conn, [each.session_id for each in page.items])
        return Page([_feedback(at, each, names[each.session_id]) for each in page.items], page.cursor)

    return await listed(request, caller, "feedbacks", read)


@talk.post("/v1/Assistants/{their_id}/Feedbacks")
async def give_feedback(their_id: str, request: Request, caller: Judging) -> Response:
    """Say how good a session was, or one message of it."""
    body = await given(request, shapes.FeedbackGiven)
    our_id = Thing.ASSISTANT.ours(their_id)
    async with caller.transaction() as conn:
        await assistants_store.get(conn, our_id)
        session_id = await store.in_session(conn, body.session_id, our_id)
        made = await feedback_store.add(
            conn,
            caller.account_id,
            assistant_id=our_id,
            session_id=session_id,
            message_id=_message_id(body.message_id),
            score=body.score or 0.0,
            text=body.text or "",
            source="twilio",
            now=caller.now(),
        )
        await caller.record(conn, "feedback.given", made.id, made.contact_id, score=made.score)
    return shown(_feedback(here(request, caller), made, body.session_id), 201)


def _message_id(their_id: str | None) -> str | None:
    try:
        return Thing.MESSAGE.ours(their_id) if their_id else None
    except NotFound:
        raise Invalid("there is no such message in this session", field="message_id") from None


# Policies


@talk.get("/v1/Policies")
async def list_policies(request: Request, caller: ReadingTools) -> Response:
    """Who may use which tool; of one tool, or of one piece of knowledge, if it is named."""
    at = here(request, caller)
    tool_id, knowledge_id = (request.query_params.get(name) for name in ("ToolId", "KnowledgeId"))

    named = [Thing.TOOL.ours(tool_id)] if tool_id else []
    named += [Thing.KNOWLEDGE.ours(knowledge_id)] if knowledge_id else []

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Policy]:
        if named:
            return Page(await policy_store.policies_of(conn, at, named), None)
        return await policy_store.page(conn, at, asked.size, asked.cursor)

    return await listed(request, caller, "policies", read, ("ToolId", "KnowledgeId"))
