"""What of a request can be kept: text that PostgreSQL takes, numbers that JSON has, objects of a bounded size."""

import json
from collections.abc import Callable, Coroutine
from math import isfinite
from typing import Annotated, Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field

from hookflash.base.errors import Invalid
from hookflash.rest.auth import admit_first, principal

MAX_DEPTH = 32
MAX_VALUES = 200_000
OBJECT_BYTES = 8_000
OBJECT_DEPTH = 5

_UNSTORABLE = "This text cannot be kept: it holds a NUL character, or half of a surrogate pair."


class StorableRoute(APIRoute):
    """A route that refuses, before anything else looks at it, what the database or an answer could not hold (422)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads_json = self.body_field is not None
        needs_key = reads_json and _asks(self.dependant)

        async def checked(request: Request) -> Response:
            check_address(request)
            if needs_key:
                await admit_first(request)
            if reads_json and _is_json(request.headers.get("content-type", "")):
                body = await request.body()
                if body:
                    request = _Parsed(request, body, parse(body))
            return await handle(request)

        return checked


def check_address(request: Request) -> None:
    """Raises Invalid when the address that is asked for holds what the database could not."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise Invalid(_UNSTORABLE)


def _asks(dependant: Dependant) -> bool:
    """Whether something that a route depends on is its caller."""
    return dependant.call is principal or any(_asks(each) for each in dependant.dependencies)


class _Parsed(Request):
    """A request whose JSON was read already."""

    def __init__(self, request: Request, body: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body
        self._value = value

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> object:
        return self._value


def parse(body: bytes) -> object:
    """The value of a JSON body. Raises Invalid, with the field, for what is not JSON and for what cannot be kept."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.", field="body") from None
    _check(value)
    return value


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _check(value: object) -> None:
    waiting: list[tuple[str, object, int]] = [("", value, 0)]
    seen = 1
    while waiting:
        path, found, depth = waiting.pop()
        if isinstance(found, dict | list):
            seen += len(found)
            if seen > MAX_VALUES:
                raise Invalid(f"The body has more than {MAX_VALUES:,} values.", field="body")
        if depth > MAX_DEPTH:
            raise Invalid(f"The body is nested more than {MAX_DEPTH} levels deep.", field="body")
        match found:
            case str():
                if not is_storable(found):
                    raise Invalid(_UNSTORABLE, field=path or "body")
            case float():
                # JSON has no infinity, but `1e999` is one to whoever reads it.
                if not isfinite(found):
                    raise Invalid("This number is too large.", field=path or "body")
            case dict():
                for key, inner in found.items():
                    if not is_storable(key):
                        raise Invalid(_UNSTORABLE, field=path or "body")
                    waiting.append((f"{path}.{key}" if path else key, inner, depth + 1))
            case list():
                waiting.extend((f"{path}[{i}]", inner, depth + 1) for i, inner in enumerate(found))
            case _:
                pass


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it, and UTF-8 can say it."""
    if "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def bounded(value: dict[str, Any]) -> dict[str, Any]:
    """A free-form object of a caller's own; raises ValueError when it is too large or too deep."""
    if len(json.dumps(value, ensure_ascii=False).encode()) > OBJECT_BYTES:
        raise ValueError(f"at most {OBJECT_BYTES:,} bytes of JSON")
    if _depth(value) > OBJECT_DEPTH:
        raise ValueError(f"at most {OBJECT_DEPTH} levels deep")
    return value


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max((_depth(inner) for inner in value.values()), default=0)
        case list():
            return 1 + max((_depth(inner) for inner in value), default=0)
        case _:
            return 0


FreeObject = Annotated[
    dict[Annotated[str, Field(max_length=100)], Any],
    Field(max_length=100),
    AfterValidator(bounded),
]
