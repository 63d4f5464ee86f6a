"""Knows the file format of ONNX models: finds the constants in one, and writes one.

Protobuf, read and written here directly: of the format only some twenty fields are needed, and the `onnx` package weighs
more than the models.
"""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

FLOAT, INT8, INT32, INT64 = 1, 3, 6, 7
# Operators that ONNX Runtime brings along.
FUSED = "com.microsoft"
_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int8): INT8, np.dtype(np.int64): INT64}
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5

Array = NDArray[np.float32]
# Of an input or output: the kind of its numbers, and its sizes, named where they vary.
Shape = tuple[int, tuple[str | int, ...]]


def read_floats(model: bytes) -> dict[str, Array]:
    """All float32 constants of a model by name, those of its inner graphs too. Raises ValueError for another file."""
    found: dict[str, Array] = {}
    for number, value in _read(model):
        if number == 7 and isinstance(value, bytes):
            _read_graph(value, found)
    return found


def _read_graph(graph: bytes, found: dict[str, Array]) -> None:
    for number, value in _read(graph):
        if not isinstance(value, bytes):
            continue
        if number == 5:
            _read_tensor(value, found, None)
        elif number == 1:
            node = list(_read(value))
            name = next((part.decode() for key, part in node if key == 2 and isinstance(part, bytes)), "")
            for attribute in (part for key, part in node if key == 5 and isinstance(part, bytes)):
                for key, part in _read(attribute):
                    if key == 5 and isinstance(part, bytes):
                        _read_tensor(part, found, name)
                    elif key == 6 and isinstance(part, bytes):
                        _read_graph(part, found)


def _read_tensor(tensor: bytes, found: dict[str, Array], name: str | None) -> None:
    shape: list[int] = []
    kind, raw = 0, b""
    for number, value in _read(tensor):
        if isinstance(value, int):
            if number == 1:
                shape.append(value)
            elif number == 2:
                kind = value
        elif number == 8 and name is None:
            name = value.decode()
        elif number == 9:
            raw = value
    if kind == FLOAT and name and raw:
        found[name] = np.frombuffer(raw, "<f4").reshape(shape)


def _read(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == _SIZED:
            size, at = _read_varint(message, at)
        elif kind in (_FOUR, _EIGHT):
            size = 4 if kind == _FOUR else 8
        else:
            raise ValueError("not an ONNX file")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("not an ONNX file")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


class OnnxGraph:
    """A graph in the making; every value is known by its name."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        """float32, int8 or int64."""
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
        """An operator; gives the name of its output."""
        name = output or f"n{len(self._nodes)}"
        self._add(kind, inputs, [name], domain, attributes)
        return name

    def nodes(self, kind: str, inputs: list[str], *, outputs: int) -> list[str]:
        """An operator with several outputs; gives their names."""
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

    def model(self, *, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
        """The file."""
        graph = (
            b"".join(_field(1, node) for node in self._nodes)
            + _field(2, b"hookflash")
            + b"".join(_field(5, constant) for constant in self._constants)
            + b"".join(_field(11, _value(name, shape)) for name, shape in inputs.items())
            + b"".join(_field(12, _value(name, shape)) for name, shape in outputs.items())
        )
        opsets = _field(8, _field(1, b"") + _number(2, 17)) + _field(8, _field(1, FUSED.encode()) + _number(2, 1))
        return _number(1, 8) + _field(2, b"hookflash") + _field(7, graph) + opsets


def _attribute(name: str, value: float) -> bytes:
    start = _field(1, name.encode())
    if isinstance(value, float):
        return start + b"\x15" + struct.pack("<f", value) + _number(20, 1)
    return start + _number(3, value) + _number(20, 2)


def _value(name: str, shape: Shape) -> bytes:
    kind, sizes = shape
    dimensions = b"".join(
        _field(1, _field(2, size.encode()) if isinstance(size, str) else _number(1, size)) for size in sizes
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, dimensions)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _SIZED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    return struct.pack("B", value) if value < 128 else struct.pack("B", value & 127 | 128) + _varint(value >> 7)
