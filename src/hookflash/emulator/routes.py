"""The REST API of the box: Twilio's addresses, credentials and answers."""

from datetime import timedelta
from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hookflash.emulator.call_routes import call_routes
from hookflash.emulator.cloud import Cloud, Number, Sender, Service
from hookflash.emulator.compose import compose
from hookflash.emulator.control import control_routes
from hookflash.emulator.delivery import Delivery
from hookflash.emulator.form import instant
from hookflash.emulator.front_door import Asked, FrontDoor, answer, found, refuse
from hookflash.emulator.lines import create_number, create_sender, update_number, update_sender
from hookflash.emulator.listing import api_page, cut, meta_page
from hookflash.emulator.message import API_VERSION, FINAL, Media, Message, render_media, render_message
from hookflash.emulator.reception import Reception
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.services import create_service, join_service, render_membership, update_service
from hookflash.emulator.switchboard import Switchboard
from hookflash.emulator.verify import Verifier
from hookflash.emulator.verify_routes import verify_routes

_DAY = timedelta(days=1)


def build_app(
    cloud: Cloud, delivery: Delivery, reception: Reception, switchboard: Switchboard, verifier: Verifier
) -> Starlette:
    """The ASGI application."""
    door = FrontDoor(cloud)

    async def unknown(request: Request, error: Exception) -> Response:
        return refuse(Refusal(20404, f"The requested resource {request.url.path} was not found"))

    async def wrong_method(request: Request, error: Exception) -> Response:
        return refuse(Refusal(20004))

    routes = [
        *_Api(cloud, delivery, door).routes(),
        *call_routes(cloud, switchboard, door),
        *verify_routes(verifier, door),
        *control_routes(cloud, reception, switchboard),
    ]
    return Starlette(routes=routes, exception_handlers={404: unknown, 405: wrong_method})


class _Api:
    def __init__(self, cloud: Cloud, delivery: Delivery, door: FrontDoor) -> None:
        self._cloud = cloud
        self._delivery = delivery
        self._door = door

    def routes(self) -> list[BaseRoute]:
        account = f"/{API_VERSION}/Accounts/{{account}}"
        message, media = f"{account}/Messages/{{sid}}", f"{account}/Messages/{{sid}}/Media/{{media}}"
        number, service, sender = f"{account}/IncomingPhoneNumbers", "/v1/Services", "/v2/Channels/Senders"
        return [
            self._door.route(f"{account}/Messages.json", POST=self.create_message, GET=self.list_messages),
            self._door.route(
                f"{message}.json", GET=self.fetch_message, POST=self.update_message, DELETE=self.delete_message
            ),
            self._door.route(f"{message}/Media.json", GET=self.list_media),
            self._door.route(f"{media}.json", GET=self.fetch_media, DELETE=self.delete_media),
            self._door.route(media, GET=self.redirect_to_media, DELETE=self.delete_media),
            Route("/_media/{ticket}", self.serve_media),
            self._door.route(f"{account}.json", GET=self.fetch_account),
            self._door.route(f"{number}.json", GET=self.list_numbers, POST=self.create_number),
            self._door.route(
                f"{number}/{{sid}}.json", GET=self.fetch_number, POST=self.update_number, DELETE=self.drop_number
            ),
            self._door.route(service, GET=self.list_services, POST=self.create_service),
            self._door.route(f"{service}/{{sid}}", GET=self.fetch_service, POST=self.update_service),
            self._door.route(f"{service}/{{sid}}/PhoneNumbers", GET=self.list_members, POST=self.add_member),
            self._door.route(
                f"{service}/{{sid}}/PhoneNumbers/{{number}}", GET=self.fetch_member, DELETE=self.drop_member
            ),
            self._door.route("/v2/Indicators/Typing.json", POST=self.show_typing),
            self._door.route(sender, GET=self.list_senders, POST=self.create_sender),
            self._door.route(
                f"{sender}/{{sid}}", GET=self.fetch_sender, POST=self.update_sender, DELETE=self.drop_sender
            ),
        ]

    # --- messages -----------------------------------------------------------------------------------------------

    def create_message(self, asked: Asked) -> Response:
        message = compose(self._cloud, asked.form)
        self._delivery.send(message)
        return self._message(message, 201)

    def list_messages(self, asked: Asked) -> Response:
        query, to = asked.query, asked.query.get("To")
        rows = self._cloud.received_by.get(to, []) if to else list(self._cloud.messages.values())
        if sender := query.get("From"):
            rows = [m for m in rows if m.sender == sender]
        try:
            if query.get("DateSent"):
                day = instant(query.get("DateSent"))
                rows = [m for m in rows if day <= (m.sent or m.created) < day + _DAY]
            if query.get("DateSent>"):
                since = instant(query.get("DateSent>"))
                rows = [m for m in rows if (m.sent or m.created) >= since]
            if query.get("DateSent<"):
                until = instant(query.get("DateSent<"))
                rows = [m for m in rows if (m.sent or m.created) <= until]
        except ValueError:
            raise Refusal(20001, "DateSent must be a date") from None
        account = self._cloud.account_sid
        return answer(api_page(cut(rows[::-1], query), asked.path, "messages", lambda m: render_message(account, m)))

    def fetch_message(self, asked: Asked) -> Response:
        return self._message(self._find(asked))

    def update_message(self, asked: Asked) -> Response:
        message, form = self._find(asked), asked.form
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

    def delete_message(self, asked: Asked) -> Response:
        message = self._find(asked)
        if message.status not in FINAL:
            raise Refusal(20009)
        self._cloud.drop(message)
        return Response(status_code=204)

    def _message(self, message: Message, status: int = 200) -> Response:
        return answer(render_message(self._cloud.account_sid, message), status)

    def _find(self, asked: Asked) -> Message:
        return found(self._cloud.messages.get(asked.ids["sid"]), asked)

    # --- media --------------------------------------------------------------------------------------------------

    def list_media(self, asked: Asked) -> Response:
        message, account = self._find(asked), self._cloud.account_sid
        piece = cut(message.media[::-1], asked.query)
        return answer(api_page(piece, asked.path, "media_list", lambda m: render_media(account, message, m)))

    def fetch_media(self, asked: Asked) -> Response:
        message, media = self._find_media(asked)
        return answer(render_media(self._cloud.account_sid, message, media))

    def delete_media(self, asked: Asked) -> Response:
        message, media = self._find_media(asked)
        message.media.remove(media)
        return Response(status_code=204)

    def redirect_to_media(self, asked: Asked) -> Response:
        """Media lies at another host, as at Twilio: 127.0.0.1 and localhost stand for the two."""
        message, media = self._find_media(asked)
        ticket = self._cloud.new_sid("")
        self._cloud.media_tickets[ticket] = (message.sid, media.sid)
        name, colon, port = asked.host.rpartition(":")
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

    def _find_media(self, asked: Asked) -> tuple[Message, Media]:
        message = self._find(asked)
        return message, found(next((m for m in message.media if m.sid == asked.ids["media"]), None), asked)

    # --- account and numbers ------------------------------------------------------------------------------------

    def fetch_account(self, asked: Asked) -> Response:
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

    def list_numbers(self, asked: Asked) -> Response:
        rows = list(self._cloud.numbers.values())
        if wanted := asked.query.get("PhoneNumber"):
            digits = wanted.replace(" ", "").lstrip("+")
            rows = [n for n in rows if digits in n.address]
        if name := asked.query.get("FriendlyName"):
            rows = [n for n in rows if n.resource["friendly_name"] == name]
        piece = cut(rows[::-1], asked.query)
        return answer(api_page(piece, asked.path, "incoming_phone_numbers", lambda n: n.resource))

    def create_number(self, asked: Asked) -> Response:
        return answer(create_number(self._cloud, asked.form).resource, 201)

    def fetch_number(self, asked: Asked) -> Response:
        return answer(self._find_number(asked).resource)

    def update_number(self, asked: Asked) -> Response:
        number = self._find_number(asked)
        update_number(self._cloud, number, asked.form)
        return answer(number.resource)

    def drop_number(self, asked: Asked) -> Response:
        self._cloud.remove(self._find_number(asked))
        return Response(status_code=204)

    def _find_number(self, asked: Asked) -> Number:
        return found(self._cloud.numbers.get(asked.ids["sid"]), asked)

    # --- messaging services -------------------------------------------------------------------------------------

    def list_services(self, asked: Asked) -> Response:
        piece = cut(list(self._cloud.services.values())[::-1], asked.query)
        return answer(meta_page(piece, self._url(asked), "services", lambda s: s.resource))

    def create_service(self, asked: Asked) -> Response:
        return answer(create_service(self._cloud, asked.form).resource, 201)

    def fetch_service(self, asked: Asked) -> Response:
        return answer(self._find_service(asked).resource)

    def update_service(self, asked: Asked) -> Response:
        service = self._find_service(asked)
        update_service(self._cloud, service, asked.form)
        return answer(service.resource)

    def list_members(self, asked: Asked) -> Response:
        service = self._find_service(asked)
        rows = [n for n in self._cloud.numbers.values() if n.service_sid == service.sid]
        piece = cut(rows[::-1], asked.query)
        return answer(meta_page(piece, self._url(asked), "phone_numbers", lambda n: render_membership(self._cloud, n)))

    def add_member(self, asked: Asked) -> Response:
        number = join_service(self._cloud, self._find_service(asked), asked.form.get("PhoneNumberSid"))
        return answer(render_membership(self._cloud, number), 201)

    def fetch_member(self, asked: Asked) -> Response:
        return answer(render_membership(self._cloud, self._find_member(asked)))

    def drop_member(self, asked: Asked) -> Response:
        self._find_member(asked).service_sid = None
        return Response(status_code=204)

    def _find_service(self, asked: Asked) -> Service:
        return found(self._cloud.services.get(asked.ids["sid"]), asked)

    def _find_member(self, asked: Asked) -> Number:
        number = self._cloud.numbers.get(asked.ids["number"])
        return found(number if number and number.service_sid == asked.ids["sid"] else None, asked)

    def _url(self, asked: Asked) -> str:
        return f"{self._cloud.base_url}{asked.path}"

    # --- WhatsApp -----------------------------------------------------------------------------------------------

    def show_typing(self, asked: Asked) -> Response:
        if asked.form.get("channel") != "whatsapp":
            raise Refusal(20001, "channel must be whatsapp")
        message = self._cloud.messages.get(asked.form.get("messageId"))
        if message is None or not message.inbound or not message.on_whatsapp:
            raise Refusal(20404, "messageId does not name an inbound WhatsApp message")
        self._cloud.handset(message.sender or "").typing += 1
        data = {"from": message.to, "to": message.sender, "message_sid": message.sid}
        self._cloud.events.add("typing", self._cloud.clock.now(), data)
        return answer({"success": True})

    def list_senders(self, asked: Asked) -> Response:
        piece = cut(list(self._cloud.senders.values())[::-1], asked.query)
        return answer(meta_page(piece, self._url(asked), "senders", lambda s: s.resource))

    def create_sender(self, asked: Asked) -> Response:
        return answer(create_sender(self._cloud, asked.json()).resource, 202)

    def fetch_sender(self, asked: Asked) -> Response:
        return answer(self._find_sender(asked).resource)

    def update_sender(self, asked: Asked) -> Response:
        sender = self._find_sender(asked)
        update_sender(sender, asked.json())
        return answer(sender.resource, 202)

    def drop_sender(self, asked: Asked) -> Response:
        self._cloud.remove(self._find_sender(asked))
        return Response(status_code=204)

    def _find_sender(self, asked: Asked) -> Sender:
        return found(self._cloud.senders.get(asked.ids["sid"]), asked)
