"""Background work of the channels: lanes on PostgreSQL, lanes of dead workers, sealing the journal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import anyio
import structlog
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from hookflash.base.clock import Clock
from hookflash.base.coalesced import Coalesced
from hookflash.base.errors import HookflashError, Unavailable
from hookflash.channels.accept import Judge
from hookflash.channels.backfill import Backfill
from hookflash.channels.integration import Integration
from hookflash.channels.store import Integrations
from hookflash.conversation import commit_store, intake_store, journal_store, lane_store, outbox_store
from hookflash.conversation.commit_store import Acknowledgement, Commit
from hookflash.conversation.intake import Arrival, Decided, Taken
from hookflash.conversation.lane import Held, Leaving, Newer, Outgoing, Thought, Unanswered, Work
from hookflash.conversation.lane_store import Release
from hookflash.conversation.message import Media
from hookflash.conversation.outbox import Accepted, Candidate, Refused
from hookflash.db.pool import Database
from hookflash.db.presence import living

log = structlog.get_logger()

LEASE = 30.0
UNDER_WAY = timedelta(seconds=5)
HELD_UP = "1s"
REAP_EVERY = 0.5
SEAL_EVERY = 1.0


TakenIn = tuple[str | None, Taken | None, Decided]


@dataclass(frozen=True, slots=True)
class Coming:
    """A message that is to be taken in."""

    integration: Integration
    arrival: Arrival
    judge: Judge

    @property
    def asks(self) -> tuple[Arrival, str, int, int]:
        """What its sender's standing depends on."""
        settings = self.integration.settings
        return (
            self.arrival,
            self.integration.opt_out_scope,
            settings.session_duration_ms,
            settings.messages_per_minute,
        )


@dataclass(frozen=True, slots=True)
class Desk:
    """Lanes and their messages in PostgreSQL; every call is one transaction. `worker` is our presence number."""

    db: Database
    clock: Clock
    integrations: Integrations
    worker: Callable[[], int]
    point: Callable[[str], None] = lambda name: None
    _revisions: lane_store.Revisions = field(init=False, default_factory=dict)
    _coming: Coalesced[Coming, TakenIn] = field(init=False)
    _load: Coalesced[str, tuple[Work, list[str]]] = field(init=False)
    _commit: Coalesced[Commit, tuple[Leaving, ...] | Newer] = field(init=False)
    _acknowledge: Coalesced[Acknowledgement, Leaving | None] = field(init=False)
    _release: Coalesced[Release, None] = field(init=False)
    _posted: Coalesced[tuple[Leaving, Accepted], None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_coming", Coalesced(self._take_in_all))
        object.__setattr__(self, "_load", Coalesced(self._load_all))
        object.__setattr__(self, "_commit", Coalesced(self._commit_all))
        object.__setattr__(self, "_acknowledge", Coalesced(self._acknowledge_all))
        object.__setattr__(self, "_release", Coalesced(self._release_all))
        object.__setattr__(self, "_posted", Coalesced(self._posted_all))

    async def _load_all(self, account_id: str, contacts: Sequence[str]) -> list[tuple[Work, list[str]]]:
        async with self.db.at_once(account_id) as conn:
            found = await lane_store.read(conn, contacts)
        configs = {key: self._revisions[key] for key in found.revisions & self._revisions.keys()}
        if unknown := found.revisions - configs.keys():
            async with self.db.at_once(account_id) as conn:
                fresh = await lane_store.configs(conn, unknown)
            if len(self._revisions) > lane_store.MOST_REVISIONS:
                self._revisions.clear()
            self._revisions.update(fresh)
            configs |= fresh
        return lane_store.works(contacts, found, configs)

    async def _commit_all(
        self, account_id: str, commits: Sequence[Commit]
    ) -> Sequence[tuple[Leaving, ...] | Newer | Exception]:
        async with self.db.pipelined(account_id) as conn:
            return await commit_store.commit_turns(conn, commits, self.clock.now())

    async def _acknowledge_all(
        self, account_id: str, acknowledgements: Sequence[Acknowledgement]
    ) -> Sequence[Leaving | Exception | None]:
        async with self.db.pipelined(account_id) as conn:
            return await commit_store.acknowledge(conn, acknowledgements, self.clock.now())

    async def _release_all(self, account_id: str, lanes: Sequence[Release]) -> list[None]:
        async with self.db.at_once(account_id, durable=False) as conn:
            await lane_store.release(conn, lanes)
        return [None] * len(lanes)

    async def _posted_all(self, account_id: str, rows: Sequence[tuple[Leaving, Accepted]]) -> list[None]:
        # A crash that undid it would leave the sends unclear, to be settled.
        async with self.db.at_once(account_id, durable=False) as conn:
            await outbox_store.posted(conn, rows, self.clock.now())
        return [None] * len(rows)

    async def take_in(self, integration: Integration, arrival: Arrival, judge: Judge) -> TakenIn:
        return await self._coming(integration.account_id, Coming(integration, arrival, judge))

    async def _take_in_all(self, account_id: str, coming: Sequence[Coming]) -> list[TakenIn | Exception]:
        outcomes: dict[int, TakenIn | Exception] = {}
        outcomes |= await self._take_in(account_id, dict(enumerate(coming)))
        for number, one in enumerate(coming):
            if number not in outcomes:
                try:
                    outcomes |= await self._take_in(account_id, {number: one})
                except Exception as error:  # noqa: BLE001 - raised to whoever brought it; the others are stored
                    outcomes[number] = error
        return [outcomes[number] for number in range(len(coming))]

    async def _take_in(self, account_id: str, coming: Mapping[int, Coming]) -> dict[int, TakenIn]:
        """Take in, in one transaction, one message of each contact: the next is judged by what this one has changed."""
        now = self.clock.now()
        firsts = {str(one.arrival.address): number for number, one in reversed(list(coming.items()))}
        chosen = {number: coming[number] for number in sorted(firsts.values())}
        outcomes: dict[int, TakenIn] = {}
        stored: dict[int, tuple[str, AsyncCursor[DictRow], Taken, Decided]] = {}
        async with self.db.pipelined(account_id) as conn:
            if len(chosen) > 1:
                # Where somebody holds up one of them, each is taken in alone: see Coalesced.
                await conn.execute("select set_config('lock_timeout', %s, true)", (HELD_UP,))
            met = await intake_store.meet(conn, [one.arrival for one in chosen.values()])
            asked = {
                number: await intake_store.ask(conn, person, *one.asks, now)
                for (number, one), person in zip(chosen.items(), met, strict=True)
            }
            people: set[str] = set()
            for number, one in chosen.items():
                standing = await intake_store.read(asked[number])
                if standing.contact_id in people:
                    continue
                people.add(standing.contact_id)
                if standing.stamp != one.integration.stamp:
                    one = replace(one, integration=await self.integrations.get(conn, one.integration.id))
                    standing = await intake_store.standing(conn, *one.asks, now)
                self.integrations.keep(one.integration, self.clock.monotonic())
                judged, taken, verdicts = one.judge(one.integration, standing)
                if taken is None:
                    outcomes[number] = None, None, verdicts
                    continue
                stored[number] = (*await intake_store.accept(conn, judged, standing, taken, now), taken, verdicts)
        self.point("after_accept")
        for number, (message_id, cursor, taken, verdicts) in stored.items():
            outcomes[number] = message_id if await intake_store.claimed(cursor) else None, taken, verdicts
        return outcomes

    async def claim(self, most: int) -> list[Held]:
        # After a crash that undid it nobody lives who could act on it: the presence numbers are gone too.
        async with self.db.at_once(None, durable=False) as conn:
            held = await lane_store.claim(conn, self.worker(), LEASE, most)
        if held:
            self.point("after_claim")
        return held

    async def next_due(self) -> float | None:
        async with self.db.at_once(None) as conn:
            return await lane_store.next_due(conn)

    async def load(self, held: Held) -> Work:
        work, orphans = await self._load(held.account_id, held.contact_id)
        if orphans:
            async with self.db.at_once(held.account_id) as conn:
                await lane_store.fail(conn, orphans, "the assistant was deleted", self.clock.now())
        for integration_id, stamp in work.stamps.items():
            self.integrations.seen(integration_id, stamp, self.clock.monotonic())
        return work

    async def commit(self, held: Held, thought: Thought, *, final: bool, post_now: bool) -> tuple[Leaving, ...] | Newer:
        self.point("before_commit")
        marked = self.clock.monotonic()
        rows = await self._commit(held.account_id, Commit(held, thought, final, post_now))
        if isinstance(rows, Newer):
            return rows
        self.point("after_commit")
        return tuple(replace(r, marked=marked) if r.state == "posting" else r for r in rows)

    async def acknowledge(self, held: Held, unanswered: Unanswered, out: Outgoing) -> Leaving | None:
        marked = self.clock.monotonic()
        scope = (await self.integration(held.account_id, unanswered.integration_id)).opt_out_scope
        row = await self._acknowledge(held.account_id, Acknowledgement(held, unanswered, out, scope))
        return row and replace(row, marked=marked)

    async def release(self, held: Held, due_in: float | None, *, failed: bool = False) -> None:
        await self._release(held.account_id, Release(held, due_in, failed))

    async def give_up(self, held: Held, unanswered: Unanswered, why: str) -> None:
        async with self.db.tenant(held.account_id) as conn:
            await lane_store.give_up(conn, held, unanswered, why, self.clock.now())

    async def integration(self, account_id: str, integration_id: str) -> Integration:
        now = self.clock.monotonic()
        known = self.integrations.known(integration_id, now)
        if known is not None and known.account_id == account_id:
            return known
        async with self.db.at_once(account_id) as conn:
            return self.integrations.keep(await self.integrations.get(conn, integration_id), now)

    async def mark_posting(self, held: Held, row: Leaving, scope: str) -> str | None:
        async with self.db.at_once(row.account_id) as conn:
            return await outbox_store.mark_posting(conn, held, row, scope, self.clock.now())

    async def posted(self, row: Leaving, outcome: Accepted) -> None:
        await self._posted(row.account_id, (row, outcome))

    async def refused(self, row: Leaving, outcome: Refused, scope: str) -> None:
        async with self.db.tenant(row.account_id) as conn:
            await outbox_store.refused(conn, row, outcome, scope, self.clock.now())

    async def stop_sender(self, row: Leaving, outcome: Refused) -> None:
        async with self.db.at_once(row.account_id) as conn:
            await outbox_store.stop_sender(conn, row.integration_id, row.sender, outcome, self.clock.now())

    async def again(self, row: Leaving, delay: float, reason: str) -> None:
        async with self.db.at_once(row.account_id) as conn:
            await outbox_store.again(conn, row, delay, reason, self.clock.now())

    async def park(self, row: Leaving, reason: str, *, unsent: bool = False) -> None:
        async with self.db.at_once(row.account_id) as conn:
            await outbox_store.park(conn, row, reason, self.clock.now(), unsent=unsent)

    async def unknown(self, account_id: str, candidates: list[Candidate]) -> list[Candidate]:
        async with self.db.tenant(account_id) as conn:
            known = await outbox_store.known_sids(conn, account_id, [c.sid for c in candidates])
        return [c for c in candidates if c.sid not in known]

    async def lives(self, poster: int) -> bool:
        async with self.db.system() as conn:
            return poster in await living(conn)

    async def keep_leases(self) -> None:
        """Renew ours and free those of the dead, until cancelled."""
        last = 0.0
        while True:
            try:
                async with self.db.system() as conn:
                    cursor = await conn.execute("select free_dead_lanes() as freed")
                    row = await cursor.fetchone()
                    if row and row["freed"]:
                        log.warning("lanes of a dead worker freed", lanes=row["freed"])
                        await conn.execute("select pg_notify('lanes', '')")
                    if self.clock.monotonic() - last > LEASE / 3:
                        await conn.execute("select renew_leases(%s, make_interval(secs => %s))", (self.worker(), LEASE))
                        last = self.clock.monotonic()
            except Unavailable as error:
                log.warning("leases cannot be kept", reason=error.message)
            await self.clock.sleep(REAP_EVERY)

    async def received(self, account_id: str, sids: list[str]) -> dict[str, datetime]:
        async with self.db.at_once(account_id) as conn:
            return await intake_store.received(conn, account_id, sids)

    async def backfilled(self, integration: Integration, to: datetime) -> None:
        async with self.db.tenant(integration.account_id) as conn:
            await self.integrations.backfilled(conn, integration.id, to)

    async def save_media(self, account_id: str, message_id: str, media: tuple[Media, ...]) -> None:
        async with self.db.at_once(account_id) as conn:
            await lane_store.save_media(conn, message_id, media)

    async def take_inline(self, integration: Integration, message_id: str) -> list[Leaving]:
        async with self.db.at_once(integration.account_id) as conn:
            return await outbox_store.take_inline(conn, message_id, integration.opt_out_scope, self.clock.now())


@dataclass(slots=True)
class Gap:
    """Set when the database was away for a while, and webhooks with it."""

    seen: anyio.Event

    def noticed(self) -> None:
        self.seen.set()


async def backfill_all(
    db: Database, integrations: Integrations, backfill: Backfill, under_way: timedelta = timedelta(0)
) -> int:
    """Compare every active integration's list at Twilio with ours; how many messages were missing."""
    found = 0
    for integration_id, account_id in await integrations.active(db):
        try:
            async with db.tenant(account_id) as conn:
                integration = await integrations.get_or_none(conn, integration_id)
            if integration is None or integration.credentials.account_sid is None:
                continue
            found += await backfill.run(integration, under_way=under_way)
        except Unavailable:
            raise
        except HookflashError as error:
            # One integration that cannot be read must not keep the others from being compared.
            log.warning("back-fill failed", integration=integration_id, reason=error.message)
    return found


async def keep_backfilling(
    db: Database, integrations: Integrations, backfill: Backfill, clock: Clock, every: float, gap: Gap
) -> None:
    """At start, every `every` seconds, and after each gap in which we heard nothing: until cancelled.

    After a gap once more soon, for what was under way at the first look.
    """
    again = True
    while True:
        gap.seen = anyio.Event()
        try:
            await backfill_all(db, integrations, backfill, UNDER_WAY)
        except Unavailable as error:
            log.warning("back-fill failed", reason=error.message)
            await clock.sleep(1.0)
            continue
        with anyio.move_on_after(2 * UNDER_WAY.total_seconds() if again else every) as pause:
            await gap.seen.wait()
        again = not pause.cancelled_caught


async def seal_journals(db: Database, clock: Clock) -> int:
    """Seal every account's new entries; how many."""
    sealed = 0
    async with db.system() as conn:
        accounts = await journal_store.accounts_to_seal(conn)
    for account_id in accounts:
        async with db.tenant(account_id) as conn:
            sealed += await journal_store.seal_journal(conn, account_id, clock.now())
    return sealed


async def keep_sealing(db: Database, clock: Clock) -> None:
    """Seal about once a second, until cancelled."""
    while True:
        try:
            await seal_journals(db, clock)
        except Unavailable as error:
            log.warning("journals cannot be sealed", reason=error.message)
        await clock.sleep(SEAL_EVERY)
