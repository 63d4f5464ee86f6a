"""SQL of knowledge: sources, their documents, chunks and vectors."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection
from hookflash.knowledge.passage import Passage, Vector
from hookflash.knowledge.source import ChunkRow, Document, KnowledgeSource, NewChunk, SourceProgress

_SOURCE = (
    "select s.id, s.account_id, s.name, s.description, s.kind, s.embedding_model, s.next_model, s.version,"
    " s.final_response, s.config, s.policy,"
    " (select count(*) from documents d where d.source_id = s.id)::int as documents,"
    " (select coalesce(sum(d.chunk_count), 0) from documents d where d.source_id = s.id)::int as chunks,"
    " s.created_at, s.updated_at from sources s"
)
_DOCUMENT = (
    "select id, source_id, name, title, url, content_type, size, language, status, error, chunk_count, created_at,"
    " updated_at from documents"
)
# As many vectors of 1,536 numbers as a shelf has room for.
IN_MEMORY_AT_MOST = 150_000


def vector_text(vector: Vector) -> str:
    """pgvector's notation."""
    return msgspec.json.encode(vector.astype(np.float16).tolist()).decode()


# Sources


async def create_source(
    conn: Connection,
    account_id: str,
    *,
    name: str,
    description: str,
    kind: str,
    model: str,
    final_response: bool = False,
    config: Mapping[str, Any] | None = None,
) -> KnowledgeSource:
    """Raises Conflict when the account has a source of this name."""
    source_id = new_id("src")
    try:
        await conn.execute(
            "insert into sources (id, account_id, name, description, kind, embedding_model, final_response, config)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            (source_id, account_id, name, description, kind, model, final_response, Jsonb(config or {})),
        )
    except UniqueViolation:
        raise Conflict("There is a source of this name already.") from None
    return await get_source(conn, source_id)


async def get_source(conn: Connection, source_id: str) -> KnowledgeSource:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_SOURCE} where s.id = %s", (source_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such source.")
    return KnowledgeSource(**row)


async def find_source(conn: Connection, name: str) -> KnowledgeSource | None:
    cursor = await conn.execute(f"{_SOURCE} where s.name = %s", (name,))
    row = await cursor.fetchone()
    return KnowledgeSource(**row) if row else None


async def list_sources(conn: Connection, limit: int, cursor: str | None) -> Page[KnowledgeSource]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(f"{_SOURCE} where s.id > %s order by s.id limit %s", (after, limit + 1))
    ).fetchall()
    items = [KnowledgeSource(**r) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def update_source(
    conn: Connection,
    source_id: str,
    now: datetime,
    *,
    name: str | None,
    description: str | None,
    model: str | None,
    final_response: bool | None = None,
) -> KnowledgeSource:
    """Another `model` is prepared behind the present one and takes over when every passage has its vector.

    The present one again ends such a preparation.
    """
    source = await get_source(conn, source_id)
    before = (source.name, source.description, source.final_response)
    # By its description it is chosen, so answers may become others.
    described = any(
        new is not None and new != old for new, old in zip((name, description, final_response), before, strict=True)
    )
    try:
        await conn.execute(
            "update sources set name = coalesce(%s, name), description = coalesce(%s, description),"
            " final_response = coalesce(%s, final_response), updated_at = %s,"
            " version = version + (%s)::int where id = %s",
            (name, description, final_response, now, described, source_id),
        )
    except UniqueViolation:
        raise Conflict("There is a source of this name already.") from None
    if model is not None and model != source.embedding_model:
        await conn.execute("update sources set next_model = %s where id = %s", (model, source_id))
        await defer(
            conn, "knowledge.embed_anew", lock=source_id, account_id=source.account_id, source_id=source_id, model=model
        )
    elif model is not None and source.next_model is not None:
        await conn.execute("update sources set next_model = null where id = %s", (source_id,))
        await conn.execute("delete from embeddings where source_id = %s and model <> %s", (source_id, model))
    return await get_source(conn, source_id)


async def known_sources(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these are sources of the account."""
    cursor = await conn.execute("select id from sources where id = any(%s)", (list(ids),))
    return {r["id"] for r in await cursor.fetchall()}


async def progress(conn: Connection, source_id: str) -> SourceProgress:
    """How far the indexing of a source is; raises NotFound."""
    source = await get_source(conn, source_id)
    cursor = await conn.execute(
        "select count(*) filter (where status = 'QUEUED') as queued,"
        " count(*) filter (where status = 'PROCESSING') as processing,"
        " count(*) filter (where status = 'COMPLETED') as completed,"
        " count(*) filter (where status = 'FAILED') as failed,"
        " (select count(*) from embeddings where source_id = %(s)s and model = %(m)s) as switched"
        " from documents where source_id = %(s)s",
        {"s": source_id, "m": source.next_model},
    )
    row = await cursor.fetchone()
    assert row is not None
    return SourceProgress(chunks=source.chunks, next_model=source.next_model, **row)


async def delete_source(conn: Connection, source_id: str) -> None:
    await get_source(conn, source_id)
    await conn.execute("delete from sources where id = %s", (source_id,))


# Documents


async def put_document(
    conn: Connection,
    source: KnowledgeSource,
    *,
    name: str,
    content_type: str,
    data: bytes,
    url: str | None,
    now: datetime,
    queue: bool = True,
) -> tuple[Document, bool]:
    """Hand in a document; False when it is what we have. With `queue` a worker indexes it."""
    digest = hashlib.sha256(content_type.encode() + b"\0" + data).hexdigest()
    cursor = await conn.execute(
        f"{_DOCUMENT} where source_id = %s and name = %s and digest = %s", (source.id, name, digest)
    )
    same = await cursor.fetchone()
    if same is not None and same["status"] == "COMPLETED":
        return Document(**same), False
    document_id = new_id("doc")
    cursor = await conn.execute(
        "insert into documents as d (id, account_id, source_id, name, url, content_type, digest, size, created_at, updated_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (source_id, name) do update set digest = excluded.digest, size = excluded.size, url = excluded.url,"
        "   content_type = excluded.content_type, status = 'QUEUED', error = null, updated_at = excluded.updated_at"
        " returning id",
        (document_id, source.account_id, source.id, name, url, content_type, digest, len(data), now, now),
    )
    row = await cursor.fetchone()
    document_id = row["id"] if row else document_id
    await conn.execute(
        "insert into document_data (document_id, account_id, data) values (%s, %s, %s)"
        " on conflict (document_id) do update set data = excluded.data",
        (document_id, source.account_id, data),
    )
    if queue:
        await defer(conn, "knowledge.index", lock=document_id, account_id=source.account_id, document_id=document_id)
    return await get_document(conn, document_id), True


async def get_document(conn: Connection, document_id: str) -> Document:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_DOCUMENT} where id = %s", (document_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such document.")
    return Document(**row)


async def list_documents(conn: Connection, source_id: str, limit: int, cursor: str | None) -> Page[Document]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(
            f"{_DOCUMENT} where source_id = %s and id > %s order by id limit %s", (source_id, after, limit + 1)
        )
    ).fetchall()
    items = [Document(**r) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def delete_document(conn: Connection, document_id: str, now: datetime) -> None:
    """It can be found no more from the moment this commits."""
    document = await get_document(conn, document_id)
    await conn.execute("delete from documents where id = %s", (document_id,))
    await changed(conn, document.source_id, now)


async def changed(conn: Connection, source_id: str, now: datetime) -> None:
    """What a search of the source could find is another from now on."""
    await conn.execute("update sources set version = version + 1, updated_at = %s where id = %s", (now, source_id))


async def list_chunks(conn: Connection, document_id: str, limit: int, cursor: str | None) -> Page[ChunkRow]:
    after = decode_cursor(cursor, int)[0] if cursor else -1
    rows = await (
        await conn.execute(
            "select id, document_id, ordinal, text, headings, place, tokens from chunks where document_id = %s and ordinal > %s"
            " order by ordinal limit %s",
            (document_id, after, limit + 1),
        )
    ).fetchall()
    items = [ChunkRow(**(r | {"headings": tuple(r["headings"])})) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].ordinal) if len(rows) > limit else None)


# Indexing


async def begin_indexing(conn: Connection, document_id: str, now: datetime) -> tuple[Document, str, bytes] | None:
    """The document, its source's model and its bytes; None when there is nothing to do any more."""
    cursor = await conn.execute(
        "select s.embedding_model, x.data from documents d join sources s on s.id = d.source_id"
        " join document_data x on x.document_id = d.id where d.id = %s for update of d",
        (document_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await conn.execute("update documents set status = 'PROCESSING', updated_at = %s where id = %s", (now, document_id))
    return await get_document(conn, document_id), row["embedding_model"], bytes(row["data"])


async def known_digests(conn: Connection, document_id: str, model: str) -> list[str]:
    """Digests of the document's chunks that have a vector of this model, as often as they occur."""
    cursor = await conn.execute(
        "select c.digest from chunks c join embeddings e on e.chunk_id = c.id and e.model = %s where c.document_id = %s",
        (model, document_id),
    )
    return [r["digest"] for r in await cursor.fetchall()]


async def finish_indexing(
    conn: Connection,
    document: Document,
    account_id: str,
    *,
    title: str,
    language: str | None,
    model: str,
    kept: Sequence[tuple[str, int]],
    added: Sequence[NewChunk],
    now: datetime,
) -> bool:
    """Swap the document's chunks: `kept` (digest, new ordinal) stay with their vectors, `added` come, the rest goes.

    Nothing of it is seen before the whole is. A document that was deleted or replaced meanwhile is left alone (False).
    """
    cursor = await conn.execute(
        "select 1 from documents where id = %s and status = 'PROCESSING' and updated_at = %s for update",
        (document.id, document.updated_at),
    )
    if await cursor.fetchone() is None:
        return False
    have = await conn.execute("select id, digest from chunks where document_id = %s order by ordinal", (document.id,))
    by_digest: dict[str, list[int]] = {}
    for row in await have.fetchall():
        by_digest.setdefault(row["digest"], []).append(row["id"])
    stays = [(by_digest[digest].pop(0), ordinal) for digest, ordinal in kept]
    goes = [chunk_id for ids in by_digest.values() for chunk_id in ids]
    if goes:
        await conn.execute("delete from chunks where id = any(%s)", (goes,))
    if stays:
        await conn.execute(
            "update chunks c set ordinal = n.ordinal from unnest(%s::bigint[], %s::int[]) n (id, ordinal)"
            " where c.id = n.id and c.ordinal <> n.ordinal",
            ([i for i, _ in stays], [n for _, n in stays]),
        )
    for start in range(0, len(added), 200):
        batch = added[start : start + 200]
        async with conn.cursor() as writer:
            await writer.executemany(
                "with c as (insert into chunks (account_id, source_id, document_id, ordinal, text, headings, place, digest,"
                " tokens, terms) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id)"
                " insert into embeddings (chunk_id, account_id, source_id, model, vector)"
                " select c.id, %s, %s, %s, %s::halfvec from c",
                [
                    (
                        account_id,
                        document.source_id,
                        document.id,
                        c.ordinal,
                        c.text,
                        list(c.headings),
                        c.place,
                        c.digest,
                        c.tokens,
                        c.terms,
                        account_id,
                        document.source_id,
                        model,
                        c.vector,
                    )
                    for c in batch
                ],
            )
    await conn.execute("delete from document_data where document_id = %s", (document.id,))
    await conn.execute(
        "update documents set status = 'COMPLETED', error = null, title = %s, language = %s, chunk_count = %s, updated_at = %s"
        " where id = %s",
        (title, language, len(kept) + len(added), now, document.id),
    )
    await changed(conn, document.source_id, now)
    return True


async def fail_indexing(conn: Connection, document: Document, error: str, now: datetime) -> bool:
    """The document cannot be read; what was indexed of it before stays. False as for `finish_indexing`."""
    cursor = await conn.execute(
        "update documents set status = 'FAILED', error = %s, updated_at = %s"
        " where id = %s and status = 'PROCESSING' and updated_at = %s returning 1",
        (error, now, document.id, document.updated_at),
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute("delete from document_data where document_id = %s", (document.id,))
    return True


async def chunks_without(conn: Connection, source_id: str, model: str, limit: int) -> list[tuple[int, str]]:
    """Chunks (id, indexed text) that have no vector of this model yet; none when the source does not want them any more."""
    cursor = await conn.execute(
        "select c.id, d.title, c.headings, c.text from chunks c join documents d on d.id = c.document_id"
        " join sources s on s.id = c.source_id and %s in (s.embedding_model, s.next_model)"
        " where c.source_id = %s and not exists (select from embeddings e where e.chunk_id = c.id and e.model = %s)"
        " order by c.id limit %s",
        (model, source_id, model, limit),
    )
    return [
        (r["id"], " > ".join(filter(None, (r["title"], *r["headings"]))) + "\n" + r["text"])
        for r in await cursor.fetchall()
    ]


async def add_vectors(
    conn: Connection, account_id: str, source_id: str, model: str, vectors: Sequence[tuple[int, str]]
) -> None:
    async with conn.cursor() as writer:
        await writer.executemany(
            "insert into embeddings (chunk_id, account_id, source_id, model, vector)"
            " select id, %s, %s, %s, %s::halfvec from chunks where id = %s on conflict do nothing",
            [(account_id, source_id, model, vector, chunk_id) for chunk_id, vector in vectors],
        )


async def switch_model(conn: Connection, source_id: str, model: str, now: datetime) -> bool:
    """Let searches use the new vectors, if every chunk has one; the old ones go."""
    cursor = await conn.execute(
        "update sources s set embedding_model = %(m)s, next_model = null, version = version + 1, updated_at = %(now)s"
        " where id = %(s)s and next_model = %(m)s and not exists (select from chunks c where c.source_id = s.id"
        "   and not exists (select from embeddings e where e.chunk_id = c.id and e.model = %(m)s)) returning 1",
        {"s": source_id, "m": model, "now": now},
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute("delete from embeddings where source_id = %s and model <> %s", (source_id, model))
    return True


# Searching


async def count_chunks(conn: Connection, sources: Sequence[str]) -> dict[str, int]:
    """How many chunks these sources have."""
    cursor = await conn.execute(
        "select s.id, (select coalesce(sum(d.chunk_count), 0) from documents d where d.source_id = s.id)::int as chunks"
        " from sources s where s.id = any(%s)",
        (list(sources),),
    )
    return {r["id"]: r["chunks"] for r in await cursor.fetchall()}


async def nearest_indexed(
    conn: Connection, source: str, model: str, vector: Vector, limit: int
) -> list[tuple[int, float]]:
    """Approximate, through the graph of one big source (see `graph_index`); (id, cosine), best first."""
    dimensions = len(vector)
    await conn.execute("select set_config('hnsw.ef_search', '100', true)")
    cursor = await conn.execute(
        f"select chunk_id, 1 - (vector::halfvec({dimensions}) <=> %(v)s::halfvec({dimensions})) as cosine from embeddings"  # noqa: S608
        f" where source_id = {_literal(source)} and model = {_literal(model)}"
        f" order by vector::halfvec({dimensions}) <=> %(v)s::halfvec({dimensions}) limit %(n)s",
        {"v": vector_text(vector), "n": limit},
    )
    return [(r["chunk_id"], float(r["cosine"])) for r in await cursor.fetchall()]


def graph_index(source: str, model: str, dimensions: int) -> tuple[str, str]:
    """Name and statement of the partial index over one big source; the owner of the tables makes it."""
    name = "embeddings_graph_" + hashlib.sha256(f"{source}\0{model}".encode()).hexdigest()[:16]
    return name, (
        f"create index concurrently if not exists {name} on embeddings"
        f" using hnsw ((vector::halfvec({dimensions})) halfvec_cosine_ops) with (m = 16, ef_construction = 200)"
        f" where source_id = {_literal(source)} and model = {_literal(model)}"
    )


def _literal(text: str) -> str:
    """Our own ids and model names, as SQL; a partial index is only matched by a constant."""
    if "'" in text or "\\" in text or "%" in text or "\0" in text:
        raise Invalid("a source or model name has a character that cannot be used here")
    return f"'{text}'"


async def passages(conn: Connection, ids: Sequence[int]) -> dict[int, Passage]:
    """These chunks with their provenance, without scores."""
    cursor = await conn.execute(
        "select c.id, c.source_id, c.document_id, d.title, c.headings, c.text, d.url from chunks c"
        " join documents d on d.id = c.document_id where c.id = any(%s)",
        (list(ids),),
    )
    return {
        r["id"]: Passage(
            chunk_id=r["id"],
            source_id=r["source_id"],
            document_id=r["document_id"],
            title=r["title"],
            headings=tuple(r["headings"]),
            text=r["text"],
            url=r["url"],
            score=0.0,
            dense=None,
            keyword=None,
        )
        for r in await cursor.fetchall()
    }
