"""Inbound messages: what a handset says reaches the customer's server, and its answer is followed."""

from collections.abc import Sequence
from urllib.parse import urljoin

from hookflash.base.errors import Invalid, NotFound
from hookflash.emulator.cloud import Cloud, Line
from hookflash.emulator.compose import MAX_BODY
from hookflash.emulator.courier import Courier, Failure, Params
from hookflash.emulator.delivery import Delivery
from hookflash.emulator.faults import FaultKind
from hookflash.emulator.handset import Received
from hookflash.emulator.inbound import Button, Route, find_route, webhook_params
from hookflash.emulator.message import Message, summary
from hookflash.emulator.optout import ANSWERS, OptOut, read_word
from hookflash.emulator.twiml import BadTwiml, Instruction, Redirect, Send, read_instructions
from hookflash.emulator.under_way import UnderWay
from hookflash.twilio.segments import count, utf16_length

_MAX_REDIRECTS = 10


class Reception:
    """Takes messages from handsets; replies leave through the delivery."""

    def __init__(self, cloud: Cloud, courier: Courier, delivery: Delivery, under_way: UnderWay) -> None:
        self._cloud = cloud
        self._courier = courier
        self._delivery = delivery
        self._under_way = under_way

    def text(
        self,
        sender: str,
        to: str,
        body: str = "",
        *,
        media: Sequence[tuple[str, bytes]] = (),
        button: Button | None = None,
        extra: Params | None = None,
    ) -> Message:
        """A handset says something: `sender` is its bare number, `to` one of our lines, `extra` are further webhook fields.

        Raises NotFound when no line has this address, Invalid when such a handset cannot reach it.
        """
        cloud = self._cloud
        line = cloud.line(to)
        if line is None:
            raise NotFound(f"there is no line with the address {to}")
        whatsapp = to.startswith("whatsapp:")
        if not whatsapp and not sender.startswith("+"):
            raise Invalid("a person without a phone number has WhatsApp only", field="to")
        now = cloud.clock.now()
        message = Message(
            sid=cloud.new_sid("MM" if media else "SM"),
            serial=cloud.next_serial(),
            direction="inbound",
            sender=f"whatsapp:{sender}" if whatsapp else sender,
            to=to,
            body=button.text if button and not body else body,
            status="received",
            created=now,
            sent=now,
            segments=count(body).number,
            service_sid=line.service_sid,
            media=[cloud.new_media(kind, content) for kind, content in media],
        )
        cloud.keep(message)
        person = message.sender or ""
        cloud.last_heard[to, person] = now
        if line.service_sid:
            cloud.usual_sender[line.service_sid, person] = to
        cloud.events.add("text", now, summary(message))
        word = self._heed(line, person, message.body)
        service = cloud.service_of(line)
        told = word if service and service.advanced_opt_out else None
        params = webhook_params(cloud, message, cloud.handset(sender), button=button, opt_out=told)
        self._under_way.start(self._report, message, find_route(cloud, line), params | (extra or {}))
        return message

    def _heed(self, line: Line, person: str, body: str) -> OptOut | None:
        """Act on an opt-out word and answer it, as Twilio does by itself."""
        cloud = self._cloud
        word = read_word(body, line.address) if cloud.minds_opt_out(line) else None
        key = cloud.block_key(line, person)
        blocked = key in cloud.opted_out
        match word:
            case OptOut.STOP if not blocked:
                cloud.opted_out.add(key)
            case OptOut.START if blocked:
                cloud.opted_out.discard(key)
            case OptOut.HELP:
                pass
            case OptOut.STOP | OptOut.START:
                return word  # nothing changes, nothing is said
            case None:
                return None
        cloud.reach(Received(line.address, person, ANSWERS[word], (), None, cloud.clock.now()))
        return word

    async def _report(self, message: Message, route: Route, params: Params) -> None:
        """Tell the customer's server, as often as the faults want it."""
        faults = self._cloud.faults
        if not route.url or faults.take(FaultKind.LOSE_WEBHOOK):
            return
        if delay := faults.take(FaultKind.DELAY_WEBHOOK):
            await self._cloud.clock.sleep(delay.seconds)
        token = self._cloud.new_token()
        duplicate = faults.take(FaultKind.DUPLICATE_WEBHOOK)
        for copy in range(duplicate.copies if duplicate else 1):
            with_token = copy == 0 or self._cloud.rng.random() < 0.5
            self._under_way.start(self._converse, message, route, params, token if with_token else None)

    async def _converse(self, message: Message, route: Route, params: Params, token: str | None) -> None:
        """Ask for instructions, the fallback address if the first fails, and follow them."""
        url, method = route.url, route.method
        fallback = route.fallback_url
        for _ in range(_MAX_REDIRECTS):
            found = await self._instructions(url, method, params, token)
            if isinstance(found, Failure):
                if not fallback:
                    return
                params = params | {"ErrorCode": str(found.code), "ErrorUrl": found.url}
                url, method, fallback = fallback, route.fallback_method, ""
                continue
            redirect = None
            for instruction in found:
                if isinstance(instruction, Redirect):
                    redirect = instruction
                else:
                    self._reply(message, instruction, url)
            if redirect is None:
                return
            url, method = urljoin(url, redirect.url), redirect.method
        self._cloud.problem(11215, url=url, sid=message.sid)

    async def _instructions(
        self, url: str, method: str, params: Params, token: str | None
    ) -> list[Instruction] | Failure:
        outcome = await self._courier.ask(url, method, params, token)
        if isinstance(outcome, Failure):
            return outcome
        try:
            return read_instructions(outcome.status, outcome.content_type, outcome.body)
        except BadTwiml as error:
            self._cloud.problem(error.code, url=outcome.url, sid=params["MessageSid"], detail=str(error))
            return Failure(error.code, outcome.url, str(error), outcome.status)

    def _reply(self, heard: Message, asked: Send, base: str) -> None:
        """Send what an answer asks for; what cannot be sent is entered into the debugger."""
        cloud = self._cloud
        to, sender = asked.to or heard.sender or "", asked.sender or heard.to
        line = cloud.line(sender)
        code = None
        if line is None:
            code = 21659
        elif not asked.body and not asked.media_urls:
            code = 14103
        elif utf16_length(asked.body) > MAX_BODY:
            code = 21617
        elif cloud.is_blocked(line, to):
            code = 21610
        if code is not None:
            cloud.problem(code, url=base, sid=heard.sid)
            return
        self._delivery.send(
            Message(
                sid=cloud.new_sid("MM" if asked.media_urls else "SM"),
                serial=cloud.next_serial(),
                direction="outbound-reply",
                sender=sender,
                to=to,
                body=asked.body,
                status="queued",
                created=cloud.clock.now(),
                segments=count(asked.body).number,
                service_sid=heard.service_sid,
                status_callback=urljoin(base, asked.status_callback) if asked.status_callback else None,
                sources=tuple(urljoin(base, source) for source in asked.media_urls),
            )
        )
