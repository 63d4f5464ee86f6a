"""Knows how silero computes at 8 kHz: writes the same network as matrix products, four times as quick in batches.

The package's file computes convolutions over four points in time, call by call. Here each layer is one product for all
calls of the batch; what the convolutions multiply with padding is left out. The weights are the package's.
"""

from collections.abc import Mapping

import numpy as np

from hookflash.providers.onnx_file import FLOAT, Array, OnnxGraph

SAMPLES = 288
HIDDEN = 128

# The network for 8 kHz inside the package's file.
_WITHIN = "If_0_else_branch__Inline_0__"
_FRAMES, _HOP, _FRAME, _BINS = 4, 64, 128, 65
_REFLECTED = 32
_NAMES = (
    "stft.forward_basis_buffer",
    *(f"encoder.{layer}.reparam_conv.{part}" for layer in range(4) for part in ("weight", "bias")),
    *(f"decoder.rnn.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
    "decoder.decoder.2.weight",
    "decoder.decoder.2.bias",
)


def build(floats: Mapping[str, Array]) -> bytes:
    """An ONNX model: `samples` (batch x 288), `hidden` and `cell` (batch x 128) to `probability` (batch x 1) and both new.

    `floats` are the constants of the package's file. Raises KeyError when one is missing.
    """
    weights = {name: floats[_WITHIN + name] for name in _NAMES}
    graph = OnnxGraph()
    features = _encoder(graph, weights, _spectrum(graph, weights["stft.forward_basis_buffer"][:, 0].T))
    hidden = _recurrence(graph, weights, features)
    last = weights["decoder.decoder.2.weight"].reshape(1, HIDDEN).T
    score = _gemm(graph, graph.node("Relu", [hidden]), last, weights["decoder.decoder.2.bias"])
    graph.node("Sigmoid", [score], output="probability")
    state = (FLOAT, ("batch", HIDDEN))
    return graph.model(
        inputs={"samples": (FLOAT, ("batch", SAMPLES)), "hidden": state, "cell": state},
        outputs={"probability": (FLOAT, ("batch", 1)), "new_hidden": state, "new_cell": state},
    )


def _spectrum(graph: OnnxGraph, basis: Array) -> str:
    """Magnitudes of four overlapping frames, side by side."""
    powers = []
    for frame in range(_FRAMES):
        first = frame * _HOP
        matrix = basis[: min(_FRAME, SAMPLES - first)].copy()
        if frame == _FRAMES - 1:
            # The last frame reaches beyond the end, where the sound is taken to run backwards.
            for beyond in range(_REFLECTED):
                matrix[SAMPLES - 2 - beyond - first] += basis[SAMPLES + beyond - first]
        parts = graph.node("MatMul", [_columns(graph, "samples", first, first + len(matrix)), graph.constant(matrix)])
        squares = graph.node("Mul", [parts, parts])
        powers.append(
            graph.node("Add", [_columns(graph, squares, 0, _BINS), _columns(graph, squares, _BINS, 2 * _BINS)])
        )
    return graph.node("Sqrt", [graph.node("Concat", powers, axis=1)])


def _encoder(graph: OnnxGraph, weights: Mapping[str, Array], magnitudes: str) -> str:
    matrices = []
    times = _FRAMES
    for layer, stride in enumerate((1, 2, 2, 1)):
        matrices.append(_as_matrix(weights[f"encoder.{layer}.reparam_conv.weight"], times, stride))
        times = (times - 1) // stride + 1
    biases = [weights[f"encoder.{layer}.reparam_conv.bias"] for layer in range(4)]
    # Half of the first layer's output needs three of the four frames only.
    seen, made = 3 * _BINS, matrices[0].shape[1] // 2
    halves = []
    for rows, columns in ((slice(0, seen), slice(0, made)), (slice(_BINS, None), slice(made, None))):
        given = _columns(graph, magnitudes, rows.start, rows.start + seen)
        halves.append(graph.node("Relu", [_gemm(graph, given, matrices[0][rows, columns], np.tile(biases[0], 2))]))
    value = graph.node("Concat", halves, axis=1)
    for matrix, bias in zip(matrices[1:], biases[1:], strict=True):
        value = graph.node("Relu", [_gemm(graph, value, matrix, np.tile(bias, matrix.shape[1] // len(bias)))])
    return value


def _recurrence(graph: OnnxGraph, weights: Mapping[str, Array], features: str) -> str:
    matrix = np.concatenate([weights["decoder.rnn.weight_ih"].T, weights["decoder.rnn.weight_hh"].T])
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    # The package has input, forget, cell, output; with the cell's last, the three that are bent alike are neighbours.
    order = np.r_[0 : 2 * HIDDEN, 3 * HIDDEN : 4 * HIDDEN, 2 * HIDDEN : 3 * HIDDEN]
    gates = _gemm(graph, graph.node("Concat", [features, "hidden"], axis=1), matrix[:, order], bias[order])
    bent = graph.node("Sigmoid", [_columns(graph, gates, 0, 3 * HIDDEN)])
    admit, keep, show = (_columns(graph, bent, at, at + HIDDEN) for at in (0, HIDDEN, 2 * HIDDEN))
    fresh = graph.node("Mul", [admit, graph.node("Tanh", [_columns(graph, gates, 3 * HIDDEN, 4 * HIDDEN)])])
    cell = graph.node("Add", [graph.node("Mul", [keep, "cell"]), fresh], output="new_cell")
    return graph.node("Mul", [show, graph.node("Tanh", [cell])], output="new_hidden")


def _as_matrix(kernel: Array, times: int, stride: int) -> Array:
    """A convolution of width 3, padded by 1, as a matrix from (time, channel) to (time, channel)."""
    outputs, inputs, width = kernel.shape
    after = (times - 1) // stride + 1
    matrix = np.zeros((times, inputs, after, outputs), np.float32)
    for place in range(after):
        for tap in range(width):
            time = place * stride + tap - 1
            if 0 <= time < times:
                matrix[time, :, place] = kernel[:, :, tap].T
    return matrix.reshape(times * inputs, after * outputs)


def _columns(graph: OnnxGraph, name: str, first: int, end: int) -> str:
    places = [graph.constant(np.array([place], np.int64)) for place in (first, end, 1)]
    return graph.node("Slice", [name, *places])


def _gemm(graph: OnnxGraph, name: str, matrix: Array, bias: Array) -> str:
    return graph.node("Gemm", [name, graph.constant(matrix), graph.constant(bias)])
