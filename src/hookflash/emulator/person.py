"""The person at the other end of a call: what they say and press, and when, by the time and by what they hear."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from hookflash.base.errors import Misconfigured
from hookflash.emulator.earpiece import Earpiece
from hookflash.emulator.impairments import PERFECT, Impairments
from hookflash.emulator.sound import FRAME, SILENCE, Toneless, Voice, is_audible

_BETWEEN_DIGITS = 0.1


class At(msgspec.Struct, frozen=True, tag="at", tag_field="kind", forbid_unknown_fields=True):
    """That many seconds after the call was answered (or when the act before is over, if that is later)."""

    seconds: float


class AfterBot(msgspec.Struct, frozen=True, tag="after_bot", tag_field="kind", forbid_unknown_fields=True):
    """When the bot has spoken since the act before, and has been quiet for `pause` seconds."""

    pause: float = 0.7


class OverBot(msgspec.Struct, frozen=True, tag="over_bot", tag_field="kind", forbid_unknown_fields=True):
    """An interruption: when the bot has been speaking for `delay` seconds since the act before."""

    delay: float = 0.5


class Then(msgspec.Struct, frozen=True, tag="then", tag_field="kind", forbid_unknown_fields=True):
    """That many seconds after the end of the act before."""

    pause: float = 0.0


When = At | AfterBot | OverBot | Then


class Say(msgspec.Struct, frozen=True, tag="say", tag_field="do", forbid_unknown_fields=True):
    """Say words. Media Streams need a voice for them: espeak-ng."""

    text: str
    when: When = AfterBot()
    language: str | None = None


class Sound(msgspec.Struct, frozen=True, tag="sound", tag_field="do", forbid_unknown_fields=True):
    """Mu-law at 8 kHz (base64 in JSON); `text` is what a recogniser of Twilio's would make of it."""

    mulaw: bytes
    text: str = ""
    when: When = AfterBot()
    language: str | None = None


class Press(msgspec.Struct, frozen=True, tag="press", tag_field="do", forbid_unknown_fields=True):
    """Press keys, ten a second; `w` waits half a second."""

    digits: str
    when: When = AfterBot()


class HangUp(msgspec.Struct, frozen=True, tag="hang_up", tag_field="do", forbid_unknown_fields=True):
    """Put the receiver down."""

    when: When = AfterBot()


Act = Say | Sound | Press | HangUp


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person does in a call, one act after the other; afterwards they listen until the call ends.

    `interrupt_as_text`: ConversationRelay writes durationUntilInterruptMs as a string, as its older documentation has it.
    """

    acts: tuple[Act, ...] = ()
    impairments: Impairments = PERFECT
    interrupt_as_text: bool = False


@dataclass(slots=True, eq=False)
class Utterance:
    """Something that is being said: `played` bytes of its audio so far."""

    text: str
    language: str | None
    audio: bytes
    began: float
    played: int = 0

    @property
    def words_so_far(self) -> str:
        words = self.text.split()
        return " ".join(words[: int(len(words) * self.played / max(1, len(self.audio)))])


@dataclass(slots=True)
class Moment:
    """Twenty milliseconds of a person: the sound of it, and what began or happened in it."""

    frame: bytes
    began: Utterance | None = None
    ended: Utterance | None = None
    digit: str | None = None
    hung_up: bool = False


class Person:
    """Performs a script. `voice` says the texts; a toneless one gives them their time only."""

    def __init__(self, script: Script, toneless: Toneless) -> None:
        self._bad = script.impairments
        self._toneless = toneless
        self._voice: Voice = toneless
        self._acts: deque[Act] = deque(script.acts)
        self._sounds: dict[tuple[str, str | None], bytes] = {}
        self._free_from = 0.0
        self._digits: deque[str] = deque()
        self._next_digit = 0.0
        self.speaking: Utterance | None = None

    @property
    def idle(self) -> bool:
        """Whether the script is over."""
        return not self._acts and self.speaking is None and not self._digits

    async def take_voice(self, voice: Voice) -> None:
        """Say texts with this voice from now on; raises Misconfigured when it cannot speak."""
        self._voice = voice
        await self._rehearse(self._acts)

    async def add(self, *acts: Act) -> None:
        """Have more to do, after what is in the script."""
        await self._rehearse(acts)
        self._acts.extend(acts)

    async def _rehearse(self, acts: Iterable[Act]) -> None:
        for act in list(acts):
            if isinstance(act, Say) and self._voice.sounds:
                audio = await self._voice.say(act.text, act.language)
                if not is_audible(audio):
                    raise Misconfigured("The caller's voice says nothing audible for the text of the script.")
                self._sounds[act.text, act.language] = audio

    def tick(self, now: float, ear: Earpiece) -> Moment:
        """The next twenty milliseconds, which begin at `now` (seconds since the call was answered)."""
        moment = Moment(SILENCE)
        bad = self._bad
        if bad.hang_up_at is not None and now >= bad.hang_up_at:
            moment.hung_up = True
            return moment
        if self.speaking is None and not self._digits and self._acts and self._is_due(self._acts[0].when, now, ear):
            self._start(self._acts.popleft(), now, moment)
        if (speech := self.speaking) is not None:
            self._speak(speech, now, moment)
        elif self._digits and now >= self._next_digit:
            key = self._digits.popleft()
            moment.digit = None if key == "w" else key
            self._next_digit = now + (0.5 if key == "w" else _BETWEEN_DIGITS)
            self._free_from = now
        return moment

    def _is_due(self, when: When, now: float, ear: Earpiece) -> bool:
        match when:
            case At(seconds):
                return now >= seconds
            case Then(pause):
                return now >= self._free_from + pause
            case AfterBot(pause):
                return ear.quiet_from > self._free_from and now >= ear.quiet_from + pause
            case OverBot(delay):
                began = ear.began
                if began is None or not ear.is_speaking(now):
                    return False
                return now >= max(began, self._free_from) + delay

    def _start(self, act: Act, now: float, moment: Moment) -> None:
        match act:
            case HangUp():
                moment.hung_up = True
            case Press(digits):
                self._digits.extend(digits)
                self._next_digit = now
            case Say(text, language=language):
                audio = self._sounds.get((text, language)) or self._toneless.breath(text)
                self.speaking = moment.began = Utterance(text, language, audio, now)
            case Sound(mulaw, text, language=language):
                self.speaking = moment.began = Utterance(text, language, mulaw, now)

    def _speak(self, speech: Utterance, now: float, moment: Moment) -> None:
        frame = speech.audio[speech.played : speech.played + FRAME]
        speech.played += FRAME
        if len(frame) < FRAME:
            frame += SILENCE[len(frame) :]
        if self._bad.muted_from is None or now < self._bad.muted_from:
            moment.frame = frame
        if speech.played >= len(speech.audio):
            moment.ended, self.speaking = speech, None
            self._free_from = now


class Callee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a phone takes a call: after ringing for `rings` seconds it is answered, or not (`outcome`).

    `answered_by` is the verdict of answering machine detection, as Twilio spells it, after `detection` seconds.
    """

    outcome: Literal["answer", "busy", "no-answer", "failed"] = "answer"
    rings: float = 0.0
    script: Script = Script()
    answered_by: str = "human"
    detection: float = 0.0
