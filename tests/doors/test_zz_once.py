import anyio, psycopg, pytest
from hookflash.db.pool import Database
async def test_x(database):
    async with database.system() as c:
        await c.execute("select create_account('a1','x')"); await c.execute("select create_account('a2','x')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.at_once('a1') as c:
            await c.execute("insert into contacts (id,account_id) values ('c1','a1')")
            await c.execute("insert into contacts (id,account_id) values ('c1','a1')")
    async with database.at_once('a1') as c:
        cur = await c.execute("select * from contacts")
    assert await cur.fetchall() == []
    async with database.at_once('a1') as c:
        await c.execute("insert into contacts (id,account_id) values ('c1','a1')")
        cur = await c.execute("select current_setting('hookflash.account_id') as a, pg_current_xact_id_if_assigned() is not null as t")
        cur2 = await c.execute("select pg_current_xact_id_if_assigned() is not null as t")
    print(await cur.fetchone(), await cur2.fetchone())
    async with database.at_once('a2') as c:
        cur = await c.execute("select * from contacts")
    assert await cur.fetchall() == []
    async with database.system() as c:
        assert await (await c.execute("select * from contacts")).fetchall() == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.at_once('a2') as c:
            await c.execute("insert into contacts (id,account_id) values ('c9','a1')")
    conns=[await database._connection() for _ in range(2)]
    for c in conns:
        print(await (await c.execute("select current_setting('hookflash.account_id', true) as a")).fetchone(), await (await c.execute("select * from contacts")).fetchall())
        await database._pool.putconn(c)
    async with database.pipelined('a1') as c:
        cur = await c.execute("select id from contacts")
        assert await cur.fetchall() == [{'id':'c1'}]
        cur = await c.execute("insert into contacts (id,account_id) values ('c2','a1') returning id")
    assert await cur.fetchall() == [{'id':'c2'}]
    with pytest.raises(ValueError):
        async with database.pipelined('a1') as c:
            cur = await c.execute("select id from contacts"); assert len(await cur.fetchall())==2
            await c.execute("insert into contacts (id,account_id) values ('c3','a1') returning id")
            raise ValueError
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.pipelined('a1') as c:
            cur = await c.execute("select id from contacts"); assert len(await cur.fetchall())==2
            await c.execute("insert into contacts (id,account_id) values ('c4','a1') returning id")
            await c.execute("insert into contacts (id,account_id) values ('c4','a1') returning id")
    async with database.at_once('a1') as c:
        cur = await c.execute("select id from contacts")
    assert len(await cur.fetchall())==2
    with anyio.move_on_after(0.2):
        async with database.pipelined('a1') as c:
            await c.execute("insert into contacts (id,account_id) values ('c5','a1') returning id")
            await c.execute("select pg_sleep(5)")
    async with database.tenant('a1') as c:
        assert len(await (await c.execute("select id from contacts")).fetchall())==2
