"""Follow-ups, put by a model as questions that can be understood alone."""

from collections.abc import Sequence

from hookflash.assistant.model import ChatModel, Image, ModelReply, ModelRequest, nowhere
from hookflash.assistant.prompt import messages, rewrite_prompt
from hookflash.conversation.turn import Exchange

_HISTORY_TOKENS = 500
_LONGEST = 300


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
