"""Integrations, over HTTP: which number is answered by which assistant, and how."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.base.phone import Kind
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings, parse_sender
from hookflash.channels.setup import addresses
from hookflash.channels.store import Integrations
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.rest.storable import FreeObject, is_storable

integrations = router("/v1/integrations", "integrations")

IntegrationId = Annotated[str, Path(max_length=64, examples=["intg_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("integrations:read")]
Writing = Annotated[Caller, allowed("integrations:write")]
ServiceSid = Annotated[str, Field(pattern="^MG[0-9a-fA-F]{32}$", examples=["MG" + "0123456789abcdef" * 2])]
Token = Annotated[str, Field(min_length=1, max_length=200)]

_META = re.compile(r"meta\[(.{1,100})\]")
_META_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "meta",
            "in": "query",
            "required": False,
            "style": "deepObject",
            "explode": True,
            "description": "Only those whose meta has this value: `?meta[region]=north`. Several must all agree.",
            "schema": {
                "type": "object",
                "maxProperties": 10,
                "propertyNames": {"maxLength": 100, "minLength": 1},
                "additionalProperties": {"type": "string", "maxLength": 200},
            },
        }
    ]
}


class GivenCredentials(BaseModel):
    """How this integration's Twilio account proves itself to us, and we to it. They are sealed, and never shown again."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    account_sid: str | None = Field(
        None, pattern="^AC[0-9a-fA-F]{32}$", description="The account, or sub-account.", examples=["AC" + "0" * 32]
    )
    auth_tokens: list[Token] = Field(
        [], max_length=4, description="Auth Tokens that webhooks may be signed with; several during a rotation."
    )
    api_key: str | None = Field(None, pattern="^SK[0-9a-fA-F]{32}$", description="API key for requests to Twilio.")
    api_secret: Token | None = Field(None, description="Its secret.")
    shared_keys: dict[Annotated[str, Field(max_length=100)], Token] = Field(
        {}, max_length=10, description="Keys of signed webhooks (SharedKey), by their id."
    )

    @model_validator(mode="after")
    def _whole(self) -> "GivenCredentials":
        if (self.api_key is None) != (self.api_secret is None):
            raise ValueError("an API key and its secret belong together")
        return self

    def kept(self) -> Credentials:
        return Credentials(
            account_sid=self.account_sid,
            auth_tokens=tuple(self.auth_tokens),
            api_key=self.api_key,
            api_secret=self.api_secret,
            shared_keys=self.shared_keys,
        )


class NewIntegration(BaseModel):
    """A number to join to an assistant."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=80, description="What staff call it.", examples=["Support line"])
    assistant_id: str = Field(max_length=64, description="Who answers.", examples=["asst_06bq3v0d5k8n2r7t1w4y9zac3e"])
    sender: str = Field(
        max_length=160,
        description="A number in E.164 form, a short code, whatsapp: and a number, or a Messaging Service.",
        examples=["+15550100200", "whatsapp:+15550100300", "MG" + "0123456789abcdef" * 2],
    )
    messaging_service_sid: ServiceSid | None = Field(None, description="The Messaging Service that the number is in.")
    credentials: GivenCredentials | None = Field(None, description="Unset: those that the server is set up with.")
    settings: IntegrationSettings = Field(default_factory=IntegrationSettings)
    meta: FreeObject = Field({}, description="Anything of your own, to find it by.", examples=[{"region": "north"}])


class IntegrationChanges(BaseModel):
    """What to change; what is not given stays. Fields within `settings` are changed one by one, `meta` as a whole."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field("", min_length=1, max_length=80, examples=["Support line"])
    assistant_id: str = Field("", max_length=64)
    messaging_service_sid: ServiceSid | None = None
    credentials: GivenCredentials | None = Field(None, description="Null: those that the server is set up with.")
    settings: IntegrationSettings = Field(default_factory=IntegrationSettings)
    meta: FreeObject = {}
    disabled: bool = Field(False, description="Whether messages are kept without being answered.")


class ShownIntegration(BaseModel):
    """A number, and who answers it. The addresses are null until the server knows its public address."""

    id: str
    name: str
    assistant_id: str
    sender: str
    messaging_service_sid: str | None
    has_credentials: bool = Field(description="Whether it has credentials of its own.")
    settings: IntegrationSettings
    meta: dict[str, Any]
    disabled: bool
    stopped_code: int | None = Field(
        description="Twilio's error code that stopped sending from here; any change of the integration tries again."
    )
    stopped_why: str | None
    webhook_url: str | None = Field(description="Where Twilio must send incoming messages.")
    status_callback_url: str | None = Field(description="Where Twilio tells how our messages fare.")
    fallback_url: str | None = Field(description="Where Twilio must send what the first address did not take.")
    voice_url: str | None = Field(description="Where Twilio must send calls, if the assistant is to answer them.")
    voice_fallback_url: str | None = Field(
        description="Where Twilio must send calls that the first address did not take."
    )
    voice_status_url: str | None = Field(description="Where Twilio tells how long calls were.")
    created_at: datetime
    updated_at: datetime


def _shown(integration: Integration, public_url: str | None) -> ShownIntegration:
    reached = public_url if integration.kind is not Kind.WEB else None
    ours = addresses(reached, integration.id) if reached else None
    calls = ours if integration.sender.startswith("+") else None
    return ShownIntegration(
        id=integration.id,
        name=integration.name,
        assistant_id=integration.assistant_id,
        sender=integration.sender,
        messaging_service_sid=integration.messaging_service_sid,
        has_credentials=integration.has_credentials,
        settings=integration.settings,
        meta=integration.meta,
        disabled=integration.disabled,
        stopped_code=integration.stopped_code,
        stopped_why=integration.stopped_why,
        webhook_url=ours and ours.messages,
        status_callback_url=ours and ours.status,
        fallback_url=ours and ours.fallback,
        voice_url=calls and calls.calls,
        voice_fallback_url=calls and calls.calls_fallback,
        voice_status_url=calls and calls.calls_status,
        created_at=integration.created_at,
        updated_at=integration.updated_at,
    )


def _store(request: Request) -> Integrations:
    store: Integrations = request.app.state.integrations
    return store


def _public_url(request: Request) -> str | None:
    url: str | None = request.app.state.public_url
    return url


def _wanted(request: Request) -> dict[str, str]:
    wanted = {}
    for name, value in request.query_params.items():
        match = _META.fullmatch(name)
        if match:
            if len(value) > 200 or not is_storable(name + value):
                raise Invalid("A value of meta to look for has at most 200 characters.", field=name)
            wanted[match[1]] = value
    if len(wanted) > 10:
        raise Invalid("At most 10 values of meta can be looked for at once.", field="meta")
    return wanted


@integrations.get("", **listed(ShownIntegration), openapi_extra=_META_PARAMETER)
async def list_integrations(
    asked: ListAsked, request: Request, caller: Reading
) -> Listing[ShownIntegration] | Response:
    """All integrations, oldest first; `meta[key]=value` chooses among them."""
    store, public_url, wanted = _store(request), _public_url(request), _wanted(request)

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[Integration]:
        return await store.page(conn, limit, cursor, wanted)

    return await caller.list(asked, read, lambda integration: _shown(integration, public_url))


@integrations.post("", status_code=201, responses=answers(409))
async def create_integration(body: NewIntegration, request: Request, caller: Writing) -> ShownIntegration:
    """Join a number to an assistant. Then enter the addresses of the answer at Twilio."""
    sender = parse_sender(body.sender)
    async with caller.transaction() as conn:
        made = await _store(request).create(
            conn,
            caller.account_id,
            name=body.name,
            assistant_id=body.assistant_id,
            sender=sender,
            messaging_service_sid=body.messaging_service_sid,
            credentials=body.credentials.kept() if body.credentials else None,
            settings=body.settings,
            meta=body.meta,
        )
        await caller.record(
            conn,
            "integration.created",
            made.id,
            name=body.name,
            assistant_id=body.assistant_id,
            sender=sender,
            settings=body.settings.model_dump(),
            credentials=body.credentials is not None,
        )
    return _shown(made, _public_url(request))


@integrations.get("/{integration_id}", responses=answers(404))
async def get_integration(integration_id: IntegrationId, request: Request, caller: Reading) -> ShownIntegration:
    """One integration, without its credentials."""
    async with caller.transaction() as conn:
        return _shown(await _store(request).get(conn, integration_id), _public_url(request))


@integrations.patch("/{integration_id}", responses=answers(404))
async def update_integration(
    integration_id: IntegrationId, body: IntegrationChanges, request: Request, caller: Writing
) -> ShownIntegration:
    """Change what is given. Settings serve sessions that begin from now on; any change lets a stopped sender try again."""
    store = _store(request)
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    told = body.model_dump(mode="json", include=body.model_fields_set - {"credentials"}, exclude_unset=True)
    async with caller.transaction() as conn:
        before = await store.get(conn, integration_id, lock=True)
        if "settings" in changes:
            given = {name: getattr(body.settings, name) for name in body.settings.model_fields_set}
            changes["settings"] = before.settings.model_copy(update=given)
        if "credentials" in changes:
            changes["credentials"] = body.credentials.kept() if body.credentials else None
            told["credentials"] = "replaced" if body.credentials else "removed"
        if before.is_service and "messaging_service_sid" in changes:
            raise Invalid(
                "The sender of this integration is a Messaging Service itself.", field="messaging_service_sid"
            )
        changed = await store.update(conn, integration_id, caller.now(), **changes)
        await caller.record(conn, "integration.updated", integration_id, changes=told)
    return _shown(changed, _public_url(request))


@integrations.delete("/{integration_id}", status_code=204, responses=answers(404, 409))
async def delete_integration(integration_id: IntegrationId, request: Request, caller: Writing) -> None:
    """Delete an integration that never carried a message. One that did keeps its history (409): disable it instead."""
    async with caller.transaction() as conn:
        await _store(request).delete(conn, integration_id)
        await caller.record(conn, "integration.deleted", integration_id)
