"""Prompts and `<Gather>`: what is said to the person, and what they say or press meanwhile and afterwards."""

from hookflash.emulator.calls import Callback, call_params
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.person import Moment, Utterance
from hookflash.emulator.sound import FRAME_SECONDS, SILENCE
from hookflash.emulator.voice_twiml import Verb

_MOST_LOOPS = 1000
_CONFIDENCE = "0.93"


async def play_prompt(leg: Leg, verb: Verb) -> None:
    """Say, Play or Pause, to its end."""
    for _ in range(_loops(verb)):
        await _queue(leg, verb)
        while leg.ear.queued(leg.at) > 0:
            await leg.tick()


async def _queue(leg: Leg, verb: Verb) -> None:
    """Put a prompt into the person's ear, behind what is there."""
    match verb.name:
        case "Say":
            leg.play(await leg.speech(verb.text, verb.get("language") or None))
        case "Play" if verb.get("digits"):
            leg.note("send_digits", digits=verb.get("digits"))
            leg.ear.play(SILENCE * (25 * len(verb.get("digits"))), leg.at)
        case "Play":
            leg.play(await leg.sound_at(leg.address(verb.text)))
        case _:
            leg.ear.play(SILENCE * round(verb.number("length", 1) / FRAME_SECONDS), leg.at)


def _loops(verb: Verb) -> int:
    return round(verb.number("loop", 1)) or _MOST_LOOPS


async def gather(leg: Leg, verb: Verb) -> Program | None:
    """Ask `action` with what was gathered; with nothing, go on, unless actionOnEmptyResult."""
    collected = _Collecting(leg, verb)
    for prompt in verb.children:
        for _ in range(min(_loops(prompt), 100)):
            await _queue(leg, prompt)
    while not collected.done(leg.at):
        moment = await leg.tick()
        collected.take(moment, leg.at)
    collected.stop_prompt()
    result = collected.result
    leg.note("gather", **result)
    if not any(result.values()) and not verb.flag("actionOnEmptyResult"):
        return None
    return Ask(leg.address(verb.get("action")) or leg.base, verb.get("method", "POST").upper(), result)


class _Collecting:
    def __init__(self, leg: Leg, verb: Verb) -> None:
        self._leg = leg
        kinds = verb.get("input", "dtmf").split()
        self._speech, self._keys = "speech" in kinds, "dtmf" in kinds
        self._timeout = verb.number("timeout", 5)
        wait = verb.get("speechTimeout")
        self._speech_timeout = 0.5 if wait == "auto" else verb.number("speechTimeout", self._timeout)
        self._most = round(verb.number("numDigits", 0)) or None
        self._finish = verb.get("finishOnKey", "#")
        address = verb.get("partialResultCallback")
        method = verb.get("partialResultCallbackMethod", "POST").upper()
        self._partial = Callback(leg.address(address), method) if address else None
        self._sequence = 0
        self._shown = ""
        self._digits = ""
        self._words: list[str] = []
        self._talking: Utterance | None = None
        self._last: float | None = None  # when the last input ended
        self._free_from = leg.at  # when prompts and talk ended
        self._complete = False

    def take(self, moment: Moment, now: float) -> None:
        if moment.digit and self._keys:
            self._press(moment.digit, now)
        if moment.began and self._speech:
            self.stop_prompt()
            self._talking = moment.began
        if self._talking:
            self._show(self._talking.words_so_far)
        if moment.ended and self._talking is moment.ended:
            self._talking = None
            self._last = now
            if moment.ended.text:
                self._words.append(moment.ended.text)

    def _press(self, digit: str, now: float) -> None:
        self.stop_prompt()
        self._last = now
        if digit in self._finish:
            self._complete = True
            return
        self._digits += digit
        self._complete = len(self._digits) == self._most

    def stop_prompt(self) -> None:
        self._leg.ear.clear(self._leg.at)

    def done(self, now: float) -> bool:
        if self._complete:
            return True
        if self._talking or self._leg.ear.queued(now) > 0:
            self._free_from = now
            return False
        since = self._free_from if self._last is None else max(self._last, self._free_from)
        patience = self._speech_timeout if self._words and not self._digits else self._timeout
        return now - since >= patience

    @property
    def result(self) -> dict[str, str]:
        """The parameters of the action; of what was asked for and not given, empty ones."""
        if self._words and not self._digits:
            return {"SpeechResult": " ".join(self._words), "Confidence": _CONFIDENCE}
        if self._digits or not self._speech:
            return {"Digits": self._digits}
        return {"SpeechResult": ""}

    def _show(self, words: str) -> None:
        """Report what has been understood so far, if somebody wants to know and it has grown."""
        if self._partial is None or not words or words == self._shown:
            return
        self._shown = words
        leg = self._leg
        params = call_params(leg.desk.cloud.account_sid, leg.call) | {
            "SequenceNumber": str(self._sequence),
            "UnstableSpeechResult": words,
            "StableSpeechResult": words.rpartition(" ")[0],
        }
        self._sequence += 1
        leg.post(self._partial, params)
