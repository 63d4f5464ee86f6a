"""One suite for every re-ranker: the rerank operation over HTTP (its fake), and a cross-encoder in a directory (a tiny one)."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.knowledge.rerank import Reranker
from hookflash.providers.registry import Providers
from hookflash.testing.rerank_server import RerankServer
from hookflash.testing.vendor import serve

WORDS = (
    "how",
    "much",
    "do",
    "boots",
    "cost",
    "ninety",
    "the",
    "tent",
    "is",
    "red",
    "a",
    "hat",
    "of",
    "wool",
    "costs",
    "ten",
)


def _varint(value: int) -> bytes:
    return struct.pack("B", value) if value < 128 else struct.pack("B", value & 127 | 128) + _varint(value >> 7)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _part(field: int, content: bytes | str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _node(kind: str, inputs: str, output: str, **attributes: int) -> bytes:
    parts = [_part(1, name) for name in inputs.split()] + [_part(2, output), _part(4, kind)]
    parts += [_part(5, _part(1, name) + _number(3, value) + _number(20, 2)) for name, value in attributes.items()]
    return _part(1, b"".join(parts))


def _value(field: int, name: str, kind: int, *sizes: str) -> bytes:
    shape = b"".join(_part(1, _part(2, size)) for size in sizes)
    return _part(field, _part(1, name) + _part(2, _part(1, _number(1, kind) + _part(2, shape))))


def _integers(name: str, *values: int) -> bytes:
    return _part(
        5, _number(1, len(values)) + _number(2, 7) + _part(8, name) + _part(9, struct.pack(f"<{len(values)}q", *values))
    )


def tiny_model(*, columns: int = 1, strange: str | None = None) -> bytes:
    """Of each pair how many pairs of equal words question and passage have; with two columns, the first speaks against."""
    last = "score" if columns == 1 else "for"
    nodes = [
        _node("Unsqueeze", "input_ids two", "down"),
        _node("Unsqueeze", "input_ids one", "across"),
        _node("Equal", "down across", "same"),
        _node("Cast", "same", "equal", to=1),
        _node("Cast", "token_type_ids", "types", to=1),
        _node("Cast", "attention_mask", "mask", to=1),
        _node("Mul", "types mask", "passage"),
        _node("Sub", "mask passage", "question"),
        _node("Unsqueeze", "question two", "q"),
        _node("Unsqueeze", "passage one", "p"),
        _node("Mul", "equal q", "eq"),
        _node("Mul", "eq p", "eqp"),
        _node("ReduceSum", "eqp two", "by_word", keepdims=0),
        _node("ReduceSum", "by_word one", last, keepdims=1),
    ]
    if columns == 2:
        nodes += [_node("Neg", "for", "against"), _node("Concat", "against for", "score", axis=1)]
    inputs = ["input_ids", "attention_mask", "token_type_ids", *([strange] if strange else [])]
    graph = b"".join(
        [
            *nodes,
            _part(2, "tiny"),
            _integers("one", 1),
            _integers("two", 2),
            *(_value(11, name, 7, "batch", "tokens") for name in inputs),
            _value(12, "score", 1, "batch", "columns"),
        ]
    )
    return _number(1, 8) + _part(7, graph) + _part(8, _part(1, "") + _number(2, 17))


def write_tiny(directory: Path, model: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[SEP]", *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A:0 [SEP]:0 $B:1", special_tokens=[("[SEP]", 1)])
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "model.onnx").write_bytes(model)
    return directory


@dataclass
class Judge:
    reranker: Reranker
    server: RerankServer


def over_http(address: str, model: str = "words", key: str = "rr-test") -> Providers:
    options: dict[str, str | Secret | None] = {
        "RERANKER_URL": f"{address}/v1",
        "RERANKER_API_KEY": Secret(key),
    }
    return Providers(options, clock=SystemClock())


@pytest.fixture(params=["http", "onnx", "onnx-two"])
async def judge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Judge]:
    server = RerankServer()
    async with serve(server) as address:
        providers = over_http(address)
        name = "http:words"
        if request.param != "http":
            columns = 2 if request.param == "onnx-two" else 1
            name = f"onnx:{write_tiny(tmp_path / 'tiny', tiny_model(columns=columns))}"
        yield Judge(providers.reranker(name), server)
        await providers.aclose()


async def test_each_text_is_judged_in_the_order_of_the_texts(judge: Judge) -> None:
    texts = ["The tent is red", "Boots cost ninety", "How much is a hat of wool", "boots"]
    scores = await judge.reranker.scores("How much do boots cost", texts)
    assert sorted(range(4), key=lambda place: -scores[place])[-1] == 0
    assert scores[1] > scores[3] > scores[0]
    assert scores[2] == pytest.approx(scores[1]), "two words each"


async def test_no_text_no_score_and_any_text_has_one(judge: Judge) -> None:
    assert await judge.reranker.scores("boots", []) == []
    texts = ["", " ", "\x00", "👟 zapatos जूते", "boots " * 3_000, *(["hat"] * 12)]
    scores = await judge.reranker.scores("boots", texts)
    assert len(scores) == len(texts)
    assert max(scores) == scores[4]


async def test_a_score_does_not_depend_on_the_company(judge: Judge) -> None:
    texts = ["boots cost ninety", "the tent is red, a hat of wool costs ten", "boots"]
    together = await judge.reranker.scores("boots cost ten", texts)
    alone = [(await judge.reranker.scores("boots cost ten", [text]))[0] for text in texts]
    assert together == pytest.approx(alone)


async def test_over_http_the_request_is_as_the_contract_says() -> None:
    server = RerankServer()
    async with serve(server) as address:
        providers = over_http(address)
        await providers.reranker("http:words").scores("boots", ["boots", "", "hat"])
        await providers.aclose()
    (request,) = server.requests
    assert request.body == {"model": "words", "query": "boots", "documents": ["boots", " ", "hat"], "top_n": 3}


@pytest.mark.parametrize(
    "reply",
    [
        {"results": []},
        {"results": [{"index": 0, "relevance_score": 1.0}]},
        {"results": [{"index": 0, "relevance_score": 1.0}, {"index": 2, "relevance_score": 1.0}]},
        {"results": [{"index": 0, "relevance_score": 1.0}, {"index": 1, "relevance_score": None}]},
        {"data": "?"},
        ["?"],
    ],
)
async def test_over_http_an_answer_that_does_not_judge_every_text_is_a_failure(reply: Any) -> None:
    server = RerankServer()
    server.reply = reply
    async with serve(server) as address:
        providers = over_http(address)
        with pytest.raises(Unavailable):
            await providers.reranker("http:words").scores("boots", ["boots", "hat"])
        await providers.aclose()


async def test_over_http_refusals_and_silence_are_unavailable_and_only_what_may_pass_is_tried_again() -> None:
    server = RerankServer()
    async with serve(server) as address:
        for model, key in (("unknown", "rr-test"), ("words", "wrong")):
            providers = over_http(address, key=key)
            with pytest.raises(Unavailable, match="answered 40"):
                await providers.reranker(f"http:{model}").scores("boots", ["boots"])
            await providers.aclose()
        assert len(server.requests) == 2
        server.away = True
        providers = over_http(address)
        with pytest.raises(Unavailable, match="503"):
            await providers.reranker("http:words").scores("boots", ["boots"])
        await providers.aclose()
        assert len(server.requests) == 5
    providers = over_http("http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        await providers.reranker("http:words").scores("boots", ["boots"])
    await providers.aclose()


async def test_what_is_missing_or_wrong_is_told(tmp_path: Path) -> None:
    providers = Providers({}, clock=SystemClock())
    for name, told in (
        ("nope", "There is no re-ranker named 'nope'; installed are: http, onnx"),
        ("http:words", "HOOKFLASH_RERANKER_URL"),
        (f"onnx:{tmp_path / 'nowhere'}", r"has no model\.onnx"),
    ):
        with pytest.raises(Misconfigured, match=told):
            providers.reranker(name)
    good = write_tiny(tmp_path / "good", tiny_model())
    (good / "model.onnx").write_bytes(b"no model")
    with pytest.raises(Misconfigured, match=r"model\.onnx cannot be read"):
        await providers.reranker(f"onnx:{good}").scores("boots", ["boots"])
    strange = write_tiny(tmp_path / "strange", tiny_model(strange="pixels"))
    with pytest.raises(Misconfigured, match="'pixels'"):
        await providers.reranker(f"onnx:{strange}").scores("boots", ["boots"])
    (strange / "tokenizer.json").write_text("{}")
    with pytest.raises(Misconfigured, match=r"tokenizer\.json cannot be read"):
        await Providers({}, clock=SystemClock()).reranker(f"onnx:{strange}").scores("boots", ["boots"])
