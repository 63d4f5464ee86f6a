"""SQL of feedback and corrections: adding them, and reading them page by page."""

from datetime import datetime
from typing import Any

from hookflash.base.errors import Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection
from hookflash.insight.feedback import Correction, Feedback
from hookflash.knowledge import curated_store

MOST_QUESTION_CHARS = 300

_FEEDBACK = (
    "select id, account_id, assistant_id, contact_id, session_id, message_id, turn_id, score, text, source, created_at"
    " from feedback"
)
_CORRECTION = (
    "select id, assistant_id, contact_id, turn_id, question, wrong, correct, made_by, answer_id, created_at"
    " from corrections"
)


async def add(
    conn: Connection,
    account_id: str,
    *,
    assistant_id: str,
    session_id: str,
    message_id: str | None,
    score: float,
    text: str,
    source: str,
    now: datetime,
    turn_id: str | None = None,
) -> Feedback:
    """Keep what somebody thought. `score` is 0 to 1. A message stands for its turn, too.

    Raises Invalid when there is no such session of the assistant, or no such message or turn in it.
    """
    cursor = await conn.execute(
        "select contact_id from sessions where id = %s and assistant_id = %s", (session_id, assistant_id)
    )
    session = await cursor.fetchone()
    if session is None:
        raise Invalid("There is no such session.", field="session_id")
    if message_id is not None:
        cursor = await conn.execute(
            "select turn_id from messages where id = %s and session_id = %s", (message_id, session_id)
        )
        message = await cursor.fetchone()
        if message is None:
            raise Invalid("There is no such message in this session.", field="message_id")
        turn_id = turn_id or message["turn_id"]
    elif turn_id is not None:
        cursor = await conn.execute("select 1 from turns where id = %s and session_id = %s", (turn_id, session_id))
        if await cursor.fetchone() is None:
            raise Invalid("There is no such turn in this session.", field="turn_id")
    feedback_id = new_id("fdbk")
    await conn.execute(
        "insert into feedback (id, account_id, assistant_id, contact_id, session_id, message_id, turn_id, score, text,"
        " source, created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (message_id) where source = 'rating' do nothing",
        (
            feedback_id,
            account_id,
            assistant_id,
            session["contact_id"],
            session_id,
            message_id,
            turn_id,
            score,
            text,
            source,
            now,
        ),
    )
    cursor = await conn.execute(
        f"{_FEEDBACK} where id = %s or (source = 'rating' and %s = 'rating' and message_id = %s)",
        (feedback_id, source, message_id),
    )
    row = await cursor.fetchone()
    if row is None:  # pragma: no cover - it was written, or lost to the one that is found by its message
        raise NotFound("There is no such feedback.")
    return Feedback(**row)


async def get(conn: Connection, feedback_id: str) -> Feedback:
    """Raises NotFound."""
    row = await (await conn.execute(f"{_FEEDBACK} where id = %s", (feedback_id,))).fetchone()
    if row is None:
        raise NotFound("There is no such feedback.")
    return Feedback(**row)


async def page(
    conn: Connection,
    limit: int,
    cursor: str | None,
    *,
    assistant_id: str | None = None,
    session_id: str | None = None,
) -> Page[Feedback]:
    """Oldest first."""
    wanted = {"assistant_id": assistant_id, "session_id": session_id}
    return Page(*await _page(conn, _FEEDBACK, wanted, limit, cursor, Feedback))


async def assistant_of(conn: Connection, session_id: str) -> str:
    """The assistant of a session. Raises Invalid when there is no such session."""
    row = await (await conn.execute("select assistant_id from sessions where id = %s", (session_id,))).fetchone()
    if row is None:
        raise Invalid("There is no such session.", field="session_id")
    return str(row["assistant_id"])


# Corrections


async def correct(
    conn: Connection,
    account_id: str,
    turn_id: str,
    correct: str,
    now: datetime,
    *,
    question: str | None = None,
    made_by: str | None = None,
) -> Correction:
    """Keep what a turn's answer should have been, and propose it as a curated answer. `question` is the turn's if unset.

    Raises NotFound for the turn.
    """
    cursor = await conn.execute(
        "select t.contact_id, coalesce(t.question, t.said) as question, t.answered, t.language, s.assistant_id"
        " from turns t join sessions s on s.id = t.session_id where t.id = %s",
        (turn_id,),
    )
    turn = await cursor.fetchone()
    if turn is None:
        raise NotFound("There is no such turn.")
    asked = (question or turn["question"]).strip()[:MOST_QUESTION_CHARS]
    correction_id = new_id("corr")
    proposed = await curated_store.propose(
        conn,
        account_id,
        question=asked,
        answer=correct,
        origin="correction",
        origin_id=correction_id,
        assistant_id=turn["assistant_id"],
        language=turn["language"],
        now=now,
    )
    await conn.execute(
        "insert into corrections (id, account_id, assistant_id, contact_id, turn_id, question, wrong, correct, made_by,"
        " answer_id, created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            correction_id,
            account_id,
            turn["assistant_id"],
            turn["contact_id"],
            turn_id,
            asked,
            turn["answered"],
            correct,
            made_by,
            proposed.id if proposed else None,
            now,
        ),
    )
    return await get_correction(conn, correction_id)


async def get_correction(conn: Connection, correction_id: str) -> Correction:
    """Raises NotFound."""
    row = await (await conn.execute(f"{_CORRECTION} where id = %s", (correction_id,))).fetchone()
    if row is None:
        raise NotFound("There is no such correction.")
    return Correction(**row)


async def corrections(
    conn: Connection, limit: int, cursor: str | None, *, assistant_id: str | None = None
) -> Page[Correction]:
    """Oldest first."""
    return Page(*await _page(conn, _CORRECTION, {"assistant_id": assistant_id}, limit, cursor, Correction))


async def _page(
    conn: Connection, select: str, wanted: dict[str, str | None], limit: int, cursor: str | None, kind: Any
) -> tuple[list[Any], str | None]:
    given = {column: value for column, value in wanted.items() if value is not None}
    after = decode_cursor(cursor, str)[0] if cursor else ""
    conditions = " and ".join(["id > %(after)s", *(f"{column} = %({column})s" for column in given)])
    found = await conn.execute(
        f"{select} where {conditions} order by id limit %(limit)s".encode(),
        {**given, "after": after, "limit": limit + 1},
    )
    rows = await found.fetchall()
    items = [kind(**row) for row in rows[:limit]]
    return items, encode_cursor(items[-1].id) if len(rows) > limit else None
