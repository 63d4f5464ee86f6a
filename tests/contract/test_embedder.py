"""One suite for every embedder, and what the built-in one promises besides: its weights, its accuracy, its cache."""

import math
import shutil
from pathlib import Path

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured
from hookflash.knowledge.passage import Embedder
from hookflash.providers import minilm
from hookflash.providers.minilm import MiniLM
from hookflash.providers.minilm_graph import EPSILON, HEADS, HIDDEN, LAYERS, read_safetensors
from hookflash.providers.registry import ProviderConfig, Providers

TEXTS = [
    "How long do I have to return a pair of shoes?",
    "Shoes can be sent back within 30 days.",
    "The store opens at ten.",
    "WX-200",
    "¿Cuánto tarda el envío?",
    "क्या मैं जूते वापस कर सकता हूँ?",
    "A tent has a warranty of five years. It covers poles, zips, seams and floors. " * 6,
]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def embedder(data_dir: Path) -> MiniLM:
    minilm._models.clear()  # one that is loaded already is not written into this directory
    return minilm.embedder(ProviderConfig(data_dir=data_dir))


async def test_vectors_are_unit_rows_of_the_stated_size(embedder: Embedder) -> None:
    vectors = await embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_no_texts_no_vectors(embedder: Embedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


async def test_any_text_has_a_vector(embedder: Embedder) -> None:
    vectors = await embedder.embed(["", " ", "\x00", "👟", "x" * 5_000, "wort " * 5_000])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_a_text_has_the_same_vector_in_any_company(embedder: Embedder) -> None:
    """Order and padding of a batch leave no trace but that of the quantised sums."""
    together = await embedder.embed(TEXTS)
    backwards = await embedder.embed(TEXTS[::-1])
    for text, vector, other in zip(TEXTS, together, backwards[::-1], strict=True):
        alone = (await embedder.embed([text]))[0]
        assert float(alone @ vector) > 0.99
        assert float(vector @ other) > 0.9999


async def test_what_means_the_same_is_near(embedder: Embedder) -> None:
    question, answer, other, *_ = await embedder.embed(TEXTS)
    assert float(question @ answer) > 0.5
    assert float(question @ answer) > float(question @ other) + 0.3


async def test_texts_are_cut_at_the_stated_number_of_tokens(embedder: Embedder) -> None:
    most = embedder.max_tokens - 2
    fits = " ".join(["shoe"] * most)
    assert embedder.count_tokens(fits) == embedder.max_tokens
    assert embedder.count_tokens(fits + " shoe") == embedder.max_tokens + 1
    cut, longer = await embedder.embed([fits, fits + " elephant" * 50])
    assert float(cut @ longer) > 0.999


async def test_many_at_once_get_each_their_own(embedder: Embedder) -> None:
    expected = await embedder.embed(TEXTS)
    got: dict[int, NDArray[np.float32]] = {}

    async def one(number: int) -> None:
        got[number] = (await embedder.embed([TEXTS[number % len(TEXTS)]]))[0]

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(one, number)
    assert all(float(got[n] @ expected[n % len(TEXTS)]) > 0.99 for n in range(30))


async def test_it_is_as_accurate_as_the_model_computed_in_full(embedder: MiniLM) -> None:
    folder = minilm.installed()
    weights = read_safetensors((folder / "model.safetensors").read_bytes())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    vectors = await embedder.embed(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert float(_in_full(weights, tokenizer.encode(text).ids) @ vector) >= 0.98


def _in_full(weights: dict[str, NDArray[np.float32]], ids: list[int]) -> NDArray[np.float32]:
    """BERT in 32 bits, as published: the reference that shares no code with the graph."""

    def linear(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normed(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(rows.var(axis=-1, keepdims=True) + EPSILON)
        result: NDArray[np.float32] = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return result

    erf = np.vectorize(math.erf, otypes=[np.float32])
    hidden = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = normed(hidden, "embeddings.LayerNorm")
    for number in range(LAYERS):
        at = f"encoder.layer.{number}"
        query, key, value = (
            linear(hidden, f"{at}.attention.self.{name}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(HIDDEN / HEADS)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        seen = (shares @ value).transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        hidden = normed(hidden + linear(seen, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        wide = linear(hidden, f"{at}.intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        hidden = normed(hidden + linear(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    mean = hidden.mean(axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit


def test_the_name_tells_weights_and_arithmetic(embedder: MiniLM) -> None:
    assert embedder.name.startswith("all-MiniLM-L6-v2@53aa5117/int8.")


def test_it_is_the_default_under_its_name(data_dir: Path) -> None:
    assert isinstance(Providers({}, clock=SystemClock(), data_dir=data_dir).embedder("minilm"), MiniLM)


async def test_the_compiled_model_is_kept_and_used_again(embedder: MiniLM, data_dir: Path, tmp_path: Path) -> None:
    await embedder.load()
    kept = list((data_dir / "models").iterdir())
    assert [file.suffix for file in kept] == [".onnx"]
    # Without the weights only the kept file can have made the vectors.
    source, cache = tmp_path / "model", tmp_path / "cache"
    source.mkdir()
    shutil.copy(minilm.installed() / "tokenizer.json", source)
    shutil.copytree(data_dir / "models", cache)
    vectors = await MiniLM(source, cache).embed(TEXTS)
    np.testing.assert_array_equal(vectors, await embedder.embed(TEXTS))


async def test_a_broken_kept_model_is_compiled_again(
    embedder: MiniLM, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedder.load()
    monkeypatch.setattr(minilm, "_models", {})
    [kept] = (data_dir / "models").iterdir()
    broken = tmp_path / kept.name
    broken.write_bytes(kept.read_bytes()[:100_000])
    await MiniLM(minilm.installed(), tmp_path).load()
    assert broken.read_bytes() == kept.read_bytes()


async def test_a_place_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_models", {})
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    assert (await MiniLM(minilm.installed(), occupied).embed(["tent"])).shape == (1, minilm.DIMENSIONS)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
async def test_files_other_than_the_pinned_are_refused(name: str, tmp_path: Path) -> None:
    for file in ("model.safetensors", "tokenizer.json"):
        (tmp_path / file).symlink_to(minilm.installed() / file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(Misconfigured, match=name):
        await MiniLM(tmp_path, None).load()
    (tmp_path / name).unlink()
    with pytest.raises(Misconfigured, match=name):
        await MiniLM(tmp_path, None).load()
