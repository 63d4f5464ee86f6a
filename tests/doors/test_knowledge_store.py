"""Knowledge in the database: what changes when documents change, and that searches work all the while."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import anyio
import numpy as np
import pytest

from hookflash.assistant.answer_cache import answer_key
from hookflash.base.clock import SystemClock
from hookflash.base.errors import NotFound, Unavailable
from hookflash.db.jobs import work
from hookflash.db.pool import Connection, Database
from hookflash.knowledge import index_store, store
from hookflash.knowledge.document import Limits
from hookflash.knowledge.jobs import BATCH, Indexer
from hookflash.knowledge.library_store import KnowledgeBase
from hookflash.knowledge.passage import Found, NothingFound, Vector
from hookflash.knowledge.source import ChunkRow, Document, KnowledgeSource
from hookflash.testing.wait import until
from hookflash.workspace import store as workspace

CLOCK = SystemClock()


@dataclass
class Words:
    """An embedder whose vectors tell which words a text has; remembers what it embedded. `fails` times it is away."""

    name: str
    dimensions: int = 256
    max_tokens: int = 256
    embedded: list[str] = field(default_factory=list)
    fails: int = 0
    gate: Callable[[], object] | None = None

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def embed(self, texts: list[str]) -> Vector:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the embedder is away")
        if self.gate is not None:
            self.gate()
        self.embedded += texts
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()) or ["?"]:
                row[crc32(f"{self.name}{word}".encode()) % self.dimensions] += 1
            row /= np.linalg.norm(row)
        return rows


@dataclass
class Shop:
    """An account with one source, and what indexes and searches it."""

    db: Database
    account: str
    source: KnowledgeSource
    embedders: dict[str, Words]
    indexer: Indexer
    base: KnowledgeBase

    async def put(self, name: str, text: str | bytes, *, kind: str = "text/markdown", queue: bool = False) -> Document:
        data = text.encode() if isinstance(text, str) else text
        async with self.db.tenant(self.account) as conn:
            document, _ = await store.put_document(
                conn, self.source, name=name, content_type=kind, data=data, url=None, now=CLOCK.now(), queue=queue
            )
        return document

    async def index(self, name: str, text: str | bytes, *, kind: str = "text/markdown") -> Document:
        document = await self.put(name, text, kind=kind)
        done = await self.indexer.index(self.account, document.id)
        return done or await self.document(document.id)

    async def document(self, document_id: str) -> Document:
        async with self.db.tenant(self.account) as conn:
            return await store.get_document(conn, document_id)

    async def chunks(self, document: Document) -> Sequence[ChunkRow]:
        async with self.db.tenant(self.account) as conn:
            return (await store.list_chunks(conn, document.id, 1000, None)).items

    async def now(self) -> KnowledgeSource:
        async with self.db.tenant(self.account) as conn:
            return await store.get_source(conn, self.source.id)

    async def ask(self, question: str, base: KnowledgeBase | None = None) -> list[str]:
        """The texts that a search finds, best first."""
        base = base or self.base
        found = await base.search(await base.scope(self.account, ()), question)
        return [p.text for p in found.passages] if isinstance(found, Found) else []

    async def vectors(self) -> dict[str, int]:
        async with self.db.tenant(self.account) as conn:
            rows = await (
                await conn.execute("select model, count(*)::int as n from embeddings group by model")
            ).fetchall()
        return {r["model"]: r["n"] for r in rows}

    async def change_model(self, model: str) -> KnowledgeSource:
        async with self.db.tenant(self.account) as conn:
            return await store.update_source(
                conn, self.source.id, CLOCK.now(), name=None, description=None, model=model
            )


@pytest.fixture
async def shop(database: Database) -> Shop:
    account = await workspace.create_account(database, "Acme")
    async with database.tenant(account) as conn:
        source = await store.create_source(conn, account, name="shop", description="", kind="file", model="one")
    embedders = {name: Words(name) for name in ("one", "two", "three")}
    indexer = Indexer(database, CLOCK, embedders.__getitem__, Limits())
    return Shop(database, account, source, embedders, indexer, KnowledgeBase(database, CLOCK, embedders.__getitem__))


def page(**sections: str) -> str:
    long = "This sentence stands here so that every section is long enough to be a passage of its own, alone. " * 3
    return "# Shop\n\n" + "\n\n".join(f"## {name.title()}\n\n{text} {long}" for name, text in sections.items())


async def test_only_what_changed_is_embedded_again_and_the_rest_keeps_its_place(shop: Shop) -> None:
    document = await shop.index("shop.md", page(boots="Boots cost ninety.", tents="Tents cost two hundred."))
    before = await shop.chunks(document)
    embedder = shop.embedders["one"]
    assert (len(before), len(embedder.embedded)) == (2, 2)
    changed = page(hats="Hats cost ten.", boots="Boots cost ninety.", tents="Tents cost three hundred.")
    again = await shop.index("shop.md", changed)
    after = await shop.chunks(again)
    assert again.id == document.id
    assert len(embedder.embedded) == 4
    assert [c.headings[-1] for c in after] == ["Hats", "Boots", "Tents"]
    assert [c.ordinal for c in after] == [0, 1, 2]
    assert after[1].id == before[0].id
    assert {after[0].id, after[2].id}.isdisjoint({c.id for c in before})
    assert await shop.vectors() == {"one": 3}
    assert "two hundred" not in " ".join(await shop.ask("what do tents cost"))


async def test_the_same_file_again_is_no_work_at_all(shop: Shop) -> None:
    first = await shop.index("shop.md", page(boots="Boots cost ninety."))
    version = (await shop.now()).version
    async with shop.db.tenant(shop.account) as conn:
        same, new = await store.put_document(
            conn,
            shop.source,
            name="shop.md",
            content_type="text/markdown",
            data=page(boots="Boots cost ninety.").encode(),
            url=None,
            now=CLOCK.now(),
        )
    assert (same.id, same.status, new) == (first.id, "COMPLETED", False)
    assert (await shop.now()).version == version


async def test_passages_that_occur_twice_are_kept_as_often_as_they_occur(shop: Shop) -> None:
    row = "Boots cost ninety."
    document = await shop.index("rows.jsonl", "\n".join([f'{{"text": "{row}"}}'] * 3), kind="application/jsonl")
    before = {c.id for c in await shop.chunks(document)}
    again = await shop.index("rows.jsonl", "\n".join([f'{{"text": "{row}"}}'] * 2), kind="application/jsonl")
    after = {c.id for c in await shop.chunks(again)}
    assert (len(before), len(after)) == (3, 2)
    assert after < before


async def test_deleting_takes_effect_at_once_in_every_process(shop: Shop) -> None:
    other = KnowledgeBase(shop.db, CLOCK, shop.embedders.__getitem__)
    boots = await shop.index("boots.md", page(boots="Boots cost ninety."))
    await shop.index("tents.md", page(tents="Tents cost two hundred."))
    for base in (shop.base, other):
        assert "Boots cost ninety." in (await shop.ask("boots ninety", base))[0]
    held = await shop.base.scope(shop.account, ())
    async with shop.db.tenant(shop.account) as conn:
        await store.delete_document(conn, boots.id, CLOCK.now())
    for base in (shop.base, other):
        assert not any("Boots" in text for text in await shop.ask("boots ninety", base))
        assert any("Tents" in text for text in await shop.ask("what do tents cost", base))
        scope = await base.scope(shop.account, ())
        (index,) = await base.indexes(scope)
        assert len(index) == 1
    # Also a search that began before finds nothing that is gone.
    assert not await other.passages(held, [c.id for c in await shop.chunks(boots)])


async def test_a_source_that_goes_takes_everything_with_it(shop: Shop) -> None:
    await shop.index("boots.md", page(boots="Boots cost ninety."))
    assert await shop.ask("boots")
    async with shop.db.tenant(shop.account) as conn:
        await store.delete_source(conn, shop.source.id)
    scope = await shop.base.scope(shop.account, ())
    assert scope.empty
    assert await shop.base.search(scope, "boots") == NothingFound("empty knowledge")
    assert await shop.vectors() == {}
    with pytest.raises(NotFound):
        await shop.now()


async def test_a_new_document_is_found_by_every_process(shop: Shop) -> None:
    other = KnowledgeBase(shop.db, CLOCK, shop.embedders.__getitem__)
    await shop.index("boots.md", page(boots="Boots cost ninety."))
    assert len(await shop.ask("tents", other)) <= 1
    await shop.index("tents.md", page(tents="Tents cost two hundred."))
    assert "Tents" in (await shop.ask("tents", other))[0]


async def test_only_what_changed_is_read_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []

    def counted(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(conn: Connection, *what: Any) -> Any:
            read.append((name, len(what[-1])))
            return whole(conn, *what)

        return call

    monkeypatch.setattr(index_store, "terms", counted("terms", index_store.terms))
    monkeypatch.setattr(index_store, "vectors", counted("vectors", index_store.vectors))
    boots = await shop.index("boots.md", page(boots="Boots cost ninety.", hats="Hats cost ten."))
    assert "Boots" in (await shop.ask("boots"))[0]
    assert sorted(read) == [("terms", 2), ("vectors", 2)]
    read.clear()
    await shop.index("tents.md", page(tents="Tents cost two hundred."))
    assert "Tents" in (await shop.ask("tents"))[0]
    assert sorted(read) == [("terms", 1), ("vectors", 1)]
    read.clear()
    async with shop.db.tenant(shop.account) as conn:
        await store.delete_document(conn, boots.id, CLOCK.now())
    assert [text[:5] for text in await shop.ask("hats boots tents")] == ["Tents"]
    assert sorted(read) == [("terms", 0), ("vectors", 0)]


async def test_another_model_takes_over_when_it_is_complete_and_searches_never_stop(shop: Shop) -> None:
    rows = "\n".join(f'{{"text": "Item number {n} costs {n} dollars."}}' for n in range(BATCH * 2 + 5))
    await shop.index("rows.jsonl", rows, kind="application/jsonl")
    shop.embedders["two"].gate = lambda: None
    began = await shop.change_model("two")
    assert (began.embedding_model, began.next_model) == ("one", "two")
    found: list[bool] = []
    done = anyio.Event()

    async def ask() -> None:
        while not done.is_set():
            found.append("number 7 " in (await shop.ask("item number 7 costs"))[0])

    async def change() -> None:
        await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        tasks.start_soon(change)
    assert len(found) > 1
    assert all(found)
    after = await shop.now()
    assert (after.embedding_model, after.next_model) == ("two", None)
    assert await shop.vectors() == {"two": BATCH * 2 + 5}
    assert "number 7 " in (await shop.ask("item number 7 costs"))[0]


async def test_a_change_of_model_that_is_interrupted_goes_on_where_it_was(shop: Shop) -> None:
    rows = "\n".join(f'{{"text": "Item number {n} costs {n} dollars."}}' for n in range(BATCH + 5))
    await shop.index("rows.jsonl", rows, kind="application/jsonl")
    await shop.change_model("two")
    calls = 0

    def away_the_second_time() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Unavailable("the embedder is away")

    shop.embedders["two"].gate = away_the_second_time
    with pytest.raises(Unavailable):
        await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
    assert (await shop.now()).embedding_model == "one"
    assert await shop.ask("item number 7")
    async with shop.db.tenant(shop.account) as conn:
        assert (await store.progress(conn, shop.source.id)).switched == BATCH
    await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
    assert len(shop.embedders["two"].embedded) == BATCH + 5
    assert (await shop.now()).embedding_model == "two"


async def test_a_change_of_model_can_be_taken_back_or_changed_again(shop: Shop) -> None:
    await shop.index("boots.md", page(boots="Boots cost ninety."))
    await shop.change_model("two")
    back = await shop.change_model("one")
    assert (back.embedding_model, back.next_model) == ("one", None)
    await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
    assert await shop.vectors() == {"one": 1}
    await shop.change_model("two")
    await shop.change_model("three")
    await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
    await shop.indexer.embed_anew(shop.account, shop.source.id, "three")
    assert (await shop.now()).embedding_model == "three"
    assert await shop.vectors() == {"three": 1}


async def test_a_document_that_is_read_while_the_model_changes_gets_its_vectors_too(shop: Shop) -> None:
    await shop.index("boots.md", page(boots="Boots cost ninety."))
    document = await shop.put("tents.md", page(tents="Tents cost two hundred."))
    async with shop.db.tenant(shop.account) as conn:
        begun = await store.begin_indexing(conn, document.id, CLOCK.now())
    assert begun is not None
    assert begun[1] == "one"
    # Between the beginning and the end of the reading the whole source moves on.
    original = shop.indexer

    async def meanwhile() -> None:
        await shop.change_model("two")
        await original.embed_anew(shop.account, shop.source.id, "two")

    ran = False

    class Meddled(Words):
        async def embed(self, texts: list[str]) -> Vector:
            nonlocal ran
            if not ran:
                ran = True
                await meanwhile()
            return await super().embed(texts)

    embedders: dict[str, Words] = shop.embedders | {"one": Meddled("one")}
    await replace(original, embedder=embedders.__getitem__).index(shop.account, document.id)
    assert ran
    version = (await shop.now()).version
    async with shop.db.tenant(shop.account) as conn:
        jobs = await (
            await conn.execute("select args from procrastinate_jobs where task_name = 'knowledge.embed_anew'")
        ).fetchall()
    assert {job["args"]["model"] for job in jobs} == {"two"}
    await original.embed_anew(shop.account, shop.source.id, "two")
    assert (await shop.now()).version > version
    assert (await shop.vectors())["two"] == 2
    assert "Tents" in (await shop.ask("tents"))[0]


async def test_a_document_that_cannot_be_read_keeps_its_earlier_version(shop: Shop) -> None:
    good = await shop.index("prices.csv", "item,price\nboots,ninety\n", kind="text/csv")
    version = (await shop.now()).version
    bad = await shop.index("prices.csv", b"%PDF-1.7 nonsense", kind="application/pdf")
    assert (bad.id, bad.status) == (good.id, "FAILED")
    assert bad.error
    assert "ninety" in (await shop.ask("boots price"))[0]
    assert (await shop.now()).version == version
    mended = await shop.index("prices.csv", "item,price\nboots,eighty\n", kind="text/csv")
    assert (mended.status, mended.error) == ("COMPLETED", None)
    assert "eighty" in (await shop.ask("boots price"))[0]


async def test_a_document_that_is_replaced_while_it_is_read_is_the_new_one(shop: Shop) -> None:
    first = await shop.put("shop.md", page(boots="Boots cost ninety."))
    async with shop.db.tenant(shop.account) as conn:
        begun = await store.begin_indexing(conn, first.id, CLOCK.now())
    assert begun is not None
    await shop.put("shop.md", page(boots="Boots cost eighty."))
    async with shop.db.tenant(shop.account) as conn:
        # The one that read the old file is done now, one way or the other.
        await store.finish_indexing(
            conn, begun[0], shop.account, title="", language=None, model="one", kept=[], added=[], now=CLOCK.now()
        )
        await store.fail_indexing(conn, begun[0], "broken", CLOCK.now())
    assert (await shop.document(first.id)).status == "QUEUED"
    done = await shop.indexer.index(shop.account, first.id)
    assert done is not None
    assert done.status == "COMPLETED"
    assert "eighty" in (await shop.ask("boots"))[0]


async def test_a_document_that_is_deleted_while_it_is_read_stays_deleted(shop: Shop) -> None:
    document = await shop.put("shop.md", page(boots="Boots cost ninety."))

    class Meddled(Words):
        async def embed(self, texts: list[str]) -> Vector:
            async with shop.db.tenant(shop.account) as conn:
                await store.delete_document(conn, document.id, CLOCK.now())
            return await super().embed(texts)

    embedders: dict[str, Words] = {"one": Meddled("one")}
    assert await replace(shop.indexer, embedder=embedders.__getitem__).index(shop.account, document.id) is None
    assert await shop.vectors() == {}
    assert await shop.indexer.index(shop.account, document.id) is None


async def test_work_that_was_broken_off_is_done_again(shop: Shop) -> None:
    document = await shop.put("shop.md", page(boots="Boots cost ninety."))
    shop.embedders["one"].fails = 1
    with pytest.raises(Unavailable):
        await shop.indexer.index(shop.account, document.id)
    assert (await shop.document(document.id)).status == "PROCESSING"
    done = await shop.indexer.index(shop.account, document.id)
    assert done is not None
    assert (done.status, done.chunk_count) == ("COMPLETED", 1)
    assert await shop.indexer.index(shop.account, document.id) is None


async def test_a_worker_indexes_what_was_queued(shop: Shop, database_url: str) -> None:
    document = await shop.put("shop.md", page(boots="Boots cost ninety."), queue=True)

    async def completed() -> bool:
        return (await shop.document(document.id)).status == "COMPLETED"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, database_url, shop.indexer.tasks(), CLOCK)
        await until(completed)
        tasks.cancel_scope.cancel()
    assert await shop.ask("boots")


async def test_any_change_of_knowledge_changes_the_keys_of_answers(shop: Shop) -> None:
    async def key() -> str | None:
        version = (await shop.base.scope(shop.account, ())).version
        return answer_key(
            "What do boots cost?",
            assistant_id="asst_1",
            knowledge_version=version,
            prompt_revision="p",
            language="en",
            max_chars=300,
        )

    keys = [await key()]
    boots = await shop.index("boots.md", page(boots="Boots cost ninety."))
    keys.append(await key())
    await shop.base.keep(shop.account, str(keys[-1]), b'{"text": "Ninety."}')
    assert await shop.base.kept(shop.account, str(await key())) is not None
    await shop.index("boots.md", page(boots="Boots cost eighty."))
    keys.append(await key())
    assert await shop.base.kept(shop.account, str(keys[-1])) is None
    await shop.change_model("two")
    assert await key() == keys[-1]
    await shop.indexer.embed_anew(shop.account, shop.source.id, "two")
    keys.append(await key())
    async with shop.db.tenant(shop.account) as conn:
        await store.delete_document(conn, boots.id, CLOCK.now())
    keys.append(await key())
    async with shop.db.tenant(shop.account) as conn:
        await store.create_source(conn, shop.account, name="more", description="", kind="text", model="one")
    keys.append(await key())
    assert len(set(keys)) == len(keys)


async def test_answers_nobody_asks_for_again_are_forgotten(shop: Shop) -> None:
    for name in ("old", "new"):
        await shop.base.keep(shop.account, name, b'"x"')
    async with shop.db.tenant(shop.account) as conn:
        await conn.execute("update answer_cache set at = at - interval '31 days' where key = 'old'")
    await shop.indexer.forget_answers()
    assert await shop.base.kept(shop.account, "old") is None
    assert await shop.base.kept(shop.account, "new") == b'"x"'
