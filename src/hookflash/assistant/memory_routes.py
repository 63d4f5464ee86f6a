"""What is remembered of a contact, over HTTP: shown, corrected, forgotten."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hookflash.assistant import memory_store
from hookflash.assistant.memory import Trait, effective, kind_of
from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.conversation.read_store import get_contact
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.rest.storable import bounded
from hookflash.safety.pii import mask_numbers

profiles = router("/v1/contacts", "contacts")

ContactId = Annotated[str, Path(max_length=64, examples=["cont_06bq3v0d5k8n2r7t1w4y9zac3e"])]
MemoryId = Annotated[str, Path(max_length=64, examples=["mem_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("contacts:read")]
Writing = Annotated[Caller, allowed("contacts:write")]
Text = Annotated[
    str,
    Field(min_length=1, max_length=600, examples=["Bought a red kettle in March."]),
    AfterValidator(mask_numbers),
]


def _typed(value: Any) -> Any:
    """A text, a number, a truth, or a list of texts."""
    match value:
        case None | bool() | int() | float():
            return value
        case str() if len(value) <= 500:
            return value
        case list() if len(value) <= 50 and all(isinstance(each, str) and len(each) <= 200 for each in value):
            return value
        case _:
            raise ValueError(
                "a text (500 characters), a number, true or false, a date or a list of texts (50) is expected"
            )


TraitName = Annotated[str, Field(min_length=1, max_length=100)]
TraitValue = Annotated[str | bool | int | float | list[str] | None, AfterValidator(_typed)]
Traits = Annotated[
    dict[TraitName, TraitValue], Field(max_length=100, examples=[{"plan": "gold", "since": "2024-03-01"}])
]


class WholeProfile(BaseModel):
    """All that the company says of a contact."""

    model_config = ConfigDict(extra="forbid")

    traits: Traits = Field(description="From now on exactly these; what was learned otherwise is forgotten.")


class ProfileChanges(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    traits: Traits = Field({}, description="Changed one by one; a trait that is null is forgotten, whoever said it.")


class NewObservation(BaseModel):
    """Something to remember of a contact, in one sentence."""

    model_config = ConfigDict(extra="forbid")

    text: Text


class ShownTrait(BaseModel):
    """One thing that is known of a contact, and how."""

    name: str = Field(examples=["plan"])
    value: Any = Field(examples=["gold"])
    type: str = Field(description="string, number, boolean, date, list; object where an older value is one.")
    source: str = Field(description="api, verification, segment or conversation.")
    at: datetime
    holds: bool = Field(description="Whether this value is used: what you say goes before what was said.")


class ShownMemory(BaseModel):
    """An observation, or the summary of a session."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    session_id: str | None = Field(description="Where it comes from.")
    turn_id: str | None
    source: str = Field(description="conversation or api.")
    text: str
    at: datetime
    updated_at: datetime


class ShownProfile(BaseModel):
    """All that is known of a contact; observations and summaries newest first, up to 200 of each."""

    contact_id: str
    name: str | None
    language: str | None
    traits: list[ShownTrait]
    observations: list[ShownMemory]
    summaries: list[ShownMemory]


@profiles.get("/{contact_id}/profile", responses=answers(404))
async def get_profile(contact_id: ContactId, caller: Reading) -> ShownProfile:
    """What is known of a contact."""
    async with caller.transaction() as conn:
        return shown(await memory_store.profile(conn, contact_id))


@profiles.put("/{contact_id}/profile", responses=answers(404))
async def put_profile(contact_id: ContactId, body: WholeProfile, caller: Writing) -> ShownProfile:
    """Say all traits of a contact. Observations and summaries stay."""
    traits = {name: value for name, value in body.traits.items() if value is not None}
    async with caller.transaction() as conn:
        await memory_store.set_own_traits(conn, contact_id, _small(traits))
        await memory_store.forget_traits(conn, contact_id)
        await caller.record(conn, "contact.profiled", contact_id, contact_id, traits=sorted(traits))
        return shown(await memory_store.profile(conn, contact_id))


@profiles.patch("/{contact_id}/profile", responses=answers(404))
async def patch_profile(contact_id: ContactId, body: ProfileChanges, caller: Writing) -> ShownProfile:
    """Change some traits of a contact."""
    async with caller.transaction() as conn:
        contact = await get_contact(conn, contact_id, lock=True)
        merged = contact.traits | body.traits
        gone = [name for name, value in body.traits.items() if value is None]
        kept = {name: value for name, value in merged.items() if name not in gone}
        await memory_store.set_own_traits(conn, contact_id, _small(kept))
        if gone:
            await memory_store.forget_traits(conn, contact_id, gone)
        await caller.record(conn, "contact.profiled", contact_id, contact_id, traits=sorted(body.traits))
        return shown(await memory_store.profile(conn, contact_id))


@profiles.delete("/{contact_id}/profile", status_code=204, responses=answers(404))
async def forget_profile(contact_id: ContactId, caller: Writing) -> None:
    """Forget all of it: traits, observations, summaries. The contact, the sessions and messages stay."""
    async with caller.transaction() as conn:
        await memory_store.forget(conn, contact_id)
        await caller.record(conn, "contact.forgotten", contact_id, contact_id)


@profiles.get("/{contact_id}/observations", **listed(ShownMemory, 404))
async def list_observations(
    contact_id: ContactId, asked: ListAsked, caller: Reading
) -> Listing[ShownMemory] | Response:
    """What was observed of a contact, in the order in which it was noted."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[memory_store.Memory]:
        return await memory_store.list_observations(conn, contact_id, limit, cursor)

    return await caller.list(asked, read, ShownMemory.model_validate)


@profiles.post("/{contact_id}/observations", status_code=201, responses=answers(404))
async def add_observation(contact_id: ContactId, body: NewObservation, caller: Writing) -> ShownMemory:
    """Note something; numbers of payment cards are masked."""
    async with caller.transaction() as conn:
        made = await memory_store.add_observation(conn, caller.account_id, contact_id, body.text, caller.now())
        await caller.record(conn, "observation.created", made.id, contact_id)
    return ShownMemory.model_validate(made)


@profiles.patch("/{contact_id}/observations/{observation_id}", responses=answers(404))
async def change_observation(
    contact_id: ContactId, observation_id: MemoryId, body: NewObservation, caller: Writing
) -> ShownMemory:
    """Correct an observation, or a summary by its id."""
    async with caller.transaction() as conn:
        changed = await memory_store.change_memory(
            conn, caller.account_id, contact_id, observation_id, body.text, caller.now()
        )
        await caller.record(conn, "observation.updated", observation_id, contact_id)
    return ShownMemory.model_validate(changed)


@profiles.delete("/{contact_id}/observations/{observation_id}", status_code=204, responses=answers(404))
async def delete_observation(contact_id: ContactId, observation_id: MemoryId, caller: Writing) -> None:
    """Forget an observation, or a summary by its id."""
    async with caller.transaction() as conn:
        await memory_store.delete_memory(conn, contact_id, observation_id)
        await caller.record(conn, "observation.deleted", observation_id, contact_id)


def shown(profile: memory_store.Profile) -> ShownProfile:
    """As it is answered."""
    holding = effective(profile.traits)
    return ShownProfile(
        contact_id=profile.contact_id,
        name=profile.name,
        language=profile.language,
        traits=[_trait(trait, holds=holding[trait.name] is trait) for trait in profile.traits],
        observations=[ShownMemory.model_validate(each) for each in profile.observations],
        summaries=[ShownMemory.model_validate(each) for each in profile.summaries],
    )


def _trait(trait: Trait, *, holds: bool) -> ShownTrait:
    return ShownTrait(
        name=trait.name,
        value=trait.value,
        type=kind_of(trait.value),
        source=trait.source,
        at=trait.at,
        holds=holds,
    )


def _small(traits: dict[str, Any]) -> dict[str, Any]:
    try:
        return bounded(traits)
    except ValueError as error:
        raise Invalid(f"The traits are too many: {error}.", field="traits") from None
