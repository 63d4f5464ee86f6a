"""The door of the REST API: who may come in, what they asked, which faults strike, and how refusals are said."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from hookflash.emulator.cloud import Cloud
from hookflash.emulator.faults import CREATED_FIRST, NOT_CREATED, FaultKind
from hookflash.emulator.form import Form
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.severed import sever, stay_silent


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request: where to, what with."""

    path: str
    ids: dict[str, str]
    query: Form
    body: bytes
    host: str

    @property
    def form(self) -> Form:
        return Form(self.body.decode("utf-8", "replace"))

    def json(self) -> dict[str, Any]:
        """Raises Refusal 20001 when the body is no JSON object."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=dict[str, Any])
        except msgspec.DecodeError:
            raise Refusal(20001, "the request's body is not a JSON object") from None


T = TypeVar("T")
Handler = Callable[[Asked], Response]


def answer(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def refuse(refusal: Refusal) -> Response:
    response = answer(refusal.body(), refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response


def found(thing: T | None, asked: Asked) -> T:
    """The thing; raises Refusal 20404 when there is none."""
    if thing is None:
        raise Refusal(20404, f"The requested resource {asked.path} was not found")
    return thing


class FrontDoor:
    """Makes routes whose handlers are only asked when the credentials are right."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        credentials = cloud.credentials
        users = {credentials.account_sid: credentials.auth_token, **credentials.api_keys}
        self._known = {
            "Basic " + b64encode(f"{user}:{secret.get_secret_value()}".encode()).decode()
            for user, secret in users.items()
        }

    def route(self, path: str, **handlers: Handler) -> Route:
        """A route with a handler for each HTTP method. Faults strike where messages and calls are created."""
        creating = path.endswith(("/Messages.json", "/Calls.json"))

        async def endpoint(request: Request) -> ASGIApp:
            body = await request.body()
            create = creating and request.method == "POST"
            try:
                self._check_credentials(request)
                if fault := self._cloud.faults.take(*NOT_CREATED, creating=create):
                    return _fail(fault.kind)
                asked = Asked(
                    path=request.url.path,
                    ids=request.path_params,
                    query=Form(request.url.query),
                    body=body,
                    host=request.headers.get("host", ""),
                )
                response = handlers["GET" if request.method == "HEAD" else request.method](asked)
            except Refusal as refusal:
                return refuse(refusal)
            if create and (fault := self._cloud.faults.take(*CREATED_FIRST)):
                return _fail(fault.kind)
            return response

        return Route(path, endpoint, methods=list(handlers))

    def _check_credentials(self, request: Request) -> None:
        if request.headers.get("authorization") not in self._known:
            raise Refusal(20003)
        if request.path_params.get("account", self._cloud.account_sid) != self._cloud.account_sid:
            raise Refusal(20404, f"The requested resource {request.url.path} was not found")


def _fail(kind: FaultKind) -> ASGIApp:
    match kind:
        case FaultKind.RATE_LIMIT:
            return refuse(Refusal(20429))
        case FaultKind.DROP | FaultKind.CREATE_THEN_DROP:
            return sever
        case FaultKind.HANG | FaultKind.CREATE_THEN_HANG:
            return stay_silent
        case _:
            return refuse(Refusal(20500))
