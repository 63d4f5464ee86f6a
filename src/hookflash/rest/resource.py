"""Lists as the API gives them: pages with a cursor, or the whole as JSON Lines while it is being read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from hookflash.base.paging import Page
from hookflash.rest.problems import answers
from hookflash.rest.storable import StorableRoute

JSON_LINES = ("application/jsonl", "application/x-ndjson")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200

T = TypeVar("T")
Shown = TypeVar("Shown", bound=BaseModel)


class Listing(BaseModel, Generic[Shown]):
    """One page of a list."""

    items: list[Shown]
    cursor: str | None = Field(description="Give this as `cursor` to read on; null on the last page.")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What part of a list is asked for, and how: `lines` is the media type of JSON Lines, None for one page of JSON."""

    limit: int | None
    cursor: str | None
    lines: str | None


def list_query(
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description=f"Most items; {DEFAULT_LIMIT} for a page.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=1000, description="Where the page before ended.")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> ListQuery:
    """A route's dependency: see `ListAsked`."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return ListQuery(limit, cursor, next((kind for kind in JSON_LINES if kind in wanted), None))


ListAsked = Annotated[ListQuery, Depends(list_query)]
Fetch = Callable[[int, str | None], Awaitable[Page[T]]]


async def respond(asked: ListQuery, fetch: Fetch[T], show: Callable[[T], Shown]) -> Listing[Shown] | Response:
    """Answer a list route. `fetch(limit, cursor)` reads one page and raises Invalid for a cursor that it did not make.

    As JSON Lines the list is read to its end (or to `limit`), page after page, one object a line: nothing is gathered.
    """
    if asked.lines is None:
        page = await fetch(asked.limit or DEFAULT_LIMIT, asked.cursor)
        return Listing(items=[show(item) for item in page.items], cursor=page.cursor)
    # The first page is read before the answer begins, so that what is wrong with the request can still be told.
    first = await fetch(asked.limit or MAX_LIMIT, asked.cursor)

    async def lines() -> AsyncIterator[bytes]:
        page = first
        while True:
            yield b"".join(show(item).model_dump_json().encode() + b"\n" for item in page.items)
            if page.cursor is None or asked.limit is not None:
                return
            page = await fetch(MAX_LIMIT, page.cursor)

    return StreamingResponse(lines(), media_type=asked.lines)


def listed(shown: type[BaseModel], *statuses: int) -> dict[str, Any]:
    """A list route's decorator arguments: `@router.get("/things", **listed(Thing))`."""
    lines = {
        kind: {"schema": {"type": "string", "description": f"One {shown.__name__} a line."}} for kind in JSON_LINES
    }
    return {
        "response_model": Listing[shown],  # type: ignore[valid-type]
        "responses": {200: {"content": lines}, **answers(*statuses)},
    }


def router(prefix: str, tag: str) -> APIRouter:
    """A router whose routes declare the problems that every route can answer with; a route's function names it.

    What cannot be kept (a NUL character, NaN) is refused before a route sees it.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        responses=answers(),
        generate_unique_id_function=lambda route: str(route.name),
        route_class=StorableRoute,
    )
