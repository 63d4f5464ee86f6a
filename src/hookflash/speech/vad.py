"""Knows how likely each 32 ms of every call is speech: chunks of all calls are scored together, off the event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import anyio
import numpy as np
import structlog
from anyio import to_thread
from numpy.typing import NDArray

from hookflash.speech.audio import FLOATS, SILENCE, Floats
from hookflash.speech.gate import Gate, Rows

CHUNK = 256
# What a scorer is given of the sound before each chunk.
CONTEXT = 32

# Chunks gather for so long; more at once than MOST gain nothing and would keep the first ones waiting.
WINDOW_SECONDS = 0.010
MOST = 256
# A call's chunks that may wait (a quarter of a second); what comes on top takes over the score of those.
_WAITING_MOST = 8

_log = structlog.get_logger()

Deliver = Callable[[float], None]


class Scorer(Protocol):
    """A model with a memory of each call, kept by row. It is used by one thread only."""

    def reset(self, rows: Rows) -> None:
        """New calls have these rows."""
        ...

    def score(self, rows: Rows, samples: Floats) -> Floats:
        """The probability of speech in each chunk: `samples` is rows x (CONTEXT + CHUNK), between -1 and 1, 8 kHz."""
        ...


class GatedScorer:
    """A scorer behind the gate: what is surely silence gets 0 and costs next to nothing."""

    def __init__(self, scorer: Scorer, *, gate: Gate | None = None) -> None:
        self._scorer = scorer
        self._gate = gate
        self._tails: NDArray[np.uint8] = np.zeros((0, CONTEXT), np.uint8)
        self.scored = 0
        self.skipped = 0

    def score(self, rows: Rows, new: Rows, chunks: Sequence[bytes]) -> Floats:
        """A probability for each chunk of mu-law; no row twice. `new` are the rows that begin with this."""
        if len(new):
            self._begin(new)
        sound = np.empty((len(rows), CONTEXT + CHUNK), np.uint8)
        sound[:, :CONTEXT] = self._tails[rows]
        sound[:, CONTEXT:] = np.frombuffer(b"".join(chunks), np.uint8).reshape(-1, CHUNK)
        self._tails[rows] = sound[:, CHUNK:]
        samples = FLOATS.take(sound)
        if self._gate is None:
            self.scored += len(rows)
            return self._scorer.score(rows, samples)
        opened = self._gate.opened(rows, samples[:, CONTEXT:])
        probabilities: Floats = np.zeros(len(rows), np.float32)
        chosen = rows[opened]
        if len(chosen):
            heard = self._scorer.score(chosen, samples[opened])
            self._gate.learn(chosen, heard)
            probabilities[opened] = heard
        self.scored += len(chosen)
        self.skipped += len(rows) - len(chosen)
        return probabilities

    def _begin(self, new: Rows) -> None:
        missing = int(new.max()) + 1 - len(self._tails)
        if missing > 0:
            more = np.zeros((max(missing, len(self._tails)), CONTEXT), np.uint8)
            self._tails = np.concatenate((self._tails, more))
        self._tails[new] = SILENCE
        self._scorer.reset(new)
        if self._gate is not None:
            self._gate.reset(new)


@dataclass(slots=True)
class VadCounts:
    """`unscored` chunks came faster than they could be scored; `failed` batches were lost to an error."""

    batches: int = 0
    chunks: int = 0
    unscored: int = 0
    failed: int = 0


class Ear:
    """One call's place. Everything about it happens on the event loop."""

    __slots__ = ("_batcher", "_buffer", "deliver", "gone", "last", "new", "owed", "queued", "row", "waiting")

    def __init__(self, batcher: "VadBatcher", row: int, deliver: Deliver) -> None:
        self._batcher = batcher
        self._buffer = b""
        self.row = row
        self.deliver = deliver
        self.waiting: deque[bytes] = deque()
        self.owed = 0
        self.last = 0.0
        self.queued = False
        self.new = True
        self.gone = False

    def feed(self, mulaw: bytes) -> None:
        """Sound of any length. For every 256 samples one probability is delivered, in order; never waits."""
        buffer = self._buffer + mulaw
        if len(buffer) >= CHUNK:
            whole = len(buffer) // CHUNK * CHUNK
            for at in range(0, whole, CHUNK):
                self._batcher.submit(self, buffer[at : at + CHUNK])
            buffer = buffer[whole:]
        self._buffer = buffer

    def leave(self) -> None:
        """The call is over; nothing is delivered any more."""
        self._batcher.release(self)


def _nobody(probability: float) -> None:
    """Who listens for a call that is over."""


_Batch = list[tuple[Ear, bytes, bool]]


class VadBatcher:
    """The scoring of all calls of a process: one thread, at most one batch under way, no locks.

    Queues belong to the event loop; the scorer's memory belongs to the thread, which learns of new calls by the batch.
    """

    def __init__(self, scorer: GatedScorer, *, window: float = WINDOW_SECONDS, most: int = MOST) -> None:
        self._scorer = scorer
        self._window = window
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._ready: deque[Ear] = deque()
        self._free: list[int] = []
        self._rows = 0
        self._armed = False
        self._under_way = False
        self._overdue = False
        self.counts = VadCounts()

    def join(self, deliver: Deliver) -> Ear:
        """A place for a call. `deliver` gets its probabilities on the event loop; it must be quick and not raise."""
        if self._free:
            return Ear(self, self._free.pop(), deliver)
        self._rows += 1
        return Ear(self, self._rows - 1, deliver)

    def submit(self, ear: Ear, chunk: bytes) -> None:
        """Used by Ear."""
        if ear.gone:
            return
        if len(ear.waiting) >= _WAITING_MOST:
            ear.owed += 1
            self.counts.unscored += 1
            return
        ear.waiting.append(chunk)
        if ear.queued:
            return
        ear.queued = True
        self._ready.append(ear)
        if not self._armed:
            self._armed = True
            self._loop.call_later(self._window, self._flush)

    def release(self, ear: Ear) -> None:
        """Used by Ear. The row may be used again at once: its next batch comes after any that is under way."""
        if not ear.gone:
            ear.gone = True
            # The last batch keeps its ears until the next one; the call behind must not be kept with them.
            ear.deliver = _nobody
            ear.waiting.clear()
            self._free.append(ear.row)

    def _flush(self) -> None:
        self._armed = False
        if self._under_way:
            self._overdue = True
            return
        batch: _Batch = []
        # One chunk a call: the second depends on what is remembered after the first. Who has more goes to the end.
        for _ in range(len(self._ready)):
            if len(batch) == self._most:
                break
            ear = self._ready.popleft()
            if ear.gone:
                continue
            batch.append((ear, ear.waiting.popleft(), ear.new))
            ear.new = False
            ear.queued = bool(ear.waiting)
            if ear.queued:
                self._ready.append(ear)
        if batch:
            self._under_way = True
            self._overdue = bool(self._ready)
            self._batches.put(batch)

    def _deliver(self, batch: _Batch, probabilities: list[float] | None) -> None:
        self._under_way = False
        if self._overdue:
            self._flush()
        self.counts.batches += 1
        self.counts.chunks += len(batch)
        if probabilities is None:
            self.counts.failed += 1
            probabilities = [ear.last for ear, _, _ in batch]
        for (ear, _, _), probability in zip(batch, probabilities, strict=True):
            ear.last = probability
            again, ear.owed = ear.owed, 0
            for _ in range(1 + again):
                if not ear.gone:
                    self._tell(ear, probability)

    def _tell(self, ear: Ear, probability: float) -> None:
        try:
            ear.deliver(probability)
        except Exception:  # noqa: BLE001 - recorded; one call's failure is not another's
            _log.exception("receiver of speech probabilities failed, call left out")
            ear.leave()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            probabilities = self._scored(batch)
            self._loop.call_soon_threadsafe(self._deliver, batch, probabilities)

    def _scored(self, batch: _Batch) -> list[float] | None:
        rows = np.array([ear.row for ear, _, _ in batch], np.intp)
        new = np.array([ear.row for ear, _, new in batch if new], np.intp)
        try:
            scores: list[float] = self._scorer.score(rows, new, [chunk for _, chunk, _ in batch]).tolist()
        except Exception:  # noqa: BLE001 - recorded; the thread serves all calls and must outlive any batch
            _log.exception("scoring of speech failed")
            return None
        return scores

    @asynccontextmanager
    async def running(self) -> AsyncIterator["VadBatcher"]:
        """The thread lives as long as this; it finishes the batch that it has."""
        thread = threading.Thread(target=self._work, name="vad", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._batches.put(None)
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(thread.join)
