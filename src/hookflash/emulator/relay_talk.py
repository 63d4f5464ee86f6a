"""What ConversationRelay is saying: tokens spoken one after the other at an even rate, cut where an interruption comes."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Piece:
    start: float
    end: float
    text: str
    interruptible: bool
    preemptible: bool


@dataclass(slots=True)
class Utterance:
    """Tokens that belong together; `last`: no more will come."""

    pieces: list[_Piece] = field(default_factory=list)
    last: bool = False

    @property
    def began(self) -> float:
        return self.pieces[0].start

    @property
    def end(self) -> float:
        return self.pieces[-1].end

    def until(self, now: float) -> str:
        """The words that have been spoken by then; a word that is cut off does not count."""
        said = ""
        for piece in self.pieces:
            if piece.end <= now:
                said += piece.text
                continue
            if piece.start < now:
                share = (now - piece.start) / (piece.end - piece.start)
                part = piece.text[: int(share * len(piece.text))]
                said += part
            # Back to the end of a word, unless the cut fell exactly there.
            rest = "".join(p.text for p in self.pieces)[len(said) :]
            if said and rest and not said[-1].isspace() and not rest[0].isspace():
                said = said[: max((i + 1 for i, letter in enumerate(said) if letter.isspace()), default=0)]
            break
        return said.strip()


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance that is over: what the person heard of it, and when it began."""

    text: str
    began: float
    interrupted: bool = False


class Talk:
    """`rate` is characters a second. Every call says what time it is, never backwards."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._utterances: list[Utterance] = []

    def add(
        self, token: str, now: float, *, last: bool, interruptible: bool = True, preemptible: bool = False
    ) -> tuple[float, float] | None:
        """Say a token after what is being said; from when to when it is spoken, None when there is nothing to speak."""
        if not self._utterances or self._utterances[-1].last:
            self._utterances.append(Utterance())
        utterance = self._utterances[-1]
        span = (
            self._append(utterance, token, len(token) / self._rate, now, interruptible, preemptible) if token else None
        )
        utterance.last = last
        if last and not utterance.pieces:
            self._utterances.pop()
        return span

    def play(self, seconds: float, now: float, *, interruptible: bool, preemptible: bool) -> tuple[float, float]:
        """Play a file after what is being said."""
        utterance = Utterance(last=True)
        self._utterances.append(utterance)
        return self._append(utterance, "", seconds, now, interruptible, preemptible)

    def _append(
        self, utterance: Utterance, text: str, seconds: float, now: float, interruptible: bool, preemptible: bool
    ) -> tuple[float, float]:
        start = max(now, max((u.end for u in self._utterances if u.pieces), default=now))
        utterance.pieces.append(_Piece(start, start + seconds, text, interruptible, preemptible))
        return start, start + seconds

    def is_speaking(self, now: float) -> bool:
        return any(u.pieces and now < u.end for u in self._utterances)

    def can_interrupt(self, now: float) -> bool:
        """Whether what is spoken at this moment may be interrupted."""
        piece = next((p for u in self._utterances for p in u.pieces if now < p.end), None)
        return piece is not None and piece.interruptible

    def preempt(self, now: float) -> list[Heard]:
        """New talk has come: drop what is being said if it was sent as preemptible."""
        piece = next((p for u in self._utterances for p in u.pieces if now < p.end), None)
        return self.interrupt(now) if piece is not None and piece.preemptible else []

    def interrupt(self, now: float) -> list[Heard]:
        """Fall silent; what was heard of the utterances that were being spoken, in order."""
        heard = [Heard(u.until(now), u.began, True) for u in self._utterances if u.pieces and u.began < now]
        # Tokens of it that still come are spoken: that they stop is the bot's business.
        self._utterances.clear()
        return heard

    def finished(self, now: float) -> list[Heard]:
        """The utterances that have been spoken to their end since they were last asked for."""
        over = []
        while self._utterances and self._utterances[0].last and self._utterances[0].end <= now:
            utterance = self._utterances.pop(0)
            over.append(Heard(utterance.until(now), utterance.began))
        return over
