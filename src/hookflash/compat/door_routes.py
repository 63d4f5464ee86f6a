"""The manners of the routes that other people's programs come in by: who may, how errors are told, pages of lists."""

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from hookflash.base.errors import HookflashError, Invalid, NotFound, Unauthenticated
from hookflash.base.paging import Page
from hookflash.compat.names import ASSISTANTS, Here, account_sid
from hookflash.compat.paging import Asked, asked
from hookflash.compat.problem import told
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.storable import StorableRoute, parse

_JSON = "application/json"
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_basic = HTTPBasic(auto_error=False)

Body = TypeVar("Body", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)


class TwilioRoute(StorableRoute):
    """Tells every error as Twilio would."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except HookflashError as error:
                return refusal(request, error)
            except RequestValidationError as error:
                return refusal(request, Invalid(str(error.errors()[0]["msg"])))
            except HTTPException as error:
                if error.status_code != 401:
                    raise
                return refusal(request, Unauthenticated("the Authorization header cannot be read"))

        return answered


def refusal(request: Request, error: HookflashError) -> Response:
    """An error as Twilio would tell it."""
    path = request.url.path
    status, headers, body = told(error, path[path.find("/v1") :] if "/v1" in path else path)
    return Response(body, status, headers, media_type=_JSON)


def router(prefix: str = ASSISTANTS) -> APIRouter:
    """A router of routes that Twilio's own description describes; ours leaves them out."""
    return APIRouter(prefix=prefix, route_class=TwilioRoute, include_in_schema=False)


def entered(scope: str | None) -> Any:
    """For a route: a caller whose key has the scope, and whose user name is the key's, the account's, or its SID's."""

    async def caller(
        who: Annotated[Caller, allowed(scope)], basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)]
    ) -> Caller:
        names = (who.principal.key_id, who.account_id, account_sid(who.account_id))
        if basic is not None and basic.username not in names:
            raise Unauthenticated("the user name is the id of the key, or of its account")
        return who

    return Depends(caller)


async def given(request: Request, kind: type[Body]) -> Body:
    """The body: a JSON object or a form, also with names as `SessionId`; null is as good as nothing. Raises Invalid."""
    raw = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        value: object = dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
        value = parse(msgspec.json.encode(value))
    else:
        value = parse(raw)
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.")
    return built(kind, {_CAPITAL.sub("_", name).lower(): each for name, each in value.items() if each is not None})


def built(kind: type[Body], fields: Mapping[str, Any], theirs: Mapping[str, str] | None = None) -> Body:
    """A model of these fields. Raises Invalid, which names a field as `theirs` does."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = [str(part) for part in first["loc"]]
        if place and theirs:
            place[0] = theirs.get(place[0], place[0])
        raise Invalid(str(first["msg"]), field=".".join(place) or None) from None


def here(request: Request, caller: Caller) -> Here:
    """The caller's account, under the address that callers know us by."""
    base: str | None = request.app.state.public_url
    return Here((base or str(request.base_url)).rstrip("/"), caller.account_id)


def shown(value: BaseModel, status: int = 200) -> Response:
    return Response(value.model_dump_json(exclude_none=True), status, media_type=_JSON)


def nothing() -> Response:
    return Response(status_code=204)


async def listed(
    request: Request,
    caller: Caller,
    key: str,
    read: Callable[[Connection, Asked], Awaitable[Page[Item]]],
    filters: tuple[str, ...] = (),
) -> Response:
    """Answer a list: `read` gives one page, in one transaction."""
    wanted = asked(here(request, caller).url(request.url.path), request.query_params, filters)
    async with caller.transaction() as conn:
        page = await read(conn, wanted)
    rows = [item.model_dump(mode="json", exclude_none=True) for item in page.items]
    return Response(msgspec.json.encode({key: rows, "meta": wanted.meta(key, page.cursor)}), media_type=_JSON)


nowhere = APIRouter(include_in_schema=False)


@nowhere.api_route("/compat/twilio/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def unknown(path: str, request: Request) -> Response:
    """What Twilio's API has no resource for; it is told without asking who wants to know."""
    return refusal(request, NotFound("There is no such resource."))
