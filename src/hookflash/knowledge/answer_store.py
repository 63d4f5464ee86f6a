"""SQL of the answers that were given before, by their keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from hookflash.db.pool import Connection


async def cached_answers(conn: Connection, keys: Sequence[str]) -> dict[str, bytes]:
    """Those of these keys whose answers are kept."""
    cursor = await conn.execute(
        "select key, answer::text as answer from answer_cache where key = any(string_to_array(%s, ' '))",
        (" ".join(keys),),
    )
    return {r["key"]: r["answer"].encode() for r in await cursor.fetchall()}


async def keep_answers(conn: Connection, account_id: str, answers: Mapping[str, bytes], now: datetime) -> None:
    """Keep answers by their keys."""
    keys = sorted(answers)
    await conn.execute(
        "insert into answer_cache (account_id, key, answer, at)"
        " select %s, x.key, x.answer::jsonb, %s from unnest(%s::text[], %s::text[]) as x (key, answer)"
        " on conflict (account_id, key) do update set answer = excluded.answer, at = excluded.at",
        (account_id, now, keys, [answers[key].decode() for key in keys]),
    )


async def forget_answers(conn: Connection, older_than: datetime) -> None:
    await conn.execute("delete from answer_cache where at < %s", (older_than,))
