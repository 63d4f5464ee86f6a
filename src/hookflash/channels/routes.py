"""The addresses that Twilio calls: inbound messages, their fallback, and status callbacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from hookflash.base.clock import Clock
from hookflash.base.errors import Forbidden, NotFound
from hookflash.channels.accept import Acceptor, arrival_of
from hookflash.channels.deliver import heeded, status_callback
from hookflash.channels.inline import Inline
from hookflash.channels.integration import Integration
from hookflash.channels.store import Integrations
from hookflash.conversation import outbox_store
from hookflash.db.pool import Database
from hookflash.rest.storable import check_address
from hookflash.twilio import messaging, twiml
from hookflash.twilio.errors import treatment
from hookflash.twilio.form import parse_form
from hookflash.twilio.messaging import Status, StatusUpdate
from hookflash.twilio.signature import Refused, Valid, WebhookKeys, public_url, verify

log = structlog.get_logger()

REFUSED = Counter("hookflash_webhooks_refused", "Requests whose signature was refused", ["reason"])
ACCEPTED = Counter("hookflash_messages_received", "Inbound messages by what became of them", ["state"])
ACKNOWLEDGED = Histogram(
    "hookflash_webhook_seconds",
    "From a webhook's arrival to our answer",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 15),
)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What the routes need; it lies in `app.state.webhooks`."""

    db: Database
    clock: Clock
    integrations: Integrations
    acceptor: Acceptor
    inline: Inline
    public_url: str | None
    trusted: tuple[IPv4Network | IPv6Network, ...]

    def url_of(self, request: HTTPConnection) -> str:
        """The address that Twilio signed."""
        return public_url(
            self.public_url,
            request.scope.get("raw_path") or request.scope["path"].encode(),
            request.scope["query_string"],
            request.headers,
            scheme=request.scope["scheme"],
            trusted=self._trusts(request),
        )

    def origin_of(self, request: Request) -> str:
        """Scheme and host as the request tells them, whatever the public address is set to."""
        scheme = request.scope["scheme"]
        return public_url(None, b"", b"", request.headers, scheme=scheme, trusted=self._trusts(request))

    def _trusts(self, request: HTTPConnection) -> bool:
        """Whether the request comes from a proxy that is ours."""
        return bool(self.trusted) and request.client is not None and _within(request.client.host, self.trusted)

    async def admit(self, request: Request, integration_id: str) -> tuple[Integration, dict[str, list[str]]]:
        """The integration and the form of a request that Twilio signed; everything else is refused."""
        body = await request.body()
        url = self.url_of(request)
        integration = self.integrations.known(integration_id, self.clock.monotonic())
        outcome = _verify(request, url, body, integration) if integration else None
        if integration is None or isinstance(outcome, Refused):
            # Its keys may have been changed a moment ago.
            now = self.clock.monotonic()
            integration = await self.integrations.find(self.db, integration_id)
            if integration is None:
                raise NotFound("There is no such integration.")
            self.integrations.keep(integration, now)
            outcome = _verify(request, url, body, integration)
        if isinstance(outcome, Refused):
            REFUSED.labels(outcome.why.name.lower()).inc()
            log.warning(
                "webhook refused",
                integration=integration_id,
                reason=outcome.why.value,
                checked_url=url.partition("?")[0],
            )
            raise Forbidden("The request's signature is not Twilio's.")
        # PostgreSQL keeps no NUL, and a message must not be lost for one.
        return integration, parse_form(body.replace(b"%00", b"%EF%BF%BD").replace(b"\0", b"%EF%BF%BD"))


def _verify(request: Request, url: str, body: bytes, integration: Integration) -> Valid | Refused:
    keys = WebhookKeys(integration.auth_tokens, integration.shared_keys)
    headers: Mapping[str, str] = request.headers
    return verify(method=request.method, url=url, headers=headers, body=body, keys=keys)


def _within(peer: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _answer(body: bytes) -> Response:
    return Response(body, media_type=twiml.CONTENT_TYPE)


async def inbound(request: Request) -> Response:
    """A person's message. The answer comes later by REST, or in the response when the integration asks for it."""
    here: Webhooks = request.app.state.webhooks
    started = here.clock.monotonic()
    check_address(request)
    integration, form = await here.admit(request, request.path_params["integration_id"])
    message = messaging.parse_inbound(form)
    accepted = await here.acceptor.accept(integration, arrival_of(integration, message, here.clock.now()))
    ACCEPTED.labels(accepted.state).inc()
    budget = integration.settings.inline_budget_ms / 1000
    replies: list[tuple[str, str | None]] = []
    # Of a delivery that comes twice the later response is the one that Twilio still listens to.
    waits_for = accepted.message_id if accepted.state == "unanswered" else accepted.duplicate_of
    if budget > 0 and waits_for is not None:
        left = budget - (here.clock.monotonic() - started)
        rows = await here.inline.answer(integration, waits_for, left)
        base = here.public_url or here.url_of(request).partition("/twilio/")[0]
        replies = [(row.body, status_callback(base, row)) for row in rows]
    ACKNOWLEDGED.observe(here.clock.monotonic() - started)
    return _answer(twiml.messages(replies))


async def status(request: Request) -> Response:
    """How one of our messages fares."""
    here: Webhooks = request.app.state.webhooks
    check_address(request)
    integration, form = await here.admit(request, request.path_params["integration_id"])
    told = messaging.parse_status(form)
    if told.status not in (Status.RECEIVED, Status.RECEIVING):
        await _apply(here, integration, told, request.query_params.get("message"))
    return Response(status_code=204)


async def _apply(here: Webhooks, integration: Integration, told: StatusUpdate, message_id: str | None) -> None:
    reason = told.error_message or (treatment(told.error_code).sentence if told.error_code else None)
    async with here.db.tenant(integration.account_id) as conn:
        state = await outbox_store.apply_status(
            conn,
            integration.account_id,
            outbox_store.Status(message_id, told.sid, told.status, told.error_code, reason),
            advance,
            heeded,
            integration.opt_out_scope,
            here.clock.now(),
        )
    if state is None:
        log.info("status of an unknown message", integration=integration.id, status=told.status)


def advance(current: str, incoming: str) -> str:
    """The further of our state and Twilio's status. Our own states come before all of Twilio's but the withheld one."""
    if current == "withheld":
        return current
    try:
        now = Status(current)
    except ValueError:
        return incoming
    return messaging.advance(now, Status(incoming))


# Every message comes this way: the framework's reading of parameters would cost more than ours of the form.
ROUTES = (
    Route("/twilio/{integration_id}/messages", inbound, methods=["POST"]),
    Route("/twilio/{integration_id}/fallback", inbound, methods=["POST"]),
    Route("/twilio/{integration_id}/status", status, methods=["POST"]),
)
