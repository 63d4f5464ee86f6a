"""Listening: what is told arrives, and a gap is never silent."""

import math

import anyio
import psycopg

from hookflash.base.clock import SystemClock
from hookflash.db.listen import Listener, Notified, Reconnected

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


async def test_notifications_arrive_in_order_and_a_gap_is_announced(database_url: str) -> None:
    send, receive = anyio.create_memory_object_stream[Notified | Reconnected](math.inf)
    listener = Listener(database_url, ["lanes", "Odd channel"], SystemClock())
    with anyio.fail_after(20), psycopg.connect(database_url, autocommit=True) as other:
        async with anyio.create_task_group() as group:
            await group.start(listener.run, send.send)
            other.execute("""notify lanes, 'one'; notify "Odd channel", 'two'; notify lanes; notify elsewhere""")
            assert [await receive.receive() for _ in range(3)] == [
                Notified("lanes", "one"),
                Notified("Odd channel", "two"),
                Notified("lanes", ""),
            ]
            other.execute(f"select pg_terminate_backend(pid, 5000) {OTHERS}".encode())
            assert await receive.receive() == Reconnected()
            other.execute("notify lanes, 'three'")
            assert await receive.receive() == Notified("lanes", "three")
            group.cancel_scope.cancel()
        other.execute(f"select pg_terminate_backend(pid, 5000) {OTHERS}".encode())
    send.close()
    receive.close()
