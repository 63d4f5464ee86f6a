"""Answers to what was said through the API: put where their caller finds them, told to who waits, posted to webhooks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, NotFound, Unavailable
from hookflash.base.secret import Secret
from hookflash.compat.message_store import POST_ANSWER, VIA, Outcome, outcome_of
from hookflash.compat.names import Here
from hookflash.conversation.journal_store import journal
from hookflash.conversation.lane import Deliver, Held, Later, Leaving, Left
from hookflash.db.jobs import Task, defer
from hookflash.db.pool import Connection, Database
from hookflash.twilio.signature import sign, with_body_hash

log = structlog.get_logger()

LOOK_EVERY = 1.0
# For so long nobody else posts what somebody has begun to post.
CLAIM = timedelta(seconds=60)


class Post(Protocol):
    """Posts JSON to an address that somebody else has named."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Invalid when it may not be reached or does not want it, Unavailable when it may be tried again."""
        ...


@dataclass(frozen=True, slots=True)
class Counter:
    """Hands answers of the web over; everything else leaves by `deliver`."""

    db: Database
    clock: Clock
    send: Deliver

    async def deliver(self, held: Held, row: Leaving) -> Left | Later:
        """It may happen twice, and is harmless."""
        if not row.sender.startswith("web:"):
            return await self.send(held, row)
        now = self.clock.now()
        async with self.db.tenant(row.account_id) as conn:
            found = await conn.execute(
                "update messages set state = 'delivered', poster = null, posted_at = clock_timestamp(), updated_at = %s"
                " where id = %s and state in ('waiting', 'posting') returning in_reply_to",
                (now, row.id),
            )
            told = await found.fetchone()
            if told is not None and told["in_reply_to"]:
                message_id = told["in_reply_to"]
                body = {"via": VIA, "to": row.address, "body": row.body}
                await journal(conn, row.account_id, "sent", row.id, row.contact_id, body, now)
                waits = await conn.execute(
                    "select 1 from compat_webhooks where message_id = %s and posted_at is null", (message_id,)
                )
                if await waits.fetchone() is not None:
                    await defer(conn, POST_ANSWER, account_id=row.account_id, message_id=message_id)
                await conn.execute("select pg_notify('inline', %s)", (message_id,))
        return Left()


@dataclass(slots=True)
class Waiting:
    """Requests that wait for the answer to a message, by its id."""

    db: Database
    clock: Clock
    _events: dict[str, anyio.Event] = field(default_factory=dict)

    async def outcome(self, account_id: str, message_id: str, seconds: float) -> Outcome | None:
        """What came of it; None when nothing is known within `seconds`."""
        ends = self.clock.monotonic() + seconds
        try:
            while True:
                # Listened for before it is looked for: an answer that is committed in between is not missed.
                event = self._events[message_id] = anyio.Event()
                async with self.db.tenant(account_id) as conn:
                    found = await outcome_of(conn, message_id)
                left = ends - self.clock.monotonic()
                if found is not None or left <= 0:
                    return found
                # What ends without an answer is told to nobody, so it is looked for.
                with anyio.move_on_after(min(LOOK_EVERY, left)):
                    await event.wait()
        finally:
            self._events.pop(message_id, None)

    def told(self, message_ids: str) -> None:
        """Of a notification: the answers to these messages (ids with spaces between) are there."""
        for message_id in message_ids.split():
            event = self._events.get(message_id)
            if event is not None:
                event.set()


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts answers to the webhooks that their callers have named. `secret_of` gives what an account's are signed with."""

    db: Database
    clock: Clock
    to: Post
    secret_of: Callable[[str], Secret]

    def tasks(self) -> list[Task]:
        return [Task(POST_ANSWER, self.post_answer, retries=10)]

    async def post_answer(self, account_id: str, message_id: str) -> None:
        """Once; tried again when the webhook does not take it now. Raises Unavailable."""
        now = self.clock.now()
        async with self.db.tenant(account_id) as conn:
            found = await conn.execute(
                "select url, claimed_at from compat_webhooks where message_id = %s and posted_at is null and why is null"
                " for update",
                (message_id,),
            )
            row = await found.fetchone()
            if row is None:
                return
            try:
                outcome = await outcome_of(conn, message_id)
            except NotFound:
                return
            if outcome is None:
                raise Unavailable("The answer is not there yet.")
            if row["claimed_at"] is not None and row["claimed_at"] > now - CLAIM:
                raise Unavailable("The answer is being posted.")
            await self._note(conn, message_id, claimed_at=now)
        body = outcome.shown(Here("", account_id)).model_dump_json(exclude_none=True).encode()
        url = with_body_hash(row["url"], body)
        headers = {"Content-Type": "application/json", **sign(url, self.secret_of(account_id))}
        try:
            await self.to.post(url, body, headers)
        except HookflashError as error:
            why = None if error.retryable else error.message
            log.warning("answer is not posted", message=message_id, reason=error.message, again=why is None)
            async with self.db.tenant(account_id) as conn:
                await self._note(conn, message_id, why=why)
            if error.retryable:
                raise
            return
        async with self.db.tenant(account_id) as conn:
            await self._note(conn, message_id, posted_at=self.clock.now())

    @staticmethod
    async def _note(
        conn: Connection,
        message_id: str,
        *,
        claimed_at: datetime | None = None,
        posted_at: datetime | None = None,
        why: str | None = None,
    ) -> None:
        await conn.execute(
            "update compat_webhooks set claimed_at = %s, posted_at = %s, why = %s where message_id = %s",
            (claimed_at, posted_at, why, message_id),
        )
