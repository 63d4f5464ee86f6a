"""The box from outside Twilio's API, under /_emulator: phones, calls, faults, events, state. No credentials are asked."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hookflash.base.errors import Conflict, HookflashError, Invalid, NotFound
from hookflash.emulator.calls import Call, render_call
from hookflash.emulator.cloud import Cloud
from hookflash.emulator.faults import Fault
from hookflash.emulator.handset import Received
from hookflash.emulator.inbound import Button
from hookflash.emulator.message import render_message
from hookflash.emulator.person import Act, Callee, Script
from hookflash.emulator.reception import Reception
from hookflash.emulator.switchboard import Switchboard

_MAX_WAIT = 60.0


class Attachment(msgspec.Struct, forbid_unknown_fields=True):
    """Media of a text; `content` is base64 in JSON."""

    content_type: str
    content: bytes


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """A handset's message; `extra` are further fields of the webhook."""

    to: str
    body: str = ""
    media: list[Attachment] = []
    button: Button | None = None
    profile_name: str | None = None
    external_user_id: str | None = None
    extra: dict[str, str] = {}


class Ringing(msgspec.Struct, forbid_unknown_fields=True):
    """A handset's call; `extra` are further fields of the webhook."""

    to: str
    script: Script = Script()
    extra: dict[str, str] = {}


class Acts(msgspec.Struct, forbid_unknown_fields=True):
    acts: list[Act]


class FaultList(msgspec.Struct, forbid_unknown_fields=True):
    faults: list[Fault]


def control_routes(cloud: Cloud, reception: Reception, switchboard: Switchboard) -> list[BaseRoute]:
    def route(path: str, handler: Callable[[Request], Awaitable[Any]], method: str = "GET", status: int = 200) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                content, code = await handler(request), status
            except msgspec.ValidationError as error:
                content, code = {"message": str(error)}, 422
            except msgspec.DecodeError:
                content, code = {"message": "the body is not JSON"}, 400
            except HookflashError as error:
                content, code = {"message": error.message}, error.status
            return Response(msgspec.json.encode(content), code, media_type="application/json")

        return Route(f"/_emulator{path}", endpoint, methods=[method])

    async def send_text(request: Request) -> Any:
        text = msgspec.json.decode(await request.body(), type=Text)
        handset = cloud.handset(request.path_params["number"])
        handset.profile_name = text.profile_name or handset.profile_name
        handset.external_user_id = text.external_user_id or handset.external_user_id
        media = [(m.content_type, m.content) for m in text.media]
        message = reception.text(handset.number, text.to, text.body, media=media, button=text.button, extra=text.extra)
        return render_message(cloud.account_sid, message)

    async def inbox(request: Request) -> Any:
        handset = cloud.handset(request.path_params["number"])
        return {"typing": handset.typing, "messages": [_show(received) for received in handset.inbox]}

    async def begin_call(request: Request) -> Any:
        asked = msgspec.json.decode(await request.body(), type=Ringing)
        leg = switchboard.incoming(request.path_params["number"], asked.to, asked.script, asked.extra)
        return render_call(cloud.account_sid, leg.call)

    async def set_callee(request: Request) -> Any:
        cloud.handset(request.path_params["number"]).callee = msgspec.json.decode(await request.body(), type=Callee)
        return {}

    def find_call(request: Request) -> Call:
        call = cloud.calls.get(request.path_params["sid"])
        if call is None:
            raise NotFound("there is no such call")
        return call

    async def show_call(request: Request) -> Any:
        call = find_call(request)
        leg, ear = switchboard.leg(call), call.record.ear
        return {
            "call": render_call(cloud.account_sid, call),
            "over": leg is None,
            "script_over": leg is None or leg.person.idle,
            "timeline": call.record.entries,
            "person_spoke": call.record.caller.spans,
            "person_heard": ear.heard.spans,
        }

    async def call_sound(request: Request) -> Response:
        try:
            return Response(find_call(request).record.wav(), media_type="audio/x-wav")
        except NotFound as error:
            return Response(error.message, 404, media_type="text/plain")

    async def act(request: Request) -> Any:
        leg = switchboard.leg(find_call(request))
        if leg is None:
            raise Conflict("the call is over")
        await leg.person.add(*msgspec.json.decode(await request.body(), type=Acts).acts)
        return {}

    async def state(request: Request) -> Any:
        return {
            "account_sid": cloud.account_sid,
            "numbers": [n.resource for n in cloud.numbers.values()],
            "services": [s.resource for s in cloud.services.values()],
            "senders": [s.resource for s in cloud.senders.values()],
            "templates": cloud.templates,
            "messages": [render_message(cloud.account_sid, m) for m in cloud.messages.values()],
            "calls": [render_call(cloud.account_sid, c) for c in cloud.calls.values()],
            "tasks": cloud.tasks,
            "handsets": {h.number: [_show(r) for r in h.inbox] for h in cloud.handsets.values()},
            "opted_out": sorted(cloud.opted_out),
            "faults": cloud.faults.active,
            "problems": cloud.problems,
            "leaked_credentials": cloud.leaked_credentials,
            "last_event": cloud.events.last,
        }

    async def problems(request: Request) -> Any:
        return {"problems": cloud.problems}

    async def list_faults(request: Request) -> Any:
        return {"faults": cloud.faults.active}

    async def add_faults(request: Request) -> Any:
        for fault in msgspec.json.decode(await request.body(), type=FaultList).faults:
            cloud.faults.add(fault)
        return {"faults": cloud.faults.active}

    async def clear_faults(request: Request) -> Any:
        cloud.faults.clear()
        return {"faults": []}

    async def reset(request: Request) -> Any:
        switchboard.hang_up_all()
        cloud.forget_traffic()
        return {}

    async def events(request: Request) -> Any:
        asked = request.query_params
        try:
            after, wait = int(asked.get("after", "0")), min(_MAX_WAIT, float(asked.get("wait", "0")))
        except ValueError:
            raise Invalid("after and wait must be numbers") from None
        found = await cloud.events.wait(after, wait)
        return {"events": found, "last": max(after, *(e.seq for e in found)) if found else after}

    return [
        route("/handsets/{number}/texts", send_text, "POST", 201),
        route("/handsets/{number}/inbox", inbox),
        route("/handsets/{number}/calls", begin_call, "POST", 201),
        route("/handsets/{number}/callee", set_callee, "PUT"),
        route("/calls/{sid}", show_call),
        route("/calls/{sid}/acts", act, "POST", 201),
        Route("/_emulator/calls/{sid}/sound.wav", call_sound),
        route("/state", state),
        route("/problems", problems),
        route("/faults", list_faults),
        route("/faults", add_faults, "POST", 201),
        route("/faults", clear_faults, "DELETE"),
        route("/reset", reset, "POST"),
        route("/events", events),
    ]


def _show(received: Received) -> dict[str, Any]:
    return {
        "from": received.sender,
        "to": received.to,
        "body": received.body,
        "message_sid": received.sid,
        "at": received.at,
        "media": [{"content_type": m.content_type, "size": len(m.content)} for m in received.media],
    }
