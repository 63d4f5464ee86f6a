"""The addresses of services that conduct calls: what they ask turn by turn, and what they tell of a call's end."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio
import msgspec
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response, WebSocket
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hookflash.base.errors import Forbidden, HookflashError, Invalid, Misconfigured, NotFound, Unauthenticated
from hookflash.base.ids import new_id
from hookflash.base.secret import Sealer
from hookflash.base.tasks import bare_error
from hookflash.channels.integration import Integration
from hookflash.channels.orchestrators import bland, chat, retell, vapi
from hookflash.channels.orchestrators.fields import obj
from hookflash.channels.orchestrators.jobs import Answered, Conductors
from hookflash.channels.orchestrators.transcript import Conducted, Line, Moment, Over, moment, only
from hookflash.channels.store import Integrations
from hookflash.channels.voice_routes import Voices, phrases_of
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Say
from hookflash.rest.auth import ANSWER_CALLS, Doorkeeper, Principal
from hookflash.rest.caller import Office
from hookflash.rest.storable import StorableRoute, is_storable, parse
from hookflash.workspace import store as workspace

log = structlog.get_logger()
router = APIRouter(prefix="/orchestrators", include_in_schema=False, route_class=StorableRoute)

VAPI_HEADER = "x-vapi-secret"
MALFORMED_AT_MOST = 10
SETTLING = 10.0
_JSON, _EVENTS = "application/json", "text/event-stream"

Write = Callable[[bytes], Awaitable[None]]


async def _who(request: Request) -> Principal:
    """Whose key this is: a bearer token, as it is, or in the header that Vapi has for it."""
    given = request.headers.get("authorization", "") or request.headers.get(VAPI_HEADER, "")
    scheme, _, credentials = given.partition(" ")
    key = credentials.strip() if scheme.lower() == "bearer" else given.strip()
    if not key:
        raise Unauthenticated("Send an API key as a bearer token.")
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return _may(await doorkeeper.admit(key))


def _may(who: Principal) -> Principal:
    if not who.may(ANSWER_CALLS):
        raise Forbidden(f"This API key lacks the scope {ANSWER_CALLS}.")
    return who


Who = Annotated[Principal, Depends(_who)]


async def _by_key(integration_id: str, request: Request, who: Who) -> Integration:
    office: Office = request.app.state.office
    integrations: Integrations = request.app.state.integrations
    async with office.db.tenant(who.account_id) as conn:
        return await integrations.get(conn, integration_id)


async def _by_door(app: FastAPI, integration_id: str, door: str) -> Integration:
    """The integration whose door this is, as long as the key may that it was made with. Raises Unauthenticated."""
    office: Office = app.state.office
    integrations: Integrations = app.state.integrations
    refused = Unauthenticated("This address is not known, or its API key was revoked.")
    integration = await integrations.find(office.db, integration_id) if is_storable(integration_id) else None
    key_id = _key_of(app.state.workbench.sealer, integration_id, door)
    if integration is None or key_id is None:
        raise refused
    try:
        async with office.db.tenant(integration.account_id) as conn:
            key = await workspace.get_key(conn, key_id)
        if key.revoked_at is not None:
            raise refused
        _may(Principal(integration.account_id, key.id, frozenset(key.scopes)))
    except (NotFound, Forbidden):
        raise refused from None
    return integration


async def _at_door(integration_id: str, door: str, request: Request) -> Integration:
    return await _by_door(request.app, integration_id, door)


ByKey = Annotated[Integration, Depends(_by_key)]
AtDoor = Annotated[Integration, Depends(_at_door)]


def _context(integration_id: str) -> str:
    return f"orchestrator:{integration_id}"


def door_of(sealer: Sealer, integration_id: str, key_id: str) -> str:
    """What stands in an address in place of a key, for services that send none: it opens this integration only."""
    return urlsafe_b64encode(sealer.seal(key_id, _context(integration_id))).decode().rstrip("=")


def _key_of(sealer: Sealer, integration_id: str, door: str) -> str | None:
    try:
        sealed = urlsafe_b64decode(door + "=" * (-len(door) % 4))
        return sealer.open(sealed, _context(integration_id)).get_secret_value()
    except (ValueError, Misconfigured):
        return None


@router.get("/{integration_id}")
async def addresses(request: Request, integration: ByKey, who: Who) -> dict[str, str]:
    """What to enter at each service. Those with a door in them are as secret as the key, and end with it."""
    voices: Voices = request.app.state.voices
    here = f"{voices.base(request)}/orchestrators/{integration.id}"
    door = door_of(request.app.state.workbench.sealer, integration.id, who.key_id)
    return {
        "chat": here,
        "retell": f"{here.replace('http', 'ws', 1)}/retell/{door}",
        "bland": f"{here}/bland",
        "events": f"{here}/events/{door}",
    }


@router.post("/{integration_id}/chat/completions")
async def completions(request: Request, integration: ByKey) -> Response:
    """A turn as if we were a model: Vapi, ElevenLabs, LiveKit, whatever speaks OpenAI's chat completions."""
    asked = chat.decode(parse(await request.body()))
    conductors: Conductors = request.app.state.conductors
    answer = chat.Answer(new_id("chat"), asked.model, int(conductors.switchboard.clock.now().timestamp()))

    async def work(write: Write) -> None:
        async def say(segment: Segment) -> None:
            piece = answer.piece(segment.text)
            if asked.stream:
                await write(piece)

        done = Answered()
        if asked.fresh:
            done = await conductors.answer(integration, asked.call, moment(asked.lines), say)
        function = chat.wish(asked, done.transfer_to, end=done.end)
        used = chat.usage(done.usage.input_tokens, done.usage.output_tokens)
        if asked.stream:
            await write(answer.last(function, used if asked.usage else None))
        else:
            await write(answer.whole(function, used))

    return _Live(request, work, _EVENTS if asked.stream else _JSON)


@router.post("/{integration_id}/bland")
async def bland_node(request: Request, integration: ByKey) -> Response:
    """A turn that a node of a Bland pathway asks for."""
    asked = bland.decode(parse(await request.body()))
    conductors: Conductors = request.app.state.conductors

    async def silent(segment: Segment) -> None:
        """The node takes the answer whole."""

    async def work(write: Write) -> None:
        done = await conductors.answer(integration, asked.call, only(asked.said), silent)
        await write(bland.encode(done.words.strip(), done.transfer_to, end=done.end))

    return _Live(request, work, _JSON)


@router.post("/{integration_id}/events")
async def events(request: Request, integration: ByKey) -> Response:
    """What a service tells of a call, with a key."""
    return await _told(request, integration)


@router.post("/{integration_id}/events/{door}")
async def events_at_door(request: Request, integration: AtDoor) -> Response:
    """The same of services that send no key."""
    return await _told(request, integration)


async def _told(request: Request, integration: Integration) -> Response:
    body = parse(await request.body())
    if not isinstance(body, dict):
        raise Invalid("The body is not an object.", field="body")
    conductors: Conductors = request.app.state.conductors
    told: Over | vapi.WhereTo | None
    if obj(body, "message"):
        told = vapi.decode(body)
    elif obj(body, "call"):
        told = retell.decode_event(body)
    else:
        told = bland.decode_event(body)
    match told:
        case Over():
            await conductors.over(integration, told)
        case vapi.WhereTo():
            target = integration.assistant.voice.transfer_to
            to = vapi.nowhere(phrases_of(integration)["handed_over"])
            if target and not target.startswith("WW"):
                to = vapi.destination(target)
            return Response(msgspec.json.encode(to), media_type=_JSON)
        case None:
            pass
    return Response(status_code=204)


class _Live(Response):
    """An answer that is written as it is made, and not made any more when nobody waits for it.

    Its status goes out with the first words, so that what fails before them is told as any error is.
    """

    def __init__(self, request: Request, work: Callable[[Write], Awaitable[None]], media_type: str) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._voices: Voices = request.app.state.voices
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def write(body: bytes) -> None:
            nonlocal started
            if not started:
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def watch() -> None:
            message: Message = await receive()
            while message["type"] != "http.disconnect":
                message = await receive()
            tasks.cancel_scope.cancel()

        self._voices.live += 1
        try:
            with bare_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(watch)
                    await self._work(write)
                    tasks.cancel_scope.cancel()
        finally:
            self._voices.live -= 1
        if started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.websocket("/{integration_id}/retell/{door}/{call_id}")
async def retell_socket(socket: WebSocket, integration_id: str, door: str, call_id: str) -> None:
    """A call that Retell conducts."""
    try:
        integration = await _by_door(socket.app, integration_id, door)
        call = Conducted("retell", call_id)
    except (Unauthenticated, Invalid) as error:
        log.warning("retell socket refused", integration=integration_id, reason=error.message)
        await socket.close(1008)
        return
    await socket.accept()
    voices: Voices = socket.app.state.voices
    voices.live += 1
    try:
        await _RetellSession(socket, integration, socket.app.state.conductors, call).run()
    finally:
        voices.live -= 1


class _RetellSession:
    """One socket of a call at Retell."""

    def __init__(self, socket: WebSocket, integration: Integration, conductors: Conductors, call: Conducted) -> None:
        self._socket = socket
        self._integration = integration
        self._conductors = conductors
        self._call = call
        self._lines: tuple[Line, ...] = ()
        self._malformed = 0

    async def run(self) -> None:
        """Until the socket is closed."""
        with bare_error():
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                try:
                    await self._socket.send_text(retell.CONFIG)
                    while self._malformed < MALFORMED_AT_MOST:
                        await self._take(retell.decode(await self._socket.receive_text(), self._call.id))
                    await self._socket.close(1008)
                except (WebSocketDisconnect, KeyError, RuntimeError):
                    log.info("retell socket closed", integration=self._integration.id)
                finally:
                    tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(SETTLING):
            if self._lines:
                await self._conductors.told(self._integration, self._call, moment(self._lines))
            await self._conductors.hung_up(self._integration, self._call)

    async def _take(self, message: retell.Message) -> None:
        match message:
            case retell.Details(call=call):
                self._call = call
                self._tasks.start_soon(self._answer, 0, Moment())
            case retell.Ping(timestamp=timestamp):
                await self._socket.send_text(retell.pong(timestamp))
            case retell.Told(lines=lines):
                self._lines = lines
            case retell.Wanted(response_id=wanted, reminder=True):
                words = phrases_of(self._integration)["still_there"]
                await self._socket.send_text(retell.response(wanted, words, complete=True))
            case retell.Wanted(response_id=wanted, lines=lines):
                self._lines = lines
                self._tasks.start_soon(self._answer, wanted, moment(lines))
            case retell.Unknown(why=why):
                self._malformed += 1
                log.info("a message of Retell was not understood", integration=self._integration.id, reason=why)

    async def _answer(self, wanted: int, now: Moment) -> None:
        async def say(segment: Segment) -> None:
            await self._send(retell.response(wanted, segment.text, complete=False))

        done = await self._answered(now, say)
        if not done.superseded:
            # An answer that is not completed keeps Retell silent until the caller speaks again.
            number = done.transfer_to if done.transfer_to and done.transfer_to.startswith("+") else None
            await self._send(retell.response(wanted, "", complete=True, end=done.end, transfer_to=number))

    async def _answered(self, now: Moment, say: Say) -> Answered:
        try:
            return await self._conductors.answer(self._integration, self._call, now, say)
        except HookflashError as error:
            log.warning("a spoken turn failed", call=self._call.sid, reason=error.message)
            words = phrases_of(self._integration)["failed"]
            await say(Segment(words, last=True))
            return Answered(words)

    async def _send(self, message: str) -> None:
        try:
            await self._socket.send_text(message)
        except (WebSocketDisconnect, RuntimeError):
            log.info("retell socket was gone", integration=self._integration.id)
