"""Several statements that change different rows, sent as one: PostgreSQL and driver then do the work around them once."""

from collections.abc import Sequence

from hookflash.db.pool import Connection

# The driver reads a text with more parameters than this anew each time.
_MOST_PARAMETERS = 50


class Together:
    """Takes statements that write, each for rows that no other one of them touches, and runs them as one or a few."""

    def __init__(self) -> None:
        self._statements: list[tuple[str, Sequence[object]]] = []

    async def execute(self, query: str, parameters: Sequence[object]) -> None:
        """Add a statement that writes, with positional parameters."""
        self._statements.append((query, parameters))

    async def run(self, conn: Connection) -> None:
        """Run them in the connection's transaction, in no order; each sees the rows as they were before all of them."""
        batch: list[tuple[str, Sequence[object]]] = []
        for statement in self._statements:
            if sum(len(parameters) for _, parameters in [*batch, statement]) > _MOST_PARAMETERS:
                await _run(conn, batch)
                batch = []
            batch.append(statement)
        await _run(conn, batch)


async def _run(conn: Connection, batch: Sequence[tuple[str, Sequence[object]]]) -> None:
    *firsts, (last, _) = batch
    parts = ", ".join(f"part_{number} as ({query})" for number, (query, _) in enumerate(firsts))
    text = f"with {parts} {last}" if parts else last
    await conn.execute(text.encode(), [value for _, parameters in batch for value in parameters])
