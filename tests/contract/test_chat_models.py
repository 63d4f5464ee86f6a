"""One suite for every language model that writes: the scripted one, and the vendors' adapters against their servers' fakes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

import anyio
import msgspec
import numpy as np
import pytest
import stamina

from hookflash.assistant.model import ChatMessage, ChatModel, Image, ModelReply, ModelRequest, ToolSpec, nowhere
from hookflash.assistant.notation import read
from hookflash.base.errors import Misconfigured, ModelFailed, Unavailable
from hookflash.base.secret import Secret
from hookflash.knowledge.passage import Passage
from hookflash.providers.openai import OpenAIEmbedder, OpenAIModel
from hookflash.providers.registry import EMBEDDERS, MODELS, ProviderConfig, Providers, known
from hookflash.testing.anthropic_server import AnthropicServer
from hookflash.testing.clock import VirtualClock
from hookflash.testing.model import Fails, Says, ScriptedModel
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import Answer, Drop, Hang, Refuse, Script, Trouble, serve

PASSAGES = (
    Passage(1, "src", "doc", "Returns", (), "Return within 30 days.", None, 0.8, 0.8, 2.0),
    Passage(2, "src", "doc", "Hours", (), "Open 9 to 5.", None, 0.5, 0.5, 1.0),
)
REQUEST = ModelRequest(
    system="Answer from the passages.",
    messages=(ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello!"), ChatMessage("user", "Can I return it?")),
    question="Can I return it?",
    passages=PASSAGES,
    language="en",
)
VENDORS = ("openai", "anthropic")


def outcome(answer: str, confidence: float = 0.9, sources: tuple[int, ...] = (1,), clarifying: bool = False) -> str:
    fields = {"answer": answer, "confidence": confidence, "sources": sources, "clarifying": clarifying}
    return msgspec.json.encode(fields).decode()


@dataclass
class Subject:
    """A model, and how to tell it what comes next."""

    model: ChatModel
    clock: VirtualClock
    says: Callable[[Says], None]
    fails: Callable[[Fails], None]
    asked: Callable[[], int]


@pytest.fixture(autouse=True)
def retries_do_not_wait() -> object:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@asynccontextmanager
async def vendor(
    name: str, server: OpenAIServer | AnthropicServer, clock: VirtualClock, *, key: str | None = "sk-test"
) -> AsyncIterator[ChatModel]:
    async with serve(server) as address:
        options: dict[str, str | Secret | None] = {
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_KEY": Secret(key) if key else None,
            "ANTHROPIC_BASE_URL": address,
            "ANTHROPIC_API_KEY": Secret(key) if key else None,
        }
        providers = Providers(options, clock=clock)
        try:
            yield providers.model(f"{name}:gpt-4o-mini" if name == "openai" else f"{name}:claude-haiku-4-5")
        finally:
            await providers.aclose()


def _server(name: str, clock: VirtualClock) -> OpenAIServer | AnthropicServer:
    return OpenAIServer(clock) if name == "openai" else AnthropicServer(clock)


def _says(script: Script) -> Callable[[Says], None]:
    def say(says: Says) -> None:
        text = outcome(says.answer, says.confidence, says.sources, says.clarifying)
        script.then(Answer(text, delay=says.delay, pause=says.pause))

    return say


def _fails(script: Script) -> Callable[[Fails], None]:
    def fail(fails: Fails) -> None:
        if fails.after:
            script.then(Drop(f'{{"answer": "{fails.after}'))
        elif fails.retryable:
            script.then(*[Refuse(503)] * 3)
        else:
            # A compatible server is asked twice: perhaps it only refused what it does not know.
            script.then(Refuse(400, "This request cannot be served."))
            script.default = Refuse(400, "This request cannot be served.")

    return fail


@pytest.fixture(params=["scripted", *VENDORS])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    clock = VirtualClock()
    if request.param == "scripted":
        scripted = ScriptedModel(clock)
        yield Subject(scripted, clock, scripted.then, scripted.then, lambda: len(scripted.requests))
        return
    server = _server(request.param, clock)
    async with vendor(request.param, server, clock) as model:
        yield Subject(model, clock, _says(server.script), _fails(server.script), lambda: len(server.script.requests))


async def test_it_streams_the_answer_and_returns_the_outcome(subject: Subject) -> None:
    answer = 'Yes, within 30 days. “Unworn” only, 😀 "as new".'
    subject.says(Says(answer, 0.8, (2, 1)))
    pieces: list[str] = []

    async def stream(piece: str) -> None:
        pieces.append(piece)

    reply = await subject.model.reply(REQUEST, stream)
    assert "".join(pieces) == reply.answer == answer
    assert len(pieces) > 1
    assert (reply.confidence, reply.sources, reply.clarifying) == (0.8, (2, 1), False)
    assert reply.model == subject.model.name


async def test_it_accounts_for_tokens_and_money(subject: Subject) -> None:
    subject.says(Says("Yes, within 30 days."))
    usage = (await subject.model.reply(REQUEST, nowhere)).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.model_micros > 0


async def test_a_question_back_is_marked(subject: Subject) -> None:
    subject.says(Says("Which one?", 0.7, (), clarifying=True))
    reply = await subject.model.reply(REQUEST, nowhere)
    assert (reply.answer, reply.clarifying, reply.sources) == ("Which one?", True, ())


async def test_sources_that_were_not_given_are_left_out(subject: Subject) -> None:
    subject.says(Says("Yes.", 0.9, (1, 7)))
    assert (await subject.model.reply(REQUEST, nowhere)).sources == (1,)


async def test_trouble_that_may_pass_is_told_from_trouble_that_will_not(subject: Subject) -> None:
    for retryable in (True, False):
        subject.fails(Fails(retryable=retryable))
        with pytest.raises(ModelFailed) as failed:
            await subject.model.reply(REQUEST, nowhere)
        assert failed.value.retryable is retryable


async def test_a_failure_behind_the_first_words_is_not_tried_again(subject: Subject) -> None:
    subject.fails(Fails(after="Yes, wi"))
    pieces: list[str] = []

    async def stream(piece: str) -> None:
        pieces.append(piece)

    with pytest.raises(ModelFailed) as failed:
        await subject.model.reply(REQUEST, stream)
    assert failed.value.retryable
    assert "".join(pieces) == "Yes, wi"
    assert subject.asked() == 1


async def test_several_at_once_do_not_mix(subject: Subject) -> None:
    answers = [f"Answer number {i}, in its own words." for i in range(8)]
    for answer in answers:
        subject.says(Says(answer))
    replies: list[ModelReply] = []

    async def one() -> None:
        replies.append(await subject.model.reply(REQUEST, nowhere))

    async with anyio.create_task_group() as group:
        for _ in answers:
            group.start_soon(one)
    assert sorted(reply.answer for reply in replies) == answers


async def test_a_cancelled_question_leaves_the_model_usable(subject: Subject) -> None:
    subject.says(Says("Never heard.", delay=1_000.0))
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(subject.model.reply, REQUEST, nowhere)
            while subject.asked() == 0:
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    subject.says(Says("Heard."))
    assert (await subject.model.reply(REQUEST, nowhere)).answer == "Heard."


async def _fail(model: ChatModel, into: list[ModelFailed]) -> None:
    with pytest.raises(ModelFailed) as failed:
        await model.reply(REQUEST, nowhere)
    into.append(failed.value)


async def _hours_later(clock: VirtualClock, until: Callable[[], bool]) -> None:
    while not until():
        await clock.next()


@pytest.mark.parametrize("name", VENDORS)
async def test_a_vendor_that_hangs_is_given_up_after_the_first_words_are_late(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(Hang())
    failures: list[ModelFailed] = []
    async with vendor(name, server, clock) as model, anyio.create_task_group() as group:
        group.start_soon(_fail, model, failures)
        await server.script.until(1)
        await clock.advance(9.9)
        assert failures == []
        await clock.advance(0.2)
        await _hours_later(clock, lambda: bool(failures))
    assert failures[0].retryable
    assert "in time" in str(failures[0])
    assert len(server.script.requests) == 1


@pytest.mark.parametrize("name", VENDORS)
async def test_a_vendor_that_dribbles_is_given_up_in_the_end(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(Answer(outcome("word " * 40), size=5, pause=5.0))
    failures: list[ModelFailed] = []
    async with vendor(name, server, clock) as model, anyio.create_task_group() as group:
        group.start_soon(_fail, model, failures)
        await server.script.until(1)
        await _hours_later(clock, lambda: bool(failures))
        assert clock.monotonic() >= 45.0
    assert failures[0].retryable


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (Refuse(500), 2),
        (Refuse(429, wait=1), 2),
        (Refuse(529), 2),
        (Drop(), 2),
    ],
)
@pytest.mark.parametrize("name", VENDORS)
async def test_what_may_pass_is_tried_again_before_the_first_words(name: str, step: Refuse | Drop, asked: int) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(step, Answer(outcome("Yes.")))
    async with vendor(name, server, clock) as model:
        assert (await model.reply(REQUEST, nowhere)).answer == "Yes."
    assert len(server.script.requests) == asked


@pytest.mark.parametrize("step", [Refuse(429, wait=600), Refuse(404), Refuse(403)])
@pytest.mark.parametrize("name", VENDORS)
async def test_what_will_not_pass_soon_is_not_tried_again(name: str, step: Refuse) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(step)
    async with vendor(name, server, clock) as model:
        with pytest.raises(ModelFailed) as failed:
            await model.reply(REQUEST, nowhere)
    assert len(server.script.requests) == 1
    assert failed.value.retryable is (step.status == 429)


@pytest.mark.parametrize("name", VENDORS)
async def test_trouble_inside_the_stream_is_a_failure_that_may_pass(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(Trouble('{"answer": "Yes'))
    async with vendor(name, server, clock) as model:
        with pytest.raises(ModelFailed) as failed:
            await model.reply(REQUEST, nowhere)
    assert failed.value.retryable


@pytest.mark.parametrize("name", VENDORS)
async def test_a_wrong_key_is_named_and_never_shown(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    async with vendor(name, server, clock, key="sk-of-somebody-else") as model:
        with pytest.raises(ModelFailed) as failed:
            await model.reply(REQUEST, nowhere)
    assert not failed.value.retryable
    assert f"{name.upper()}_API_KEY" in str(failed.value)
    assert "somebody" not in str(failed.value)
    assert len(server.script.requests) == 1


@pytest.mark.parametrize("name", VENDORS)
async def test_a_missing_key_is_a_setting_to_mend(name: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name.upper()}_API_KEY"):
        Providers({}, clock=VirtualClock()).model(f"{name}:some-model")


@pytest.mark.parametrize("name", VENDORS)
async def test_failures_do_not_repeat_what_was_said(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.default = Refuse(400, "Bad content: my card is 4111 1111")
    async with vendor(name, server, clock) as model:
        with pytest.raises(ModelFailed) as failed:
            await model.reply(REQUEST, nowhere)
    assert "4111" not in str(failed.value)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_model_that_answers_in_plain_words_is_understood(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(Answer("Within 30 days [1]."))
    async with vendor(name, server, clock) as model:
        reply = await model.reply(REQUEST, nowhere)
    assert (reply.answer, reply.confidence, reply.sources) == ("Within 30 days [1].", 0.5, (1,))


@pytest.mark.parametrize("name", VENDORS)
async def test_an_empty_answer_is_a_failure(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    server.script.then(Answer(""))
    async with vendor(name, server, clock) as model:
        with pytest.raises(ModelFailed, match="no answer"):
            await model.reply(REQUEST, nowhere)


async def test_openai_is_asked_for_the_structured_outcome() -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock)
    async with vendor("openai", server, clock) as model:
        await model.reply(REQUEST, nowhere)
    body = server.script.requests[0].body
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["temperature"] == 0.2
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert server.script.requests[0].path == "/v1/chat/completions"


async def test_a_server_that_knows_less_is_asked_for_less_and_remembered() -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock, key=None, unknown=("response_format", "stream_options", "max_tokens", "temperature"))
    async with vendor("openai", server, clock, key=None) as model:
        first = await model.reply(REQUEST, nowhere)
        asked = len(server.script.requests)
        second = await model.reply(REQUEST, nowhere)
    assert first.answer == second.answer == "Fine."
    assert asked == 5
    assert len(server.script.requests) == 6
    assert server.script.requests[-1].body.keys() == {"model", "messages", "stream", "max_completion_tokens"}
    assert second.usage.input_tokens > 0


async def test_a_server_that_only_says_bad_request_is_asked_for_less() -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock)
    server.script.then(Refuse(400, "Bad request"), Answer(outcome("Yes.")), Answer(outcome("Yes again.")))
    async with vendor("openai", server, clock) as model:
        assert (await model.reply(REQUEST, nowhere)).answer == "Yes."
        assert (await model.reply(REQUEST, nowhere)).answer == "Yes again."
    assert ["response_format" in r.body for r in server.script.requests] == [True, False, False]


async def test_a_request_that_is_refused_for_itself_teaches_nothing() -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock)
    server.script.then(Refuse(400, "Bad request"), Refuse(400, "Bad request"))
    async with vendor("openai", server, clock) as model:
        with pytest.raises(ModelFailed):
            await model.reply(REQUEST, nowhere)
        await model.reply(REQUEST, nowhere)
    assert "response_format" in server.script.requests[-1].body


async def test_a_server_that_does_not_count_is_estimated() -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock, silent=True)
    async with vendor("openai", server, clock) as model:
        usage = (await model.reply(REQUEST, nowhere)).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0


async def test_a_key_alone_is_enough_and_another_servers_model_is_the_one_that_it_lists() -> None:
    """The settings name the vendor and no model when only a key, or only an address, is set."""
    clock = VirtualClock()
    home = Providers({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, clock=clock)
    assert home.model("openai").name == "openai:gpt-4o-mini"
    assert home.model("anthropic").name == "anthropic:claude-haiku-4-5"
    await home.aclose()
    server = OpenAIServer(clock, key=None)
    server.script.then(Answer(outcome("Yes.")))
    async with serve(server) as address:
        ours = Providers({"OPENAI_BASE_URL": f"{address}/v1"}, clock=clock)
        reply = await ours.model("openai").reply(REQUEST, nowhere)
        await ours.aclose()
    assert (reply.answer, reply.model) == ("Yes.", "openai:llama-local")
    assert server.script.requests[-1].body["model"] == "llama-local"


async def test_an_anthropic_model_that_refuses_parameters_is_asked_without_them() -> None:
    clock = VirtualClock()
    server = AnthropicServer(clock, unknown=("temperature", "output_config"))
    async with vendor("anthropic", server, clock) as model:
        await model.reply(REQUEST, nowhere)
        await model.reply(REQUEST, nowhere)
    assert [set(r.body) & {"temperature", "output_config"} for r in server.script.requests] == [
        {"temperature", "output_config"},
        {"output_config"},
        set(),
        set(),
    ]


@pytest.mark.parametrize("name", VENDORS)
async def test_pictures_are_shown(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    picture = ChatMessage("user", "What is this?", (Image("image/png", b"\x89PNG"),))
    request = ModelRequest("s", (picture,), "What is this?", PASSAGES, "en")
    async with vendor(name, server, clock) as model:
        assert model.sees_images
        await model.reply(request, nowhere)
    shown = str(server.script.requests[0].body["messages"][-1]["content"])
    assert "iVBORw==" in shown or "iVBORw" in shown
    assert "image/png" in shown


@asynccontextmanager
async def embedder(server: OpenAIServer, model: str, key: str = "sk-test") -> AsyncIterator[OpenAIEmbedder]:
    async with serve(server) as address:
        options: dict[str, str | Secret | None] = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": Secret(key)}
        made = OpenAIEmbedder(ProviderConfig(model, options, clock=server.script.clock))
        try:
            yield made
        finally:
            await made.aclose()


async def test_embeddings_are_unit_vectors_in_order_over_batches() -> None:
    server = OpenAIServer(VirtualClock(), dimensions=8)
    async with embedder(server, "tiny@8") as made:
        texts = [f"text {i}" for i in range(300)]
        vectors = await made.embed(texts)
        again = await made.embed([texts[299]])
    assert made.name == "openai:tiny@8"
    assert vectors.shape == (300, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors[299], again[0], rtol=1e-5)
    assert [len(r.body["input"]) for r in server.script.requests] == [256, 44, 1]
    assert made.count_tokens("twelve bytes") == 3


async def test_no_texts_and_empty_texts_embed_too() -> None:
    server = OpenAIServer(VirtualClock())
    async with embedder(server, "text-embedding-3-small") as made:
        assert (await made.embed([])).shape == (0, 1536)
        assert (await made.embed(["", "x"])).shape == (2, 1536)
    assert "dimensions" not in server.script.requests[0].body


@pytest.mark.parametrize("step", [Refuse(400), Refuse(500), Drop(), Hang(0.01)])
async def test_an_embedder_that_fails_is_unavailable(step: Refuse | Drop | Hang) -> None:
    clock = VirtualClock()
    server = OpenAIServer(clock, dimensions=4)
    server.script.default = step
    errors: list[Unavailable] = []

    async def ask(made: OpenAIEmbedder) -> None:
        with pytest.raises(Unavailable) as failed:
            await made.embed(["x"])
        errors.append(failed.value)

    if isinstance(step, Drop):
        server.script.default = Refuse(503)
    async with embedder(server, "tiny@4") as made, anyio.create_task_group() as group:
        group.start_soon(ask, made)
        await _hours_later(clock, lambda: bool(errors))
    assert "openai:tiny@4" in str(errors[0])


async def test_an_embedder_with_other_dimensions_is_unavailable() -> None:
    server = OpenAIServer(VirtualClock(), dimensions=4)
    async with embedder(server, "text-embedding-3-small") as made:
        with pytest.raises(Unavailable, match="other dimensions"):
            await made.embed(["x"])


async def test_an_embedder_with_a_wrong_key_says_which() -> None:
    server = OpenAIServer(VirtualClock(), dimensions=4)
    async with embedder(server, "tiny@4", key="sk-wrong") as made:
        with pytest.raises(Unavailable, match="OPENAI_API_KEY"):
            await made.embed(["x"])


def test_an_embedder_of_unknown_size_must_be_told() -> None:
    with pytest.raises(Misconfigured, match="dimensions"):
        OpenAIEmbedder(ProviderConfig("bge-m3", {"OPENAI_API_KEY": "x"}))


def test_the_registry_lists_what_exists_when_a_name_is_wrong() -> None:
    providers = Providers({}, clock=VirtualClock())
    with pytest.raises(Misconfigured, match="anthropic, extractive, openai"):
        providers.model("gpt-4o-mini")
    with pytest.raises(Misconfigured, match="minilm, openai"):
        providers.embedder("nonsense:x")
    assert known(MODELS) == tuple(sorted(p.name for p in entry_points(group=MODELS)))
    assert "minilm" in known(EMBEDDERS)


async def test_the_registry_makes_each_model_once() -> None:
    providers = Providers({"OPENAI_API_KEY": Secret("sk-x")}, clock=VirtualClock())
    first = providers.model("openai:gpt-4o-mini")
    assert first is providers.model("openai:gpt-4o-mini")
    assert isinstance(first, OpenAIModel)
    assert "sk-x" not in repr(providers.model("openai:gpt-4o"))
    await providers.aclose()


TOOL = ToolSpec("order_status", "Where an order is.", read("{ order_id: string }"))


@pytest.mark.parametrize("name", VENDORS)
async def test_it_asks_for_tools_and_takes_their_results(name: str) -> None:
    clock = VirtualClock()
    server = _server(name, clock)
    wish = '{"order_id": "A-17 “é”"}'
    server.script.then(
        Answer("", calls=(("order_status", wish), ("order_status", "{}"), ("order_status", '{"broken'))),
        Answer(outcome("It arrives on Friday.", sources=())),
    )
    async with vendor(name, server, clock) as model:
        asked = replace(REQUEST, tools=(TOOL,))
        reply = await model.reply(asked, nowhere)
        assert [call.name for call in reply.calls] == ["order_status"] * 3
        assert [call.arguments for call in reply.calls] == [{"order_id": "A-17 “é”"}, {}, {}]
        assert len({call.id for call in reply.calls}) == 3
        assert reply.usage.input_tokens > 0
        results = tuple(ChatMessage("tool", f"result {n}", call_id=call.id) for n, call in enumerate(reply.calls))
        said = ChatMessage("assistant", reply.answer, calls=reply.calls)
        final = await model.reply(replace(asked, messages=(*asked.messages, said, *results)), nowhere)
    assert (final.answer, final.calls) == ("It arrives on Friday.", ())
    assert "result 2" in str(server.script.requests[-1].body["messages"])
    assert "order_id" in str(server.script.requests[0].body["tools"])
