"""SQL of what was really said lately, to be asked again."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.conversation.turn import Exchange
from hookflash.db.pool import Connection

HISTORY = 8
# The gates that an assistant's configuration rules.
RULED = ("injection", "moderation", "person", "topic")


@dataclass(frozen=True, slots=True)
class Past:
    """A turn that was answered, with what had been said before it in its session."""

    turn_id: str
    contact_id: str
    said: str
    answered: str
    kind: str
    language: str | None
    history: tuple[Exchange, ...]


async def turns_since(conn: Connection, assistant_id: str, since: datetime, limit: int) -> list[Past]:
    """The latest turns of an assistant that were answered, or that a gate of safety stopped, oldest first."""
    cursor = await conn.execute(
        "select t.id, t.contact_id, t.said, t.answered, t.kind, t.language, array("
        "   select jsonb_build_array(b.said, b.answered, coalesce(b.record -> 'sources', '[]')) from turns b"
        "   where b.session_id = t.session_id and (b.at, b.id) < (t.at, t.id) order by b.at desc, b.id desc limit %s) as past"
        " from turns t join sessions s on s.id = t.session_id"
        " where s.assistant_id = %s and t.at >= %s and (t.kind in ('answered', 'clarified', 'unknown', 'failed')"
        " or (t.kind in ('reply', 'hand_off') and t.record -> 'verdicts' -> -1 ->> 0 = any(%s)))"
        " order by t.at desc, t.id desc limit %s",
        (HISTORY, assistant_id, since, list(RULED), limit),
    )
    return [
        Past(
            turn_id=row["id"],
            contact_id=row["contact_id"],
            said=row["said"],
            answered=row["answered"],
            kind=row["kind"],
            language=row["language"],
            history=tuple(
                Exchange(said, answered, tuple(source["chunk_id"] for source in sources if source["cited"]))
                for said, answered, sources in reversed(row["past"])
                if said or answered
            ),
        )
        for row in reversed(await cursor.fetchall())
    ]
