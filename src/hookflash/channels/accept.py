"""The first act of a text: gates, then one transaction that stores the message with all that follows from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from hookflash.assistant.code_words import Code, Unlike, listen
from hookflash.assistant.code_words import conceal as without_code
from hookflash.base.clock import Clock
from hookflash.base.phone import Address, Kind
from hookflash.channels.gates import GATES
from hookflash.channels.integration import Integration
from hookflash.compliance import keywords
from hookflash.conversation.intake import Arrival, Decided, Standing, Taken, decide
from hookflash.conversation.message import Media
from hookflash.conversation.turn import Pass, Reply, Silence, Verdict
from hookflash.safety.personal import conceal
from hookflash.twilio.messaging import InboundMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a delivery: `message_id` is None for a duplicate (of `duplicate_of`); `state` as stored; the verdicts in order."""

    message_id: str | None
    state: str
    verdicts: Decided
    duplicate_of: str | None = None


Judge = Callable[[Integration, Standing], tuple[Arrival, Taken | None, Decided]]


class IntakeStore(Protocol):
    """Takes an arrival in, in one transaction: reads the sender's standing, has it judged, and stores what follows.

    It is judged by the integration as it is then, should it have changed. Gives the message's id (None for a duplicate)
    and what the judge decided.
    """

    async def take_in(
        self, integration: Integration, arrival: Arrival, judge: Judge
    ) -> tuple[str | None, Taken | None, Decided]: ...


class Acceptor:
    """Takes messages in, whether a webhook brings them or they are found later."""

    def __init__(self, store: IntakeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def accept(self, integration: Integration, arrival: Arrival) -> Accepted:
        """Claim, judge and store one arrival; no outside call. Raises Unavailable when the database is away."""

        have: str | None = None

        def judge(integration: Integration, standing: Standing) -> tuple[Arrival, Taken | None, Decided]:
            nonlocal have
            have = standing.seen
            judged = self._with_keyword(integration, arrival, standing)
            rules = integration.rules(standing.language or "en")
            verdicts = decide(GATES, judged, standing, rules, self._clock.now())
            # After the gates: to them one masked code is like the other, as if somebody said the same again and again.
            judged = concealed(judged) if standing.awaits_code else judged
            return judged, None if standing.seen else _taken(integration, judged.text, verdicts), verdicts

        message_id, taken, verdicts = await self._store.take_in(integration, arrival, judge)
        return Accepted(message_id, taken.state if taken and message_id else "duplicate", verdicts, have)

    @staticmethod
    def _with_keyword(integration: Integration, arrival: Arrival, standing: Standing) -> Arrival:
        if integration.kind is Kind.WEB:
            # The words are about messages to a phone; in a conversation on a page they are words.
            return arrival
        settings = integration.settings
        own = {"stop": settings.stop_words, "start": settings.start_words, "help": settings.help_words}
        opt_out_type = arrival.raw.get("OptOutType")
        word = keywords.classify(
            arrival.text,
            opt_out_type[0] if isinstance(opt_out_type, list) and opt_out_type else None,
            opted_out=standing.opted_out,
            own=own,
        )
        if word is None:
            return arrival
        standard = keywords.classify(arrival.text, opted_out=standing.opted_out) is not None
        answers = bool(opt_out_type) or (standard and integration.twilio_answers_keywords(arrival.address.kind))
        return replace(arrival, word=word, vendor_answers=answers)


def concealed(arrival: Arrival) -> Arrival:
    """An arrival as it may be kept while a code is awaited; the code goes beside it."""
    heard = listen(arrival.text)
    if not isinstance(heard, Code | Unlike):
        return arrival
    masked = without_code(arrival.text)

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(each) for each in value]
        return masked if value == arrival.text else value

    raw = {name: without(value) for name, value in arrival.raw.items()}
    given = heard.digits if isinstance(heard, Code) else "-"
    return replace(arrival, text=masked, raw=raw, given=given)


def _taken(integration: Integration, text: str, verdicts: Decided) -> Taken:
    last: Verdict = verdicts[-1][1]
    match last:
        case Pass():
            state, why, notice = "unanswered", None, None
        case Reply(text=text, why=reason):
            state, why, notice = "answered", reason, text
        case Silence(why=reason):
            name = verdicts[-1][0]
            state = {"human": "human", "age": "stale"}.get(name, "silenced")
            why, notice = reason, None
        case _:  # pragma: no cover - no intake gate hands off
            state, why, notice = "human", "handed over", None
    settings = integration.settings
    return Taken(
        state=state,
        why=why,
        burst_ms=settings.burst_ms,
        scope=integration.opt_out_scope,
        collect=settings.contact_collection,
        settings=settings.of_session(),
        notice=notice,
        verdicts=[[name, type(v).__name__, getattr(v, "why", None)] for name, v in verdicts],
        logged=conceal(text, integration.assistant.safety.pii.keep_out),
    )


def arrival_of(integration: Integration, message: InboundMessage, at: datetime, via: str = "webhook") -> Arrival:
    """A message of Twilio's webhook as an arrival of this integration."""
    raw: dict[str, Any] = dict(message.raw)
    sender = message.to
    if sender.kind is Kind.SMS and integration.kind is Kind.WHATSAPP:
        sender = Address(Kind.WHATSAPP, sender.value)
    return Arrival(
        account_id=integration.account_id,
        integration_id=integration.id,
        sid=message.sid,
        address=message.sender,
        sender=sender,
        text=message.text,
        media=tuple(Media(m.content_type, url=m.url) for m in message.media),
        at=at,
        via=via,
        name=message.profile_name,
        raw=raw,
    )
