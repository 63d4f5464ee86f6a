"""Ratings in conversation: asking how it was, once, and taking the bare number that is answered for what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from hookflash.assistant import cost
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.builtin import Builtin
from hookflash.assistant.templates import text as template
from hookflash.assistant.tool import ToolAnswer, ToolOutcome, ToolRefused
from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.conversation import outbox_store
from hookflash.conversation.turn import Pass, Reply, Turn, Verdict
from hookflash.db.jobs import Task
from hookflash.db.pool import Connection, Database
from hookflash.insight import feedback_store
from hookflash.insight.feedback import BEST_RATING, rating_of, score_of
from hookflash.twilio.segments import count, smart

ASKED = "rating"
MOST_AT_ONCE = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """The question how it was, on its way."""

    message_id: str
    session_id: str
    contact_id: str


async def ask(conn: Connection, account_id: str, session_id: str, now: datetime) -> Asked:
    """Ask the person of a session how it was, where they wrote last.

    Raises NotFound, and Conflict when it was asked before, nothing was said by text, or a person has taken over.
    """
    cursor = await conn.execute(
        """
        select s.contact_id, r.config, m.integration_id, m.address, m.sender, m.language, m.turn_id,
          exists (select from messages b where b.contact_id = s.contact_id and b.session_id = s.id and b.kind = 'rating')
            as asked,
          exists (select from tickets t where t.contact_id = s.contact_id and t.state in ('open', 'claimed')) as human
        from sessions s join assistant_revisions r on r.assistant_id = s.assistant_id and r.revision = s.revision
        left join lateral (select * from messages m where m.contact_id = s.contact_id and m.session_id = s.id
                             and m.direction = 'out' and m.kind = 'answer' and m.turn_id is not null
                           order by m.seq desc limit 1) m on true
        where s.id = %s for update of s
        """,
        (session_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such session.")
    if row["integration_id"] is None:
        raise Conflict("Nothing was answered by text in this session.")
    if row["asked"]:
        raise Conflict("The person of this session was asked before.")
    if row["human"]:
        raise Conflict("This person waits for a colleague, or has one: it is no moment to ask.")
    config = AssistantConfig.stored(row["config"])
    language = row["language"] or "en"
    address, sender = Address.parse(row["address"]), Address.parse(row["sender"])
    if sender.kind not in (Kind.SMS, Kind.WHATSAPP):
        raise Conflict("Nothing was answered by text in this session.")
    body = template("ask_rating", language, company=config.company, overrides=config.templates)
    body = smart(body) if sender.kind is Kind.SMS else body
    segments = count(body).number if sender.kind is Kind.SMS else 1
    asked = Asked(new_id("msg"), session_id, row["contact_id"])
    extra = outbox_store.Extra(
        id=asked.message_id,
        contact_id=asked.contact_id,
        integration_id=row["integration_id"],
        session_id=session_id,
        turn_id=row["turn_id"],
        address=row["address"],
        sender=row["sender"],
        body=body,
        kind=ASKED,
        language=row["language"],
        segments=segments,
        cost_micros=cost.texts(sender.kind, address.country, segments).micros,
    )
    await outbox_store.put(conn, account_id, extra, now)
    await conn.execute("update sessions set rate_at = null where id = %s", (session_id,))
    return asked


class Ratings:
    """Asks those whose time has come, takes their numbers, and gives the model a tool for what is said in words."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def gate(self, turn: Turn) -> Verdict:
        """A gate of texts: a number from 1 to 5 that directly follows our question is a rating, and is thanked for.

        One that follows anything else that we said, such as a question back, is none.
        """
        rating = rating_of(turn.words)
        if rating is None or not turn.said or any(message.media for message in turn.said):
            return Pass()
        config = AssistantConfig.stored(turn.session.config)
        async with self._db.tenant(turn.account_id) as conn:
            cursor = await conn.execute(
                "select m.id, m.kind, m.session_id, m.at, m.state, s.assistant_id from messages m"
                " left join sessions s on s.id = m.session_id"
                " where m.contact_id = %s and m.seq < (select seq from messages where id = %s)"
                " and m.kind not in ('acknowledgement', 'notice') order by m.seq desc limit 1",
                (turn.contact.id, turn.said[0].id),
            )
            before = await cursor.fetchone()
            if (
                before is None
                or before["kind"] != ASKED
                or before["session_id"] is None
                or before["state"] in ("withheld", "failed", "discarded")
                or turn.now - before["at"] > timedelta(hours=config.ask_rating.within_hours)
            ):
                return Pass()
            # The question is named, not the answer to it: so it is counted once, also when this turn is thought again.
            await feedback_store.add(
                conn,
                turn.account_id,
                assistant_id=before["assistant_id"],
                session_id=before["session_id"],
                message_id=before["id"],
                score=score_of(rating),
                text="",
                source="rating",
                now=self._clock.now(),
            )
        language = turn.contact.language or "en"
        thanks = template("rating_thanks", language, company=config.company, overrides=config.templates)
        return Reply(thanks, f"rated {rating} of {BEST_RATING}")

    async def ask_due(self) -> None:
        """Ask those who were answered, and then said nothing for as long as their assistant waits."""
        now = self._clock.now()
        async with self._db.system() as conn:
            cursor = await conn.execute("select accounts_to_ask_for_ratings(%s) as account_id", (now,))
            accounts = [row["account_id"] for row in await cursor.fetchall()]
        for account_id in accounts:
            async with self._db.tenant(account_id) as conn:
                cursor = await conn.execute(
                    "update sessions set rate_at = null where id in (select id from sessions where rate_at <= %s"
                    " order by rate_at limit %s for update skip locked) returning id",
                    (now, MOST_AT_ONCE),
                )
                for row in await cursor.fetchall():
                    try:
                        await ask(conn, account_id, row["id"], now)
                    except Conflict as error:
                        log.info("nobody is asked how it was", session=row["id"], reason=error.message)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""
        return [Task("insight.ask_ratings", self.ask_due, every="* * * * *")]

    def builtin(self) -> Builtin:
        """The tool by which the model keeps what a person says of the service."""
        return Builtin(
            "give_feedback",
            "Keep what the customer says of how they were served, when they praise or complain about it or give it a"
            " number. Never ask for it again and again.",
            {
                "type": "object",
                "properties": {
                    "rating": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 5,
                        "description": "1 is bad, 5 is very good.",
                    },
                    "comment": {"type": "string", "maxLength": 1000, "description": "What they said, in their words."},
                },
                "required": ["rating"],
                "additionalProperties": False,
            },
            self._give,
        )

    async def _give(self, turn: Turn, arguments: Mapping[str, Any], _: str) -> ToolOutcome:
        try:
            async with self._db.tenant(turn.account_id) as conn:
                await feedback_store.add(
                    conn,
                    turn.account_id,
                    assistant_id=turn.session.assistant_id,
                    session_id=turn.session.id,
                    message_id=None,
                    score=score_of(int(arguments["rating"])),
                    text=str(arguments.get("comment", ""))[:2_000],
                    source="tool",
                    now=self._clock.now(),
                )
        except Invalid as error:
            return ToolRefused(error.message)
        return ToolAnswer("It was kept. Thank them in one short sentence.")
