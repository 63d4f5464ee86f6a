"""SQL of what is said to assistants through the API: the way in, sessions by the caller's names, and what was answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, Invalid, NotFound, TooMany
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.channels.accept import Judge
from hookflash.channels.integration import Integration, IntegrationSettings
from hookflash.channels.store import Integrations
from hookflash.compat import shapes
from hookflash.compat.names import Here, Thing, identity_of, line_of
from hookflash.conversation import intake_store, read_store
from hookflash.conversation.intake import Arrival, Decided, Taken
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection, Database

VIA = "assistants"
POST_ANSWER = "compat.post_answer"
# When somebody looks whether an answer was posted, should nobody have been told of it.
LOOK_AFTER = timedelta(seconds=30)
# The gates that judge what is said, and how what they noticed begins; else it is of themselves that they tell.
_GUARDS = {"injection": "", "moderation": "moderation: ", "topic": "barred topic: "}
# No number and nothing to pay for sending: who may say how much is what is left to bound.
_SETTINGS = IntegrationSettings(burst_ms=0, acknowledge_after_ms=0, messages_per_minute=60)


async def open_door(
    conn: Connection, integrations: Integrations, account_id: str, assistant_id: str, name: str
) -> Integration:
    """The way in to an assistant through the API, made when it is first used. The assistant must be there."""
    await conn.execute(
        "insert into integrations (id, account_id, name, assistant_id, sender, config) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (account_id, sender) do nothing",
        (
            new_id("intg"),
            account_id,
            f"API of {name}"[:80],
            assistant_id,
            line_of(assistant_id),
            Jsonb(_SETTINGS.model_dump()),
        ),
    )
    found = await conn.execute("select id from integrations where sender = %s", (line_of(assistant_id),))
    row = await found.fetchone()
    if row is None:  # pragma: no cover
        raise NotFound("There is no such assistant.")
    return await integrations.get(conn, row["id"])


async def said_today(conn: Connection, account_id: str, now: datetime, most: int) -> int:
    """Messages of the account through the API since midnight (UTC), counted up to `most`."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = await conn.execute(
        "select count(*) as n from (select 1 from messages where account_id = %s and via = 'assistants' and at >= %s"
        " and direction = 'in' limit %s) m",
        (account_id, midnight, most),
    )
    row = await found.fetchone()
    return int(row["n"]) if row else 0


@dataclass(slots=True)
class Intake:
    """Takes one message in, into the session that its caller names. `session` is that name, once it is known."""

    db: Database
    clock: Clock
    session: str | None
    identity: str
    webhook: str | None
    per_day: int

    async def take_in(
        self, integration: Integration, arrival: Arrival, judge: Judge
    ) -> tuple[str | None, Taken | None, Decided]:
        """Raises Conflict for a session of another person or assistant, TooMany over the day's number."""
        now = self.clock.now()
        settings = integration.settings
        async with self.db.tenant(integration.account_id) as conn:
            if self.per_day and await said_today(conn, arrival.account_id, now, self.per_day) >= self.per_day:
                left = timedelta(days=1) - timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
                raise TooMany(
                    f"This account has used its {self.per_day:,} messages of today.", retry_after=left.total_seconds()
                )
            standing = await intake_store.standing(
                conn, arrival, integration.opt_out_scope, 0, settings.messages_per_minute, now
            )
            session_id, runs = await self._session(
                conn, arrival.account_id, standing.contact_id, integration.assistant_id
            )
            standing = replace(standing, session_id=session_id if runs else None)
            judged, taken, verdicts = judge(integration, standing)
            # Whoever waited here for another message of the same person came after it.
            judged = replace(judged, at=self.clock.now())
            if taken is None:  # pragma: no cover - nobody else has this message
                return None, None, verdicts
            message_id, stored = await intake_store.accept(conn, judged, standing, taken, now, begin=session_id)
            if self.webhook is not None:
                await self._answer_to(conn, arrival.account_id, message_id, standing.contact_id, taken)
        return message_id if await intake_store.claimed(stored) else None, taken, verdicts

    async def _session(self, conn: Connection, account_id: str, contact_id: str, assistant_id: str) -> tuple[str, bool]:
        """Our session of the caller's name, and whether it runs; a new name is a new history. One of ours keeps its id."""
        made = new_id("sess")
        name = self.session or made
        found = await conn.execute("select id from sessions where id = %s and contact_id = %s", (name, contact_id))
        own = await found.fetchone()
        found = await conn.execute(
            "insert into compat_sessions as s (account_id, name, session_id, contact_id, identity)"
            " values (%s, %s, %s, %s, %s) on conflict (account_id, name) do update set name = excluded.name"
            " returning s.session_id, s.contact_id",
            (account_id, name, own["id"] if own else made, contact_id, self.identity),
        )
        row = await found.fetchone()
        assert row is not None
        if row["contact_id"] != contact_id:
            raise Conflict("This session is with another identity.", hint="name another session_id")
        found = await conn.execute("select assistant_id from sessions where id = %s", (row["session_id"],))
        with_whom = await found.fetchone()
        if with_whom is not None and with_whom["assistant_id"] != assistant_id:
            raise Conflict("This session is with another assistant.", hint="name another session_id")
        self.session = name
        session_id: str = row["session_id"]
        return session_id, with_whom is not None

    async def _answer_to(
        self, conn: Connection, account_id: str, message_id: str, contact_id: str, taken: Taken
    ) -> None:
        await conn.execute(
            "insert into compat_webhooks (message_id, account_id, contact_id, url) values (%s, %s, %s, %s)",
            (message_id, account_id, contact_id, self.webhook),
        )
        await defer(
            conn,
            POST_ANSWER,
            schedule_in=LOOK_AFTER if taken.state == "unanswered" else None,
            account_id=account_id,
            message_id=message_id,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a message. `body` is None when nothing was answered, then `why` says why."""

    session: str
    identity: str
    body: str | None
    why: str | None
    kind: str | None
    flagged: bool

    def shown(self, at: Here) -> shapes.Answered:
        answered = self.body is not None and self.kind != "failed"
        return shapes.Answered(
            status="success" if answered else "failure",
            flagged=self.flagged,
            aborted=self.body is None,
            session_id=self.session,
            account_sid=at.sid,
            identity=self.identity,
            body=self.body,
            error=None if answered else self.why or "no model could answer",
        )


async def outcome_of(conn: Connection, message_id: str) -> Outcome | None:
    """None as long as it is not known. Raises NotFound."""
    found = await conn.execute(
        "select m.state, m.why, t.kind, t.record, c.name, c.identity,"
        " exists (select from messages o where o.contact_id = m.contact_id and o.seq > m.seq and o.in_reply_to = m.id"
        "   and o.state in ('waiting', 'posting')) as leaving,"
        " array(select o.body from messages o where o.contact_id = m.contact_id and o.seq > m.seq"
        "   and o.in_reply_to = m.id and o.kind in ('answer', 'notice') and o.state = 'delivered'"
        "   order by o.part) as bodies"
        " from messages m join compat_sessions c on c.session_id = m.session_id"
        " left join turns t on t.id = m.turn_id where m.id = %s",
        (message_id,),
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such message.")
    if row["state"] == "unanswered" or row["leaving"]:
        return None
    return Outcome(
        session=row["name"],
        identity=row["identity"],
        body="\n".join(row["bodies"]) if row["bodies"] else None,
        why=row["why"] or (None if row["bodies"] else "there was nothing to say"),
        kind=row["kind"],
        flagged=_flagged(row["record"] or {}),
    )


def _flagged(record: Mapping[str, Any]) -> bool:
    """Whether what guards an assistant had something to say, be it that the answer was given all the same."""
    for name, kind, why in record.get("verdicts", ()):
        if name in _GUARDS and (kind != "Pass" or (why is not None and why.startswith(_GUARDS[name]))):
            return True
    return any(note.startswith("moderation: the answer") for note in record.get("degraded", ()))


# Sessions, and what was said in them

_SESSION = (
    "select s.id, s.assistant_id, s.started_at, s.last_at, s.verified_at, c.name, c.identity,"
    " (select a.address from contact_addresses a where a.contact_id = s.contact_id order by a.address limit 1) as address"
    " from sessions s left join compat_sessions c on c.session_id = s.id"
)


_ONE_SESSION = (
    f"{_SESSION} where s.id = coalesce((select session_id from compat_sessions where name = %(name)s), %(name)s)"  # noqa: S608
).encode()


async def sessions(conn: Connection, at: Here, limit: int, cursor: str | None) -> Page[shapes.Session]:
    """All of the account, on whatever channel, oldest first."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    found = await conn.execute(f"{_SESSION} where s.id > %s order by s.id limit %s".encode(), (after, limit + 1))
    rows = await found.fetchall()
    items = [_session(at, row) for row in rows[:limit]]
    return Page(items, encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None)


async def session_row(conn: Connection, name: str) -> dict[str, Any]:
    """A session by its caller's name, or by our id. Raises NotFound."""
    # A caller's name comes first, should it look like an id of ours.
    found = await conn.execute(
        _ONE_SESSION,
        {"name": name},
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such session.")
    return row


async def session_of(conn: Connection, at: Here, name: str) -> shapes.Session:
    """Raises NotFound."""
    return _session(at, await session_row(conn, name))


def _session(at: Here, row: Mapping[str, Any]) -> shapes.Session:
    return shapes.Session(
        id=row["name"] or row["id"],
        account_sid=at.sid,
        assistant_id=Thing.ASSISTANT.theirs(row["assistant_id"]),
        verified=row["verified_at"] is not None,
        identity=row["identity"] or identity_of(row["address"] or ""),
        date_created=row["started_at"],
        date_updated=row["last_at"],
    )


async def messages(conn: Connection, at: Here, name: str, limit: int, cursor: str | None) -> Page[shapes.Message]:
    """What was said in a session, in its order; answers with the tools that were used for them. Raises NotFound."""
    row = await session_row(conn, name)
    session = _session(at, row)
    page = await read_store.list_messages(conn, limit, cursor, {"session_id": row["id"]})
    turns = {each.turn_id for each in page.items if each.turn_id and each.direction == "out"}
    found = await conn.execute("select id, kind, record from turns where id = any(%s)", (list(turns),))
    of_turn = {each["id"]: each for each in await found.fetchall()}
    return Page([_message(at, session, each, of_turn.get(each.turn_id or "")) for each in page.items], page.cursor)


def _message(
    at: Here, session: shapes.Session, message: read_store.MessageRow, turn: Mapping[str, Any] | None
) -> shapes.Message:
    meta: dict[str, Any] = {"state": message.state}
    if message.why:
        meta["why"] = message.why
    if turn is not None:
        meta |= {"kind": turn["kind"], "tools": turn["record"].get("tools", [])}
    return shapes.Message(
        id=Thing.MESSAGE.theirs(message.id),
        account_sid=at.sid,
        assistant_id=session.assistant_id,
        session_id=session.id,
        identity=session.identity,
        role="user" if message.direction == "in" else "assistant",
        content={"type": "text", "content": message.text},
        meta=meta,
        date_created=message.created_at,
        date_updated=message.updated_at,
    )


async def names_of(conn: Connection, our_ids: Sequence[str]) -> dict[str, str]:
    """What callers call these sessions; our id where nobody has named one."""
    found = await conn.execute(
        "select session_id, name from compat_sessions where session_id = any(%s)", (list(our_ids),)
    )
    return {our_id: our_id for our_id in our_ids} | {row["session_id"]: row["name"] for row in await found.fetchall()}


async def in_session(conn: Connection, name: str, assistant_id: str) -> str:
    """Our id of a session with this assistant. Raises Invalid."""
    try:
        row = await session_row(conn, name)
    except NotFound:
        row = None
    if row is None or row["assistant_id"] != assistant_id:
        raise Invalid("there is no such session with this assistant", field="session_id")
    our_id: str = row["id"]
    return our_id
