"""SQL of curated answers, and the look for one that fits a question."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import anyio
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection, Database
from hookflash.knowledge.curated import (
    SAME,
    CuratedAnswer,
    CuratedMatch,
    CuratedQuestion,
    Origin,
    State,
    normalised,
    same_matter,
)
from hookflash.knowledge.passage import Embedder
from hookflash.knowledge.store import vector_text

log = structlog.get_logger()

_EMBED_SECONDS = 3.0
_ANSWER = (
    "select a.id, a.account_id, a.assistant_id, a.language, a.answer, a.state, a.origin, a.origin_id, a.hits, a.last_hit_at,"
    " a.created_at, a.updated_at, (select coalesce(jsonb_agg(jsonb_build_object('question', q.question, 'hits', q.hits)"
    " order by q.id), '[]') from curated_questions q where q.answer_id = a.id) as questions from curated_answers a"
)
# Which answers may be given; those for this assistant, this language, come before those for any.
_FITS = (
    "a.state = 'approved' and (a.assistant_id is null or a.assistant_id = %(assistant)s)"
    " and (a.language is null or a.language = %(language)s or a.language = split_part(%(language)s, '-', 1))"
)
_CLOSEST = "(a.assistant_id is null), (a.language is null)"


async def create_answer(
    conn: Connection,
    account_id: str,
    *,
    questions: Sequence[str],
    answer: str,
    now: datetime,
    assistant_id: str | None = None,
    language: str | None = None,
    state: State = "approved",
    origin: Origin = "staff",
    origin_id: str | None = None,
) -> CuratedAnswer:
    """Raises Invalid for an assistant that is not the account's, or a question without a word."""
    await _check_assistant(conn, assistant_id)
    answer_id = new_id("ans")
    await conn.execute(
        "insert into curated_answers (id, account_id, assistant_id, language, answer, state, origin, origin_id, created_at,"
        " updated_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (answer_id, account_id, assistant_id, language, answer, state, origin, origin_id, now, now),
    )
    await _set_questions(conn, account_id, answer_id, questions)
    return await get_answer(conn, answer_id)


async def propose(
    conn: Connection,
    account_id: str,
    *,
    question: str,
    answer: str,
    origin: Origin,
    origin_id: str,
    now: datetime,
    assistant_id: str | None = None,
    language: str | None = None,
) -> CuratedAnswer | None:
    """Offer what a person answered (a ticket) or corrected; given to nobody before it is approved.

    None when that was offered before, or there is nothing to offer.
    """
    cursor = await conn.execute(
        "select 1 from curated_answers where origin = %s and origin_id = %s", (origin, origin_id)
    )
    if await cursor.fetchone() is not None or not normalised(question) or not answer.strip():
        return None
    return await create_answer(
        conn,
        account_id,
        questions=[question],
        answer=answer,
        now=now,
        assistant_id=assistant_id,
        language=language,
        state="proposed",
        origin=origin,
        origin_id=origin_id,
    )


async def get_answer(conn: Connection, answer_id: str) -> CuratedAnswer:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_ANSWER} where a.id = %s", (answer_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such curated answer.")
    return _answer(row)


async def list_answers(conn: Connection, limit: int, cursor: str | None, state: State | None) -> Page[CuratedAnswer]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(
            f"{_ANSWER} where a.id > %s and (%s::text is null or a.state = %s) order by a.id limit %s",
            (after, state, state, limit + 1),
        )
    ).fetchall()
    items = [_answer(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def update_answer(
    conn: Connection, answer_id: str, changes: Mapping[str, Any], questions: Sequence[str] | None, now: datetime
) -> CuratedAnswer:
    """`changes` are of assistant_id, language, answer, state. Raises NotFound, Invalid as `create_answer`."""
    before = await get_answer(conn, answer_id)
    new = {name: changes.get(name, getattr(before, name)) for name in ("assistant_id", "language", "answer", "state")}
    await _check_assistant(conn, new["assistant_id"])
    await conn.execute(
        "update curated_answers set assistant_id = %(assistant_id)s, language = %(language)s, answer = %(answer)s,"
        " state = %(state)s, updated_at = %(now)s where id = %(id)s",
        new | {"id": answer_id, "now": now},
    )
    if questions is not None:
        await _set_questions(conn, before.account_id, answer_id, questions)
    return await get_answer(conn, answer_id)


async def delete_answer(conn: Connection, answer_id: str) -> None:
    await get_answer(conn, answer_id)
    await conn.execute("delete from curated_answers where id = %s", (answer_id,))


async def without_vectors(conn: Connection, model: str, limit: int) -> list[tuple[int, str]]:
    """Questions (id, text) of the account that have no vector of this model."""
    cursor = await conn.execute(
        "select id, question from curated_questions where model is distinct from %s order by id limit %s",
        (model, limit),
    )
    return [(row["id"], row["question"]) for row in await cursor.fetchall()]


async def set_vectors(conn: Connection, model: str, vectors: Sequence[tuple[int, str]]) -> None:
    """By question id, in pgvector's notation."""
    async with conn.cursor() as writer:
        await writer.executemany(
            "update curated_questions set model = %s, vector = %s::halfvec where id = %s",
            [(model, vector, question_id) for question_id, vector in vectors],
        )


class CuratedAnswers:
    """Finds the curated answer to a question, and counts that it was given. `embedder` is that of `model`."""

    def __init__(self, db: Database, clock: Clock, embedder: Callable[[str], Embedder], model: str) -> None:
        self._db = db
        self._clock = clock
        self._embedder = embedder
        self._model = model

    async def find(
        self,
        account_id: str,
        question: str,
        *,
        assistant_id: str,
        language: str,
        count: bool = True,
        exact: bool = False,
    ) -> CuratedMatch | None:
        """The answer to the same question, or to one that says the same in other words; without an embedder only the first.

        With `count` it is taken to be given; with `exact` other words are none.
        """
        normal = normalised(question)
        if not normal:
            return None
        given = {"assistant": assistant_id, "language": language, "normal": normal, "model": self._model}
        async with self._db.at_once(account_id) as conn:
            cursor = await conn.execute(
                "select a.id, a.answer, q.id as question_id, q.question, q.normal = %(normal)s as same"  # noqa: S608
                f" from curated_questions q join curated_answers a on a.id = q.answer_id where {_FITS}"
                f" and (q.normal = %(normal)s or q.model = %(model)s) order by same desc, {_CLOSEST} limit 1",
                given,
            )
            row = await cursor.fetchone()
        if row is None or (exact and not row["same"]):
            return None
        similarity = 1.0
        if not row["same"]:
            row, similarity = await self._alike(account_id, question, given)
            if row is None:
                return None
        if count:
            await self._hit(account_id, row["id"], row["question_id"])
        return CuratedMatch(row["id"], row["answer"], row["question"], similarity)

    async def _alike(
        self, account_id: str, question: str, given: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, float]:
        try:
            with anyio.fail_after(_EMBED_SECONDS):
                vector = (await self._embedder(self._model).embed([question]))[0]
        except (HookflashError, TimeoutError) as error:
            log.warning("curated answers are not compared", reason=type(error).__name__)
            return None, 0.0
        async with self._db.tenant(account_id) as conn:
            cursor = await conn.execute(
                "select a.id, a.answer, q.id as question_id, q.question,"  # noqa: S608
                " 1 - (q.vector <=> %(vector)s::halfvec) as cosine"
                f" from curated_questions q join curated_answers a on a.id = q.answer_id where {_FITS}"
                f" and q.model = %(model)s order by cosine desc, {_CLOSEST} limit 5",
                given | {"vector": vector_text(vector)},
            )
            rows = await cursor.fetchall()
        for row in rows:
            if row["cosine"] >= SAME and same_matter(question, row["question"]):
                return row, float(row["cosine"])
        return None, 0.0

    async def _hit(self, account_id: str, answer_id: str, question_id: int) -> None:
        async with self._db.at_once(account_id, durable=False) as conn:
            await conn.execute(
                "update curated_answers set hits = hits + 1, last_hit_at = %s where id = %s",
                (self._clock.now(), answer_id),
            )
            await conn.execute("update curated_questions set hits = hits + 1 where id = %s", (question_id,))


async def _set_questions(conn: Connection, account_id: str, answer_id: str, questions: Sequence[str]) -> None:
    """These and no others; those that stay keep their counts and vectors."""
    wanted = {normalised(question): question.strip() for question in reversed(questions)}
    if not wanted or "" in wanted:
        raise Invalid("a question needs at least one word", field="questions")
    await conn.execute(
        "delete from curated_questions where answer_id = %s and not normal = any(%s)", (answer_id, list(wanted))
    )
    for normal, question in reversed(wanted.items()):
        await conn.execute(
            "insert into curated_questions (account_id, answer_id, question, normal) values (%s, %s, %s, %s)"
            " on conflict (answer_id, normal) do update set question = excluded.question",
            (account_id, answer_id, question, normal),
        )
    await defer(conn, "knowledge.embed_questions", queueing_lock=f"questions:{account_id}", account_id=account_id)


async def _check_assistant(conn: Connection, assistant_id: str | None) -> None:
    if assistant_id is not None:
        cursor = await conn.execute("select 1 from assistants where id = %s", (assistant_id,))
        if await cursor.fetchone() is None:
            raise Invalid("There is no such assistant.", field="assistant_id")


def _answer(row: dict[str, Any]) -> CuratedAnswer:
    questions = tuple(CuratedQuestion(**asked) for asked in row.pop("questions"))
    return CuratedAnswer(questions=questions, **row)
