"""A call of speech to speech as ours: its functions are done here, and its turns become turns of the session."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace

import structlog

from hookflash.assistant import realtime as told
from hookflash.assistant.act import Acting
from hookflash.assistant.tool import Tool, Toolbox
from hookflash.base.ids import new_id
from hookflash.channels.recorder import Recorder
from hookflash.channels.voice_jobs import REMEMBERED, Switchboard, Talk, Thinking
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, HandOff, Turn, Usage
from hookflash.safety.pii import mask_numbers
from hookflash.speech.events import EndCall, Heard, Measured, TransferTo
from hookflash.speech.realtime_events import Spent
from hookflash.speech.run_realtime import Outcome
from hookflash.speech.sts import Opening

log = structlog.get_logger()

UNREADABLE = "The arguments were not as described. Call it again as described."
UNKNOWN = "There is no such function."
DONE = "Done."
TOLD_COLLEAGUE = "A colleague has been told and will get back to the customer. Say so."
MUST_NOT = "This must not be answered. Say that you cannot help with it."


def opening(talk: Talk, tools: tuple[Tool, ...] = (), about: tuple[str, ...] = ()) -> Opening:
    """How the talk with the vendor begins: the assistant's rules and functions, what was said before, and is known."""
    voice = talk.voice
    hands_off = can_hand_off(talk)
    return Opening(
        instructions=told.instructions(talk.config, voice.language, hands_off=hands_off, tools=tools, about=about),
        functions=told.functions(hands_off=hands_off, tools=tools),
        history=tuple((e.said, e.answered) for e in talk.history[-REMEMBERED:]),
        voice=voice.voice or None,
        language=voice.language,
        hints=voice.hints,
        patience=voice.patience,
        interruptible=voice.interruptible,
    )


def can_hand_off(talk: Talk) -> bool:
    return bool(talk.config.hand_off or talk.voice.transfer_to)


@dataclass(slots=True)
class _Turn:
    """What is known of a turn before it is kept."""

    found: list[Ending] = field(default_factory=list)
    hand_off: str | None = None
    usage: Usage = field(default_factory=Usage)
    acting: Acting | None = None


class RealtimeMind:
    """Does what the vendor's functions say, and keeps the turns of one call."""

    def __init__(
        self,
        switchboard: Switchboard,
        lookup: Answerer,
        talk: Talk,
        model: str,
        recorder: Recorder,
        toolbox: Toolbox,
        verified: Callable[[Turn], Awaitable[bool]],
        tools: tuple[Tool, ...],
    ) -> None:
        self._switchboard = switchboard
        self._toolbox = toolbox
        self._verified = verified
        self._tools = tools
        self._searching = replace(switchboard, answer=lookup)
        self._talk = talk
        self._model = model
        self._recorder = recorder
        self._saying = ""
        self._turns: dict[int, _Turn] = {}

    async def use(self, turn: int, name: str, arguments: str) -> Outcome:
        match name:
            case told.SEARCH:
                question = told.argument(arguments)
                return await self._search(turn, question) if question else Outcome(UNREADABLE)
            case told.HAND_OFF if can_hand_off(self._talk):
                return self._hand_off(turn, told.argument(arguments) or "asked for a person")
            case told.END_CALL:
                return Outcome(DONE, EndCall("the caller has said goodbye"))
            case _ if any(tool.name == name for tool in self._tools):
                return await self._act(turn, name, arguments)
            case _:
                log.warning("the model wants a function that is not there", call=self._talk.call.id)
                return Outcome(UNKNOWN)

    async def _search(self, turn: int, question: str) -> Outcome:
        pieces: list[str] = []

        async def say(segment: Segment) -> None:
            pieces.append(segment.text)

        record = await self._searching.think(self._talk, turn, question, say, self._talk.voice.language)
        if record.ending is not None:
            # The vendor wrote down what it was asked, perhaps with numbers of cards.
            self._of(turn).found.append(replace(record.ending, question=mask_numbers(record.ending.question)))
        elif isinstance(record.verdict, HandOff) and can_hand_off(self._talk):
            return self._hand_off(turn, record.verdict.why)
        return Outcome("".join(pieces) or MUST_NOT)

    async def _act(self, turn: int, name: str, arguments: str) -> Outcome:
        known, talk = self._of(turn), self._talk
        if known.acting is None:
            asking = self._switchboard.turn(talk, arguments, talk.voice.language)
            # A code that is spoken here would be heard by the vendor: who is not verified yet is refused.
            verified = await self._verified(asking)
            known.acting = Acting(asking, talk.config, self._toolbox, self._tools, verified)
        output = await told.act(known.acting, name, arguments, known.usage.model_micros)
        if known.acting.hand_off is not None and known.hand_off is None:
            return self._hand_off(turn, known.acting.hand_off)
        return Outcome(UNREADABLE if output is None else output)

    def _hand_off(self, turn: int, reason: str) -> Outcome:
        self._of(turn).hand_off = reason
        target = self._talk.voice.transfer_to
        return Outcome(DONE, TransferTo(target)) if target else Outcome(TOLD_COLLEAGUE)

    def spent(self, spent: Spent) -> bool:
        self._talk.add_cost("stt" if spent.words else "llm", spent.micros)
        turn = self._of(spent.turn)
        turn.usage = Usage(
            turn.usage.input_tokens + spent.input_tokens,
            turn.usage.output_tokens + spent.output_tokens,
            model_micros=turn.usage.model_micros + spent.micros,
        )
        return not self._talk.too_dear

    def said(self, words: str) -> None:
        self._recorder.heard(words)

    def saying(self, words: str) -> None:
        self._saying += words
        self._recorder.replying(self._saying)

    async def keep(self, heard: Heard, measured: Measured | None) -> None:
        talk = self._talk
        known = self._turns.pop(heard.turn, _Turn())
        # What belongs to no turn, such as the greeting, is paid for with the next one.
        beside = self._turns.pop(0, _Turn()).usage
        usage = Usage(
            known.usage.input_tokens + beside.input_tokens,
            known.usage.output_tokens + beside.output_tokens,
            model_micros=known.usage.model_micros + beside.model_micros,
        )
        before = talk.turns.get(heard.turn) or Thinking(new_id("turn"))
        ending = told.concluded(
            talk.config,
            known.found,
            said=mask_numbers(heard.said),
            whole=mask_numbers(heard.whole),
            model=self._model,
            language=talk.call.contact.language or talk.voice.language.partition("-")[0],
            usage=usage,
            hand_off=known.hand_off,
            tools=tuple(known.acting.used) if known.acting else (),
        )
        talk.turns[heard.turn] = replace(before, ending=ending, hand_off=known.hand_off or before.hand_off)
        measures = asdict(measured) if measured else {}
        measures.pop("turn", None)
        await self._switchboard.settle(
            talk,
            heard.turn,
            said=heard.said,
            heard=heard.heard,
            whole=heard.whole,
            interrupted=heard.interrupted,
            measures=measures,
        )
        self._saying = ""
        self._recorder.settled(heard.whole)

    def _of(self, turn: int) -> _Turn:
        return self._turns.setdefault(turn, _Turn())
