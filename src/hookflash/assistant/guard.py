"""What stands between a person's words and the assistant, as gates of a turn: from injection to the wish for a person."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.templates import text as template
from hookflash.assistant.wants_person import wants_person
from hookflash.base.errors import HookflashError
from hookflash.conversation.turn import HandOff, NamedGates, Pass, Reply, Turn, Verdict
from hookflash.knowledge.passage import Passage, Vector
from hookflash.knowledge.sentences import split_sentences
from hookflash.safety.config import ModerationConfig
from hookflash.safety.injection import INSTRUCTS, instructing, instructs, suspect
from hookflash.safety.moderation import LocalModerator, Moderator, judged
from hookflash.safety.personal import PATTERNS, Finder

Detect = Callable[[str, str | None], str]
Embed = Callable[[list[str]], Awaitable[Vector]]
LOCAL = LocalModerator()
REMOVED = "[…]"
# Where a sentence may end though it seems to go on, as after an abbreviation.
_PIECES = re.compile(r"((?<=[.!?।])\s+|\s*\n\s*)")
_LISTED = re.compile(r"[,;:/]|\b(?:and|or|y|o|und|oder|et|ou)\b")


@dataclass(frozen=True, slots=True)
class Guard:
    """`moderators` gives a judge by name or raises Misconfigured; `embed` makes unit vectors of texts."""

    moderators: Callable[[str], Moderator]
    embed: Embed
    detect: Detect

    @property
    def gates(self) -> NamedGates:
        """In their order: what is certain and free first."""
        return (
            ("injection", self.injection),
            ("moderation", self.moderation),
            ("person", self.person),
            ("topic", self.topic),
        )

    async def injection(self, turn: Turn) -> Verdict:
        """Attempts to take the assistant over."""
        config = AssistantConfig.stored(turn.session.config)
        found = suspect(turn.words) if turn.words.strip() else None
        if found is None or found.score < config.safety.injection.threshold:
            return Pass()
        return self._verdict(turn, config, config.safety.injection.outcome, found.why, "refused")

    async def moderation(self, turn: Turn) -> Verdict:
        """Words that should not be there. Where the judge is away, the rules judge."""
        config = AssistantConfig.stored(turn.session.config)
        asked = config.safety.moderation
        if not turn.words.strip():
            return Pass()
        over, note = await judge(self.moderators, asked, turn.words)
        if not over:
            return Pass(note)
        outcome, category, score = worst(asked, over)
        why = f"moderation: {category} {score:.2f}" + (f" ({note})" if note else "")
        key = "caring" if category.startswith("self-harm") else "refused"
        return self._verdict(turn, config, outcome, why, key)

    async def person(self, turn: Turn) -> Verdict:
        """Who asks for a person and not for an answer. A call has its own ways to one."""
        config = AssistantConfig.stored(turn.session.config)
        if turn.line.spoken or not config.hand_off or not wants_person(turn.words):
            return Pass()
        return self._verdict(turn, config, "hand_off", "the customer asked for a person", "refused")

    async def topic(self, turn: Turn) -> Verdict:
        """What the assistant must not speak about, by description."""
        config = AssistantConfig.stored(turn.session.config)
        barred = config.safety.barred_topics
        if not barred or not turn.words.strip():
            return Pass()
        try:
            asked = [(number, way) for number, topic in enumerate(barred) for way in _ways(topic)]
            vectors = await self.embed([turn.words, *(way for _, way in asked)])
            likeness = np.zeros(len(barred), np.float32)
            np.maximum.at(likeness, [number for number, _ in asked], vectors[1:] @ vectors[0])
            note = None
        except HookflashError as error:
            likeness = np.zeros(len(barred), np.float32)
            note = f"topics by words alone: {error.message}"
        likeness = np.maximum(likeness, [float(_named(topic, turn.words)) for topic in barred])
        best = int(np.argmax(likeness))
        if likeness[best] < config.safety.barred_likeness:
            return Pass(note)
        why = f"barred topic: {barred[best]} ({likeness[best]:.2f})"
        return self._verdict(turn, config, config.safety.barred_outcome, why, "refused")

    def _verdict(self, turn: Turn, config: AssistantConfig, outcome: str, why: str, key: str) -> Verdict:
        if outcome == "flag":
            return Pass(why)
        language = self._language(turn, config)
        if outcome == "hand_off" and config.hand_off:
            said = template("handed_over", language, company=config.company, overrides=config.templates)
            if key == "caring":
                caring = template(key, language, company=config.company, overrides=config.templates)
                said = f"{caring} {said}"
            return HandOff(why, said)
        return Reply(template(key, language, company=config.company, overrides=config.templates), why)

    def _language(self, turn: Turn, config: AssistantConfig) -> str:
        found = self.detect(turn.words, turn.contact.language)
        allowed = config.languages
        return found if not allowed or found in allowed or found.partition("-")[0] in allowed else allowed[0]


def only_patterns(_: str) -> Finder:
    """The finder of those who have no other."""
    return PATTERNS


def only_rules(_: str) -> Moderator:
    """The judge of those who have no other."""
    return LOCAL


async def judge(
    moderators: Callable[[str], Moderator], config: ModerationConfig, text: str
) -> tuple[tuple[tuple[str, float], ...], str | None]:
    """The categories over their thresholds, and why the rules judged instead of the judge that was asked for."""
    note = None
    if config.model == LOCAL.name:
        return judged(text).over(config.thresholds), None
    try:
        found = (await moderators(config.model).moderate([text]))[0]
    except HookflashError as error:
        note, found = f"{config.model}: {error.message}", judged(text)
    return found.over(config.thresholds), note


def worst(config: ModerationConfig, over: Sequence[tuple[str, float]]) -> tuple[str, str, float]:
    """What is to be done about these categories: outcome, category, score. A person before a refusal before a note."""
    ranked = []
    for category, score in over:
        outcome = config.outcomes.get(category, config.outcomes.get(category.partition("/")[0], config.outcome))
        if "/" in category and category not in config.outcomes and outcome == "flag":
            # A threat is more than rudeness.
            outcome = config.outcome
        ranked.append((("hand_off", "block", "flag").index(outcome), -score, "/" not in category, category, outcome))
    _, score, _, category, outcome = min(ranked)
    return outcome, category, -score


def cleaned(passages: Sequence[Passage]) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
    """Passages without the sentences that instruct whoever reads them, and what was taken out of which, for the record."""
    kept, notes = [], []
    for passage in passages:
        text, removed = without_instructions(passage.text)
        hidden = bool(passage.title) and instructs(passage.title).score >= 0.85
        if removed or hidden:
            notes.append(f"injection: an instruction was taken out of {'a passage' if hidden else passage.title!r}")
            passage = msgspec.structs.replace(passage, text=text, title="" if hidden else passage.title)
        if passage.text.strip(f"{REMOVED} \n"):
            kept.append(passage)
    return tuple(kept), tuple(dict.fromkeys(notes))


@lru_cache(2_048)
def without_instructions(text: str) -> tuple[str, int]:
    """A text from outside without the sentences that instruct the assistant, and how many those were. Of JSON each text is
    one of its own: what a field says takes nothing from the others."""
    if text.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            cleaned, removed = _cleaned_value(json.loads(text))
            return (json.dumps(cleaned, ensure_ascii=False), removed) if removed else (text, 0)
    sentences = split_sentences(text)
    found = instructing([sentence.text for sentence in sentences])
    whole = instructs(text) if len(found) == 0 and len(sentences) != 1 else None
    if whole is not None and whole.score >= INSTRUCTS and any(rule.startswith("hidden") for rule in whole.rules):
        # Cut in pieces it looks harmless: one letter a line, an encoding that was wrapped.
        return REMOVED, 1
    out, at = [], 0
    for place in found:
        out += [text[at : sentences[place].start], _honest(text[sentences[place].start : sentences[place].end])]
        at = sentences[place].end
    return "".join((*out, text[at:])), len(found)


def _honest(sentence: str) -> str:
    """What is left of a sentence that instructs: its other lines and clauses, if nothing in them does."""
    pieces = _PIECES.split(sentence)
    kept = [REMOVED if instructs(piece).score >= INSTRUCTS else piece for piece in pieces]
    left = "".join(piece for piece in kept if piece != REMOVED)
    return "".join(kept) if REMOVED in kept and instructs(left).score < INSTRUCTS else REMOVED


def _cleaned_value(value: Any) -> tuple[Any, int]:
    match value:
        case str():
            return without_instructions(value)
        case dict():
            found = [(_cleaned_value(name), _cleaned_value(each)) for name, each in value.items()]
            return {name: each for (name, _), (each, _) in found}, sum(one + other for (_, one), (_, other) in found)
        case list():
            items = [_cleaned_value(each) for each in value]
            return [each for each, _ in items], sum(removed for _, removed in items)
        case _:
            return value, 0


@lru_cache(1_024)
def _ways(topic: str) -> tuple[str, ...]:
    """A described topic in the ways in which a question may be like it: each thing that it lists, and a question about it."""
    things = [thing.strip() for thing in _LISTED.split(topic)]
    return tuple(
        way
        for thing in dict.fromkeys((topic, *things))
        if len(thing) > 2
        for way in (thing, f"a question about {thing}")
    )


def _named(topic: str, words: str) -> bool:
    """Whether every word of a short topic stands in the text."""
    wanted = [word for word in topic.casefold().split() if len(word) > 3]
    said = set("".join(c if c.isalnum() else " " for c in words.casefold()).split())
    return bool(wanted) and len(wanted) <= 3 and all(word in said for word in wanted)
