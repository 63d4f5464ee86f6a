"""The box on a port: start it inside a test, a command or a process of its own, and use its phones."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random, SystemRandom
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx2

from hookflash.base.clock import Clock, SystemClock
from hookflash.base.secret import Secret
from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.calls import Call
from hookflash.emulator.cloud import Cloud, Credentials, Number, Problem, Sender, Service, SharedKey
from hookflash.emulator.courier import Courier
from hookflash.emulator.delivery import Delivery
from hookflash.emulator.enqueued import EnqueuedTask
from hookflash.emulator.events import Events
from hookflash.emulator.faults import Fault, FaultKind
from hookflash.emulator.form import Form
from hookflash.emulator.handset import Handset, Received
from hookflash.emulator.inbound import Button
from hookflash.emulator.leg import Desk
from hookflash.emulator.lines import create_number, create_sender
from hookflash.emulator.listener import listen, serve_http
from hookflash.emulator.message import Message
from hookflash.emulator.person import Callee, Script
from hookflash.emulator.reception import Reception
from hookflash.emulator.routes import build_app
from hookflash.emulator.services import create_service, join_service
from hookflash.emulator.sound import Toneless, Voice
from hookflash.emulator.switchboard import Switchboard
from hookflash.emulator.under_way import UnderWay
from hookflash.emulator.verify import Verifier

DEFAULT_PACE = 0.02


class Phone:
    """A handset in someone's hand."""

    def __init__(self, cloud: Cloud, reception: Reception, switchboard: Switchboard, number: str) -> None:
        self._cloud = cloud
        self._reception = reception
        self._switchboard = switchboard
        self.number = number

    @property
    def handset(self) -> Handset:
        """What is remembered of it: inbox, name, whether it reports messages as read."""
        return self._cloud.handset(self.number)

    @property
    def inbox(self) -> list[Received]:
        """Everything that it received, by SMS and WhatsApp."""
        return self.handset.inbox

    def text(
        self,
        to: str,
        body: str = "",
        *,
        media: Sequence[tuple[str, bytes]] = (),
        button: Button | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Message:
        """Send a message to one of our lines (`+1...` or `whatsapp:+1...`); returns at once, the webhook follows.

        `media` are content types and bytes, `extra` further fields of the webhook. Raises NotFound for an unknown line.
        """
        return self._reception.text(self.number, to, body, media=media, button=button, extra=dict(extra or {}))

    def call(self, to: str, script: Script | None = None, *, extra: Mapping[str, str] | None = None) -> CallHandle:
        """Call one of our numbers; returns at once, the webhook follows. Without a script the person only listens.

        `extra` are further webhook fields (StirVerstat, ForwardedFrom, CallerName ...). Raises NotFound for an unknown
        number, Invalid for one without a VoiceUrl.
        """
        return CallHandle(self._switchboard.incoming(self.number, to, script or Script(), dict(extra or {})))

    def answer_calls(self, callee: Callee) -> None:
        """Take calls like this from now on; a fresh phone answers at once and listens."""
        self.handset.callee = callee

    async def wait_reply(self, timeout: float = 10.0) -> Received:
        """The next message that no earlier call has returned; raises TimeoutError after `timeout` real seconds."""
        return await self.handset.wait_reply(timeout)


class Emulator:
    """Twilio in a box, running. State is in memory and ends with it."""

    def __init__(
        self,
        cloud: Cloud,
        reception: Reception,
        switchboard: Switchboard,
        under_way: UnderWay,
        verifier: Verifier,
    ) -> None:
        self.verifier = verifier
        self._cloud = cloud
        self._reception = reception
        self._switchboard = switchboard
        self._under_way = under_way

    @classmethod
    @asynccontextmanager
    async def serve(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        seed: int | None = None,
        pace: float = DEFAULT_PACE,
        account_sid: str | None = None,
        auth_token: Secret | None = None,
        api_keys: Mapping[str, Secret] | None = None,
        shared_key: SharedKey | None = None,
        voice: Voice | None = None,
        talk_rate: float = 15.0,
    ) -> AsyncIterator["Emulator"]:
        """Run the box while the block runs; `port` 0 takes a free one. Needs the asyncio backend.

        With a `seed` everything random repeats, the sids too: never with a database that outlives the box. `pace` is the
        number of seconds (of `clock`) between two states of an outbound message; `shared_key` signs webhooks in place of
        the Auth Token. `voice` says what TwiML and ConversationRelay say (`sound.Espeak()`); without one that only takes
        its time, `talk_rate` characters a second. Raises Misconfigured when the port is taken.
        """
        rng = SystemRandom() if seed is None else Random(seed)  # noqa: S311
        account_sid = account_sid or f"AC{rng.getrandbits(128):032x}"
        auth_token = auth_token or Secret(f"{rng.getrandbits(128):032x}")
        credentials = Credentials(account_sid, auth_token, dict(api_keys or {}), shared_key)
        cloud = Cloud(credentials, clock or SystemClock(), rng)
        failure: Exception | None = None
        with listen(host, port) as listener:
            cloud.base_url = f"http://{host}:{listener.getsockname()[1]}"
            async with _client() as client, anyio.create_task_group() as tasks:
                under_way = UnderWay(tasks)
                courier = Courier(cloud, client)
                delivery = Delivery(cloud, courier, client, under_way, pace)
                reception = Reception(cloud, courier, delivery, under_way)
                verifier = Verifier(cloud)
                toneless = Toneless(talk_rate)
                switchboard = Switchboard(Desk(cloud, courier, client, under_way, voice or toneless, toneless, pace))
                async with serve_http(build_app(cloud, delivery, reception, switchboard, verifier), listener):
                    try:
                        yield cls(cloud, reception, switchboard, under_way, verifier)
                    except Exception as error:  # noqa: BLE001 - raised again below, alone, not in the tasks' bundle
                        failure = error
                    finally:
                        cloud.events.close()
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @property
    def url(self) -> str:
        """The base address, in place of Twilio's hosts: `http://127.0.0.1:<port>`."""
        return self._cloud.base_url

    @property
    def account_sid(self) -> str:
        return self._cloud.account_sid

    @property
    def auth_token(self) -> Secret:
        return self._cloud.credentials.auth_token

    @property
    def messages(self) -> list[Message]:
        """Every message, oldest first."""
        return list(self._cloud.messages.values())

    @property
    def calls(self) -> list[Call]:
        """Every call, oldest first."""
        return list(self._cloud.calls.values())

    @property
    def tasks(self) -> list[EnqueuedTask]:
        """Calls that were put into a queue, oldest first; those of a workflow carry a task's attributes."""
        return self._cloud.tasks

    def call_handle(self, sid: str) -> CallHandle | None:
        """A live call by its sid, whoever began it; None when it is over."""
        leg = self._switchboard.leg(self._cloud.calls[sid])
        return CallHandle(leg) if leg else None

    @property
    def problems(self) -> list[Problem]:
        """The debugger: what went wrong between the box and the customer's server, oldest first."""
        return self._cloud.problems

    @property
    def events(self) -> Events:
        return self._cloud.events

    @property
    def leaked_credentials(self) -> int:
        """How often a client sent its credentials to the host to which media redirects."""
        return self._cloud.leaked_credentials

    def handset(self, number: str) -> Phone:
        """The phone of this number (or WhatsApp-only identity), the same one every time."""
        return Phone(self._cloud, self._reception, self._switchboard, number)

    def fault(self, kind: FaultKind | str, **options: Any) -> None:
        """Let something go wrong; options as the fields of `faults.Fault` (`next`, `probability`, `copies` ...)."""
        self._cloud.faults.add(Fault(kind=FaultKind(kind), **options))

    def clear_faults(self) -> None:
        self._cloud.faults.clear()

    def add_number(
        self,
        number: str,
        *,
        sms_url: str = "",
        sms_fallback_url: str = "",
        service: str = "",
        voice_url: str = "",
        voice_fallback_url: str = "",
        status_callback: str = "",
    ) -> Number:
        """A phone number or short code, in the Messaging Service with this sid if one is given.

        `status_callback` is told of the end of its inbound calls.
        """
        form = _form(
            PhoneNumber=number,
            SmsUrl=sms_url,
            SmsFallbackUrl=sms_fallback_url,
            VoiceUrl=voice_url,
            VoiceFallbackUrl=voice_fallback_url,
            StatusCallback=status_callback,
        )
        added = create_number(self._cloud, form)
        if service:
            join_service(self._cloud, self._cloud.services[service], added.sid)
        return added

    def add_service(
        self,
        name: str,
        *,
        inbound_request_url: str = "",
        fallback_url: str = "",
        status_callback: str = "",
        use_inbound_webhook_on_number: bool = False,
        advanced_opt_out: bool = False,
    ) -> Service:
        """A Messaging Service; `advanced_opt_out` adds OptOutType to its webhooks and covers its WhatsApp senders."""
        form = _form(
            FriendlyName=name,
            InboundRequestUrl=inbound_request_url,
            FallbackUrl=fallback_url,
            StatusCallback=status_callback,
            UseInboundWebhookOnNumber=str(use_inbound_webhook_on_number).lower(),
        )
        service = create_service(self._cloud, form)
        service.advanced_opt_out = advanced_opt_out
        return service

    def add_whatsapp_sender(
        self, number: str, *, callback_url: str = "", fallback_url: str = "", service: str = ""
    ) -> Sender:
        """A WhatsApp sender with this phone number; its address is `whatsapp:` and the number."""
        webhook = {"callback_url": callback_url or None, "fallback_url": fallback_url or None}
        sender = create_sender(self._cloud, {"sender_id": f"whatsapp:{number}", "webhook": webhook})
        sender.service_sid = service or None
        return sender

    def add_verify_service(self, name: str) -> str:
        """A service of Verify; its sid. Its codes arrive at phones as texts."""
        return self.verifier.add_service(name).sid

    def add_template(self, body: str) -> str:
        """An approved WhatsApp template with placeholders `{{1}}`; returns its ContentSid."""
        sid = self._cloud.new_sid("HX")
        self._cloud.templates[sid] = body
        return sid

    def reset(self) -> None:
        """End all calls, forget messages, calls, handsets, opt-outs, faults and logs; keep what equips the account."""
        self._switchboard.hang_up_all()
        self._cloud.forget_traffic()
        self.verifier.verifications.clear()

    async def idle(self, timeout: float = 30.0) -> None:
        """Return when no message, no call and no webhook is under way; raises TimeoutError after `timeout` real seconds."""
        await self._under_way.idle(timeout)


def _form(**values: str) -> Form:
    return Form(urlencode(values))


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _client() -> httpx2.AsyncClient:
    """The connections to customers' servers. No cookies: they would join one person's conversation to another's."""
    return httpx2.AsyncClient(
        verify=_tls(),
        follow_redirects=True,
        max_redirects=10,
        trust_env=False,
        limits=httpx2.Limits(max_connections=200, max_keepalive_connections=100),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )
