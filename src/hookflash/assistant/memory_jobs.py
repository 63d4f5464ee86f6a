"""Background work of memory: sessions that are over are remembered, memories get their vectors, profiles elsewhere are told."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from hookflash.assistant import memory_store
from hookflash.assistant.fallback import Chosen, ask
from hookflash.assistant.masked import masked
from hookflash.assistant.memory_store import SessionPast
from hookflash.assistant.model import ChatModel
from hookflash.assistant.profile_source import Profiles, ordered, plain
from hookflash.assistant.remember import Learned, Past, by_rules, learned_from, request
from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock
from hookflash.base.errors import Misconfigured
from hookflash.conversation.identity import Identity
from hookflash.conversation.identity_store import identities
from hookflash.db.jobs import Task, defer
from hookflash.db.pool import Database
from hookflash.knowledge.passage import Embedder
from hookflash.knowledge.store import vector_text
from hookflash.workspace import store as workspace

log = structlog.get_logger()

_BATCH = 64
_SESSIONS_AT_A_TIME = 500
RULES = "rules"


@dataclass(frozen=True, slots=True)
class Rememberer:
    """Remembers sessions. `models` gives a model by name or raises Misconfigured; `embedder` gives that of `model`."""

    db: Database
    clock: Clock
    models: Callable[[str], ChatModel]
    breakers: Breakers
    embedder: Callable[[str], Embedder]
    model: str
    profiles: Profiles | None = None

    async def look(self) -> None:
        """Find the sessions that are over, and have each remembered by whoever is free."""
        async with self.db.system() as conn:
            due = await memory_store.due_sessions(conn, self.clock.now(), _SESSIONS_AT_A_TIME)
        for account_id, session_id in due:
            async with self.db.tenant(account_id) as conn:
                await defer(
                    conn,
                    "assistant.remember",
                    lock=f"remember:{session_id}",
                    queueing_lock=f"remember:{session_id}",
                    account_id=account_id,
                    session_id=session_id,
                )

    async def remember(self, account_id: str, session_id: str) -> None:
        """Keep what a session leaves. Harmless to repeat: what was remembered is not remembered again."""
        async with self.db.tenant(account_id) as conn:
            past = await memory_store.session_past(conn, session_id)
        if past is None:
            return
        learned, by, micros = await self._learned(past)
        now = self.clock.now()
        async with self.db.tenant(account_id) as conn:
            kept = await memory_store.keep(conn, past, learned, by, micros, now)
            if kept and learned is not None and self._told(past):
                await defer(
                    conn,
                    "assistant.tell_profile",
                    account_id=account_id,
                    session_id=past.id,
                    until=past.last_at.isoformat(),
                )

    async def _learned(self, past: SessionPast) -> tuple[Learned | None, str, int]:
        """What there is, by which model (or `rules`), and what that cost in micro-dollars."""
        fresh = [turn for turn in past.turns if turn.said.strip() and (past.since is None or turn.at > past.since)]
        if not past.config.memory.enabled or not past.collects or not fresh:
            return None, RULES, 0
        models = self._chain(past)
        micros = 0
        if models:
            said = [turn for turn in past.turns if turn.said.strip()]
            outcome = await ask(models, request(said, past.contact.language or "en"), self.breakers)
            if isinstance(outcome, Chosen):
                micros = outcome.reply.usage.model_micros
                learned = learned_from(outcome.reply, said)
                if learned is not None:
                    return learned, outcome.model.name, micros
            for reason in outcome.degraded:
                log.warning("session is remembered by another model", reason=reason.partition(":")[0])
        return self._ruled(past, fresh), RULES, micros

    def _ruled(self, past: SessionPast, fresh: list[Past]) -> Learned:
        texts = [turn for turn in past.turns if turn.turn_id not in past.in_calls]
        whole = by_rules(texts, past.calls)
        new = by_rules(fresh)
        return Learned(whole.summary, new.traits, new.observations)

    def _chain(self, past: SessionPast) -> list[ChatModel]:
        found: list[ChatModel] = []
        for name in past.config.models:
            try:
                model = self.models(name)
            except Misconfigured:
                continue
            if model.generative:
                # The notes are ours: they get the values back whatever tools may see.
                pii = past.config.safety.pii.model_copy(update={"tools_see": True})
                found.append(masked(model, pii, past.contact))
        return found

    def _told(self, past: SessionPast) -> bool:
        return past.config.memory.customer_ai and self.profiles is not None and self.profiles.serves(past.account_id)

    async def tell_profile(self, account_id: str, session_id: str, until: str) -> None:
        """Write to the other system what a session left `until` then, and keep here what it knows."""
        async with self.db.tenant(account_id) as conn:
            left = await memory_store.left_by(conn, session_id)
            held = await identities(conn, left.contact_id) if left is not None else []
        wanted = ordered([Identity.parse(each.identity) for each in held])
        if self.profiles is None or left is None or not wanted:
            return
        source, who, contact_id = self.profiles.source, wanted[0], left.contact_id
        when = self.clock.now()
        key = f"{session_id}:{until}"
        if left.traits:
            await source.identify(who, left.traits, f"{key}:identify", when)
        ended = {"session_id": session_id, "turns": left.turns}
        await source.track(who, "Conversation Ended", ended, f"{key}:track", when)
        found = None
        for identity in wanted:
            found = found or await source.traits(identity)
        if found:
            async with self.db.tenant(account_id) as conn:
                await memory_store.learn_traits(conn, account_id, contact_id, "segment", plain(found), when)

    async def embed(self, account_id: str) -> None:
        """Give every memory of the account its vector."""
        while True:
            async with self.db.tenant(account_id) as conn:
                missing = await memory_store.without_vectors(conn, self.model, _BATCH)
            if not missing:
                return
            vectors = await self.embedder(self.model).embed([text for _, text in missing])
            rows = [(key, text, vector_text(vector)) for (key, text), vector in zip(missing, vectors, strict=True)]
            async with self.db.tenant(account_id) as conn:
                await memory_store.set_vectors(conn, self.model, rows)

    async def embed_all(self) -> None:
        """Of every account: after the server was given another model there may be many."""
        for account_id in await workspace.accounts(self.db):
            await self.embed(account_id)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""
        return [
            Task("assistant.find_sessions_to_remember", self.look, every="* * * * *"),
            Task("assistant.remember", self.remember),
            Task("assistant.tell_profile", self.tell_profile),
            Task("assistant.embed_memories", self.embed),
            Task("assistant.embed_all_memories", self.embed_all, every="41 * * * *"),
        ]
