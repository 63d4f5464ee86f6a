"""Errands of tools: a link by text, a message for later; each leaves once, by day, and only to who wants messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from hookflash.assistant import cost
from hookflash.assistant.builtin import SCHEDULE, SEND_LINK, Builtin, Run
from hookflash.assistant.notation import read
from hookflash.assistant.tool import ToolAnswer, ToolOutcome, ToolRefused
from hookflash.base.clock import Clock
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Integration
from hookflash.channels.proof_jobs import opted_out, sender_of
from hookflash.channels.store import Integrations
from hookflash.compliance.permit import Allowed, Never, NotBefore, Permit, zones_of
from hookflash.conversation import schedule_store as schedule
from hookflash.conversation.outbox_store import Extra, put
from hookflash.conversation.schedule_store import Scheduled
from hookflash.conversation.turn import Turn
from hookflash.db.jobs import Task, defer
from hookflash.db.pool import Connection, Database
from hookflash.twilio.segments import count

TASK = "channels.scheduled"
# The kind of a message that a tool sends.
KIND = "tool"
MOST_PENDING = 3
FURTHEST = timedelta(days=90)
# WhatsApp lets a company write freely for so long after a person did.
WHATSAPP_WINDOW = timedelta(hours=24)
MOST_TEXT = 600

_LINK = """{
  // The whole address, beginning with https://
  url: string;
  // One short sentence that goes before it, in the customer's language.
  text?: string
}"""
_LATER = """{
  // The whole message, in the customer's language.
  text: string;
  // The customer's local date and time, such as 2026-03-01T09:30.
  at: string
}"""


@dataclass(frozen=True, slots=True)
class Errands:
    """The tools of the house that send something."""

    db: Database
    clock: Clock
    integrations: Integrations
    permit: Permit

    def builtins(self) -> dict[str, Builtin]:
        link = Builtin(
            SEND_LINK,
            "Send the customer a link by text, such as one that they asked for on the telephone.",
            read(_LINK),
            self._link({}),
            "hosts",
            self._link,
        )
        later = Builtin(
            SCHEDULE,
            "Send the customer a message later, such as a reminder that they asked for.",
            read(_LATER),
            self.schedule,
        )
        return {link.name: link, later.name: later}

    def tasks(self) -> list[Task]:
        return [Task(TASK, self.send_scheduled)]

    def _link(self, config: Mapping[str, Any]) -> Run:
        allowed = {str(host).casefold() for host in config.get("hosts") or ()}

        async def run(turn: Turn, arguments: Mapping[str, Any], key: str) -> ToolOutcome:
            url = str(arguments["url"]).strip()
            if not _leads_to(url, allowed):
                return ToolRefused(f"links may lead to these only, by https: {', '.join(sorted(allowed))}")
            body = f"{str(arguments.get('text') or '').strip()} {url}".strip()
            if len(body) > MOST_TEXT:
                return ToolRefused(f"it may have at most {MOST_TEXT} characters")
            async with self.db.tenant(turn.account_id) as conn:
                way = await self._way(conn, turn)
                if isinstance(way, ToolRefused):
                    return way
                await put(conn, turn.account_id, way.message(f"msg_{key}", body, turn), self.clock.now())
            return ToolAnswer(f"The link is on its way to the customer's {way.kind} {way.masked}.")

        return run

    async def schedule(self, turn: Turn, arguments: Mapping[str, Any], key: str) -> ToolOutcome:
        """Put a message by for later."""
        text, now = str(arguments["text"]).strip(), self.clock.now()
        if not text or len(text) > MOST_TEXT:
            return ToolRefused(f"the text must have 1 to {MOST_TEXT} characters")
        async with self.db.tenant(turn.account_id) as conn:
            way = await self._way(conn, turn)
            if isinstance(way, ToolRefused):
                return way
            due = _moment(str(arguments["at"]), way.address, turn.contact.traits.get("time_zone"))
            if due is None:
                return ToolRefused("`at` must be a date and time such as 2026-03-01T09:30")
            if not now < due <= now + FURTHEST:
                return ToolRefused(
                    f"the time must lie ahead, and at most {FURTHEST.days} days; it is {now.isoformat()} now"
                )
            match self._permitted(way.address, due):
                case Never(why=why):
                    return ToolRefused(why)
                case NotBefore(when=when):
                    due = when
            if way.address.kind is Kind.WHATSAPP and due > now + WHATSAPP_WINDOW:
                return ToolRefused("on WhatsApp a message may be put by for at most 24 hours")
            if not await schedule.is_there(conn, key) and await schedule.pending(conn, turn.contact.id) >= MOST_PENDING:
                return ToolRefused(f"{MOST_PENDING} messages wait for this customer already, and more are not allowed")
            scheduled = Scheduled(
                f"msg_{key}",
                turn.contact.id,
                way.integration.id,
                str(way.address),
                way.sender,
                way.integration.opt_out_scope,
                text,
                due,
            )
            if await schedule.add(conn, turn.account_id, key, scheduled, now):
                await self._later(conn, turn.account_id, scheduled.id, due - now)
        return ToolAnswer(f"It will be sent at {due.astimezone(UTC).isoformat(timespec='minutes')} (UTC).")

    async def send_scheduled(self, account_id: str, message_id: str) -> None:
        """The hour of a message has come. Harmless to repeat."""
        now = self.clock.now()
        async with self.db.tenant(account_id) as conn:
            waiting = await schedule.waiting(conn, message_id)
            if waiting is None:
                return
            if waiting.due_at > now:
                await self._later(conn, account_id, message_id, waiting.due_at - now)
                return
            address = Address.parse(waiting.address)
            match self._permitted(address, now):
                case NotBefore(when=when):
                    await self._later(conn, account_id, message_id, when - now)
                case Never(why=why):
                    await schedule.close(conn, message_id, "canceled", why)
                case Allowed():
                    integration = await self.integrations.get(conn, waiting.integration_id)
                    way = _Way(integration, address, waiting.sender)
                    extra = way.message(waiting.id, waiting.body, None, contact_id=waiting.contact_id)
                    await put(conn, account_id, extra, now)
                    await schedule.close(conn, message_id, "sent", None)

    def _permitted(self, address: Address, when: datetime) -> Allowed | NotBefore | Never:
        # Who opts out meanwhile has it canceled, and a message that leaves is asked about once more.
        return self.permit(address, purpose="scheduled", channel=str(address.kind), opted_out=False, now=when)

    async def _later(self, conn: Connection, account_id: str, message_id: str, wait: timedelta) -> None:
        await defer(
            conn, TASK, schedule_in=max(wait, timedelta(seconds=1)), account_id=account_id, message_id=message_id
        )

    async def _way(self, conn: Connection, turn: Turn) -> "_Way | ToolRefused":
        """How this customer is written to: where they write from, or at the number they call from."""
        integration = await self.integrations.get(conn, turn.integration_id)
        said = turn.said[-1].address if turn.said else None
        address = Address(Kind.SMS, said.value) if said is not None and said.kind is Kind.VOICE else said
        if address is None or not address.is_number or address.kind is Kind.WEB:
            return ToolRefused("the customer has no number that texts can be sent to")
        if address.kind is Kind.SMS and integration.kind is Kind.WHATSAPP:
            address = Address(Kind.WHATSAPP, address.value)
        if await opted_out(conn, str(address), integration.opt_out_scope):
            return ToolRefused("the customer has asked for no more messages")
        return _Way(integration, address, await sender_of(conn, integration, turn.contact.id))


@dataclass(frozen=True, slots=True)
class _Way:
    """By which integration, from and to which address."""

    integration: Integration
    address: Address
    sender: str

    @property
    def kind(self) -> str:
        return "WhatsApp" if self.address.kind is Kind.WHATSAPP else "phone"

    @property
    def masked(self) -> str:
        return self.address.masked()

    def message(self, message_id: str, body: str, turn: Turn | None, *, contact_id: str = "") -> Extra:
        segments = count(body).number if self.address.kind is Kind.SMS else 1
        return Extra(
            id=message_id,
            contact_id=turn.contact.id if turn else contact_id,
            integration_id=self.integration.id,
            session_id=turn.session.id if turn else None,
            turn_id=turn.id if turn else None,
            address=str(self.address),
            sender=self.sender,
            body=body,
            kind=KIND,
            language=None,
            segments=segments,
            cost_micros=cost.texts(self.address.kind, self.address.country, segments).micros,
        )


def _leads_to(url: str, allowed: set[str]) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").casefold()
    except ValueError:
        return False
    plain = parts.scheme == "https" and not parts.username and not any(c.isspace() or c == "\\" for c in url)
    return plain and any(host == each or host.endswith(f".{each}") for each in allowed)


def _moment(text: str, address: Address, zone: object) -> datetime | None:
    """A local date and time as an instant; where several zones are possible, the latest of them."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    return max(moment.replace(tzinfo=each).astimezone(UTC) for each in zones_of(address, zone))
