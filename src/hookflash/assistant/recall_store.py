"""Memory for turns: what is stored of the customer, what other systems know, and which of it bears on the question."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.memory import Note, Recalled, Trait, choose, opening
from hookflash.assistant.profile_source import Fetched, Profiles
from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError
from hookflash.conversation.identity import Identity
from hookflash.conversation.turn import Turn
from hookflash.db.pool import Database
from hookflash.knowledge.passage import Embedder, Vector
from hookflash.knowledge.store import vector_text

log = structlog.get_logger()

_EMBED_SECONDS = 1.5
_MOST_NOTES = 400
_MOST_VECTORS = 5_000
_MOST_COMPARED = 40
_NOTHING = Fetched({})


@dataclass(frozen=True, slots=True)
class _Stored:
    traits: tuple[Trait, ...] = ()
    notes: tuple[Note, ...] = ()
    identities: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """What turns are told of their customers. `embedder` is that of `model`; `profiles` are another system's, if there is one.

    For a contact of whom nothing is stored nobody is asked. Nothing here fails an answer: what cannot be had is missing.
    """

    db: Database
    clock: Clock
    embedder: Callable[[str], Embedder]
    model: str
    profiles: Profiles | None = None
    _vectors: OrderedDict[str, Vector] = field(default_factory=OrderedDict, init=False, repr=False)

    async def recall(self, turn: Turn, question: str) -> Recalled:
        """What bears on the question, and what the customer is called."""
        config = AssistantConfig.stored(turn.session.config).memory
        if not config.enabled or not question.strip():
            return Recalled()
        own = _own(turn)
        asks = config.customer_ai and self.profiles is not None
        if not turn.contact.remembered and not own and not asks:
            return Recalled()
        degraded: list[str] = []
        language = turn.contact.language or "en"
        vector: Vector | None = None
        stored, fetched = _Stored(), _NOTHING
        try:
            if turn.contact.remembered or asks:
                vector = await self._embedded(question, degraded) if turn.contact.remembered else None
                stored = await self._stored(turn, vector)
            if asks:
                fetched = await self._fetched(turn, stored)
        except HookflashError as error:
            degraded.append(f"memory: {error}")
        if fetched.degraded is not None:
            degraded.append(fetched.degraded)
        traits = (*own, *stored.traits, *_from_outside(fetched, turn))
        near = await self._near(question, vector, traits, degraded) if traits else {}
        found = choose(
            question,
            language,
            traits,
            stored.notes,
            tokens=config.tokens,
            name=turn.contact.name,
            closeness=near,
        )
        return Recalled(found.lines, found.bears, tuple(degraded))

    async def opening(self, turn: Turn) -> tuple[str, ...]:
        """What a model is told that talks on its own, when its call begins; the same lines as `recall` has."""
        config = AssistantConfig.stored(turn.session.config).memory
        asks = config.customer_ai and self.profiles is not None
        own = _own(turn)
        if not config.enabled or not (turn.contact.remembered or own or asks):
            return ()
        stored, fetched = _Stored(), _NOTHING
        try:
            if turn.contact.remembered or asks:
                stored = await self._stored(turn, None)
            if asks:
                fetched = await self._fetched(turn, stored)
        except HookflashError as error:
            log.warning("memory is away", reason=type(error).__name__)
        traits = (*own, *stored.traits, *_from_outside(fetched, turn))
        return opening(traits, stored.notes, tokens=config.tokens, name=turn.contact.name)

    async def _stored(self, turn: Turn, vector: Vector | None) -> _Stored:
        given: dict[str, Any] = {
            "contact": turn.contact.id,
            "session": turn.session.id,
            "model": self.model,
            "vector": vector_text(vector) if vector is not None else None,
            "most": _MOST_NOTES,
        }
        async with self.db.at_once(turn.account_id) as conn:
            traits = await conn.execute(
                "select name, value, source, at from contact_traits where contact_id = %(contact)s", given
            )
            # What was said in this session the model is shown anyhow.
            notes = await conn.execute(
                "select kind, text, at, case when model = %(model)s then 1 - (vector <=> %(vector)s::halfvec) end as cosine"
                " from memories where contact_id = %(contact)s and session_id is distinct from %(session)s"
                " order by at desc limit %(most)s",
                given,
            )
            identities = await conn.execute(
                "select identity from contact_identities where contact_id = %(contact)s", given
            )
        return _Stored(
            tuple(Trait(**row) for row in await traits.fetchall()),
            tuple(Note(**row) for row in await notes.fetchall()),
            tuple(Identity.parse(row["identity"]) for row in await identities.fetchall()),
        )

    async def _fetched(self, turn: Turn, stored: _Stored) -> Fetched:
        if self.profiles is None:
            return _NOTHING
        writing = tuple(Identity.of(message.address) for message in turn.said[-1:])
        return await self.profiles.of(turn.account_id, (*stored.identities, *writing))

    async def _embedded(self, question: str, degraded: list[str]) -> Vector | None:
        vectors = await self._embed([question], degraded)
        return vectors[0] if vectors is not None else None

    async def _embed(self, texts: Sequence[str], degraded: list[str]) -> Vector | None:
        try:
            return await within(self.clock, _EMBED_SECONDS, lambda: self.embedder(self.model).embed(list(texts)))
        except (HookflashError, TimeoutError):
            degraded.append("memory: compared by words alone")
            return None

    async def _near(
        self, question: str, vector: Vector | None, traits: Sequence[Trait], degraded: list[str]
    ) -> dict[str, float]:
        """How close each trait's text is to the question. Traits change seldom, so their vectors are kept."""
        texts = list(dict.fromkeys(trait.text for trait in traits))[:_MOST_COMPARED]
        missing = [text for text in texts if text not in self._vectors]
        wanted = [*missing, *([question] if vector is None else [])]
        if wanted:
            if degraded and vector is None:
                return {}
            made = await self._embed(wanted, degraded)
            if made is None:
                return {}
            vector = made[-1] if vector is None else vector
            for text, row in zip(missing, made, strict=False):
                self._vectors[text] = row
        assert vector is not None
        near = {}
        for text in texts:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                near[text] = float(np.dot(self._vectors[text], vector))
        while len(self._vectors) > _MOST_VECTORS:
            self._vectors.popitem(last=False)
        return near


def _own(turn: Turn) -> tuple[Trait, ...]:
    return tuple(Trait(name, value, "api", turn.now) for name, value in turn.contact.traits.items())


def _from_outside(fetched: Fetched, turn: Turn) -> tuple[Trait, ...]:
    return tuple(Trait(name, value, "segment", turn.now) for name, value in fetched.traits.items())
