"""The account and its API keys, over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.errors import Forbidden
from hookflash.rest.auth import check_scopes
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.workspace import store

account = router("/v1/account", "account")
keys = router("/v1/keys", "keys")

KeyId = Annotated[str, Path(max_length=64, examples=["key_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Writing = Annotated[Caller, allowed("keys:write")]


class ShownAccount(BaseModel):
    """Whose key it is that asks."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["acct_06bq3v0d5k8n2r7t1w4y9zac3e"])
    name: str = Field(examples=["Ridgeline Outfitters"])
    created_at: datetime


class ShownKey(BaseModel):
    """A key without its text, which is shown once, when it is made."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    scopes: list[str] = Field(examples=[["messages:read", "knowledge:write"]])
    created_at: datetime
    revoked_at: datetime | None = Field(description="Since when it opens nothing.")


class MadeKey(ShownKey):
    """A key that was just made."""

    key: str = Field(description="The key itself. It is not kept: this is the only time that it is shown.")


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, description="What it is for.", examples=["Help desk"])
    scopes: list[Annotated[str, Field(max_length=40)]] = Field(
        min_length=1, max_length=40, description="What it may do.", examples=[["messages:read", "knowledge:write"]]
    )


@account.get("")
async def get_account(caller: Annotated[Caller, allowed(None)]) -> ShownAccount:
    """The account that this key belongs to."""
    async with caller.transaction() as conn:
        return ShownAccount.model_validate(await store.get_account(conn))


@keys.get("", **listed(ShownKey))
async def list_keys(asked: ListAsked, caller: Annotated[Caller, allowed("keys:read")]) -> Listing[ShownKey] | Response:
    """All keys of the account, revoked ones too."""
    return await caller.list(asked, store.list_keys, ShownKey.model_validate)


@keys.post("", status_code=201)
async def create_key(body: NewKey, caller: Writing) -> MadeKey:
    """Make a key. It can be given no scope that the key which asks does not have."""
    scopes = check_scopes(body.scopes)
    beyond = sorted(scope for scope in scopes if not caller.principal.may(scope))
    if beyond:
        raise Forbidden(f"This API key cannot give what it does not have: {', '.join(beyond)}.")
    async with caller.transaction() as conn:
        made = await store.create_key(conn, caller.account_id, body.name, scopes, caller.now())
        await caller.record(conn, "key.created", made.id, name=body.name, scopes=sorted(scopes))
        shown = ShownKey.model_validate(await store.get_key(conn, made.id))
    return MadeKey(**shown.model_dump(), key=made.text.get_secret_value())


@keys.get("/{key_id}", responses=answers(404))
async def get_key(key_id: KeyId, caller: Annotated[Caller, allowed("keys:read")]) -> ShownKey:
    """One key."""
    async with caller.transaction() as conn:
        return ShownKey.model_validate(await store.get_key(conn, key_id))


@keys.delete("/{key_id}", status_code=204, responses=answers(404))
async def revoke_key(key_id: KeyId, caller: Writing) -> None:
    """Revoke a key: it opens nothing from now on. It stays listed; revoking it again changes nothing."""
    async with caller.transaction() as conn:
        await store.revoke_key(conn, key_id, caller.now())
        await caller.record(conn, "key.revoked", key_id)
