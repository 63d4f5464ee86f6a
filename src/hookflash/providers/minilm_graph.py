"""Knows how MiniLM-L6 computes: writes its safetensors weights as an ONNX file with int8 weights, one scale per column.

The file is protobuf, written here directly: of the format only some twenty fields are needed, and the `onnx` package
weighs more than the model.
"""

import json
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

HIDDEN = 384
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
# Seven bits: with eight, sums of two products overflow on x86 without VNNI.
LARGEST = 63

_FLOAT, _INT8, _INT32, _INT64 = 1, 3, 6, 7
_TYPES = {np.dtype(np.float32): _FLOAT, np.dtype(np.int8): _INT8, np.dtype(np.int64): _INT64}
_FUSED = "com.microsoft"

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
    graph = _Graph()
    hidden = _embeddings(graph, weights)
    for number in range(LAYERS):
        hidden = _layer(graph, weights, hidden, f"encoder.layer.{number}.")
    masked = graph.node("Mul", [hidden, _mask_column(graph)])
    total = graph.node("ReduceSum", [masked, graph.constant(np.array([1], np.int64))], keepdims=0)
    # The mean and the sum differ by a factor that the normalisation takes away.
    graph.node("LpNormalization", [total], output="vectors", axis=1, p=2)
    return graph.model(inputs={"ids": _INT32, "mask": _INT32}, output="vectors", width=HIDDEN)


def _embeddings(graph: "_Graph", weights: Weights) -> str:
    # One scale per word: the table is most of the model, and a quarter of its size loads in a quarter of the time.
    table, scale = _quantised(weights["embeddings.word_embeddings.weight"].T, 127)
    words = graph.node("Gather", [graph.constant(table.T), "ids"])
    scales = graph.node("Gather", [graph.constant(scale[:, None]), "ids"])
    scaled = graph.node("Mul", [graph.node("Cast", [words], to=_FLOAT), scales])
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.node("Gather", [graph.node("Shape", ["ids"]), graph.constant(np.array([1], np.int64))])
    zero = graph.constant(np.array([0], np.int64))
    here = graph.node("Slice", [graph.constant(positions), zero, length, zero])
    return _normalised(graph, weights, graph.node("Add", [scaled, here]), "embeddings.LayerNorm")


def _layer(graph: "_Graph", weights: Weights, hidden: str, at: str) -> str:
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
        domain=_FUSED,
        num_heads=HEADS,
    )
    projected = _dense(graph, weights, attended, attention + "output.dense", biased=True)
    normed = _skip(graph, weights, projected, hidden, attention + "output.LayerNorm")
    wide = _dense(graph, weights, normed, at + "intermediate.dense", biased=False)
    bent = graph.node("BiasGelu", [wide, graph.constant(weights[at + "intermediate.dense.bias"])], domain=_FUSED)
    narrow = _dense(graph, weights, bent, at + "output.dense", biased=True)
    return _skip(graph, weights, narrow, normed, at + "output.LayerNorm")


def _dense(graph: "_Graph", weights: Weights, given: str, name: str, *, biased: bool) -> str:
    table, scale = _quantised(weights[name + ".weight"].T)
    zero = graph.constant(np.zeros(len(scale), np.int8))
    inputs = [given, graph.constant(table), graph.constant(scale), zero]
    if biased:
        inputs.append(graph.constant(weights[name + ".bias"]))
    return graph.node("DynamicQuantizeMatMul", inputs, domain=_FUSED)


def _skip(graph: "_Graph", weights: Weights, given: str, skipped: str, name: str) -> str:
    # Two nodes, since the fused SkipLayerNormalization takes six times as long as both on a CPU.
    return _normalised(graph, weights, graph.node("Add", [given, skipped]), name)


def _normalised(graph: "_Graph", weights: Weights, given: str, name: str) -> str:
    gain, shift = graph.constant(weights[name + ".weight"]), graph.constant(weights[name + ".bias"])
    return graph.node("LayerNormalization", [given, gain, shift], epsilon=EPSILON)


def _mask_column(graph: "_Graph") -> str:
    column = graph.node("Unsqueeze", ["mask", graph.constant(np.array([2], np.int64))])
    return graph.node("Cast", [column], to=_FLOAT)


def _quantised(matrix: NDArray[np.float32], largest: int = LARGEST) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The matrix as int8, and the scale of each column."""
    scale = np.abs(matrix).max(axis=0) / np.float32(largest)
    scale[scale == 0] = 1
    return np.ascontiguousarray(np.rint(matrix / scale).astype(np.int8)), scale.astype(np.float32)


class _Graph:
    """An ONNX graph in the making; every value is known by its name."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        array = np.asarray(value)
        name = f"c{len(self._constants)}"
        self._constants.append(
            b"".join(_number(1, size) for size in array.shape)
            + _number(2, _TYPES[array.dtype])
            + _field(8, name.encode())
            + _field(9, np.ascontiguousarray(array).tobytes())
        )
        return name

    def node(
        self, kind: str, inputs: list[str], *, output: str | None = None, domain: str = "", **attributes: float
    ) -> str:
        name = output or f"n{len(self._nodes)}"
        self._add(kind, inputs, [name], domain, attributes)
        return name

    def nodes(self, kind: str, inputs: list[str], *, outputs: int) -> list[str]:
        names = [f"n{len(self._nodes)}.{index}" for index in range(outputs)]
        self._add(kind, inputs, names, "", {})
        return names

    def _add(self, kind: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, float]) -> None:
        self._nodes.append(
            b"".join(_field(1, name.encode()) for name in inputs)
            + b"".join(_field(2, name.encode()) for name in outputs)
            + _field(4, kind.encode())
            + b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
            + _field(7, domain.encode())
        )

    def model(self, *, inputs: Mapping[str, int], output: str, width: int) -> bytes:
        batch, length = _field(1, _field(2, b"batch")), _field(1, _field(2, b"length"))
        graph = (
            b"".join(_field(1, node) for node in self._nodes)
            + _field(2, b"minilm")
            + b"".join(_field(5, constant) for constant in self._constants)
            + b"".join(_field(11, _value(name, kind, batch + length)) for name, kind in inputs.items())
            + _field(12, _value(output, _FLOAT, batch + _field(1, _number(1, width))))
        )
        opsets = _field(8, _field(1, b"") + _number(2, 17)) + _field(8, _field(1, _FUSED.encode()) + _number(2, 1))
        return _number(1, 8) + _field(2, b"hookflash") + _field(7, graph) + opsets


def _attribute(name: str, value: float) -> bytes:
    start = _field(1, name.encode())
    if isinstance(value, float):
        return start + b"\x15" + struct.pack("<f", value) + _number(20, 1)
    return start + _number(3, value) + _number(20, 2)


def _value(name: str, kind: int, shape: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
