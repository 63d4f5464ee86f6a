"""Follow-ups: whether a message needs the conversation to be understood, and a model's rewriting of it."""

import re
from collections.abc import Sequence

from hookflash.assistant.confidence import asked_last
from hookflash.assistant.model import ChatModel, Image, ModelReply, ModelRequest, nowhere
from hookflash.assistant.prompt import messages, rewrite_prompt
from hookflash.conversation.turn import Exchange

_HISTORY_TOKENS = 500
_LONGEST = 300
# A message that begins so goes on with what was said.
_OPENINGS = re.compile(
    r"(and|but|or|also|what about|how about|what if|same|then|so|why|"
    r"y|pero|tambien|también|que tal|qué tal|entonces|"
    r"et|mais|aussi|alors|"
    r"und|aber|oder|auch|was ist mit|wie ist es mit|"
    r"e|mas|tambem|também|então|"
    r"aur|lekin|phir|और|लेकिन|फिर)\b",
    re.IGNORECASE,
)
# Words that point at something said before.
_POINTING_WORDS = """
    it its they them their theirs that those these this one ones there he she him her his same other another else
    eso esa ese esto esta este estos estas aquello ello ellos ellas lo otro otra mismo
    cela ça celui celle ceux celles ils elles autre même y en
    das dies dieses dieser diese diesen es sie ihn ihm davon dafür damit dort andere
    isso isto esse essa este aquele aquela ele ela eles outro outra
    yeh ye woh wo uska iska unka inka usme isme wahan यह वह ये वे इसका उसका उनका इसमें उसमें वहाँ
"""
_POINTING = frozenset(_POINTING_WORDS.split())


def is_elliptical(words: str, history: Sequence[Exchange]) -> bool:
    """Whether the message needs what was said before: an answer to our question, a short rest, a word that points back."""
    if not history:
        return False
    said = re.findall(r"\w+", words.casefold())
    return (
        asked_last(history)
        or len(said) <= 3
        or _OPENINGS.match(words.strip()) is not None
        or (len(said) <= 12 and not _POINTING.isdisjoint(said))
    )


async def rewrite(
    model: ChatModel, words: str, history: Sequence[Exchange], language: str, images: tuple[Image, ...] = ()
) -> ModelReply | None:
    """The message as a question of its own, in `answer`; None when the model gave nothing usable. Raises ModelFailed."""
    reply = await model.reply(
        ModelRequest(
            system=rewrite_prompt(),
            messages=messages(words, history, _HISTORY_TOKENS, images),
            question=words,
            passages=(),
            language=language,
            temperature=0.0,
            max_tokens=120,
        ),
        nowhere,
    )
    question = " ".join(reply.answer.split())
    if not question or len(question) > _LONGEST + len(words):
        return None
    return ModelReply(question, reply.confidence, (), reply.model, reply.usage)
