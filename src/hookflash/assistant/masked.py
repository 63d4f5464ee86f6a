"""A language model that never sees personal data: it is asked with placeholders, and what it says gets the values back."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hookflash.assistant.guard import only_patterns
from hookflash.assistant.model import ChatMessage, ChatModel, ModelReply, ModelRequest, Stream
from hookflash.assistant.prompt import fenced
from hookflash.conversation.turn import Contact
from hookflash.safety.config import PiiConfig
from hookflash.safety.masker import Masker, Unmasking
from hookflash.safety.personal import PATTERNS, Finder

_TOLD = (
    "\nIn this conversation words in brackets such as [PHONE_1] or [NAME_1] stand for personal data. Use them as they are, in"
    " answers and in tools, and do not speak of them."
)


@dataclass(frozen=True, slots=True)
class MaskedModel:
    """A ChatModel around another. `names` are those of the person that are known."""

    model: ChatModel
    config: PiiConfig
    names: tuple[str, ...] = ()
    finder: Finder = PATTERNS

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def sees_images(self) -> bool:
        return self.model.sees_images

    @property
    def generative(self) -> bool:
        return self.model.generative

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        """Ask with placeholders. Raises ModelFailed as the model does."""
        # What the company's own documents say is known to everybody.
        public = [text for p in request.passages for text in (p.title, *p.headings, p.text)]
        masker = Masker(self.config.kinds, self.names, public, self.finder)
        # The passages are in the middle of it, and so much text takes its time.
        before, passages, behind = request.system.rpartition(fenced(request.passages) or request.system)
        system = f"{masker.mask(before, lasting=True)}{passages}{masker.mask(behind)}"
        messages = tuple(self._masked(masker, message) for message in request.messages)
        question = masker.mask(request.question)
        if not masker.used:
            return await self.model.reply(request, stream)
        # What must not be kept is not said back either: every answer is kept, here and at Twilio.
        pieces = Unmasking(masker, self.config.keep_out)

        async def unmasked(piece: str) -> None:
            words = pieces.feed(piece)
            if words:
                await stream(words)

        asked = replace(request, system=system + _TOLD, messages=messages, question=question)
        reply = await self.model.reply(asked, unmasked)
        rest = pieces.end()
        if rest:
            await stream(rest)
        calls = reply.calls
        if self.config.tools_see:
            calls = tuple(replace(call, arguments=masker.unmask_value(call.arguments)) for call in calls)
        return replace(reply, answer=masker.unmask(reply.answer, self.config.keep_out), calls=calls)

    @staticmethod
    def _masked(masker: Masker, message: ChatMessage) -> ChatMessage:
        calls = tuple(replace(call, arguments=masker.mask_value(call.arguments)) for call in message.calls)
        return replace(message, text=masker.mask(message.text), calls=calls)


def masked(
    model: ChatModel, config: PiiConfig, contact: Contact, finders: Callable[[str], Finder] = only_patterns
) -> ChatModel:
    """The model as this assistant may ask it: one that writes and is not our own sees placeholders. Raises Misconfigured."""
    if not config.mask or not config.kinds or not model.generative or model.name in config.own_models:
        return model
    return MaskedModel(model, config, names_of(contact), finders(config.finder))


def names_of(contact: Contact) -> tuple[str, ...]:
    """The names of a person that we know, their own and those among their traits."""
    traits = (
        str(value) for name, value in contact.traits.items() if "name" in name.casefold() and isinstance(value, str)
    )
    return tuple(dict.fromkeys(name for name in (contact.name or "", *traits) if name.strip()))
