"""The REST API of the box: Twilio's addresses, credentials and answers."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from hookflash.emulator.cloud import Cloud, Number, Sender, Service
from hookflash.emulator.compose import compose
from hookflash.emulator.control import control_routes
from hookflash.emulator.delivery import Delivery
from hookflash.emulator.faults import CREATED_FIRST, NOT_CREATED, FaultKind
from hookflash.emulator.form import Form, instant
from hookflash.emulator.lines import create_number, create_sender, update_number, update_sender
from hookflash.emulator.listing import api_page, cut, meta_page
from hookflash.emulator.message import API_VERSION, FINAL, Media, Message, render_media, render_message
from hookflash.emulator.reception import Reception
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.services import create_service, join_service, render_membership, update_service
from hookflash.emulator.severed import sever, stay_silent

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request: where to, what with."""

    path: str
    ids: dict[str, str]
    query: Form
    body: bytes
    host: str

    @property
    def form(self) -> Form:
        return Form(self.body.decode("utf-8", "replace"))

    def json(self) -> dict[str, Any]:
        """Raises Refusal 20001 when the body is no JSON object."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=dict[str, Any])
        except msgspec.DecodeError:
            raise Refusal(20001, "the request's body is not a JSON object") from None


T = TypeVar("T")
Handler = Callable[[Call], Response]


def answer(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def refuse(refusal: Refusal) -> Response:
    response = answer(refusal.body(), refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response


def build_app(cloud: Cloud, delivery: Delivery, reception: Reception) -> Starlette:
    """The ASGI application."""
    api = _Api(cloud, delivery)

    async def unknown(request: Request, error: Exception) -> Response:
        return refuse(Refusal(20404, f"The requested resource {request.url.path} was not found"))

    async def wrong_method(request: Request, error: Exception) -> Response:
        return refuse(Refusal(20004))

    routes = [*api.routes(), *control_routes(cloud, reception)]
    return Starlette(routes=routes, exception_handlers={404: unknown, 405: wrong_method})


class _Api:
    def __init__(self, cloud: Cloud, delivery: Delivery) -> None:
        self._cloud = cloud
        self._delivery = delivery
        credentials = cloud.credentials
        users = {credentials.account_sid: credentials.auth_token, **credentials.api_keys}
        self._known = {
            "Basic " + b64encode(f"{user}:{secret.get_secret_value()}".encode()).decode()
            for user, secret in users.items()
        }

    def routes(self) -> list[BaseRoute]:
        account = f"/{API_VERSION}/Accounts/{{account}}"
        message, media = f"{account}/Messages/{{sid}}", f"{account}/Messages/{{sid}}/Media/{{media}}"
        number, service, sender = f"{account}/IncomingPhoneNumbers", "/v1/Services", "/v2/Channels/Senders"
        return [
            self._route(f"{account}/Messages.json", POST=self.create_message, GET=self.list_messages),
            self._route(
                f"{message}.json", GET=self.fetch_message, POST=self.update_message, DELETE=self.delete_message
            ),
            self._route(f"{message}/Media.json", GET=self.list_media),
            self._route(f"{media}.json", GET=self.fetch_media, DELETE=self.delete_media),
            self._route(media, GET=self.redirect_to_media, DELETE=self.delete_media),
            Route("/_media/{ticket}", self.serve_media),
            self._route(f"{account}.json", GET=self.fetch_account),
            self._route(f"{number}.json", GET=self.list_numbers, POST=self.create_number),
            self._route(
                f"{number}/{{sid}}.json", GET=self.fetch_number, POST=self.update_number, DELETE=self.drop_number
            ),
            self._route(service, GET=self.list_services, POST=self.create_service),
            self._route(f"{service}/{{sid}}", GET=self.fetch_service, POST=self.update_service),
            self._route(f"{service}/{{sid}}/PhoneNumbers", GET=self.list_members, POST=self.add_member),
            self._route(f"{service}/{{sid}}/PhoneNumbers/{{number}}", GET=self.fetch_member, DELETE=self.drop_member),
            self._route("/v2/Indicators/Typing.json", POST=self.show_typing),
            self._route(sender, GET=self.list_senders, POST=self.create_sender),
            self._route(f"{sender}/{{sid}}", GET=self.fetch_sender, POST=self.update_sender, DELETE=self.drop_sender),
        ]

    def _route(self, path: str, **handlers: Handler) -> Route:
        creating = path.endswith("/Messages.json")

        async def endpoint(request: Request) -> ASGIApp:
            body = await request.body()
            create = creating and request.method == "POST"
            try:
                self._check_credentials(request)
                if fault := self._cloud.faults.take(*NOT_CREATED, creating=create):
                    return self._fail(fault.kind)
                call = Call(
                    path=request.url.path,
                    ids=request.path_params,
                    query=Form(request.url.query),
                    body=body,
                    host=request.headers.get("host", ""),
                )
                response = handlers["GET" if request.method == "HEAD" else request.method](call)
            except Refusal as refusal:
                return refuse(refusal)
            if create and (fault := self._cloud.faults.take(*CREATED_FIRST)):
                return self._fail(fault.kind)
            return response

        return Route(path, endpoint, methods=list(handlers))

    def _check_credentials(self, request: Request) -> None:
        if request.headers.get("authorization") not in self._known:
            raise Refusal(20003)
        if request.path_params.get("account", self._cloud.account_sid) != self._cloud.account_sid:
            raise Refusal(20404, f"The requested resource {request.url.path} was not found")

    def _fail(self, kind: FaultKind) -> ASGIApp:
        match kind:
            case FaultKind.RATE_LIMIT:
                return refuse(Refusal(20429))
            case FaultKind.DROP | FaultKind.CREATE_THEN_DROP:
                return sever
            case FaultKind.HANG | FaultKind.CREATE_THEN_HANG:
                return stay_silent
            case _:
                return refuse(Refusal(20500))

    # --- messages -----------------------------------------------------------------------------------------------

    def create_message(self, call: Call) -> Response:
        message = compose(self._cloud, call.form)
        self._delivery.send(message)
        return self._message(message, 201)

    def list_messages(self, call: Call) -> Response:
        asked, to = call.query, call.query.get("To")
        rows = self._cloud.received_by.get(to, []) if to else list(self._cloud.messages.values())
        if sender := asked.get("From"):
            rows = [m for m in rows if m.sender == sender]
        try:
            if asked.get("DateSent"):
                day = instant(asked.get("DateSent"))
                rows = [m for m in rows if day <= (m.sent or m.created) < day + _DAY]
            if asked.get("DateSent>"):
                since = instant(asked.get("DateSent>"))
                rows = [m for m in rows if (m.sent or m.created) >= since]
            if asked.get("DateSent<"):
                until = instant(asked.get("DateSent<"))
                rows = [m for m in rows if (m.sent or m.created) <= until]
        except ValueError:
            raise Refusal(20001, "DateSent must be a date") from None
        account = self._cloud.account_sid
        return answer(api_page(cut(rows[::-1], asked), call.path, "messages", lambda m: render_message(account, m)))

    def fetch_message(self, call: Call) -> Response:
        return self._message(self._find(call))

    def update_message(self, call: Call) -> Response:
        message, form = self._find(call), call.form
        if form.get("Status"):
            if form.get("Status") != "canceled":
                raise Refusal(20001, "Status can only be set to canceled")
            self._delivery.cancel(message)
        if "Body" in form:
            if form.get("Body"):
                raise Refusal(20001, "Body can only be made empty")
            if message.status not in FINAL:
                raise Refusal(20009)
            message.body = ""
            message.updated = self._cloud.clock.now()
        return self._message(message)

    def delete_message(self, call: Call) -> Response:
        message = self._find(call)
        if message.status not in FINAL:
            raise Refusal(20009)
        self._cloud.drop(message)
        return Response(status_code=204)

    def _message(self, message: Message, status: int = 200) -> Response:
        return answer(render_message(self._cloud.account_sid, message), status)

    def _find(self, call: Call) -> Message:
        return _found(self._cloud.messages.get(call.ids["sid"]), call)

    # --- media --------------------------------------------------------------------------------------------------

    def list_media(self, call: Call) -> Response:
        message, account = self._find(call), self._cloud.account_sid
        piece = cut(message.media[::-1], call.query)
        return answer(api_page(piece, call.path, "media_list", lambda m: render_media(account, message, m)))

    def fetch_media(self, call: Call) -> Response:
        message, media = self._find_media(call)
        return answer(render_media(self._cloud.account_sid, message, media))

    def delete_media(self, call: Call) -> Response:
        message, media = self._find_media(call)
        message.media.remove(media)
        return Response(status_code=204)

    def redirect_to_media(self, call: Call) -> Response:
        """Media lies at another host, as at Twilio: 127.0.0.1 and localhost stand for the two."""
        message, media = self._find_media(call)
        ticket = self._cloud.new_sid("")
        self._cloud.media_tickets[ticket] = (message.sid, media.sid)
        name, colon, port = call.host.rpartition(":")
        other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(name, name)
        return RedirectResponse(f"http://{other}{colon}{port}/_media/{ticket}", 307)

    async def serve_media(self, request: Request) -> Response:
        """The other host: its address is the permission, and credentials that arrive here have leaked."""
        if "authorization" in request.headers:
            self._cloud.leaked_credentials += 1
            return Response("Only one authorization mechanism is allowed", 400, media_type="text/plain")
        message_sid, media_sid = self._cloud.media_tickets.get(request.path_params["ticket"], ("", ""))
        message = self._cloud.messages.get(message_sid)
        media = next((m for m in message.media if m.sid == media_sid), None) if message else None
        if media is None:
            return Response("Forbidden", 403, media_type="text/plain")
        return Response(media.content, headers={"content-type": media.content_type})

    def _find_media(self, call: Call) -> tuple[Message, Media]:
        message = self._find(call)
        return message, _found(next((m for m in message.media if m.sid == call.ids["media"]), None), call)

    # --- account and numbers ------------------------------------------------------------------------------------

    def fetch_account(self, call: Call) -> Response:
        account = self._cloud.account_sid
        path = f"/{API_VERSION}/Accounts/{account}"
        created = format_datetime(self._cloud.created)
        parts = ("Messages", "IncomingPhoneNumbers")
        return answer(
            {
                "auth_token": self._cloud.credentials.auth_token.get_secret_value(),
                "date_created": created,
                "date_updated": created,
                "friendly_name": "Emulated account",
                "owner_account_sid": account,
                "sid": account,
                "status": "active",
                "subresource_uris": {
                    {"Messages": "messages", "IncomingPhoneNumbers": "incoming_phone_numbers"}[
                        part
                    ]: f"{path}/{part}.json"
                    for part in parts
                },
                "type": "Full",
                "uri": f"{path}.json",
            }
        )

    def list_numbers(self, call: Call) -> Response:
        rows = list(self._cloud.numbers.values())
        if wanted := call.query.get("PhoneNumber"):
            digits = wanted.replace(" ", "").lstrip("+")
            rows = [n for n in rows if digits in n.address]
        if name := call.query.get("FriendlyName"):
            rows = [n for n in rows if n.resource["friendly_name"] == name]
        piece = cut(rows[::-1], call.query)
        return answer(api_page(piece, call.path, "incoming_phone_numbers", lambda n: n.resource))

    def create_number(self, call: Call) -> Response:
        return answer(create_number(self._cloud, call.form).resource, 201)

    def fetch_number(self, call: Call) -> Response:
        return answer(self._find_number(call).resource)

    def update_number(self, call: Call) -> Response:
        number = self._find_number(call)
        update_number(self._cloud, number, call.form)
        return answer(number.resource)

    def drop_number(self, call: Call) -> Response:
        self._cloud.remove(self._find_number(call))
        return Response(status_code=204)

    def _find_number(self, call: Call) -> Number:
        return _found(self._cloud.numbers.get(call.ids["sid"]), call)

    # --- messaging services -------------------------------------------------------------------------------------

    def list_services(self, call: Call) -> Response:
        piece = cut(list(self._cloud.services.values())[::-1], call.query)
        return answer(meta_page(piece, self._url(call), "services", lambda s: s.resource))

    def create_service(self, call: Call) -> Response:
        return answer(create_service(self._cloud, call.form).resource, 201)

    def fetch_service(self, call: Call) -> Response:
        return answer(self._find_service(call).resource)

    def update_service(self, call: Call) -> Response:
        service = self._find_service(call)
        update_service(self._cloud, service, call.form)
        return answer(service.resource)

    def list_members(self, call: Call) -> Response:
        service = self._find_service(call)
        rows = [n for n in self._cloud.numbers.values() if n.service_sid == service.sid]
        piece = cut(rows[::-1], call.query)
        return answer(meta_page(piece, self._url(call), "phone_numbers", lambda n: render_membership(self._cloud, n)))

    def add_member(self, call: Call) -> Response:
        number = join_service(self._cloud, self._find_service(call), call.form.get("PhoneNumberSid"))
        return answer(render_membership(self._cloud, number), 201)

    def fetch_member(self, call: Call) -> Response:
        return answer(render_membership(self._cloud, self._find_member(call)))

    def drop_member(self, call: Call) -> Response:
        self._find_member(call).service_sid = None
        return Response(status_code=204)

    def _find_service(self, call: Call) -> Service:
        return _found(self._cloud.services.get(call.ids["sid"]), call)

    def _find_member(self, call: Call) -> Number:
        number = self._cloud.numbers.get(call.ids["number"])
        return _found(number if number and number.service_sid == call.ids["sid"] else None, call)

    def _url(self, call: Call) -> str:
        return f"{self._cloud.base_url}{call.path}"

    # --- WhatsApp -----------------------------------------------------------------------------------------------

    def show_typing(self, call: Call) -> Response:
        if call.form.get("channel") != "whatsapp":
            raise Refusal(20001, "channel must be whatsapp")
        message = self._cloud.messages.get(call.form.get("messageId"))
        if message is None or not message.inbound or not message.on_whatsapp:
            raise Refusal(20404, "messageId does not name an inbound WhatsApp message")
        self._cloud.handset(message.sender or "").typing += 1
        data = {"from": message.to, "to": message.sender, "message_sid": message.sid}
        self._cloud.events.add("typing", self._cloud.clock.now(), data)
        return answer({"success": True})

    def list_senders(self, call: Call) -> Response:
        piece = cut(list(self._cloud.senders.values())[::-1], call.query)
        return answer(meta_page(piece, self._url(call), "senders", lambda s: s.resource))

    def create_sender(self, call: Call) -> Response:
        return answer(create_sender(self._cloud, call.json()).resource, 202)

    def fetch_sender(self, call: Call) -> Response:
        return answer(self._find_sender(call).resource)

    def update_sender(self, call: Call) -> Response:
        sender = self._find_sender(call)
        update_sender(sender, call.json())
        return answer(sender.resource, 202)

    def drop_sender(self, call: Call) -> Response:
        self._cloud.remove(self._find_sender(call))
        return Response(status_code=204)

    def _find_sender(self, call: Call) -> Sender:
        return _found(self._cloud.senders.get(call.ids["sid"]), call)


def _found(thing: T | None, call: Call) -> T:
    if thing is None:
        raise Refusal(20404, f"The requested resource {call.path} was not found")
    return thing
