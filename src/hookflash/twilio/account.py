"""One Twilio account: the REST operations we need, through the official SDK's resources."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import twilio.rest.api.v2010.account.incoming_phone_number
import twilio.rest.api.v2010.account.message.media
import twilio.rest.messaging.v1.service.phone_number
import twilio.rest.messaging.v2.typing_indicator
import twilio.rest.verify.v2.service.verification
import twilio.rest.verify.v2.service.verification_check  # noqa: F401  the SDK would import these in the middle of a request
from twilio.base import values
from twilio.http import AsyncHttpClient
from twilio.rest import Client

from hookflash.base.errors import TwilioFailed, TwilioUnclear
from hookflash.base.secret import Secret
from hookflash.twilio.resources import (
    AccountInfo,
    Downloaded,
    MediaItem,
    MessagingService,
    PhoneNumber,
    SentCall,
    SentMessage,
)

DEFAULT_BASE = "https://api.twilio.com"

# The recording of a call that runs or is paused.
CURRENT = "Twilio.CURRENT"

_sdk_client: Any = Client


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to Twilio: an account with its Auth Token, or with an API key (`key_sid`) and that key's secret."""

    account_sid: str
    secret: Secret
    key_sid: str | None = None


class Connection(AsyncHttpClient):
    """What carries an account's requests: `client` has it. Its `request` raises every answer that is no success."""

    async def download(
        self, url: str, auth: tuple[str, str], max_bytes: int, allowed: Callable[[str], bool]
    ) -> Downloaded:
        """Fetch an attachment; see `Account.download`."""
        raise NotImplementedError


class Account:
    """The operations in the name of one account. Each raises TwilioFailed or TwilioUnclear as `client` tells."""

    def __init__(self, credentials: Credentials, connection: "Connection") -> None:
        self._credentials = credentials
        self._connection = connection
        self._auth = (credentials.key_sid or credentials.account_sid, credentials.secret.get_secret_value())
        self._sdk = _sdk_client(
            *self._auth,
            credentials.account_sid,
            http_client=connection,
            environment={"TWILIO_EDGE": ""},  # not empty: then the SDK would read the process's own
        )

    async def send_message(
        self,
        to: str,
        *,
        sender: str | None = None,
        messaging_service_sid: str | None = None,
        body: str | None = None,
        media_urls: tuple[str, ...] = (),
        status_callback: str | None = None,
        content_sid: str | None = None,
        content_variables: Mapping[str, str] | None = None,
        validity_seconds: int | None = None,
    ) -> SentMessage:
        """Hand a message to Twilio, which has no idempotency key: after TwilioUnclear look for it before trying again."""
        variables = msgspec.json.encode(content_variables).decode() if content_variables is not None else None
        created = await self._sdk.messages.create_async(
            to=to,
            from_=_given(sender),
            messaging_service_sid=_given(messaging_service_sid),
            body=_given(body),
            media_url=list(media_urls) if media_urls else values.unset,
            status_callback=_given(status_callback),
            content_sid=_given(content_sid),
            content_variables=_given(variables),
            validity_period=_given(validity_seconds),
        )
        if not created.sid:
            raise TwilioUnclear("Twilio's answer to a new message has no SID.")
        return _message(created)

    async def message(self, sid: str) -> SentMessage:
        """One message."""
        return _message(await self._sdk.messages(sid).fetch_async())

    async def messages(
        self,
        *,
        to: str | None = None,
        sender: str | None = None,
        sent_after: datetime | None = None,
        sent_before: datetime | None = None,
        limit: int | None = None,
        page_size: int = 200,
    ) -> AsyncIterator[SentMessage]:
        """Messages in and out, the newest first, page by page until `limit` or the end."""
        if limit is not None and limit <= 0:
            return
        found = await self._sdk.messages.stream_async(
            to=_given(to),
            from_=_given(sender),
            date_sent_after=_given(sent_after),
            date_sent_before=_given(sent_before),
            limit=limit,
            page_size=page_size if limit is None else min(limit, page_size),
        )
        async for message in found:
            yield _message(message)

    async def media(self, message_sid: str) -> list[MediaItem]:
        """The attachments of a message."""
        return [
            MediaItem(item.sid, item.content_type, DEFAULT_BASE + item.uri.removesuffix(".json"))
            for item in await self._sdk.messages(message_sid).media.list_async(limit=100)
        ]

    async def download(self, url: str, *, max_bytes: int, allowed: Callable[[str], bool]) -> Downloaded:
        """Fetch an attachment from Twilio, following one redirect to a public host without our credentials.

        `allowed` is asked about the content type. Raises Invalid for an address that is not Twilio's or a type that is not
        allowed, TooLarge over `max_bytes`.
        """
        return await self._connection.download(url, self._auth, max_bytes, allowed)

    async def find_number(self, phone_number: str) -> PhoneNumber | None:
        """The account's number in E.164, or None when it has no such number."""
        found = await self._sdk.incoming_phone_numbers.list_async(phone_number=phone_number, limit=20)
        return next((_number(item) for item in found if item.phone_number == phone_number), None)

    async def update_number(
        self,
        sid: str,
        *,
        sms_url: str | None = None,
        sms_method: Literal["GET", "POST"] | None = None,
        sms_fallback_url: str | None = None,
        sms_fallback_method: Literal["GET", "POST"] | None = None,
        voice_url: str | None = None,
        voice_fallback_url: str | None = None,
        status_callback: str | None = None,
    ) -> PhoneNumber:
        """Point a number's messages or calls at us; calls then come by POST. What is None stays as it is."""
        return _number(
            await self._sdk.incoming_phone_numbers(sid).update_async(
                sms_url=_given(sms_url),
                sms_method=_given(sms_method),
                sms_fallback_url=_given(sms_fallback_url),
                sms_fallback_method=_given(sms_fallback_method),
                voice_url=_given(voice_url),
                voice_method="POST" if voice_url else values.unset,
                voice_fallback_url=_given(voice_fallback_url),
                voice_fallback_method="POST" if voice_fallback_url else values.unset,
                status_callback=_given(status_callback),
            )
        )

    async def service(self, sid: str) -> MessagingService:
        """One Messaging Service."""
        return _service(await self._sdk.messaging.v1.services(sid).fetch_async())

    async def services(self, *, limit: int = 100) -> list[MessagingService]:
        """The account's Messaging Services."""
        return [_service(found) for found in await self._sdk.messaging.v1.services.list_async(limit=limit)]

    async def update_service(
        self,
        sid: str,
        *,
        inbound_request_url: str | None = None,
        inbound_method: Literal["GET", "POST"] | None = None,
        fallback_url: str | None = None,
        fallback_method: Literal["GET", "POST"] | None = None,
        status_callback: str | None = None,
        use_inbound_webhook_on_number: bool | None = None,
    ) -> MessagingService:
        """Point a Messaging Service at us. What is None stays as it is."""
        return _service(
            await self._sdk.messaging.v1.services(sid).update_async(
                inbound_request_url=_given(inbound_request_url),
                inbound_method=_given(inbound_method),
                fallback_url=_given(fallback_url),
                fallback_method=_given(fallback_method),
                status_callback=_given(status_callback),
                use_inbound_webhook_on_number=_given(use_inbound_webhook_on_number),
            )
        )

    async def service_numbers(self, service_sid: str, *, limit: int = 400) -> list[str]:
        """The numbers (E.164) in the sender pool of a Messaging Service."""
        found = await self._sdk.messaging.v1.services(service_sid).phone_numbers.list_async(limit=limit)
        return [item.phone_number for item in found]

    async def info(self) -> AccountInfo:
        """The account itself: proves the credentials."""
        found = await self._sdk.api.accounts(self._credentials.account_sid).fetch_async()
        return AccountInfo(found.sid, found.friendly_name or "", found.status or "", found.type or "")

    async def create_call(
        self,
        to: str,
        *,
        sender: str,
        url: str,
        status_callback: str | None = None,
        amd_callback: str | None = None,
        ring_seconds: int = 30,
    ) -> str:
        """Ring somebody; the call's sid. When it is answered Twilio asks `url` what to do.

        With `amd_callback` a machine is told from a person meanwhile, without making a person wait.
        """
        created = await self._sdk.calls.create_async(
            to=to,
            from_=sender,
            url=url,
            method="POST",
            timeout=ring_seconds,
            status_callback=_given(status_callback),
            status_callback_event=["completed"] if status_callback else values.unset,
            machine_detection="DetectMessageEnd" if amd_callback else values.unset,
            async_amd="true" if amd_callback else values.unset,
            async_amd_status_callback=_given(amd_callback),
        )
        if not created.sid:
            raise TwilioUnclear("Twilio's answer to a new call has no SID.")
        return str(created.sid)

    async def redirect_call(self, sid: str, twiml: str) -> bool:
        """Have a live call go on with other TwiML; False when it is over already."""
        return await self._over_is_no_error(self._sdk.calls(sid).update_async(twiml=twiml))

    async def hang_up(self, sid: str) -> bool:
        """End a call; False when it is over already."""
        return await self._over_is_no_error(self._sdk.calls(sid).update_async(status="completed"))

    async def record_call(self, sid: str, callback: str) -> bool:
        """Record a live call in two channels; False when it is over already."""
        made = self._sdk.calls(sid).recordings.create_async(
            recording_status_callback=callback,
            recording_status_callback_event=["completed", "absent"],
            recording_channels="dual",
        )
        return await self._over_is_no_error(made)

    async def pause_recording(self, call_sid: str) -> bool:
        """Leave silence in the recording of a live call from now on; False when there is nothing to be paused."""
        recording = self._sdk.calls(call_sid).recordings(CURRENT)
        return await self._over_is_no_error(recording.update_async(status="paused", pause_behavior="silence"))

    async def resume_recording(self, call_sid: str) -> bool:
        """Record again; False when there is nothing to be resumed."""
        recording = self._sdk.calls(call_sid).recordings(CURRENT)
        return await self._over_is_no_error(recording.update_async(status="in-progress"))

    async def stop_recording(self, call_sid: str) -> bool:
        """End the recording of a live call for good; False when there is none."""
        recording = self._sdk.calls(call_sid).recordings(CURRENT)
        return await self._over_is_no_error(recording.update_async(status="stopped"))

    async def call(self, sid: str) -> SentCall | None:
        """One call, None when Twilio does not know it any more."""
        try:
            return _call(await self._sdk.calls(sid).fetch_async())
        except TwilioFailed as error:
            if error.code == 20404:
                return None
            raise

    async def calls(self, *, to: str, sender: str, limit: int = 20) -> list[SentCall]:
        """The newest calls from one number to another."""
        return [_call(found) for found in await self._sdk.calls.list_async(to=to, from_=sender, limit=limit)]

    @staticmethod
    async def _over_is_no_error(done: Awaitable[Any]) -> bool:
        try:
            await done
        except TwilioFailed as error:
            if error.code in (20404, 21220):
                return False
            raise
        return True

    async def show_typing(self, message_sid: str) -> None:
        """Show on WhatsApp that an answer to this inbound message is being written (up to 25 s), and mark it read."""
        await self._sdk.messaging.v2.typing_indicator.create_async(channel="whatsapp", message_id=message_sid)

    async def verify_code_length(self, service_sid: str) -> int:
        """How many digits the codes of a Verify service have."""
        found = await self._sdk.verify.v2.services(service_sid).fetch_async()
        return int(found.code_length or 0)

    async def start_verification(self, service_sid: str, to: str, *, locale: str | None = None) -> str:
        """Have Verify send a code by SMS, or send it again; the verification's sid."""
        service = self._sdk.verify.v2.services(service_sid)
        made = await service.verifications.create_async(to=to, channel="sms", locale=_given(locale))
        if not made.sid:
            raise TwilioUnclear("Twilio's answer to a new verification has no SID.")
        return str(made.sid)

    async def check_verification(self, service_sid: str, sid: str, code: str) -> str:
        """What has become of a verification by this code: `approved`, or `pending` when it is another one."""
        service = self._sdk.verify.v2.services(service_sid)
        checked = await service.verification_checks.create_async(code=code, verification_sid=sid)
        return str(checked.status or "")

    async def cancel_verification(self, service_sid: str, sid: str) -> bool:
        """End a verification, so that the next one has another code; False when it is over already."""
        verification = self._sdk.verify.v2.services(service_sid).verifications(sid)
        return await self._over_is_no_error(verification.update_async(status="canceled"))


def _given(value: object | None) -> Any:
    return values.unset if value is None else value


def _message(found: Any) -> SentMessage:
    return SentMessage(
        sid=found.sid,
        account_sid=found.account_sid,
        status=found.status,
        direction=found.direction,
        sender=found.from_ or None,
        to=found.to or None,
        body=found.body or "",
        num_segments=int(found.num_segments or 0),
        num_media=int(found.num_media or 0),
        error_code=found.error_code,
        error_message=found.error_message or None,
        messaging_service_sid=found.messaging_service_sid or None,
        created_at=found.date_created,
        sent_at=found.date_sent,
    )


def _call(found: Any) -> SentCall:
    return SentCall(found.sid, found.status or "", found.date_created)


def _number(found: Any) -> PhoneNumber:
    return PhoneNumber(
        sid=found.sid,
        phone_number=found.phone_number,
        sms_url=found.sms_url or None,
        sms_method=found.sms_method or None,
        sms_fallback_url=found.sms_fallback_url or None,
        sms_fallback_method=found.sms_fallback_method or None,
        voice_url=found.voice_url or None,
        voice_method=found.voice_method or None,
        voice_fallback_url=found.voice_fallback_url or None,
        status_callback=found.status_callback or None,
    )


def _service(found: Any) -> MessagingService:
    return MessagingService(
        sid=found.sid,
        friendly_name=found.friendly_name or "",
        inbound_request_url=found.inbound_request_url or None,
        inbound_method=found.inbound_method or None,
        fallback_url=found.fallback_url or None,
        fallback_method=found.fallback_method or None,
        status_callback=found.status_callback or None,
        use_inbound_webhook_on_number=bool(found.use_inbound_webhook_on_number),
    )
