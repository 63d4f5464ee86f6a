"""Outbound messages: from accepted to read, and the status callbacks on the way."""

from datetime import timedelta

import httpx2

from hookflash.emulator.cloud import Cloud, Line
from hookflash.emulator.compose import choose_sender
from hookflash.emulator.courier import Courier
from hookflash.emulator.faults import FaultKind
from hookflash.emulator.handset import Received
from hookflash.emulator.message import API_VERSION, Message, summary
from hookflash.emulator.refusal import SENTENCES, Refusal
from hookflash.emulator.under_way import UnderWay
from hookflash.twilio.segments import count

WHATSAPP_WINDOW = timedelta(hours=24)


class Delivery:
    """Carries messages to handsets. `pace` is the number of seconds between two states of a message."""

    def __init__(
        self, cloud: Cloud, courier: Courier, client: httpx2.AsyncClient, under_way: UnderWay, pace: float
    ) -> None:
        self._cloud = cloud
        self._courier = courier
        self._client = client
        self._under_way = under_way
        self._pace = pace

    def send(self, message: Message) -> None:
        """Take a message that was composed, and carry it."""
        self._cloud.keep(message)
        self._cloud.events.add("message", message.created, summary(message))
        if message.send_at:
            wait = (message.send_at - message.created).total_seconds()
            self._under_way.start_later(self._cloud.clock, wait, self._release, message)
        else:
            self._under_way.start(self._carry, message)

    async def _release(self, message: Message) -> None:
        """The hour of a scheduled message has come."""
        if message.status == "scheduled" and message.sid in self._cloud.messages:
            message.status = "accepted"
            await self._carry(message)

    async def _carry(self, message: Message) -> None:
        cloud = self._cloud
        callbacks: list[str] = []
        line = cloud.line(message.sender) if message.sender else None
        if line is None and message.service_sid:
            line = choose_sender(cloud, cloud.services[message.service_sid], message)
            if line is not None:
                message.sender, message.segments = line.address, count(message.body).number
                cloud.usual_sender[message.service_sid, message.to] = line.address
                await self._advance(message, "queued", callbacks)
        if line is None:
            await self._fail(message, "failed", 21703, callbacks)
            return
        await self._advance(message, "sending", callbacks)
        if failure := await self._hindrance(message, line):
            await self._fail(message, "failed", failure, callbacks)
            return
        await self._advance(message, "sent", callbacks)
        if fault := cloud.faults.take(FaultKind.UNDELIVER):
            await self._fail(message, "undelivered", fault.code, callbacks)
            return
        handset = cloud.handset(message.to)
        await self._advance(message, "delivered", callbacks, last=not (message.on_whatsapp and handset.reads))
        if message.on_whatsapp and handset.reads:
            await self._advance(message, "read", callbacks, last=True)

    async def _hindrance(self, message: Message, line: Line) -> int | None:
        """The error that keeps a message from leaving, if any. Fetches its media."""
        cloud = self._cloud
        if cloud.is_blocked(line, message.to):
            return 21610
        if message.on_whatsapp and not message.template:
            heard = cloud.last_heard.get((line.address, message.to))
            if heard is None or cloud.clock.now() - heard > WHATSAPP_WINDOW:
                return 63016
        for source in message.sources:
            try:
                answer = await self._client.get(source)
            except (httpx2.HTTPError, httpx2.InvalidURL):
                answer = None
            if answer is None or not answer.is_success:
                cloud.problem(11200, url=source, sid=message.sid)
                return 63019 if message.on_whatsapp else 11200
            message.media.append(cloud.new_media(answer.headers.get("content-type", ""), answer.content))
        return None

    async def _fail(self, message: Message, status: str, code: int, callbacks: list[str]) -> None:
        message.error_code = code
        message.error_message = SENTENCES.get(code)
        await self._advance(message, status, callbacks, last=True)

    async def _advance(self, message: Message, status: str, callbacks: list[str], *, last: bool = False) -> None:
        """Enter the next state after the pace; `callbacks` are those held back so far."""
        cloud = self._cloud
        await cloud.clock.sleep(self._pace)
        if message.sid not in cloud.messages:
            return
        message.status = status
        message.updated = cloud.clock.now()
        if status == "sent":
            message.sent = message.updated
        if status == "delivered":
            sender, media = message.sender or "", tuple(message.media)
            cloud.reach(Received(sender, message.to, message.body, media, message.sid, message.updated))
        cloud.events.add(
            "status", message.updated, {"sid": message.sid, "status": status, "error_code": message.error_code}
        )
        self._call_back(message, status, callbacks, last)

    def _call_back(self, message: Message, status: str, held: list[str], last: bool) -> None:
        if not self._callback_url(message):
            return
        faults = self._cloud.faults
        fault = faults.take(FaultKind.LOSE_STATUS, FaultKind.DUPLICATE_STATUS)
        copies = 1 if fault is None else fault.copies if fault.kind is FaultKind.DUPLICATE_STATUS else 0
        statuses = [status] * copies
        if held or (not last and faults.take(FaultKind.SHUFFLE_STATUS)):
            held += statuses
            if not last:
                return
            self._cloud.rng.shuffle(held)
            statuses = held
        for each in statuses:
            self._under_way.start(self._post_status, message, each)

    def _callback_url(self, message: Message) -> str:
        if message.status_callback:
            return message.status_callback
        service = self._cloud.services.get(message.service_sid or "")
        if service and service.resource["status_callback"]:
            return str(service.resource["status_callback"])
        line = self._cloud.line(message.sender or "")
        webhook = line.resource.get("webhook") if line else None
        return (webhook or {}).get("status_callback_url") or ""

    async def _post_status(self, message: Message, status: str) -> None:
        params = {
            "AccountSid": self._cloud.account_sid,
            "ApiVersion": API_VERSION,
            "From": message.sender or "",
            "MessageSid": message.sid,
            "MessageStatus": status,
            "SmsSid": message.sid,
            "SmsStatus": status,
            "To": message.to,
        }
        if message.service_sid:
            params["MessagingServiceSid"] = message.service_sid
        if message.error_code and status in ("failed", "undelivered"):
            params["ErrorCode"] = str(message.error_code)
            if message.on_whatsapp and message.error_message:
                params["ChannelStatusMessage"] = message.error_message
        if message.on_whatsapp:
            params |= {"ChannelPrefix": "whatsapp", "ChannelToAddress": message.to}
            if status in ("delivered", "read"):
                params["EventType"] = "READ" if status == "read" else "DELIVERED"
        elif status in ("delivered", "undelivered"):
            params["RawDlrDoneDate"] = self._cloud.clock.now().strftime("%y%m%d%H%M")
        await self._courier.ask(self._callback_url(message), "POST", params, self._cloud.new_token())

    def cancel(self, message: Message) -> None:
        """Take a scheduled message back; raises Refusal 30409 for any other."""
        if message.status != "scheduled":
            raise Refusal(30409)
        message.status = "canceled"
        message.updated = self._cloud.clock.now()
        self._call_back(message, "canceled", [], last=True)
