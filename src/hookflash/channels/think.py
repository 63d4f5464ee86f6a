"""The second act of a text: what was said becomes a turn, the turn becomes messages that fit their channel."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import anyio
import structlog

from hookflash.assistant import cost
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.masked import names_of
from hookflash.assistant.templates import text as template
from hookflash.base.clock import Clock
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.base.tasks import bare_error
from hookflash.channels.gauges import ANSWERED, DEGRADED
from hookflash.channels.integration import Integration, line_traits
from hookflash.conversation.lane import Acknowledge, Held, Outgoing, Thought, Unanswered
from hookflash.conversation.message import Message
from hookflash.conversation.take_turn import TextLine, take_turn
from hookflash.conversation.turn import (
    Answerer,
    Check,
    Ending,
    HandOff,
    NamedGates,
    Pass,
    Reply,
    Silence,
    Turn,
    TurnRecord,
    ending_record,
    verdicts_record,
)
from hookflash.safety.personal import conceal, concealed, unsaid
from hookflash.twilio.plain_text import to_plain
from hookflash.twilio.segments import count, shorten, smart, split

INLINE_GRACE = 0.75

log = structlog.get_logger()


class ThinkStore(Protocol):
    """What thinking needs of the database."""

    async def integration(self, account_id: str, integration_id: str) -> Integration: ...


FetchMedia = Callable[[Integration, Message], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Thinker:
    """Takes the turn of a lane. `fetch_media` brings a message's attachments here and puts voice notes into words."""

    store: ThinkStore
    clock: Clock
    answer: Answerer
    fetch_media: FetchMedia
    gates: NamedGates = ()
    checks: Sequence[Check] = ()
    prices: dict[str, int] | None = None
    point: Callable[[str], None] = lambda name: None

    async def think(self, held: Held, unanswered: Unanswered, acknowledge: Acknowledge) -> Thought:
        """One turn over all that was said; `acknowledge` is called once when it takes long."""
        self.point("in_generation")
        integration = await self.store.integration(held.account_id, unanswered.integration_id)
        config = AssistantConfig.stored(unanswered.session.config)
        started = self.clock.monotonic()
        with bare_error():
            said, turn, record = await self._take(held, unanswered, integration, config, acknowledge)
        thinking = (self.clock.monotonic() - started) * 1000
        if record.ending is not None:
            ANSWERED.labels(record.ending.kind).observe(unanswered.waited + thinking / 1000)
            for reason in record.ending.degraded:
                DEGRADED.labels(reason.partition(":")[0][:40]).inc()
            if record.ending.degraded:
                log.warning("answer degraded", turn=turn.id, reasons=list(record.ending.degraded))
        return self._thought(replace(unanswered, messages=said), integration, config, turn, record, thinking)

    async def _take(
        self,
        held: Held,
        unanswered: Unanswered,
        integration: Integration,
        config: AssistantConfig,
        acknowledge: Acknowledge,
    ) -> tuple[tuple[Message, ...], Turn, TurnRecord]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._acknowledge, unanswered, config, acknowledge)
            said = tuple([await self.fetch_media(integration, m) for m in unanswered.messages])
            turn = self._turn(held, replace(unanswered, messages=said), config)
            record = await take_turn(turn, gates=self.gates, answer=self.answer, checks=self.checks, line=TextLine())
            tasks.cancel_scope.cancel()
        return said, turn, record

    def _turn(self, held: Held, unanswered: Unanswered, config: AssistantConfig) -> Turn:
        sender = Address.parse(unanswered.sender)
        return Turn(
            id=new_id("turn"),
            account_id=held.account_id,
            integration_id=unanswered.integration_id,
            contact=unanswered.contact,
            session=unanswered.session,
            said=unanswered.messages,
            history=unanswered.history,
            line=line_traits(sender, config.segment_budget),
            now=self.clock.now(),
        )

    async def _acknowledge(self, unanswered: Unanswered, config: AssistantConfig, acknowledge: Acknowledge) -> None:
        after = unanswered.settings.get("acknowledge_after_ms", 0) / 1000
        if after <= 0:
            return
        await self.clock.sleep(after - unanswered.waited)
        language = unanswered.contact.language or "en"
        body = template("acknowledge", language, company=config.company, overrides=config.templates)
        with anyio.CancelScope(shield=True):
            await acknowledge(self._outgoing(unanswered, smart(body), "acknowledgement"))

    def _outgoing(self, unanswered: Unanswered, body: str, kind: str = "answer", delay: float = 0.0) -> Outgoing:
        sender, address = Address.parse(unanswered.sender), unanswered.messages[-1].address
        number = count(body).number if sender.kind is Kind.SMS else 1
        price = cost.texts(sender.kind, address.country, number, prices=self.prices)
        return Outgoing(body, kind, delay, number, price.micros)

    def _thought(
        self,
        unanswered: Unanswered,
        integration: Integration,
        config: AssistantConfig,
        turn: Turn,
        record: TurnRecord,
        thinking: float,
    ) -> Thought:
        ending = record.ending
        heard = unsaid(record.heard, turn.words, config.safety.pii.keep_out)
        bodies = compose(heard, turn.line.name, turn.line.segment_budget, turn.line.max_chars)
        budget = unanswered.settings.get("inline_budget_ms", 0) / 1000
        left = budget - unanswered.waited - thinking / 1000
        delay = left + INLINE_GRACE if left > 0 else 0.0
        outgoing = tuple(self._outgoing(unanswered, body, delay=delay) for body in bodies)
        text_micros = sum(out.cost_micros for out in outgoing)
        state, why, kind, hand_off = _outcome(record)
        kept = partial(conceal, kinds=config.safety.pii.keep_out, names=names_of(turn.contact))
        return Thought(
            unanswered=unanswered,
            turn_id=turn.id,
            state=state,
            why=why,
            said=kept(turn.words),
            question=kept(ending.question) if ending else None,
            answered=kept("\n".join(bodies)),
            kind=kind,
            confidence=ending.confidence if ending else None,
            model=ending.model if ending else None,
            prompt_revision=ending.prompt_revision if ending else None,
            language=ending.language if ending else None,
            record=_record(
                replace(record, ending=kept_ending(ending, config.safety.pii.keep_out)),
                text_micros,
                thinking,
                unanswered.waited,
                [o.segments for o in outgoing],
            ),
            outgoing=outgoing,
            cost_micros=text_micros + (ending.usage.model_micros + ending.usage.embedding_micros if ending else 0),
            scope=integration.opt_out_scope,
            hand_off=hand_off if config.hand_off else None,
            rate_after=config.ask_rating.after_minutes * 60.0
            if config.ask_rating.enabled and kind == "answered" and hand_off is None
            else None,
            concealed={m.id: text for m in unanswered.messages if (text := kept(m.text)) != m.text},
        )


def compose(text: str, line: str, segment_budget: int | None, max_chars: int) -> list[str]:
    """A reply as the messages that carry it: plain text, GSM-7 where that keeps the meaning, within budget and limit."""
    plain = to_plain(text, whatsapp=line == "whatsapp")
    if line == "sms":
        plain = smart(plain)
        if segment_budget is not None:
            plain = shorten(plain, segment_budget)
    return split(plain, max_chars) if plain else []


def _outcome(record: TurnRecord) -> tuple[str, str | None, str, str | None]:
    """State of the messages answered, why, the turn's kind, and the reason for a hand-off."""
    ending: Ending | None = record.ending
    if ending is not None:
        return "answered", None, ending.kind, ending.hand_off
    match record.verdict:
        case Reply(why=why):
            return "answered", why, "reply", None
        case Silence(why=why):
            return "silenced", why, "silence", None
        case HandOff(why=why):
            return "human", why, "hand_off", why
        case Pass():  # pragma: no cover - a turn without ending was stopped by a verdict
            return "answered", None, "reply", None


def kept_ending(ending: Ending | None, kinds: Sequence[str]) -> Ending | None:
    """An ending in which what tools were given and gave, and what was found wrong, has nothing that must not be kept."""
    if ending is None or not (ending.tools or ending.degraded):
        return ending
    tools = tuple(
        replace(use, arguments=concealed(use.arguments, kinds), text=conceal(use.text, kinds)) for use in ending.tools
    )
    return replace(ending, tools=tools, degraded=tuple(conceal(note, kinds) for note in ending.degraded))


def _record(
    record: TurnRecord, text_micros: int, thinking: float, waited: float, segments: list[int | None]
) -> dict[str, Any]:
    ending = record.ending
    stages = {"waited": round(waited * 1000, 1), "thinking": round(thinking, 1)}
    if ending is not None:
        stages |= {name: round(ms, 1) for name, ms in ending.stages.items()}
    return {
        "verdicts": verdicts_record(record.verdicts),
        "text_micros": text_micros,
        "segments": segments,
        **ending_record(ending),
        "stages": stages,
    }
