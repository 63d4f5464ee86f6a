"""Who a contact is, over HTTP: identities, two contacts that are one person, and a person who is to be forgotten."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.errors import Invalid, NotFound
from hookflash.conversation import erase_store, identity_store, merge_store, read_store
from hookflash.conversation.identity import Identity
from hookflash.conversation.routes import ContactId, ReadingContacts, ShownContact, WritingContacts
from hookflash.rest.problems import answers
from hookflash.rest.resource import router

people = router("/v1/contacts", "contacts")


class NewIdentity(BaseModel):
    """Who the contact is too. That you say so is the proof."""

    model_config = ConfigDict(extra="forbid")

    identity: str = Field(
        max_length=260,
        examples=["email:ada@example.com", "user_id:1234", "phone:+15550111222"],
        description="`phone:+1...`, `whatsapp:+1...`, `email:...` or `user_id:...`.",
    )


class ShownIdentity(BaseModel):
    """One way to say who a contact is."""

    model_config = ConfigDict(from_attributes=True)

    identity: str = Field(examples=["phone:+15550111222"])
    proof: str = Field(description="How we know: `message` (they wrote from there), `api:` and a key, `verification:`.")
    at: datetime | None = Field(description="Since when; null for `message`.")


class ShownIdentities(BaseModel):
    """All that a contact has; they are few."""

    items: list[ShownIdentity]


class Merge(BaseModel):
    """The contact that is the same person, and will be gone."""

    model_config = ConfigDict(extra="forbid")

    contact_id: str = Field(max_length=64, examples=["cont_06bq3v0d5k8n2r7t1w4y9zac3e"])


@people.get("/{contact_id}/identities", responses=answers(404))
async def list_identities(contact_id: ContactId, caller: ReadingContacts) -> ShownIdentities:
    """The contact's identities: addresses, and those that were proven."""
    async with caller.transaction() as conn:
        held = await identity_store.identities(conn, contact_id)
    return ShownIdentities(items=[ShownIdentity.model_validate(each) for each in held])


@people.post("/{contact_id}/identities", status_code=201, responses=answers(404, 409))
async def add_identity(contact_id: ContactId, body: NewIdentity, caller: WritingContacts) -> ShownIdentities:
    """Say who the contact is too. 409 when another contact has this identity: merge the two if they are one person."""
    identity = Identity.parse(body.identity)
    async with caller.transaction() as conn:
        proof = f"api:{caller.principal.key_id}"
        await identity_store.attach_identity(conn, caller.account_id, contact_id, identity, proof, caller.now())
        held = await identity_store.identities(conn, contact_id)
    return ShownIdentities(items=[ShownIdentity.model_validate(each) for each in held])


@people.post("/{contact_id}/merge", responses=answers(404, 409))
async def merge_contacts(contact_id: ContactId, body: Merge, caller: WritingContacts) -> ShownContact:
    """Make one person of two contacts. 409 while one of them is being answered or on the telephone; try again then."""
    async with caller.transaction() as conn:
        await read_store.get_contact(conn, contact_id)
        proof = f"api:{caller.principal.key_id}"
        try:
            await merge_store.merge(conn, caller.account_id, contact_id, body.contact_id, proof, caller.now())
        except NotFound:
            raise Invalid("There is no such contact.", field="contact_id") from None
        return ShownContact.model_validate(await read_store.get_contact(conn, contact_id))


@people.delete("/{contact_id}", status_code=204, responses=answers(404, 409))
async def erase_contact(contact_id: Annotated[str, Path(max_length=64)], caller: WritingContacts) -> None:
    """Forget a person: messages, sessions, calls, tickets, attachments, memory.

    Opt-outs that hold stay, and so does the journal. 409 while the contact is being answered or on the telephone.
    """
    async with caller.transaction() as conn:
        await erase_store.erase(conn, caller.account_id, contact_id, caller.principal.key_id, caller.now())
