"""A model of others is asked with placeholders: it learns nothing, the customer and the tools miss nothing."""

from hookflash.assistant.masked import MaskedModel, masked
from hookflash.assistant.model import ChatMessage, ModelReply, ModelRequest, ToolCall, nowhere
from hookflash.base.clock import SystemClock
from hookflash.conversation.turn import Contact
from hookflash.knowledge.passage import Passage
from hookflash.safety.config import PiiConfig
from hookflash.testing.model import Says, ScriptedModel, Uses

ASHA = Contact("cont_1", "Asha Rao", None, {"maiden_name": "Iyer", "plan": "gold"})
PASSAGE = Passage(1, "s", "d", "Contact", (), "Write to help@acme.example.", None, 0.9, None, None)
SAID = "I am asha, my mail is asha@mail.example, is help@acme.example right? Card 4111 1111 1111 1111"


def request(*messages: ChatMessage) -> ModelRequest:
    return ModelRequest(
        "You are Acme. - name: Asha Rao", messages or (ChatMessage("user", SAID),), SAID, (PASSAGE,), "en"
    )


def model(*steps: Says | Uses) -> ScriptedModel:
    return ScriptedModel(SystemClock(), *steps)


async def test_the_model_learns_nothing_and_the_customer_reads_everything() -> None:
    inner = model(Says("Yes [NAME_2], write from [EMAIL_1]."))
    said: list[str] = []

    async def stream(piece: str) -> None:
        said.append(piece)

    reply = await masked(inner, PiiConfig(), ASHA).reply(request(), stream)
    asked = inner.requests[0]
    seen = asked.system + asked.messages[0].text + asked.question
    assert "asha" not in seen.casefold()
    assert "4111" not in seen
    assert "help@acme.example" in seen
    assert "[CARD_1]" in asked.messages[0].text
    assert reply.answer == "Yes asha, write from asha@mail.example."
    assert "".join(said) == reply.answer


async def test_what_must_not_be_kept_is_not_said_back() -> None:
    said: list[str] = []

    async def stream(piece: str) -> None:
        said.append(piece)

    reply = await masked(model(Says("I have [CARD_1] and [EMAIL_1].")), PiiConfig(), ASHA).reply(request(), stream)
    assert reply.answer == "I have [card number] and asha@mail.example."
    assert "".join(said) == reply.answer


async def test_tools_get_the_real_values_unless_they_may_not() -> None:
    wish = Uses((("send", {"to": "[EMAIL_1]", "deep": ["[CARD_1]"]}),))
    reply = await masked(model(wish), PiiConfig(), ASHA).reply(request(), nowhere)
    assert reply.calls[0].arguments == {"to": "asha@mail.example", "deep": ["4111 1111 1111 1111"]}
    reply = await masked(model(wish), PiiConfig(tools_see=False), ASHA).reply(request(), nowhere)
    assert reply.calls[0].arguments == {"to": "[EMAIL_1]", "deep": ["[CARD_1]"]}


async def test_the_next_round_knows_the_same_placeholders() -> None:
    inner = model(Says("Sent to [EMAIL_1], from [EMAIL_2]."))
    call = ToolCall("c1", "send", {"to": "asha@mail.example"})
    messages = (
        ChatMessage("user", SAID),
        ChatMessage("assistant", "", calls=(call,)),
        ChatMessage("tool", "sent by robot@erp.example", call_id="c1"),
    )
    reply = await masked(inner, PiiConfig(), ASHA).reply(request(*messages), nowhere)
    asked = inner.requests[0].messages
    assert asked[1].calls[0].arguments == {"to": "[EMAIL_1]"}
    assert asked[2].text == "sent by [EMAIL_2]"
    assert reply.answer == "Sent to asha@mail.example, from robot@erp.example."


async def test_only_the_kinds_that_the_assistant_masks_are_masked() -> None:
    inner = model(Says("Fine."))
    await masked(inner, PiiConfig(kinds=("card",)), ASHA).reply(request(), nowhere)
    assert "asha@mail.example" in inner.requests[0].messages[0].text
    assert "4111" not in inner.requests[0].messages[0].text


async def test_whoever_is_trusted_or_only_extracts_is_asked_as_it_is() -> None:
    inner = model(Says("Fine."))
    assert masked(inner, PiiConfig(own_models=("scripted",)), ASHA) is inner
    assert masked(inner, PiiConfig(mask=False), ASHA) is inner
    assert masked(ScriptedModel(SystemClock(), generative=False), PiiConfig(), ASHA).generative is False
    assert isinstance(masked(inner, PiiConfig(), ASHA), MaskedModel)


async def test_nothing_is_said_of_placeholders_where_there_are_none() -> None:
    inner = model(Says("Fine."))
    plain = ModelRequest("You are Acme.", (ChatMessage("user", "hours?"),), "hours?", (), "en")
    reply: ModelReply = await masked(inner, PiiConfig(), ASHA).reply(plain, nowhere)
    assert inner.requests == [plain]
    assert reply.answer == "Fine."
