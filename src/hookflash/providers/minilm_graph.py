"""Knows how MiniLM-L6 computes: writes its safetensors weights as an ONNX file with int8 weights, one scale per column."""

import json
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hookflash.providers.onnx_file import FLOAT, FUSED, INT32, OnnxGraph

HIDDEN = 384
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
# Seven bits: with eight, sums of two products overflow on x86 without VNNI.
LARGEST = 63

Weights = Mapping[str, NDArray[np.float32]]


def read_safetensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors by name, as views of `data`."""
    (header_size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_size])
    start = 8 + header_size
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            flat: NDArray[np.float32] = np.frombuffer(data, np.float32, (end - begin) // 4, start + begin)
            tensors[name] = flat.reshape(entry["shape"])
    return tensors


def build(weights: Weights) -> bytes:
    """An ONNX model: `ids` and `mask` (int32, batch x length) to `vectors` (float32, batch x 384, rows of length 1)."""
    graph = OnnxGraph()
    hidden = _embeddings(graph, weights)
    for number in range(LAYERS):
        hidden = _layer(graph, weights, hidden, f"encoder.layer.{number}.")
    masked = graph.node("Mul", [hidden, _mask_column(graph)])
    total = graph.node("ReduceSum", [masked, graph.constant(np.array([1], np.int64))], keepdims=0)
    # The mean and the sum differ by a factor that the normalisation takes away.
    graph.node("LpNormalization", [total], output="vectors", axis=1, p=2)
    words = (INT32, ("batch", "length"))
    return graph.model(inputs={"ids": words, "mask": words}, outputs={"vectors": (FLOAT, ("batch", HIDDEN))})


def _embeddings(graph: OnnxGraph, weights: Weights) -> str:
    # One scale per word: the table is most of the model, and a quarter of its size loads in a quarter of the time.
    table, scale = _quantised(weights["embeddings.word_embeddings.weight"].T, 127)
    words = graph.node("Gather", [graph.constant(table.T), "ids"])
    scales = graph.node("Gather", [graph.constant(scale[:, None]), "ids"])
    scaled = graph.node("Mul", [graph.node("Cast", [words], to=FLOAT), scales])
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.node("Gather", [graph.node("Shape", ["ids"]), graph.constant(np.array([1], np.int64))])
    zero = graph.constant(np.array([0], np.int64))
    here = graph.node("Slice", [graph.constant(positions), zero, length, zero])
    return _normalised(graph, weights, graph.node("Add", [scaled, here]), "embeddings.LayerNorm")


def _layer(graph: OnnxGraph, weights: Weights, hidden: str, at: str) -> str:
    attention = at + "attention."
    names = ("query", "key", "value")
    matrix = np.concatenate([weights[f"{attention}self.{name}.weight"].T for name in names], axis=1)
    bias = np.concatenate([weights[f"{attention}self.{name}.bias"] for name in names])
    table, scale = _quantised(matrix)
    rows, row_scale, row_zero = graph.nodes("DynamicQuantizeLinear", [hidden], outputs=3)
    attended = graph.node(
        "QAttention",
        [
            rows,
            graph.constant(table),
            graph.constant(bias),
            row_scale,
            graph.constant(scale),
            "mask",
            row_zero,
            graph.constant(np.zeros(len(scale), np.int8)),
        ],
        domain=FUSED,
        num_heads=HEADS,
    )
    projected = _dense(graph, weights, attended, attention + "output.dense", biased=True)
    normed = _skip(graph, weights, projected, hidden, attention + "output.LayerNorm")
    wide = _dense(graph, weights, normed, at + "intermediate.dense", biased=False)
    bent = graph.node("BiasGelu", [wide, graph.constant(weights[at + "intermediate.dense.bias"])], domain=FUSED)
    narrow = _dense(graph, weights, bent, at + "output.dense", biased=True)
    return _skip(graph, weights, narrow, normed, at + "output.LayerNorm")


def _dense(graph: OnnxGraph, weights: Weights, given: str, name: str, *, biased: bool) -> str:
    table, scale = _quantised(weights[name + ".weight"].T)
    zero = graph.constant(np.zeros(len(scale), np.int8))
    inputs = [given, graph.constant(table), graph.constant(scale), zero]
    if biased:
        inputs.append(graph.constant(weights[name + ".bias"]))
    return graph.node("DynamicQuantizeMatMul", inputs, domain=FUSED)


def _skip(graph: OnnxGraph, weights: Weights, given: str, skipped: str, name: str) -> str:
    # Two nodes, since the fused SkipLayerNormalization takes six times as long as both on a CPU.
    return _normalised(graph, weights, graph.node("Add", [given, skipped]), name)


def _normalised(graph: OnnxGraph, weights: Weights, given: str, name: str) -> str:
    gain, shift = graph.constant(weights[name + ".weight"]), graph.constant(weights[name + ".bias"])
    return graph.node("LayerNormalization", [given, gain, shift], epsilon=EPSILON)


def _mask_column(graph: OnnxGraph) -> str:
    column = graph.node("Unsqueeze", ["mask", graph.constant(np.array([2], np.int64))])
    return graph.node("Cast", [column], to=FLOAT)


def _quantised(matrix: NDArray[np.float32], largest: int = LARGEST) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The matrix as int8, and the scale of each column."""
    scale = np.abs(matrix).max(axis=0) / np.float32(largest)
    scale[scale == 0] = 1
    return np.ascontiguousarray(np.rint(matrix / scale).astype(np.int8)), scale.astype(np.float32)
