"""Knows the file format of ONNX models: finds the constants in one, and writes one. Protobuf, of which little is needed."""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

_FLOAT = 1
_TYPES = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): 7}
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5

Array = NDArray[np.float32]


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
    if kind == _FLOAT and name and raw:
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
    """A graph in the making; every value is known by its name. All inputs and outputs are float32, batch x width."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, array: NDArray[np.generic]) -> str:
        """float32 or int64."""
        name = f"c{len(self._constants)}"
        self._constants.append(
            b"".join(_number(1, size) for size in array.shape)
            + _number(2, _TYPES[array.dtype])
            + _field(8, name.encode())
            + _field(9, np.ascontiguousarray(array).tobytes())
        )
        return name

    def node(self, kind: str, inputs: list[str], *, output: str | None = None, axis: int | None = None) -> str:
        """An operator; gives the name of its output."""
        name = output or f"n{len(self._nodes)}"
        attribute = b"" if axis is None else _field(5, _field(1, b"axis") + _number(3, axis) + _number(20, 2))
        self._nodes.append(
            b"".join(_field(1, given.encode()) for given in inputs)
            + _field(2, name.encode())
            + _field(4, kind.encode())
            + attribute
        )
        return name

    def model(self, *, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file; inputs and outputs by name with their widths."""
        graph = (
            b"".join(_field(1, node) for node in self._nodes)
            + _field(2, b"hookflash")
            + b"".join(_field(5, constant) for constant in self._constants)
            + b"".join(_field(11, _value(name, width)) for name, width in inputs.items())
            + b"".join(_field(12, _value(name, width)) for name, width in outputs.items())
        )
        opset = _field(8, _field(1, b"") + _number(2, 17))
        return _number(1, 8) + _field(2, b"hookflash") + _field(7, graph) + opset


def _value(name: str, width: int) -> bytes:
    shape = _field(1, _field(2, b"batch")) + _field(1, _number(1, width))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _SIZED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    return struct.pack("B", value) if value < 128 else struct.pack("B", value & 127 | 128) + _varint(value >> 7)
