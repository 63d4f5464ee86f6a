"""SQL of what knowledge entries say of themselves."""

from collections.abc import Sequence

from hookflash.db.pool import Connection
from hookflash.knowledge.source import EntryFacts


async def entries(conn: Connection, sources: Sequence[str]) -> list[EntryFacts]:
    """Of these sources, by name; without counts."""
    cursor = await conn.execute(
        "select id, name, description, final_response, kind from sources where id = any(%s) order by name",
        (list(sources),),
    )
    return [
        EntryFacts(row["id"], row["name"], row["description"], row["final_response"], row["kind"] == "database")
        for row in await cursor.fetchall()
    ]
