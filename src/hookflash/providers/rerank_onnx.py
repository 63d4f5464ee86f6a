"""A cross-encoder on this machine: a directory with `model.onnx` and `tokenizer.json`, as Hugging Face models are exported."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    RuntimeException,
    SessionOptions,
)
from tokenizers import Encoding, Tokenizer

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.providers.registry import ProviderConfig

MAX_TOKENS = 384
# More at once are slower on one core, and could not be given up in between.
_PAIRS_PER_RUN = 4
_KNOWN = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class OnnxReranker:
    """Reads question and passage together; `name` is `onnx:<directory's name>`. Loads at its first use, in a thread;
    who cannot wait for that goes on without it.

    The graph takes input_ids, attention_mask and, where it has them, token_type_ids (batch x tokens, int64), and gives
    a number for each pair: batch x 1, or batch x 2 of which the second speaks for the passage.
    """

    def __init__(self, directory: Path) -> None:
        for name in ("model.onnx", "tokenizer.json"):
            if not (directory / name).is_file():
                raise Misconfigured(
                    f"The re-ranker's directory {directory} has no {name}.",
                    hint="HOOKFLASH_RERANKER=onnx:DIRECTORY names one with model.onnx and tokenizer.json",
                )
        self.name = f"onnx:{directory.name}"
        self._directory = directory
        self._loading = threading.Lock()
        self._loaded: tuple[Tokenizer, InferenceSession] | None = None
        # One core stays free for everything else.
        self._limiter = CapacityLimiter(max(1, (os.cpu_count() or 1) - 1))

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        found: list[float] = [0.0] * len(texts)
        encoded = await to_thread.run_sync(
            self._encoded, question, texts, limiter=self._limiter, abandon_on_cancel=True
        )
        # Pairs of similar length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        for start in range(0, len(order), _PAIRS_PER_RUN):
            places = order[start : start + _PAIRS_PER_RUN]
            pairs = [encoded[place] for place in places]
            numbers = await to_thread.run_sync(self._judge, pairs, limiter=self._limiter, abandon_on_cancel=True)
            for place, number in zip(places, numbers, strict=True):
                found[place] = number
        return found

    def _model(self) -> tuple[Tokenizer, InferenceSession]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._directory)
            return self._loaded

    def _encoded(self, question: str, texts: Sequence[str]) -> list[Encoding]:
        tokenizer, _ = self._model()
        return list(tokenizer.encode_batch([(question, text) for text in texts]))

    def _judge(self, pairs: Sequence[Encoding]) -> list[float]:
        _, session = self._model()
        shape = (len(pairs), max(1, *(len(pair.ids) for pair in pairs)))
        given = {name: np.zeros(shape, np.int64) for name in _KNOWN}
        for row, pair in enumerate(pairs):
            size = len(pair.ids)
            given["input_ids"][row, :size] = pair.ids
            given["attention_mask"][row, :size] = 1
            given["token_type_ids"][row, :size] = pair.type_ids
        wanted = {each.name: given[each.name] for each in session.get_inputs()}
        try:
            (numbers,) = session.run([session.get_outputs()[0].name], wanted)
        except (Fail, InvalidArgument, RuntimeException) as error:
            raise Unavailable(f"The re-ranker {self.name} failed.") from error
        return self._scores(np.asarray(numbers, np.float64), len(pairs))

    def _scores(self, numbers: NDArray[np.float64], wanted: int) -> list[float]:
        rows = numbers.reshape(wanted, -1) if numbers.size and numbers.size % wanted == 0 else np.zeros((0, 0))
        if rows.shape[1] not in (1, 2) or not np.isfinite(rows).all():
            raise Unavailable(f"The re-ranker {self.name} gave something else than a number for each passage.")
        scores: list[float] = (rows[:, 0] if rows.shape[1] == 1 else rows[:, 1] - rows[:, 0]).tolist()
        return scores


_WANTED = "HOOKFLASH_RERANKER=onnx:DIRECTORY wants model.onnx and tokenizer.json of a cross-encoder, as exported for Hugging Face"


def _load(directory: Path) -> tuple[Tokenizer, InferenceSession]:
    try:
        tokenizer = Tokenizer.from_str((directory / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # the tokenizers package raises nothing more exact
        raise Misconfigured(
            f"The re-ranker's file {directory / 'tokenizer.json'} cannot be read.", hint=_WANTED
        ) from error
    # Of a pair that is too long the passage is cut, not the question.
    tokenizer.enable_truncation(MAX_TOKENS, strategy="only_second")
    tokenizer.no_padding()
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = InferenceSession(str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile, RuntimeException) as error:
        raise Misconfigured(f"The re-ranker's file {directory / 'model.onnx'} cannot be read.", hint=_WANTED) from error
    strange = sorted({each.name for each in session.get_inputs()} - _KNOWN)
    if strange:
        raise Misconfigured(
            f"The re-ranker's model wants {strange[0]!r}, which a cross-encoder of texts does not need.",
            hint=_WANTED,
        )
    return tokenizer, session


def reranker(config: ProviderConfig) -> OnnxReranker:
    """The cross-encoder of a directory; raises Misconfigured."""
    return OnnxReranker(Path(config.model).expanduser())
