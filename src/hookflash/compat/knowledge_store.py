"""SQL of knowledge as Twilio's API shows it: sources, how far they are, and their chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.compat import kept_store, shapes
from hookflash.compat.names import ASSISTANTS, Here, Thing
from hookflash.db.pool import Connection
from hookflash.knowledge import store as ours
from hookflash.knowledge.source import KnowledgeSource
from hookflash.knowledge.web_address import canonical

TYPES = {"Web": "web", "Text": "text", "File": "file", "Database": "database"}
_THEIRS = {kind: name for name, kind in TYPES.items()}
# The states come in this order.
_BEFORE = {"PROCESSING": "QUEUED", "COMPLETED": "PROCESSING", "FAILED": "PROCESSING"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source is as a whole, and since when."""

    status: str
    at: datetime


async def progress(conn: Connection, sources: Sequence[KnowledgeSource]) -> dict[str, Progress]:
    """Of each: QUEUED, PROCESSING, COMPLETED, or FAILED when nothing of it could be read."""
    cursor = await conn.execute(
        "select s.id, c.state, count(d.id) filter (where d.status = 'QUEUED') as queued,"
        " count(d.id) filter (where d.status = 'PROCESSING') as processing,"
        " count(d.id) filter (where d.status = 'COMPLETED') as completed,"
        " count(d.id) filter (where d.status = 'FAILED') as failed,"
        " greatest(s.updated_at, max(d.updated_at), c.began_at, c.ended_at) as at"
        " from sources s left join documents d on d.source_id = s.id left join crawls c on c.source_id = s.id"
        " where s.id = any(%s) group by s.id, c.source_id",
        ([each.id for each in sources],),
    )
    rows = {row["id"]: row for row in await cursor.fetchall()}
    return {each.id: Progress(_status(each.kind, rows[each.id]), rows[each.id]["at"]) for each in sources}


def _status(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "database":
        return "COMPLETED"
    if row["state"] in ("QUEUED", "PROCESSING"):
        return str(row["state"])
    if row["processing"] or (row["queued"] and (row["completed"] or row["failed"])):
        return "PROCESSING"
    if row["completed"]:
        return "COMPLETED"
    if row["failed"] or row["state"] == "FAILED":
        return "FAILED"
    return "COMPLETED" if row["state"] == "COMPLETED" else "QUEUED"


async def knowledge_of(
    conn: Connection, at: Here, our_ids: Sequence[str], under: str = ASSISTANTS
) -> list[shapes.Knowledge]:
    """Those of these sources that there are, in their order."""
    known = await ours.known_sources(conn, our_ids)
    found = [await ours.get_source(conn, our_id) for our_id in dict.fromkeys(our_ids) if our_id in known]
    return await shown(conn, at, found, under)


async def shown(
    conn: Connection, at: Here, found: Sequence[KnowledgeSource], under: str = ASSISTANTS
) -> list[shapes.Knowledge]:
    """As they are listed; `under` is the beginning of their addresses."""
    kept = await kept_store.kept(conn, [each.id for each in found])
    how_far = await progress(conn, found)
    return [_knowledge(at, each, kept.get(each.id, {}), how_far[each.id], under) for each in found]


def _knowledge(
    at: Here, source: KnowledgeSource, kept: Mapping[str, Any], how_far: Progress, under: str
) -> shapes.Knowledge:
    their_id = Thing.KNOWLEDGE.theirs(source.id)
    return shapes.Knowledge(
        description=source.description,
        id=their_id,
        account_sid=at.sid,
        knowledge_source_details=_details(source, kept.get("details", {})),
        name=source.name,
        status=how_far.status,
        type=_THEIRS[source.kind],
        url=at.url(f"{under}/v1/Knowledge/{their_id}"),
        embedding_model=source.embedding_model,
        date_created=source.created_at,
        date_updated=max(source.updated_at, how_far.at),
    )


def _details(source: KnowledgeSource, put: Mapping[str, Any]) -> dict[str, Any]:
    """As they were put, and as they are now."""
    if source.kind != "web":
        return {**put, **source.config}
    site = dict(source.config)
    url = site.pop("url")
    said = put.get("source")
    return {**put, **site, "source": said if isinstance(said, str) and _same_site(said, url) else url}


def _same_site(said: str, url: str) -> bool:
    try:
        return canonical(said) == url
    except Invalid:
        return False


async def status_of(conn: Connection, at: Here, our_id: str) -> shapes.KnowledgeStatus:
    """Raises NotFound."""
    source = await ours.get_source(conn, our_id)
    how_far = (await progress(conn, [source]))[our_id]
    return shapes.KnowledgeStatus(
        account_sid=at.sid,
        status=how_far.status,
        last_status=_BEFORE.get(how_far.status),
        date_updated=max(source.updated_at, how_far.at),
    )


async def chunks_of(conn: Connection, at: Here, our_id: str, limit: int, cursor: str | None) -> Page[shapes.Chunk]:
    """Of all documents of a source. Raises NotFound."""
    await ours.get_source(conn, our_id)
    after = decode_cursor(cursor, str, int) if cursor else ("", -1)
    found = await conn.execute(
        "select c.document_id, c.ordinal, c.text, c.headings, c.place, d.name, d.title, d.url, d.created_at, d.updated_at"
        " from chunks c join documents d on d.id = c.document_id"
        " where c.source_id = %s and (c.document_id, c.ordinal) > (%s, %s) order by c.document_id, c.ordinal limit %s",
        (our_id, *after, limit + 1),
    )
    rows = await found.fetchall()
    items = [_chunk(at, row) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(items, encode_cursor(last["document_id"], last["ordinal"]) if last else None)


def _chunk(at: Here, row: Mapping[str, Any]) -> shapes.Chunk:
    facts = {name: row[name] for name in ("name", "title", "url", "place") if row[name]}
    return shapes.Chunk(
        account_sid=at.sid,
        content=row["text"],
        metadata={**facts, "headings": list(row["headings"])},
        date_created=row["created_at"],
        date_updated=row["updated_at"],
    )
