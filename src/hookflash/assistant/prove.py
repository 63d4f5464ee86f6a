"""An answerer that hears codes before the assistant does, and takes up what waited for one when it was right."""

from collections.abc import Sequence
from dataclasses import replace

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.code_words import MASK, conceal
from hookflash.assistant.prompt import prompt_revision
from hookflash.assistant.templates import text as template
from hookflash.assistant.verification import PassOn, Proof, Resume, Tell, Verification
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, Exchange, Say, Turn


def proving(inner: Answerer, proof: Proof) -> Answerer:
    """An Answerer that leaves everything to `inner` but codes: those it never hears."""

    async def answer(turn: Turn, say: Say) -> Ending:
        config = AssistantConfig.stored(turn.session.config)
        if not config.tools:
            return await inner(turn, say)
        language = _language(turn, config)
        match await proof.hear(turn, language):
            case PassOn(awaiting=awaiting):
                ending = await inner(turn, say)
                return replace(ending, awaits_code=True) if awaiting else ending
            case Tell(key=key, values=values, awaiting=awaiting):
                text = _text(config, key, language, **values)
                await say(Segment(text, last=True))
                return Ending(
                    kind="clarified" if awaiting else "answered",
                    text=text,
                    question="",
                    confidence=1.0,
                    sources=(),
                    model="template",
                    prompt_revision=prompt_revision(config),
                    language=language,
                    said=conceal(turn.words),
                    awaits_code=awaiting,
                )
            case Resume(verification=verification):
                thanks = _text(config, "code_right", language)
                await say(Segment(f"{thanks} "))
                ending = await inner(resumed(turn, verification), say)
                return replace(ending, text=f"{thanks} {ending.text}", said=conceal(turn.words))

    return answer


def resumed(turn: Turn, verification: Verification) -> Turn:
    """The turn in which what was wanted is said again; of the code and the talk about it nothing is left."""
    by_code = verification.decided_by
    first, *more = turn.said
    others = [m for m in (first, *more) if m.id != by_code and MASK not in m.text] if len(turn.said) > 1 else []
    asked = replace(first, text=verification.waiting, media=())
    return replace(turn, said=(asked, *others), history=_without(turn.history, verification.waiting))


def _without(history: Sequence[Exchange], waiting: str) -> tuple[Exchange, ...]:
    """The history without the last time that it was wanted, and without codes."""
    last = max((n for n, e in enumerate(history) if e.said == waiting), default=-1)
    return tuple(e for n, e in enumerate(history) if n != last and MASK not in e.said)


def _language(turn: Turn, config: AssistantConfig) -> str:
    known = turn.contact.language or next((m.language for m in turn.said if m.language), None)
    allowed = config.languages
    if known is not None and (not allowed or known in allowed or known.partition("-")[0] in allowed):
        return known
    return allowed[0] if allowed else "en"


def _text(config: AssistantConfig, key: str, language: str, **values: str) -> str:
    return template(key, language, company=config.company, overrides=config.templates, **values)
