"""An answer before it is said: what nothing bears out is taken out, what should not be said is not; whole, or while it is spoken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.guard import judge
from hookflash.conversation.turn import ToolUse, Turn
from hookflash.knowledge.passage import Passage
from hookflash.knowledge.sentences import split_sentences
from hookflash.safety.config import SafetyConfig
from hookflash.safety.grounding import Checked as Sentence
from hookflash.safety.grounding import Evidence, ground
from hookflash.safety.moderation import Moderator, judged
from hookflash.speech.phrases import Phrases


@dataclass(frozen=True, slots=True)
class Checked:
    """`text` may be said (empty: nothing of it); `score` is how much of what was written is borne out; `notes` for the record."""

    text: str
    score: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checker:
    """Knows what an answer may rest on, and the assistant's rules."""

    config: SafetyConfig
    evidence: Evidence
    moderators: Callable[[str], Moderator]

    async def check(self, answer: str) -> Checked:
        """A whole answer of a model that writes."""
        if not answer.strip():
            return Checked("", 1.0)
        rules, notes = self.config.moderation, []
        if rules.answers:
            over, note = await judge(self.moderators, rules, answer)
            notes += [f"moderation: {note}"] if note else []
            if over and rules.outcome != "flag":
                return Checked("", 0.0, (*notes, f"moderation: the answer was held back: {_named(over)}"))
            notes += [f"moderation: the answer: {_named(over)}"] if over else []
        sentences = split_sentences(answer)
        found = ground([sentence.text for sentence in sentences], self.evidence, self.config.grounding.least_words)
        wrong = found.unsupported
        if not wrong or self.config.grounding.outcome == "record":
            return Checked(answer, found.score, (*notes, *map(_why, wrong)))
        notes += map(_why, wrong)
        if self.config.grounding.outcome == "unknown" or len(wrong) == len(found.sentences):
            return Checked("", found.score, tuple(notes))
        out, at = [], 0
        for sentence, each in zip(sentences, found.sentences, strict=True):
            if not each.supported:
                out.append(answer[at : sentence.start])
                at = sentence.end
        # Lines stay lines; a rule of a table whose rows are gone, or the like, goes with them.
        lines = (" ".join(line.split()) for line in "".join((*out, answer[at:])).splitlines())
        left = "\n".join(line for line in lines if any(map(str.isalnum, line)))
        return Checked(left, found.score, tuple(notes))

    def score(self, answer: str) -> float:
        """How much of an answer is borne out, for the record alone."""
        return ground([sentence.text for sentence in split_sentences(answer)], self.evidence).score

    def phrase(self, phrase: str) -> str | None:
        """Why a phrase that is about to be spoken must not be; None when it may."""
        rules = self.config.moderation
        over = judged(phrase).over(rules.thresholds) if rules.answers and rules.outcome != "flag" else ()
        if over:
            return f"moderation: a phrase was not said: {_named(over)}"
        if self.config.grounding.outcome == "record":
            return None
        missing = self.evidence.check(phrase, 0.0).missing
        return f"grounding: a phrase was not said: {', '.join(missing)[:120]}" if missing else None


def gathered(
    turn: Turn,
    config: AssistantConfig,
    passages: Sequence[Passage],
    used: Sequence[ToolUse],
    known: Sequence[str],
    question: str,
    language: str,
    detect: Callable[[str, str | None], str],
) -> Evidence:
    """What an answer of this turn may rest on: passages, results of tools, what is known of the customer, what was said."""
    texts = [text for p in passages for text in (p.title, *p.headings, p.text)]
    texts += [use.text for use in used if use.outcome == "answered"]
    same = not texts or _language("\n".join(texts)[:400], detect) == language
    own = (config.company, config.role, config.personality, config.required)
    texts += [*known, *own, *(exchange.answered for exchange in turn.history)]
    said = [turn.words, question, *(exchange.said for exchange in turn.history)]
    return Evidence(texts, said, words=same)


@lru_cache(maxsize=1_024)
def _language(text: str, detect: Callable[[str, str | None], str]) -> str:
    return detect(text, None)


@dataclass(slots=True)
class Aloud:
    """Words on their way to a voice, which waits for whole phrases anyway: each is checked before it is said.

    Where a phrase falls away, so does the rest of its sentence. `said` is what was let through.
    """

    checker: Checker
    said: str = ""
    notes: list[str] = field(default_factory=list)
    _phrases: Phrases = field(default_factory=Phrases)
    _skipping: bool = False

    def push(self, piece: str, *, last: bool = False) -> str:
        """What may be said now; perhaps nothing. With `last` the rest."""
        out = ""
        for phrase in self._phrases.push(piece, last=last):
            ends = phrase.rstrip("\"')]").endswith((".", "!", "?", "…", "।", "॥", "。", "！", "？"))
            why = None if self._skipping else self.checker.phrase(phrase)
            if why is not None:
                self.notes.append(why)
            if why is None and not self._skipping:
                out += f" {phrase}" if self.said or out else phrase
            self._skipping = (self._skipping or why is not None) and not ends
        self.said += out
        return out


def _named(over: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{category} {score:.2f}" for category, score in over[:3])


def _why(sentence: Sentence) -> str:
    missing = ", ".join(sentence.missing)[:120]
    return f"grounding: nothing supports {missing}" if missing else "grounding: a sentence rests on nothing"
