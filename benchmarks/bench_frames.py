"""Measures what a caller's sound costs on its way from a socket message to "somebody speaks", without the socket.

    python benchmarks/bench_frames.py [--calls 400] [--seconds 6] [--sound a.wav ...]

First each step alone, in microseconds of processor time: a frame is 20 ms, a chunk 32 ms. Then silero in batches: as we
compute it, and as the package's own file does (the reference). Then all together at the pace of real time: Twilio's JSON,
jitter buffer, gate, silero in its thread, hysteresis. Callers speak 40 % of the time, in a made-up voice or in the WAV
files that are given (the rest is silence or line noise).
"""

import argparse
import base64
import json
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import anyio
import numpy as np
from measure import report
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import SessionOptions

from hookflash.cli.opening import run
from hookflash.providers.silero import Silero, package_model
from hookflash.speech.audio import Samples, decoded, encoded, level
from hookflash.speech.gate import Gate
from hookflash.speech.hysteresis import Hysteresis
from hookflash.speech.jitter import JitterBuffer
from hookflash.speech.resample import Resampler
from hookflash.speech.vad import CHUNK, CONTEXT, GatedScorer, VadBatcher
from hookflash.speech.wav import read_wav
from hookflash.twilio.media_stream import Media, decode, encode_media

SID = "MZ" + "1" * 32
BATCHES = (1, 4, 16, 32, 64, 128, 256)
# The calls of 20 ms arrive in so many portions, as they would from sockets.
PORTIONS = 10


def microseconds(work: Callable[[], object], *, times: int = 2000, per: int = 1) -> float:
    """Processor time of one `work`, the best of five rounds, divided by `per`."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times)
    return round(min(rounds) * 1e6 / per, 2)


def made_up_voice(seconds: float, seed: int) -> Samples:
    """Harmonics of a moving pitch under the resonances of vowels, four syllables a second."""
    chance = np.random.default_rng(seed)
    times = np.arange(int(seconds * 8000)) / 8000
    pitch = chance.uniform(100, 200) * (
        1 + 0.1 * np.sin(2 * np.pi * 1.7 * times) + 0.02 * np.sin(2 * np.pi * 5 * times)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / 8000
    vowels = chance.choice(
        [(730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (300, 870, 2240)], int(seconds * 4) + 1
    )
    peaks = vowels[(times * 4).astype(int)]
    sound = np.zeros(len(times))
    for harmonic in range(1, 20):
        strength = sum(1 / (1 + ((harmonic * pitch - peaks[:, peak]) / 90) ** 2) / (peak + 1) for peak in range(3))
        sound += strength * np.sin(harmonic * phase)
    sound *= np.sin(np.pi * (times * 4 % 1)) ** 0.5
    voice: Samples = (sound / np.abs(sound).max() * 8000).astype(np.int16)
    return voice


def voices(files: list[Path]) -> list[Samples]:
    if not files:
        return [made_up_voice(8, seed) for seed in range(8)]
    sounds = []
    for file in files:
        wav = read_wav(file.read_bytes())
        sounds.append(wav.mono() if wav.rate == 8000 else Resampler(wav.rate, 8000).push(wav.mono()))
    return sounds


def caller(number: int, sounds: list[Samples], seconds: float) -> list[str]:
    """Twilio's messages of one call: spoken 40 % of the time, in stretches of 2 s; half the lines are noisy."""
    chance = np.random.default_rng(number)
    length = int((seconds + 1) * 8000)
    speech = sounds[number % len(sounds)]
    spoken = np.resize(np.roll(speech, int(chance.integers(len(speech)))), length).astype(float)
    times = np.arange(length) / 8000 + chance.uniform(0, 5)
    spoken[times % 5 > 2] = 0
    if number % 2:
        spoken += chance.standard_normal(length) * 60
    mulaw = encoded(np.clip(spoken, -32768, 32767).astype(np.int16))
    return [message(place, mulaw[place * 160 : place * 160 + 160]) for place in range(length // 160)]


def message(place: int, frame: bytes) -> str:
    media = {"track": "inbound", "chunk": str(place + 1), "timestamp": str(155 + 20 * place)}
    payload = base64.b64encode(frame).decode()
    return json.dumps(
        {"event": "media", "sequenceNumber": str(place + 2), "media": {**media, "payload": payload}, "streamSid": SID}
    )


def steps() -> dict[str, float]:
    frame = bytes(range(80, 240))
    text = message(7, frame)
    samples = decoded(frame)
    buffer, timestamps = JitterBuffer(), iter(range(155, 10**9, 20))
    hysteresis, probabilities = Hysteresis(), cycle([0.1] * 20 + [0.9] * 20)
    figures = {
        "decode_message": microseconds(lambda: decode(text)),
        "encode_message": microseconds(lambda: encode_media(SID, frame)),
        "jitter_buffer": microseconds(lambda: buffer.push(next(timestamps), frame, 0.0)),
        "mulaw_to_linear": microseconds(lambda: decoded(frame)),
        "linear_to_mulaw": microseconds(lambda: encoded(samples)),
        "level": microseconds(lambda: level(frame)),
        "hysteresis_per_chunk": microseconds(lambda: hysteresis.push(next(probabilities))),
    }
    for source, target in ((16000, 8000), (22050, 8000), (24000, 8000), (44100, 8000), (48000, 8000), (8000, 16000)):
        resampler, given = Resampler(source, target), np.zeros(source // 50, np.int16)
        figures[f"resample_{source}_to_{target}"] = microseconds(lambda: resampler.push(given))  # noqa: B023 - used at once
    return figures


def batches() -> dict[str, dict[int, float]]:
    model = package_model()
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    theirs = InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ours, rate = Silero(model), np.array(8000)
    table: dict[str, dict[int, float]] = {
        "ours": {},
        "package": {},
        "behind_gate_all_open": {},
        "behind_gate_all_shut": {},
    }
    for size in BATCHES:
        rows, times = np.arange(size), max(3, 600 // size)
        sound = (np.random.default_rng(size).standard_normal((size, CONTEXT + CHUNK)) * 0.1).astype(np.float32)
        ours.reset(rows)
        state = np.zeros((2, size, 128), np.float32)
        given = {"input": sound, "state": state, "sr": rate}
        table["ours"][size] = microseconds(lambda: ours.score(rows, sound), times=times, per=size)  # noqa: B023
        table["package"][size] = microseconds(lambda: theirs.run(None, given), times=times, per=size)  # noqa: B023
        for name, silent in (("behind_gate_all_open", False), ("behind_gate_all_shut", True)):
            scorer = GatedScorer(Silero(model), gate=Gate() if silent else None)
            chunk = bytes([255]) * CHUNK if silent else encoded((sound[0, CONTEXT:] * 32768).astype(np.int16))
            chunks = [chunk] * size
            scorer.score(rows, rows, chunks)
            for _ in range(20):
                scorer.score(rows, rows[:0], chunks)
            work = lambda: scorer.score(rows, rows[:0], chunks)  # noqa: B023, E731
            table[name][size] = microseconds(work, times=times, per=size)
    return table


class Line:
    """One call's way in."""

    def __init__(self, batcher: VadBatcher, messages: list[str]) -> None:
        self._messages = iter(messages)
        self._jitter = JitterBuffer()
        self._hysteresis = Hysteresis()
        self._ear = batcher.join(self._scored)
        self.events = 0

    def receive(self, now: float) -> None:
        media = decode(next(self._messages))
        assert isinstance(media, Media)
        for frame in self._jitter.push(media.media.timestamp, media.media.payload, now):
            self._ear.feed(frame)

    def _scored(self, probability: float) -> None:
        if self._hysteresis.push(probability):
            self.events += 1


async def live(calls: int, seconds: float, sounds: list[Samples], *, gate: bool) -> dict[str, float]:
    """All together at the pace of real time."""
    # Enough different calls; making all of them would take longer than the measurement.
    scripts = list(islice(cycle([caller(number, sounds, seconds) for number in range(min(calls, 40))]), calls))
    scorer = GatedScorer(Silero(package_model()), gate=Gate() if gate else None)
    late = []
    async with VadBatcher(scorer).running() as batcher:
        lines = [Line(batcher, script) for script in scripts]
        # Calls begin at any time, so their chunks do not end together.
        for number, line in enumerate(lines):
            for _ in range(number % 8):
                line.receive(0.0)
        portions = [lines[first::PORTIONS] for first in range(PORTIONS)]
        began, used = time.monotonic(), time.process_time()
        for tick in range(int(seconds * 50) * PORTIONS):
            due = began + tick * 0.02 / PORTIONS
            await anyio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            late.append(now - due)
            for line in portions[tick % PORTIONS]:
                line.receive(now)
        used, took = time.process_time() - used, time.monotonic() - began
    frames = calls * int(seconds * 50)
    return {
        "us_per_frame": round(used * 1e6 / frames, 2),
        "core_seconds_per_call_minute": round(used / (calls * took / 60), 4),
        "cores": round(used / took, 3),
        "late_p95_ms": round(float(np.percentile(late, 95)) * 1000, 2),
        "chunks_per_batch": round(batcher.counts.chunks / max(1, batcher.counts.batches), 1),
        "share_skipped_by_gate": round(scorer.skipped / max(1, scorer.skipped + scorer.scored), 3),
        "unscored": batcher.counts.unscored,
        "starts_and_ends": sum(line.events for line in lines),
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--sound", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    sounds = voices(given.sound)
    alone, silero = steps(), batches()
    report(
        "frames",
        {
            "us_each": alone,
            "silero_us_per_chunk_by_batch": silero,
            "silero_ratio_to_package_at_64": round(silero["ours"][64] / silero["package"][64], 3),
            "calls": given.calls,
            "live_with_gate": await live(given.calls, given.seconds, sounds, gate=True),
            "live_without_gate": await live(given.calls, given.seconds, sounds, gate=False),
        },
    )


if __name__ == "__main__":
    run(main)
