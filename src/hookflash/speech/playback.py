"""What the caller has really heard: Twilio plays what we send in order and tells by marks how far it has got."""

from dataclasses import dataclass, field

BYTES_PER_SECOND = 8000
# Twilio and the telephone network stand between our clock and the ear.
LATENCY = 0.15


@dataclass(slots=True)
class Utterance:
    """One phrase: its words, the audio that was sent of it, and when Twilio began to play it by our reckoning."""

    number: int
    text: str
    audio: bytearray = field(default_factory=bytearray)
    whole: bool = False
    begins: float | None = None
    played: bool = False

    @property
    def seconds(self) -> float:
        return len(self.audio) / BYTES_PER_SECOND

    def heard(self, at: float) -> str:
        """The words that were played by then, a word only when all of it was."""
        if self.played:
            return self.text
        if self.begins is None or not self.audio:
            return ""
        share = (at - LATENCY - self.begins) / self.seconds
        if not self.whole:
            share *= 0.8
        if share <= 0:
            return ""
        if share >= 1 and self.whole:
            return self.text
        return self.text[: _word_border(self.text, min(share, 1.0))].rstrip()


def _word_border(text: str, share: float) -> int:
    position = int(len(text) * share)
    if position >= len(text):
        return len(text)
    space = text.rfind(" ", 0, position + 1)
    return max(space, 0)


class Playback:
    """The utterances of the turn that is being spoken, and Twilio's queue as we believe it to be."""

    def __init__(self) -> None:
        self.generation = 0
        self._utterances: dict[int, Utterance] = {}
        self._until = 0.0

    @property
    def until(self) -> float:
        """When everything sent so far will have been played."""
        return self._until

    def begin(self, number: int, text: str) -> None:
        self._utterances[number] = Utterance(number, text)

    def sent(self, number: int, audio: bytes, now: float) -> None:
        """Audio of an utterance has left for Twilio."""
        utterance = self._utterances[number]
        start = max(self._until, now)
        if utterance.begins is None:
            utterance.begins = start
        utterance.audio += audio
        self._until = start + len(audio) / BYTES_PER_SECOND

    def complete(self, number: int) -> str:
        """All of an utterance has left; the name of the mark to set behind it."""
        self._utterances[number].whole = True
        return f"{self.generation}.{number}"

    def marked(self, name: str, now: float) -> int | None:
        """Of a mark that came back: the utterance that has been played, or None for one that was taken back or is not ours."""
        generation, _, number = name.partition(".")
        if generation != str(self.generation) or not number.isdecimal():
            return None
        utterance = self._utterances.get(int(number))
        if utterance is None or not utterance.whole:
            return None
        utterance.played = True
        behind = sum(u.seconds for u in self._utterances.values() if not u.played and u.begins is not None)
        self._until = now + behind
        return utterance.number

    def heard(self, now: float) -> str:
        """All that was played, in order."""
        spoken = (u.heard(now) for _, u in sorted(self._utterances.items()))
        return " ".join(filter(None, spoken))

    def take_back(self, now: float) -> list[tuple[int, bytes]]:
        """Twilio's queue is cleared: what was not played, by utterance, to be sent again if it was a false alarm.

        Marks of this generation say nothing any more.
        """
        left = []
        for number, utterance in sorted(self._utterances.items()):
            if utterance.played or utterance.begins is None:
                continue
            done = int(max(0.0, now - LATENCY - utterance.begins) * BYTES_PER_SECOND)
            if done < len(utterance.audio):
                left.append((number, bytes(utterance.audio[done:])))
            elif utterance.whole:
                utterance.played = True
        self.generation += 1
        self._until = now
        return left

    def resume(self, number: int, audio: bytes, now: float) -> None:
        """Audio that was taken back leaves again."""
        utterance = self._utterances[number]
        start = max(self._until, now)
        utterance.begins = start - (utterance.seconds - len(audio) / BYTES_PER_SECOND)
        self._until = start + len(audio) / BYTES_PER_SECOND

    def all_played(self, now: float) -> bool:
        """Whether nothing is left to be played: by marks, or because its time is long over (a mark may never come)."""
        return all(u.played for u in self._utterances.values()) or now > self._until + 2.0

    def started(self) -> float | None:
        """When the first sound was, or will be, played."""
        times = [u.begins for u in self._utterances.values() if u.begins is not None]
        return min(times) if times else None

    def forget(self) -> None:
        """A new turn begins; the generation moves on, so that late marks say nothing."""
        self._utterances.clear()
        self.generation += 1
