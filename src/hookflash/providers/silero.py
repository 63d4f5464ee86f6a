"""Knows silero, the model that tells speech from other sounds: which file is accepted, how it remembers each call."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import SessionOptions

from hookflash.base.errors import Misconfigured
from hookflash.providers import silero_graph
from hookflash.providers.onnx_file import read_floats
from hookflash.speech.audio import Floats
from hookflash.speech.gate import Rows

PACKAGE = "silero_vad"
MODEL_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"

_HINT = "Install silero-vad 6.2.3; its other dependencies are not needed."


class Silero:
    """A Scorer for 8 kHz. What it remembers of a call is one row of two arrays, about 1 kB."""

    def __init__(self, model: bytes) -> None:
        """`model` is what `package_model` gives. Loading takes 50 ms."""
        options = SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        graph = silero_graph.build(read_floats(model))
        self._session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._hidden: Floats = np.zeros((0, silero_graph.HIDDEN), np.float32)
        self._cell: Floats = np.zeros((0, silero_graph.HIDDEN), np.float32)

    def reset(self, rows: Rows) -> None:
        missing = int(rows.max()) + 1 - len(self._hidden)
        if missing > 0:
            more = np.zeros((max(missing, len(self._hidden)), silero_graph.HIDDEN), np.float32)
            self._hidden = np.concatenate((self._hidden, more))
            self._cell = np.concatenate((self._cell, more))
        self._hidden[rows] = 0.0
        self._cell[rows] = 0.0

    def score(self, rows: Rows, samples: Floats) -> Floats:
        given = {"samples": samples, "hidden": self._hidden[rows], "cell": self._cell[rows]}
        probability, hidden, cell = self._session.run(["probability", "new_hidden", "new_cell"], given)
        self._hidden[rows], self._cell[rows] = np.asarray(hidden), np.asarray(cell)
        scores: Floats = np.asarray(probability)[:, 0]
        return scores


def package_model() -> bytes:
    """The package's file, found without importing the package. Raises Misconfigured when it is missing or another."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Misconfigured("The package that carries the model of voice activity is not installed.", hint=_HINT)
    return pinned(Path(spec.origin).parent / "data" / "silero_vad.onnx")


def pinned(path: Path) -> bytes:
    """The file's content. Raises Misconfigured when it cannot be read or is not the one that was checked."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"The model of voice activity {path} cannot be read ({error.strerror}).", hint=_HINT
        ) from error
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise Misconfigured(f"The model of voice activity {path} is not the one that was checked.", hint=_HINT)
    return model
