"""What a tool takes, written as a TypeScript-like type, and the same as JSON Schema; mistakes are shown where they are."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex  # type: ignore[import-untyped]

from hookflash.base.errors import Invalid

MOST_PROPERTIES = 25
MOST_LENGTH = 8_000
MOST_DEPTH = 8

_TOKEN = re.compile(
    r"""(?P<space>[\s;,]+)
      |(?P<comment>//[^\n]*|/\*.*?\*/)
      |(?P<name>[A-Za-z_$][\w$]*)
      |(?P<number>-?\d+(?:\.\d+)?)
      |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      |(?P<mark>[{}\[\]()<>:?|])""",
    re.VERBOSE | re.DOTALL,
)
_PRIMITIVES = {"string": "string", "number": "number", "integer": "integer", "boolean": "boolean", "null": "null"}
_KEYWORDS = frozenset(
    {
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "description",
        "additionalProperties",
        "title",
        "default",
        "examples",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "format",
        "$schema",
    }
)
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_PATTERN_SECONDS = 0.05
_HIGHEST = 1e300
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_PLAIN_NAME = re.compile(r"[A-Za-z_$][\w$]*")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def read(notation: str, *, most_properties: int = MOST_PROPERTIES) -> dict[str, Any]:
    """`{ order_id: string; urgent?: boolean; items: { sku: string; n: number }[] }` as JSON Schema.

    Comments before a property (or behind it, on its line) are its description. There are string, number, integer,
    boolean, null, literals, unions by `|`, arrays by `[]` or `Array<...>`, objects, and Record<string, ...>. Raises
    Invalid, whose message shows the line with a caret under the mistake.
    """
    if len(notation) > MOST_LENGTH:
        raise Invalid(f"The type has more than {MOST_LENGTH:,} characters.", field="input")
    reader = _Reader(notation)
    schema = reader.whole()
    if schema.get("type") != "object" or "properties" not in schema:
        raise reader.wrong(0, "the whole type must be an object: { name: string }")
    _count(schema, most_properties)
    return schema


def write(schema: Mapping[str, Any]) -> str:
    """JSON Schema (of the kind that `read` gives) in the notation; descriptions as comments."""
    return _written(schema, 0)


def check_schema(schema: Any, *, most_properties: int = MOST_PROPERTIES) -> dict[str, Any]:
    """A JSON Schema given as such: an object whose every part is understood. Raises Invalid naming the part."""
    _check(schema, "input", 0)
    if schema.get("type") != "object":
        raise Invalid("input: the whole must be of the type object", field="input")
    _count(schema, most_properties)
    return dict(schema)


def problems(schema: Mapping[str, Any], value: Any, place: str = "") -> list[str]:
    """What is wrong with a value by a schema, a sentence each; for the model, which may then try again."""
    if not schema:
        return []
    where = place or "the input"
    if "anyOf" in schema:
        if any(not problems(each, value, place) for each in schema["anyOf"]):
            return []
        return [f"{where} must be {write(schema)}"]
    if "const" in schema and value != schema["const"]:
        return [f"{where} must be {json.dumps(schema['const'])}"]
    if "enum" in schema and not any(value == each and type(value) is type(each) for each in schema["enum"]):
        return [f"{where} must be one of {', '.join(json.dumps(each) for each in schema['enum'])}"]
    kind = schema.get("type")
    if kind is not None and not _is(kind, value):
        return [f"{where} must be {'an' if kind[0] in 'aio' else 'a'} {kind}"]
    match value:
        case dict():
            return _object_problems(schema, value, place)
        case list():
            found = [
                p for n, each in enumerate(value) for p in problems(schema.get("items", {}), each, f"{place}[{n}]")
            ]
            if len(value) < schema.get("minItems", 0) or len(value) > schema.get("maxItems", len(value)):
                found.append(f"{where} has {len(value)} entries, which is too few or too many")
            return found
        case str():
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
                return [f"{where} has {len(value)} characters, which is too few or too many"]
            if "pattern" in schema and not _matches(schema["pattern"], value):
                return [f"{where} does not look as it must ({schema['pattern']})"]
        case int() | float() if not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                return [f"{where} is out of bounds"]
    return []


def _object_problems(schema: Mapping[str, Any], value: dict[str, Any], place: str) -> list[str]:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", False)
    found = [f"{_at(place, name)} is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        if name in known:
            found += problems(known[name], each, _at(place, name))
        elif isinstance(rest, Mapping):
            found += problems(rest, each, _at(place, name))
        elif rest is False:
            found.append(f"there is no {_at(place, name)}")
    return found


def _matches(pattern: str, value: str) -> bool:
    """A pattern that takes too long on this value (others write both) does not match it."""
    try:
        return regex.search(pattern, value, timeout=_PATTERN_SECONDS) is not None
    except TimeoutError:
        return False


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        self._comments: list[_Token] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self.wrong(at, f"{text[at]!r} does not belong here")
            if match.lastgroup == "comment":
                self._comments.append(_Token("comment", match[0], at))
            elif match.lastgroup != "space":
                self._tokens.append(_Token(match.lastgroup, match[0], at))
            at = match.end()
        self._tokens.append(_Token("end", "", len(text)))
        self._next = 0
        self._used: set[int] = set()

    def whole(self) -> dict[str, Any]:
        schema = self._union(0)
        if self._peek.kind != "end":
            raise self.wrong(self._peek.at, "nothing more is expected here")
        return schema

    def wrong(self, at: int, what: str) -> Invalid:
        line = self._text.count("\n", 0, at) + 1
        begin = self._text.rfind("\n", 0, at) + 1
        end = self._text.find("\n", at)
        shown = self._text[begin : end if end >= 0 else len(self._text)]
        column = at - begin + 1
        return Invalid(
            f"line {line}, column {column}: {what}\n{shown.replace(chr(9), ' ')}\n{' ' * (column - 1)}^", field="input"
        )

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _expect(self, mark: str) -> _Token:
        token = self._take()
        if token.text != mark or token.kind != "mark":
            raise self.wrong(token.at, f"`{mark}` is expected here")
        return token

    def _union(self, depth: int) -> dict[str, Any]:
        if depth > MOST_DEPTH:
            raise self.wrong(self._peek.at, f"types within types are at most {MOST_DEPTH} deep")
        if self._peek.text == "|":
            self._take()
        parts = [self._postfix(depth)]
        while self._peek.text == "|" and self._peek.kind == "mark":
            self._take()
            parts.append(self._postfix(depth))
        if len(parts) == 1:
            return parts[0]
        if all("const" in part for part in parts):
            values = [part["const"] for part in parts]
            kinds = {_kind_of(value) for value in values}
            return ({"type": kinds.pop()} if len(kinds) == 1 else {}) | {"enum": values}
        return {"anyOf": parts}

    def _postfix(self, depth: int) -> dict[str, Any]:
        found = self._primary(depth)
        while self._peek.text == "[" and self._peek.kind == "mark":
            self._take()
            self._expect("]")
            found = {"type": "array", "items": found}
        return found

    def _primary(self, depth: int) -> dict[str, Any]:
        token = self._take()
        match token.kind, token.text:
            case "mark", "{":
                return self._object(token, depth)
            case "mark", "(":
                inner = self._union(depth + 1)
                self._expect(")")
                return inner
            case "text", text:
                return {"const": _unquoted(text)}
            case "number", text:
                return {"const": float(text) if "." in text else int(text)}
            case "name", "true" | "false" as text:
                return {"const": text == "true"}
            case "name", text if text in _PRIMITIVES:
                return {"type": _PRIMITIVES[text]}
            case "name", "Array":
                self._expect("<")
                inner = self._union(depth + 1)
                self._expect(">")
                return {"type": "array", "items": inner}
            case "name", "Record":
                self._expect("<")
                key = self._take()
                if key.text != "string":
                    raise self.wrong(key.at, "the names of a Record are `string`")
                inner = self._union(depth + 1)
                self._expect(">")
                return {"type": "object", "properties": {}, "additionalProperties": inner}
            case "name", text:
                raise self.wrong(
                    token.at, f"there is no type {text}: string, number, integer, boolean, null, an object or a literal"
                )
        raise self.wrong(token.at, "a type is expected here" + (", and the text ends" if token.kind == "end" else ""))

    def _object(self, opened: _Token, depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        while not (self._peek.kind == "mark" and self._peek.text == "}"):
            before = self._tokens[self._next - 1].at
            token = self._take()
            if token.kind == "end":
                raise self.wrong(opened.at, "this `{` is not closed")
            if token.kind not in ("name", "text"):
                raise self.wrong(token.at, "the name of a property is expected here")
            name = _unquoted(token.text) if token.kind == "text" else token.text
            if name in properties:
                raise self.wrong(token.at, f"there is a property {name} already")
            optional = self._peek.text == "?" and self._peek.kind == "mark"
            if optional:
                self._take()
            self._expect(":")
            found = self._union(depth + 1)
            described = self._described(before, token.at, self._tokens[self._next - 1])
            properties[name] = found | ({"description": described} if described else {})
            if not optional:
                required.append(name)
        self._take()
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _described(self, before: int, at: int, last: _Token) -> str:
        """The comments right before a property (whose name is `at`), and the one behind it on its line."""
        line_end = self._text.find("\n", last.at)
        line_end = len(self._text) if line_end < 0 else line_end
        following = self._tokens[self._next].at
        chosen = [
            comment
            for comment in self._comments
            if comment.at not in self._used
            and (before < comment.at < at or last.at < comment.at < min(line_end, max(following, last.at)))
        ]
        self._used.update(comment.at for comment in chosen)
        return " ".join(filter(None, (_comment(comment.text) for comment in chosen)))


def _comment(text: str) -> str:
    if text.startswith("//"):
        return text[2:].strip()
    lines = (line.strip().lstrip("*").strip() for line in text[2:-2].splitlines())
    return " ".join(filter(None, lines))


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 5 else _ESCAPES.get(m[1], m[1]), text[1:-1])


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer", float: "number"}.get(type(value), "null")


def _written(schema: Mapping[str, Any], depth: int) -> str:
    if "anyOf" in schema:
        return " | ".join(_in_union(each, depth) for each in schema["anyOf"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "enum" in schema:
        return " | ".join(json.dumps(each, ensure_ascii=False) for each in schema["enum"])
    match schema.get("type"):
        case "array":
            inner = schema.get("items", {"type": "string"})
            text = _written(inner, depth)
            several = "anyOf" in inner or len(inner.get("enum", ())) > 1
            return f"({text})[]" if several else f"{text}[]"
        case "object":
            if not schema.get("properties") and isinstance(schema.get("additionalProperties"), Mapping):
                return f"Record<string, {_written(schema['additionalProperties'], depth)}>"
            return _written_object(schema, depth)
        case str() as kind:
            return kind
    return "string | number | boolean | null"


def _in_union(schema: Mapping[str, Any], depth: int) -> str:
    return f"({_written(schema, depth)})" if "anyOf" in schema else _written(schema, depth)


def _written_object(schema: Mapping[str, Any], depth: int) -> str:
    required = set(schema.get("required", ()))
    pad = "  " * (depth + 1)
    lines = []
    for name, each in schema.get("properties", {}).items():
        if each.get("description"):
            text = " ".join(each["description"].replace("*/", "* /").split())
            lines.append(f"{pad}/** {text} */")
        shown = name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        lines.append(f"{pad}{shown}{'' if name in required else '?'}: {_written(each, depth + 1)};")
    return "{\n" + "\n".join(lines) + ("\n" if lines else "") + "  " * depth + "}"


def _check(schema: Any, place: str, depth: int) -> None:
    if not isinstance(schema, Mapping):
        raise Invalid(f"{place}: a schema is an object", field="input")
    if depth > MOST_DEPTH:
        raise Invalid(f"{place}: schemas within schemas are at most {MOST_DEPTH} deep", field="input")
    unknown = sorted(set(schema) - _KEYWORDS)
    if unknown:
        raise Invalid(f"{place}: `{unknown[0]}` is not understood", field="input")
    kind = schema.get("type")
    if kind is not None and (not isinstance(kind, str) or kind not in {*_PRIMITIVES.values(), "array", "object"}):
        raise Invalid(f"{place}: there is no type {kind!r}", field="input")
    _check_bounds(schema, place)
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise Invalid(f"{place}: properties are an object", field="input")
    for name, each in properties.items():
        _check(each, f"{place}.{name}", depth + 1)
    required = schema.get("required", [])
    if not isinstance(required, Sequence) or isinstance(required, str) or any(n not in [*properties] for n in required):
        raise Invalid(f"{place}: required names a property that is not there", field="input")
    for name in ("anyOf", "enum"):
        if name in schema and (not isinstance(schema[name], list) or not schema[name]):
            raise Invalid(f"{place}: {name} is a list with something in it", field="input")
    for number, each in enumerate(schema.get("anyOf", ())):
        _check(each, f"{place}.anyOf[{number}]", depth + 1)
    if "items" in schema:
        _check(schema["items"], f"{place}[]", depth + 1)
    if isinstance(schema.get("additionalProperties"), Mapping):
        _check(schema["additionalProperties"], f"{place}.*", depth + 1)


def _check_bounds(schema: Mapping[str, Any], place: str) -> None:
    if "pattern" in schema:
        try:
            regex.compile(schema["pattern"])
        except (regex.error, TypeError):
            raise Invalid(f"{place}: the pattern is no regular expression", field="input") from None
    for name in _COUNTS:
        if name in schema and (type(schema[name]) is not int or schema[name] < 0):
            raise Invalid(f"{place}: {name} is a whole number", field="input")
    for name in ("minimum", "maximum"):
        number = schema.get(name, 0)
        if type(number) not in (int, float) or abs(number) > _HIGHEST:
            raise Invalid(f"{place}: {name} is a number", field="input")
    if not isinstance(schema.get("description", ""), str):
        raise Invalid(f"{place}: a description is a text", field="input")
    if not isinstance(schema.get("additionalProperties", False), bool | Mapping):
        raise Invalid(f"{place}: additionalProperties is true, false or a schema", field="input")


def _count(schema: Mapping[str, Any], most: int) -> None:
    def under(part: Any) -> int:
        if isinstance(part, Mapping):
            return len(part.get("properties", {})) + sum(under(each) for each in _parts(part))
        return 0

    number = under(schema)
    if number > most:
        raise Invalid(
            f"The input has {number} properties, and at most {most} are allowed.",
            field="input",
            hint="HOOKFLASH_TOOL_PROPERTIES sets the limit",
        )


def _parts(schema: Mapping[str, Any]) -> list[Any]:
    return [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
