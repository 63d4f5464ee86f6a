"""One suite for every index of an account's own: Pinecone (its fake), Milvus (Milvus Lite), FAISS files, another PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import httpx2
import numpy as np
import psycopg
import pytest
from pymilvus import DataType, MilvusClient

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.external import Entry, ExternalIndex, IndexPlace
from hookflash.knowledge.passage import Vector
from hookflash.providers.faiss_index import FaissRow, write_index
from hookflash.providers.indexes import IndexConfig, open_index
from hookflash.testing.pinecone_server import PineconeServer, PineconeShelf
from hookflash.testing.vendor import serve

DIMENSIONS = 8
ACCOUNT = "acct_1"
VENDORS = ("pinecone", "milvus", "faiss", "pgvector")


async def anywhere(host: str, port: int) -> Sequence[str]:
    return (host,)


@dataclass
class Shelf:
    """An index that is there and empty, and how to make it be away."""

    index: ExternalIndex
    config: IndexConfig
    place: IndexPlace
    server: PineconeServer = field(default_factory=PineconeServer)

    def other(
        self, vendor_options: dict[str, str] | None = None, secrets: dict[str, str] | None = None
    ) -> ExternalIndex:
        options = self.place.options | (vendor_options or {})
        held = self.place.secrets if secrets is None else secrets
        return open_index(self.config, IndexPlace(ACCOUNT, self.place.vendor, None, options, held))


def make_collection(path: Path, metric: str = "COSINE") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    client = MilvusClient(str(path))
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=200)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
    for name in ("text", "title", "url"):
        schema.add_field(name, DataType.VARCHAR, max_length=10_000)
    indexes = client.prepare_index_params()
    indexes.add_index("vector", index_type="AUTOINDEX", metric_type=metric)
    client.create_collection("support", schema=schema, index_params=indexes)
    client.close()


def make_table(url: str, kind: str = "vector") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        connection.execute(
            f"create table support (id text primary key, body text, heading text, link text, embedding {kind}({DIMENSIONS}))".encode()
        )


@pytest.fixture(params=[*VENDORS, "milvus-l2", "faiss-l2", "pgvector-half"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    vendor, _, variant = str(request.param).partition("-")
    config = IndexConfig(httpx2.AsyncClient, anywhere, tmp_path)
    server = PineconeServer()
    server.indexes["support"] = PineconeShelf(DIMENSIONS)
    async with serve(server) as address:
        secrets: dict[str, str] = {}
        if vendor == "pinecone":
            options = {"index": "support", "api_url": address}
            secrets = {"api_key": "pc-test"}
        elif vendor == "milvus":
            file = config.directory(ACCOUNT) / "support.db"
            await anyio.to_thread.run_sync(make_collection, file, "L2" if variant else "COSINE")
            options = {"file": "support.db", "collection": "support"}
        elif vendor == "faiss":
            metric = 1 if variant else None
            write_index(config.directory(ACCOUNT) / "support.faiss", DIMENSIONS, [], [], metric)
            options = {"file": "support.faiss"}
        else:
            url = request.getfixturevalue("database_url")
            make_table(url, "halfvec" if variant else "vector")
            options = {
                "table": "public.support",
                "text_column": "body",
                "title_column": "heading",
                "url_column": "link",
            }
            secrets = {"url": url}
        place = IndexPlace(ACCOUNT, vendor, DIMENSIONS, dict(options), secrets)
        index = open_index(config, place)
        yield Shelf(index, config, place, server)
        await index.aclose()


def vector(*numbers: float) -> Vector:
    made = np.zeros(DIMENSIONS, np.float32)
    made[: len(numbers)] = numbers
    return (made / np.linalg.norm(made)).astype(np.float32)


BOOTS = Entry("boots", "Boots cost ninety.", vector(1, 0, 0), "Prices", "https://shop.example/boots")
TENTS = Entry("tents", "Tents cost two hundred.", vector(0, 1, 0), "Prices")
HATS = Entry("hats", "Hüte kosten zehn. 🧢 'quoted' \\ \"too\"", vector(0.6, 0.8, 0))


async def test_an_empty_index_tells_its_size_and_finds_nothing(shelf: Shelf) -> None:
    facts = await shelf.index.facts()
    assert (facts.dimensions, facts.entries) == (DIMENSIONS, 0)
    assert await shelf.index.search(vector(1), None, 5) == []


async def test_the_nearest_come_first_with_their_cosines_and_texts(shelf: Shelf) -> None:
    await shelf.index.put([BOOTS, TENTS, HATS])
    assert (await shelf.index.facts()).entries == 3
    hits = await shelf.index.search(vector(1, 0.1), "boots", 2)
    assert [hit.id for hit in hits] == ["boots", "hats"]
    expected = [float(entry.vector @ vector(1, 0.1)) for entry in (BOOTS, HATS)]
    assert [hit.cosine for hit in hits] == pytest.approx(expected, abs=2e-3)
    assert (hits[0].text, hits[0].title, hits[0].url) == (BOOTS.text, BOOTS.title, BOOTS.url)
    assert (hits[1].text, hits[1].title, hits[1].url) == (HATS.text, "", None)


async def test_an_entry_that_is_put_again_is_replaced_and_one_that_is_removed_is_gone(shelf: Shelf) -> None:
    await shelf.index.put([BOOTS, TENTS])
    await shelf.index.put([Entry("boots", "Boots cost eighty.", vector(0, 0, 1))])
    assert (await shelf.index.facts()).entries == 2
    (hit,) = await shelf.index.search(vector(0, 0, 1), None, 1)
    assert (hit.id, hit.text, hit.url) == ("boots", "Boots cost eighty.", None)
    await shelf.index.remove(["boots", "never there"])
    assert [hit.id for hit in await shelf.index.search(vector(0, 0, 1), None, 5)] == ["tents"]
    await shelf.index.remove([])
    await shelf.index.put([])
    assert (await shelf.index.facts()).entries == 1


async def test_a_vector_of_another_size_is_refused_and_nothing_is_changed(shelf: Shelf) -> None:
    short = np.ones(3, np.float32)
    with pytest.raises(Invalid, match=r"3 numbers, the index 8 dimensions"):
        await shelf.index.put([BOOTS, Entry("short", "x", short)])
    assert (await shelf.index.facts()).entries == 0
    with pytest.raises(Invalid, match="3"):
        await shelf.index.search(short, None, 5)


async def test_many_entries_and_searches_at_once(shelf: Shelf) -> None:
    rows = np.random.default_rng(1).normal(size=(120, DIMENSIONS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    await shelf.index.put([Entry(f"e{n}", f"Entry {n}", row) for n, row in enumerate(rows)])
    found: dict[int, str] = {}

    async def one(number: int) -> None:
        (hit,) = await shelf.index.search(rows[number], None, 1)
        found[number] = hit.id

    async with anyio.create_task_group() as tasks:
        for number in range(0, 120, 12):
            tasks.start_soon(one, number)
    assert found == {number: f"e{number}" for number in range(0, 120, 12)}


async def test_without_a_vector_only_what_knows_words_can_answer(shelf: Shelf) -> None:
    await shelf.index.put([BOOTS])
    with pytest.raises(Unavailable):
        await shelf.index.search(None, "boots", 5)


WRONG: dict[str, list[tuple[dict[str, str], dict[str, str] | None, str]]] = {
    "pinecone": [
        ({"index": "nope"}, None, "index.options.index"),
        ({"index": " "}, None, "index.options.index"),
        ({}, {"api_key": "wrong"}, "index.secrets.api_key"),
        ({}, {}, "index.secrets.api_key"),
    ],
    "milvus": [
        ({"collection": "nope"}, None, "index.options.collection"),
        ({"text_field": "nope"}, None, "index.options.text_field"),
        ({"title_field": "nope"}, None, "index.options.title_field"),
        ({"colection": "support"}, None, "index.options.colection"),
        ({"file": "nope.db"}, None, "index.options.file"),
        ({"file": "../acct_2/support.db"}, None, "index.options.file"),
    ],
    "faiss": [
        ({"file": "nope.faiss"}, None, "index.options.file"),
        ({"file": "/etc/passwd"}, None, "index.options.file"),
        ({"metric": "cosine"}, None, "index.options.metric"),
        ({"file": "../acct_2/support.faiss"}, None, "index.options.file"),
    ],
    "pgvector": [
        ({"table": "nope"}, None, "index.options.table"),
        ({"table": "support; drop table support"}, None, "index.options.table"),
        ({"vector_column": "body"}, None, "index.options.vector_column"),
        ({"vector_column": "nope"}, None, "index.options.vector_column"),
        ({"text_column": "nope"}, None, "index.options"),
        ({"title_column": "nope"}, None, "index.options"),
        ({"text_search": "klingon"}, None, "index.options.text_search"),
        ({"schema": "public"}, None, "index.options.schema"),
        ({}, {"url": "not an address"}, "index.secrets.url"),
        ({}, {"url": "postgresql:///x"}, "index.secrets.url"),
        ({}, {"url": "postgresql://a@b/c?passfile=/etc/passwd"}, "index.secrets.url"),
        ({}, {"url": "postgresql://a@b/c?port=99999"}, "index.secrets.url"),
        ({}, {"url": "postgresql://a@b/c?port=x"}, "index.secrets.url"),
    ],
}


async def described(shelf: Shelf, options: dict[str, str], secrets: dict[str, str] | None) -> None:
    index = shelf.other(options, secrets)
    try:
        await index.facts()
    finally:
        await index.aclose()


async def test_what_is_wrong_with_a_description_is_told_by_its_field(shelf: Shelf) -> None:
    for options, secrets, where in WRONG[shelf.place.vendor]:
        with pytest.raises(Invalid) as refused:
            await described(shelf, options, secrets)
        assert refused.value.field == where, (options, secrets, refused.value.message)


async def test_words_are_searched_too_where_the_table_has_a_configuration_for_them(
    database_url: str, tmp_path: Path
) -> None:
    make_table(database_url)
    options = {"table": "support", "text_column": "body", "text_search": "english"}
    place = IndexPlace(ACCOUNT, "pgvector", None, dict(options), {"url": database_url})
    index = open_index(IndexConfig(httpx2.AsyncClient, anywhere, tmp_path), place)
    await index.put([BOOTS, TENTS])
    assert (await index.facts()).by_text
    (hit,) = await index.search(None, "what does a tent cost me?", 1)
    assert (hit.id, hit.cosine) == ("tents", None)
    assert hit.words is not None
    both = await index.search(vector(1, 0), "a tent", 5)
    assert {hit.id for hit in both} == {"boots", "tents"}
    assert all(hit.cosine is not None for hit in both)
    assert await index.search(None, "' & | ! <-> :*", 5) == []
    await index.aclose()


@pytest.mark.parametrize("vendor", ["pinecone", "milvus", "pgvector"])
async def test_one_that_nobody_serves_is_unavailable(vendor: str, tmp_path: Path) -> None:
    options = {
        "pinecone": {"index": "support", "api_url": "http://127.0.0.1:9"},
        "milvus": {"uri": "http://127.0.0.1:9", "collection": "support"},
        "pgvector": {"table": "support"},
    }[vendor]
    secrets: dict[str, str] = {"pinecone": {"api_key": "x"}, "pgvector": {"url": "postgresql://me@127.0.0.1:9/x"}}.get(
        vendor, {}
    )
    index = open_index(
        IndexConfig(httpx2.AsyncClient, anywhere, tmp_path), IndexPlace(ACCOUNT, vendor, None, dict(options), secrets)
    )
    with pytest.raises(Unavailable):
        await index.facts()
    await index.aclose()


async def test_a_strange_postgresql_is_not_shown_the_operators_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "operators-own")
    told: list[bytes] = []

    async def ask_for_the_password(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            if len(await stream.receive()) == 8:  # whether we speak TLS
                await stream.send(b"N")
                await stream.receive()
            await stream.send(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
            told.append(await stream.receive())

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, ask_for_the_password)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        place = IndexPlace(
            ACCOUNT, "pgvector", None, {"table": "support"}, {"url": f"postgresql://me@127.0.0.1:{port}/x"}
        )
        index = open_index(IndexConfig(httpx2.AsyncClient, anywhere, tmp_path), place)
        with pytest.raises(Unavailable):
            await index.facts()
        await index.aclose()
        tasks.cancel_scope.cancel()
    assert told
    assert b"operators-own" not in b"".join(told)


async def test_pinecone_that_is_away_or_not_ready_is_unavailable_and_other_metrics_are_refused(tmp_path: Path) -> None:
    server = PineconeServer()
    server.indexes = {
        "support": PineconeShelf(DIMENSIONS),
        "young": PineconeShelf(DIMENSIONS, ready=False),
        "far": PineconeShelf(DIMENSIONS, metric="euclidean"),
    }
    config = IndexConfig(httpx2.AsyncClient, anywhere, tmp_path)
    async with serve(server) as address:

        def index(name: str) -> ExternalIndex:
            options = {"index": name, "api_url": address, "namespace": "a"}
            return open_index(config, IndexPlace(ACCOUNT, "pinecone", None, dict(options), {"api_key": "pc-test"}))

        with pytest.raises(Unavailable, match="not ready"):
            await index("young").facts()
        with pytest.raises(Invalid, match="euclidean"):
            await index("far").facts()
        support = index("support")
        await support.put([BOOTS])
        assert set(server.indexes["support"].namespaces["a"]) == {"boots"}
        server.away = True
        with pytest.raises(Unavailable):
            await support.search(vector(1), None, 5)
        assert all(request.headers["x-pinecone-api-version"] for request in server.requests)


async def test_a_faiss_file_that_does_not_fit_its_metadata_or_changes_behind_our_back(tmp_path: Path) -> None:
    config = IndexConfig(httpx2.AsyncClient, anywhere, tmp_path)
    path = config.directory(ACCOUNT) / "support.faiss"
    write_index(path, DIMENSIONS, [BOOTS.vector], [FaissRow("boots", BOOTS.text)])
    index = open_index(config, IndexPlace(ACCOUNT, "faiss", None, {"file": "support.faiss"}))
    assert (await index.facts()).entries == 1
    write_index(path, DIMENSIONS, [BOOTS.vector, TENTS.vector], [FaissRow("boots", "b"), FaissRow("tents", "t")])
    assert (await index.facts()).entries == 2
    rows = path.with_suffix(".jsonl")
    rows.write_text('{"id": "boots", "text": "b"}\n')
    with pytest.raises(Invalid, match=r"2 vectors, but support\.jsonl has 1 lines"):
        await index.facts()
    rows.write_text("no json")
    with pytest.raises(Invalid, match="cannot be read"):
        await index.facts()
    path.write_bytes(b"no index")
    with pytest.raises(Invalid, match="cannot be read"):
        await index.facts()


async def test_a_vendor_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="faiss, milvus, pgvector, pinecone") as refused:
        open_index(IndexConfig(httpx2.AsyncClient, anywhere, tmp_path), IndexPlace(ACCOUNT, "nope"))
    assert refused.value.field == "index.vendor"
