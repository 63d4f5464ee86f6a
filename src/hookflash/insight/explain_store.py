"""SQL of explaining an answer: finding its turn by any id that it goes by, and gathering what was kept of it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import NotFound
from hookflash.base.phone import Address
from hookflash.channels.integration import SPOKEN_CHARS, line_traits
from hookflash.conversation.turn import LineTraits
from hookflash.db.pool import Connection
from hookflash.insight import explanation
from hookflash.insight.explanation import Explanation, Kept, Prompt
from hookflash.knowledge.store import passages as read_passages

SPOKEN = LineTraits("voice", max_chars=SPOKEN_CHARS, spoken=True)
_NO_PROMPT = Prompt("none", "No model was asked.", None)


async def explain(conn: Connection, wanted: str) -> Explanation:
    """`wanted`: the id of a message to us or from us, Twilio's id of it, or a turn's. Raises NotFound."""
    message = await _message(conn, wanted)
    turn_id = message["turn_id"] if message else wanted
    turn = await _turn(conn, turn_id) if turn_id else None
    if turn is None:
        if message is None:
            raise NotFound("There is no such message.")
        return await _unanswered(conn, message)
    inbound = await _inbound(conn, turn) if message is None or message["direction"] == "out" else message
    arrived = await _arrival(conn, inbound["id"]) if inbound else ()
    record: dict[str, Any] = turn["record"]
    config = AssistantConfig.stored(turn["config"])
    sources = record.get("sources", [])
    found = await read_passages(conn, [each["chunk_id"] for each in sources if each["chunk_id"] >= 0])
    passages = explanation.weighed(sources, found)
    language = turn["language"] or "en"
    line = _line(inbound or message, config, spoken="call" in record)
    told = tuple(record.get("known", ()))
    kept = Kept(record.get("prompt"), turn["prompt_revision"], turn["model"], told)
    usage = {name: int(value) for name, value in record.get("usage", {}).items()}
    return Explanation(
        message_id=message["id"] if message else (inbound["id"] if inbound else None),
        turn_id=turn["id"],
        contact_id=turn["contact_id"],
        session_id=turn["session_id"],
        assistant_id=turn["assistant_id"],
        revision=turn["revision"],
        experiment_id=turn["experiment_id"],
        variant=turn["variant"],
        at=turn["at"],
        said=turn["said"],
        question=turn["question"],
        answered=turn["answered"],
        kind=turn["kind"],
        why=inbound["why"] if inbound else None,
        language=turn["language"],
        gates=explanation.gates(arrived, record.get("verdicts", ())),
        passages=passages,
        tools=tuple(record.get("tools", ())),
        known=kept.known,
        prompt=explanation.rebuilt(kept, config, passages, found, language, line),
        prompt_revision=turn["prompt_revision"],
        checks=explanation.checks(record),
        confidence=turn["confidence"],
        threshold=config.confidence_threshold,
        models=config.models,
        model=turn["model"],
        degraded=tuple(record.get("degraded", ())),
        cost_micros=turn["cost_micros"],
        text_micros=int(record.get("text_micros", 0)),
        usage=usage,
        stages=record.get("stages", {}),
        call=explanation.call(record),
        feedback=await _rows(
            conn,
            "select id, score, text, source, created_at from feedback where session_id = %s"
            " and (turn_id = %s or turn_id is null) order by id",
            turn["session_id"],
            turn["id"],
        ),
        corrections=await _rows(
            conn,
            "select id, question, correct, made_by, answer_id, created_at from corrections where turn_id = %s order by id",
            turn["id"],
        ),
    )


async def _unanswered(conn: Connection, message: Mapping[str, Any]) -> Explanation:
    """A message that came to no turn: it waits, or a gate stopped it; or one of ours that answers nothing."""
    session = await _rows(
        conn,
        "select assistant_id, revision, experiment_id, variant from sessions where id = %s",
        message["session_id"],
    )
    about = session[0] if session else {}
    ours = message["direction"] == "out"
    return Explanation(
        message_id=message["id"],
        turn_id=None,
        contact_id=message["contact_id"],
        session_id=message["session_id"],
        assistant_id=about.get("assistant_id"),
        revision=about.get("revision"),
        experiment_id=about.get("experiment_id"),
        variant=about.get("variant"),
        at=message["at"],
        said="" if ours else message["body"],
        question=None,
        answered=message["body"] if ours else "",
        kind=message["kind"] if ours else message["state"],
        why=message["why"],
        language=message["language"],
        gates=explanation.gates(await _arrival(conn, message["in_reply_to"] if ours else message["id"]), ()),
        passages=(),
        tools=(),
        known=(),
        prompt=_NO_PROMPT,
        prompt_revision=None,
        checks={},
        confidence=None,
        threshold=None,
        models=(),
        model=None,
        degraded=(),
        cost_micros=message["cost_micros"],
        text_micros=message["cost_micros"],
        usage={},
        stages={},
        call=None,
    )


async def _message(conn: Connection, wanted: str) -> dict[str, Any] | None:
    found = await _rows(
        conn,
        "select id, contact_id, session_id, turn_id, direction, kind, address, sender, body, language, state, why,"
        " in_reply_to, cost_micros, at from messages where id = %s or account_id = current_account() and sid = %s",
        wanted,
        wanted,
    )
    return found[0] if found else None


async def _turn(conn: Connection, turn_id: str) -> dict[str, Any] | None:
    found = await _rows(
        conn,
        "select t.*, s.assistant_id, s.revision, s.experiment_id, s.variant, r.config from turns t"
        " join sessions s on s.id = t.session_id"
        " join assistant_revisions r on r.assistant_id = s.assistant_id and r.revision = s.revision where t.id = %s",
        turn_id,
    )
    return found[0] if found else None


async def _inbound(conn: Connection, turn: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last message that the turn answered."""
    found = await _rows(
        conn,
        "select id, direction, address, sender, why from messages where contact_id = %s and turn_id = %s"
        " and direction = 'in' order by seq desc limit 1",
        turn["contact_id"],
        turn["id"],
    )
    return found[0] if found else None


async def _arrival(conn: Connection, message_id: str | None) -> list[list[str | None]]:
    """What the gates said when a message arrived, from the journal."""
    found = await _rows(
        conn,
        "select body from journal where account_id = current_account() and subject = %s and kind = 'received'"
        " order by id limit 1",
        message_id,
    )
    return msgspec.json.decode(found[0]["body"]).get("verdicts") or [] if found else []


async def _rows(conn: Connection, query: str, *given: object) -> tuple[dict[str, Any], ...]:
    return tuple(await (await conn.execute(query.encode(), given)).fetchall())


def _line(message: Mapping[str, Any] | None, config: AssistantConfig, *, spoken: bool) -> LineTraits:
    if spoken or message is None:
        return SPOKEN
    return line_traits(Address.parse(message["sender"]), config.segment_budget)
