"""Knows smart-turn, the model that hears from the sound itself whether somebody has finished: its file, and what it is given.

smart-turn 3.2 (BSD-2-Clause) is an encoder of Whisper's tiny size; it hears eight seconds at 16 kHz that end where the voice
ceased, and takes about 50 ms of one core.
"""

import hashlib
import importlib.util
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import SessionOptions

from hookflash.base.errors import Misconfigured
from hookflash.speech.audio import SAMPLE_RATE, decoded
from hookflash.speech.log_mel import RATE, log_mel
from hookflash.speech.resample import Resampler

PACKAGE = "pipecat"
FILE = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
MODEL_SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
SECONDS = 8
# So many calls may wait for the one thread: the last of them still hears in good time.
WAITING = 6

_HINT = "Install the extra: pip install 'hookflash[smart-turn]'; of pipecat-ai only the model's file is used."


class SmartTurn:
    """A TurnModel. One thread for all calls of a process: the frames of the others must not wait for a core."""

    def __init__(self, model: bytes) -> None:
        """`model` is what `package_model` gives. Loading takes 100 ms."""
        options = SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._limiter = anyio.CapacityLimiter(1)
        self._waiting = 0

    async def finished(self, mulaw: bytes) -> float | None:
        if self._waiting >= WAITING:
            return None
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(self.score, mulaw, limiter=self._limiter)
        finally:
            self._waiting -= 1

    def score(self, mulaw: bytes) -> float:
        """0..1 that nothing more comes, of sound (mu-law, 8 kHz) that ends where the voice has ceased."""
        pcm = Resampler(SAMPLE_RATE, RATE).push(decoded(mulaw[-SECONDS * SAMPLE_RATE :]))
        sound = np.zeros(SECONDS * RATE, np.float32)
        if len(pcm):
            sound[-len(pcm) :] = pcm.astype(np.float32) / 32768
        (found,) = self._session.run(None, {"input_features": log_mel(sound)[None]})
        return float(np.asarray(found)[0, 0])


def package_model() -> bytes:
    """The package's file, found without importing the package. Raises Misconfigured when it is missing or another."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Misconfigured("The package that carries smart-turn is not installed.", hint=_HINT)
    path = Path(spec.origin).parent / FILE
    try:
        model = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"The model {path} cannot be read ({error.strerror}).", hint=_HINT) from error
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise Misconfigured(f"The model {path} is not the one that was checked.", hint="Install pipecat-ai 1.14.")
    return model
