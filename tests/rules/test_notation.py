"""The TypeScript-like notation of what tools take: read, written, checked, and its mistakes shown where they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.assistant.notation import check_schema, problems, read, write
from hookflash.base.errors import Invalid

ORDER = """{
  // the number on the receipt
  order_id: string;
  urgent?: boolean; // only when the customer says so
  /** what is
   *  ordered */
  items: { sku: string; n: number }[]
  size: "S" | 'M' | "L",
}"""


def test_an_order() -> None:
    schema = read(ORDER)
    assert schema["required"] == ["order_id", "items", "size"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["order_id"] == {"type": "string", "description": "the number on the receipt"}
    assert schema["properties"]["urgent"]["description"] == "only when the customer says so"
    assert schema["properties"]["items"]["description"] == "what is ordered"
    assert schema["properties"]["items"]["items"]["properties"]["n"] == {"type": "number"}
    assert schema["properties"]["size"] == {"type": "string", "enum": ["S", "M", "L"]}
    assert read(write(schema)) == schema
    assert check_schema(schema) == schema


@pytest.mark.parametrize(
    ("type_", "schema"),
    [
        ("string[]", {"type": "array", "items": {"type": "string"}}),
        ("Array<string>", {"type": "array", "items": {"type": "string"}}),
        ("string[][]", {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        ("1 | 2.5", {"enum": [1, 2.5]}),
        ("true", {"const": True}),
        ("-3", {"const": -3}),
        ("string | null", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("| 'a' | 'b'", {"type": "string", "enum": ["a", "b"]}),
        ("('a' | 'b')[]", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        ("Record<string, number>", {"type": "object", "properties": {}, "additionalProperties": {"type": "number"}}),
    ],
)
def test_types(type_: str, schema: dict[str, Any]) -> None:
    read_ = read(f"{{ a: {type_} }}")
    assert read_["properties"]["a"] == schema
    assert read(write(read_)) == read_


@pytest.mark.parametrize(
    ("notation", "place", "says"),
    [
        ("{ a: strin }", "line 1, column 6", "there is no type strin"),
        ("{ a: string", "line 1, column 1", "is not closed"),
        ("{ a string }", "line 1, column 5", "`:` is expected"),
        ("{\n  a: string;\n  a: number\n}", "line 3, column 3", "a property a already"),
        ("{\n  b: @ }", "line 2, column 6", "does not belong here"),
        ("{ a: [ }", "line 1, column 6", "a type is expected"),
        ("{ a:", "line 1, column 5", "and the text ends"),
        ("{ a: string } }", "line 1, column 15", "nothing more"),
        ("string", "line 1, column 1", "must be an object"),
        ("{ a: Record<number, string> }", "line 1, column 13", "names of a Record"),
        ("{ a: " + "{ b: " * 9 + "string" + " }" * 10, "line 1, column 46", "at most 8 deep"),
    ],
)
def test_a_mistake_is_shown_where_it_is(notation: str, place: str, says: str) -> None:
    with pytest.raises(Invalid) as told:
        read(notation)
    sentence, line, caret = told.value.message.split("\n")
    assert sentence.startswith(place)
    assert says in sentence
    column = int(place.rsplit(" ", 1)[1])
    assert caret == " " * (column - 1) + "^"
    assert line in notation


def test_too_many_properties() -> None:
    many = "{" + ";".join(f"p{n}: string" for n in range(26)) + "}"
    with pytest.raises(Invalid, match="has 26 properties, and at most 25") as refused:
        read(many)
    assert "HOOKFLASH_TOOL_PROPERTIES" in str(refused.value.hint)
    assert len(read(many, most_properties=26)["properties"]) == 26
    with pytest.raises(Invalid, match="at most 2 are"):
        read("{ a: { b: { c: string } } }", most_properties=2)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "a schema is an object"),
        ({"type": "string"}, "must be of the type object"),
        ({"type": "object", "allOf": []}, "`allOf` is not understood"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "input.a: there is no type 'text'"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "no regular expression"),
        ({"type": "object", "required": ["a"]}, "required names a property"),
        ({"type": "object", "properties": {"a": {"enum": []}}}, "enum is a list"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": 3}}}, "input.a[]: a schema"),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, "input.a: there is no type ["),
        ({"type": "object", "properties": {"a": {"minLength": "x"}}}, "input.a: minLength is a whole number"),
        ({"type": "object", "properties": {"a": {"maximum": 10**400}}}, "input.a: maximum is a number"),
        ({"type": "object", "properties": {"a": {"description": 3}}}, "a description is a text"),
        ({"type": "object", "required": [["a"]]}, "required names a property"),
        ({"type": "object", "additionalProperties": 3}, "additionalProperties is true, false or a schema"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(schema: Any, says: str) -> None:
    with pytest.raises(Invalid) as told:
        check_schema(schema)
    assert says in told.value.message


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"order_id": "A1", "items": [], "size": "S"}, []),
        ({"order_id": "A1", "items": [{"sku": "x", "n": 2}], "size": "S", "urgent": False}, []),
        ({"order_id": 3, "items": [], "size": "S"}, ["order_id must be a string"]),
        ({"items": [{"sku": "x"}], "size": "XL"}, ["order_id is missing", "items[0].n is missing", "size must be one"]),
        ({"order_id": "A1", "items": {}, "size": "S", "z": 1}, ["items must be an array", "there is no z"]),
        ({"order_id": "A1", "items": [], "size": "S", "urgent": 1}, ["urgent must be a boolean"]),
        ("A1", ["the input must be an object"]),
    ],
)
def test_arguments_are_checked(value: Any, wrong: list[str]) -> None:
    found = problems(read(ORDER), value)
    assert len(found) == len(wrong)
    for sentence, part in zip(found, wrong, strict=True):
        assert part in sentence


def test_bounds_of_a_schema_are_checked() -> None:
    schema = check_schema(
        {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "maximum": 3},
                "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 3},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
                "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "fixed": {"const": "a"},
            },
        }
    )
    assert problems(schema, {"n": 2.0, "code": "AB", "tags": ["x"], "either": None, "fixed": "a"}) == []
    wrong = problems(schema, {"n": 4, "code": "abcd", "tags": ["x", "y"], "either": 3, "fixed": "b"})
    assert len(wrong) == 5
    assert problems(schema, {"n": 2.5}) == ["n must be an integer"]
    assert problems(schema, {"n": True}) == ["n must be an integer"]


def test_what_a_model_may_send_at_its_worst_is_judged_all_the_same() -> None:
    schema = read("{ n: integer; list?: string[] }")
    assert problems(schema, {"n": 10**400}) == []
    assert problems(schema, {"n": float("inf")}) == ["n must be an integer"]
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    assert problems(check_schema({"type": "object", "properties": {"a": {"type": "array"}}}), {"a": deep}) == []


def test_a_pattern_that_never_ends_is_given_up() -> None:
    schema = check_schema({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a|a|aa)+$"}}})
    assert problems(schema, {"a": "a" * 60 + "!"}) == ["a does not look as it must (^(a|a|aa)+$)"]


def test_a_long_type_is_read_in_the_time_of_its_length() -> None:
    with pytest.raises(Invalid, match="900 properties"):
        read("{" + "".join(f"p{n}:1;" for n in range(900)) + "}")


names = st.from_regex(r"[a-z_$][a-zA-Z0-9_$]{0,8}", fullmatch=True) | st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=8
)
literals = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8) | st.integers(
    -999, 999
)
leaves = (
    st.sampled_from(["string", "number", "integer", "boolean", "null"]).map(lambda kind: {"type": kind})
    | literals.map(lambda value: {"const": value})
    | st.lists(st.text("abc é", max_size=4), min_size=2, max_size=4, unique=True).map(
        lambda values: {"type": "string", "enum": values}
    )
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(names, st.tuples(inner, st.booleans()), max_size=4).map(
        lambda found: {
            "type": "object",
            "properties": {name: part for name, (part, _) in found.items()},
            "required": [name for name, (_, needed) in found.items() if needed],
            "additionalProperties": False,
        }
    )


schemas = objects(
    st.recursive(
        leaves, lambda inner: objects(inner) | inner.map(lambda each: {"type": "array", "items": each}), max_leaves=6
    )
)


@given(schemas)
def test_what_is_written_reads_as_the_same(schema: dict[str, Any]) -> None:
    assert read(write(schema), most_properties=1_000) == json.loads(json.dumps(schema))


@given(st.text("{}[]():;?|'\"/ abstring\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        schema = read(text)
    except Invalid:
        return
    assert read(write(schema)) == schema
