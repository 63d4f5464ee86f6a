"""Another PostgreSQL with pgvector as an index of an account's own: a table with texts and their vectors."""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.external import Entry, Hit, IndexFacts, IndexPlace
from hookflash.knowledge.fusion import by_ranks
from hookflash.knowledge.passage import Vector
from hookflash.providers.guarded import Resolve
from hookflash.providers.indexes import IndexConfig

SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_DIMENSIONS = re.compile(r"(?:half)?vec(?:tor)?\((\d+)\)")
# What of an address may be given: nothing that reads files of this machine, or names another server in passing.
_KNOWN = frozenset({"host", "port", "user", "password", "dbname", "sslmode"})

Connections = AsyncConnectionPool[psycopg.AsyncConnection[dict[str, Any]]]


class PgvectorIndex:
    """Options: `table` (`schema.table`), `id_column`, `text_column`, `title_column`, `url_column`, `vector_column`,
    `text_search` (a configuration such as english: then words are searched too). Secrets: `url` (postgresql://...).

    It is opened by the user's own role; `resolve` says where a host may be reached.
    """

    def __init__(self, place: IndexPlace, resolve: Resolve) -> None:
        columns = ("id_column", "text_column", "vector_column", "title_column", "url_column")
        place.only(("table", *columns, "text_search"), ("url",))
        self._resolve = resolve
        self._info = _parsed(place.secret("url"))
        self._table = sql.SQL(".").join(sql.Identifier(_name(part, "table")) for part in place.text("table").split("."))
        names = {
            column: _name(place.text(f"{column}_column", default), f"{column}_column")
            for column, default in (("id", "id"), ("text", "text"), ("vector", "embedding"))
        }
        names |= {
            column: _name(place.text(f"{column}_column"), f"{column}_column")
            for column in ("title", "url")
            if place.options.get(f"{column}_column")
        }
        self._columns = {column: sql.Identifier(name) for column, name in names.items()}
        self._vector_name = names["vector"]
        search = place.options.get("text_search")
        self._search = _name(search, "text_search") if search else None
        self._pool: Connections | None = None
        self._dimensions = 0
        self._type = "vector"

    async def facts(self) -> IndexFacts:
        rows = await self._ask(
            sql.SQL(
                "select format_type(a.atttypid, a.atttypmod) as type, case when c.reltuples > 100000 then c.reltuples::bigint"
                " else (select count(*) from {table}) end as entries from pg_attribute a join pg_class c on c.oid = a.attrelid"
                " where a.attrelid = {name}::regclass and a.attname = {column}"
            ).format(
                table=self._table,
                name=sql.Literal(self._table.as_string(None)),
                column=sql.Literal(self._vector_name),
            )
        )
        if not rows:
            raise Invalid(f"the table has no column {self._vector_name!r}", field="index.options.vector_column")
        told = str(rows[0]["type"])
        found = _DIMENSIONS.fullmatch(told.rpartition(".")[2])
        if found is None:
            raise Invalid(
                f"the column is of the type {told}; it must be vector(n) or halfvec(n)",
                field="index.options.vector_column",
            )
        self._type = told.partition("(")[0]
        await self._readable()
        self._dimensions = int(found[1])
        return IndexFacts(self._dimensions, int(rows[0]["entries"]), by_text=self._search is not None)

    async def search(self, vector: Vector | None, text: str | None, limit: int) -> Sequence[Hit]:
        await self._sized(vector)
        rankings: list[list[Hit]] = []
        if vector is not None:
            rankings.append(await self._by_meaning(vector, limit))
        if self._search and text:
            rankings.append(await self._by_words(vector, text, limit))
        if not rankings:
            raise Unavailable("This index is searched by meaning only, and the question has no vector.")
        hits = {hit.id: hit for ranking in reversed(rankings) for hit in ranking}
        order = by_ranks([[hit.id for hit in ranking] for ranking in rankings])
        return [hits[str(key)] for key in order[:limit]]

    async def put(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            await self._sized(entry.vector)
        names = [name for name in ("id", "text", "vector", "title", "url") if name in self._columns]
        query = sql.SQL("insert into {} ({}) values ({}) on conflict ({}) do update set {}").format(
            self._table,
            sql.SQL(", ").join(self._columns[name] for name in names),
            sql.SQL(", ").join(self._cast() if name == "vector" else sql.Placeholder() for name in names),
            self._columns["id"],
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(self._columns[name]) for name in names if name != "id"
            ),
        )
        for entry in entries:
            values = {"id": entry.id, "text": entry.text, "title": entry.title, "url": entry.url}
            await self._ask(query, [_text(entry.vector) if name == "vector" else values[name] for name in names])

    async def remove(self, ids: Sequence[str]) -> None:
        query = sql.SQL("delete from {} where {}::text = any(%s)").format(self._table, self._columns["id"])
        await self._ask(query, [list(ids)])

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _sized(self, vector: Vector | None) -> None:
        if not self._dimensions:
            await self.facts()
        if vector is not None and len(vector) != self._dimensions:
            raise Invalid(f"a vector has {len(vector)} numbers, the index {self._dimensions} dimensions")

    async def _readable(self) -> None:
        """Whether what a search needs is there. Raises Invalid."""
        await self._ask(sql.SQL("select {} from {} limit 0").format(self._shown(), self._table))
        if self._search is not None:
            try:
                await self._ask(
                    sql.SQL("select to_tsvector({}::regconfig, {}) from {} limit 0").format(
                        sql.Literal(self._search), self._columns["text"], self._table
                    )
                )
            except Invalid as error:
                raise Invalid(error.message, field="index.options.text_search") from None

    async def _by_meaning(self, vector: Vector, limit: int) -> list[Hit]:
        query = sql.SQL(
            "select {shown}, 1 - ({v} <=> {asked}) as cosine from {table} order by {v} <=> {asked} limit %s"
        )
        shaped = query.format(shown=self._shown(), v=self._columns["vector"], asked=self._cast(), table=self._table)
        return [_hit(row) for row in await self._ask(shaped, [_text(vector), _text(vector), limit])]

    async def _by_words(self, vector: Vector | None, text: str, limit: int) -> list[Hit]:
        """Any of the words may be there; `ts_rank` with 32 is between 0 and 1."""
        cosine = sql.SQL("1 - ({} <=> {})").format(self._columns["vector"], self._cast())
        query = sql.SQL(
            "with asked as (select replace(plainto_tsquery({search}::regconfig, %s)::text, '&', '|')::tsquery as words)"
            " select {shown}, {cosine} as cosine, ts_rank(to_tsvector({search}::regconfig, {text}), words, 32) as words"
            " from {table}, asked where to_tsvector({search}::regconfig, {text}) @@ words order by words desc limit %s"
        ).format(
            search=sql.Literal(self._search),
            shown=self._shown(),
            cosine=cosine if vector is not None else sql.SQL("null::float8"),
            text=self._columns["text"],
            table=self._table,
        )
        given = [text, *([_text(vector)] if vector is not None else []), limit]
        return [_hit(row) for row in await self._ask(query, given)]

    def _cast(self) -> sql.Composed:
        return sql.SQL("%s::{}").format(sql.SQL(self._type))

    def _shown(self) -> sql.Composed:
        parts = [
            sql.SQL("{}::text as {}").format(self._columns[name], sql.Identifier(f"its_{name}"))
            if name in self._columns
            else sql.SQL("null::text as {}").format(sql.Identifier(f"its_{name}"))
            for name in ("id", "text", "title", "url")
        ]
        return sql.SQL(", ").join(parts)

    async def _ask(self, query: sql.Composed, given: Sequence[Any] = ()) -> list[dict[str, Any]]:
        try:
            if self._pool is None:
                self._pool = await self._open()
            async with self._pool.connection() as connection:
                cursor = await connection.execute(query, given or None)
                return await cursor.fetchall() if cursor.description else []
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise Invalid("the database has no such table", field="index.options.table") from None
        except psycopg.errors.UndefinedColumn as error:
            raise Invalid(str(error.diag.message_primary), field="index.options") from None
        except psycopg.errors.InsufficientPrivilege:
            raise Invalid("the user may not read the table", field="index.secrets.url") from None
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Unavailable("The database of the index does not answer.") from error
        except psycopg.Error as error:
            raise Invalid(f"the database refuses: {str(error).splitlines()[0][:200]}", field="index") from None

    async def _open(self) -> Connections:
        host, port = str(self._info["host"]), int(self._info["port"])
        info = dict(self._info)
        if not host.startswith("/"):
            # Pinned: what is asked is what was looked at, whatever the name says a moment later.
            info["hostaddr"] = (await self._resolve(host, port))[0]
        else:
            await self._resolve(host, port)
        conninfo = make_conninfo(**info, connect_timeout=int(SECONDS), options="-c statement_timeout=5s")
        # Asked once outside of the pool, which would only say that nothing came in time.
        try:
            async with await psycopg.AsyncConnection.connect(conninfo) as connection:
                await connection.execute("select 'x'::tsvector")
        except psycopg.OperationalError as error:
            if "authentication" in str(error) or "does not exist" in str(error):
                raise Invalid(
                    "the database refuses the user, or has none of this name", field="index.secrets.url"
                ) from None
            raise
        pool: Connections = AsyncConnectionPool(
            conninfo,
            min_size=0,
            max_size=4,
            open=False,
            timeout=SECONDS,
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": None},
        )
        await pool.open()
        return pool


def _parsed(url: str) -> dict[str, Any]:
    try:
        info = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Invalid("this is no address of a PostgreSQL", field="index.secrets.url") from None
    unknown = sorted(set(info) - _KNOWN)
    host = str(info.get("host") or "")
    if unknown or not host or "," in host:
        told = f"it must not carry {', '.join(unknown)}" if unknown else "it names one host"
        raise Invalid(f"the address of the database: {told}", field="index.secrets.url")
    port = str(info.get("port") or "5432")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65_536):
        raise Invalid("the address of the database: its port is no number of a port", field="index.secrets.url")
    # Without one the library would show that server the operator's own, from PGPASSWORD or ~/.pgpass.
    return {**info, "port": port, "password": info.get("password") or "none"}


def _name(given: str, option: str) -> str:
    if not _NAME.fullmatch(given):
        raise Invalid(f"{given[:60]!r} is no plain name of a database", field=f"index.options.{option}")
    return given


def _text(vector: Vector) -> str:
    return "[" + ",".join(map(str, vector.tolist())) + "]"


def _hit(row: dict[str, Any]) -> Hit:
    cosine = row.get("cosine")
    return Hit(
        id=row["its_id"],
        text=row["its_text"] or "",
        title=row["its_title"] or "",
        url=row["its_url"],
        cosine=float(cosine) if cosine is not None else None,
        words=float(row["words"]) if row.get("words") is not None else None,
    )


def index(config: IndexConfig, place: IndexPlace) -> PgvectorIndex:
    """An index in another PostgreSQL."""
    return PgvectorIndex(place, config.resolve)
