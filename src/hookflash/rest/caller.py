"""Who calls a route, and what the route may do in that caller's name: transactions, lists, journal entries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from hookflash.base.clock import Clock
from hookflash.base.paging import Page
from hookflash.db.pool import Connection, Database
from hookflash.rest.auth import Principal, principal, require
from hookflash.rest.resource import Listing, ListQuery, respond

T = TypeVar("T")
Shown = TypeVar("Shown", bound=BaseModel)

# Adds an entry to the journal: connection, account, kind, subject, contact, body, time. Its keeper is a room above.
Journal = Callable[[Connection, str, str, str, str | None, object, datetime], Awaitable[None]]
ReadPage = Callable[[Connection, int, str | None], Awaitable[Page[T]]]


@dataclass(frozen=True, slots=True)
class Office:
    """What every route of the API needs; it lies in `app.state.office`."""

    db: Database
    clock: Clock
    journal: Journal


@dataclass(frozen=True, slots=True)
class Caller:
    """A request's caller. Everything is done for the account of its key, in transactions that see no other."""

    principal: Principal
    office: Office

    @property
    def account_id(self) -> str:
        return self.principal.account_id

    def now(self) -> datetime:
        return self.office.clock.now()

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Commits at its end; an exception rolls it back."""
        return self.office.db.tenant(self.account_id)

    def within(self, conn: Connection) -> "Caller":
        """The same caller, whose transactions are parts of the one that `conn` is in: all of it happens, or nothing."""
        return _Within(self.principal, self.office, conn)

    async def record(
        self, conn: Connection, kind: str, subject: str, contact_id: str | None = None, **details: object
    ) -> None:
        """Journal what is being changed, and by which key, in the same transaction. `details` hold no secret."""
        body = {"by": self.principal.key_id, **details}
        await self.office.journal(conn, self.account_id, kind, subject, contact_id, body, self.now())

    async def list(self, asked: ListQuery, read: ReadPage[T], show: Callable[[T], Shown]) -> Listing[Shown] | Response:
        """Answer a list route; each page is a transaction of its own."""

        async def fetch(limit: int, cursor: str | None) -> Page[T]:
            async with self.transaction() as conn:
                return await read(conn, limit, cursor)

        return await respond(asked, fetch, show)


@dataclass(frozen=True, slots=True)
class _Within(Caller):
    conn: Connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.conn.transaction():
            yield self.conn


def allowed(scope: str | None) -> Any:
    """For a route: `caller: Annotated[Caller, allowed("messages:read")]`. None: any key of the account."""
    admitted = require(scope) if scope else Depends(principal)

    async def caller(request: Request, who: Annotated[Principal, admitted]) -> Caller:
        office: Office = request.app.state.office
        return Caller(who, office)

    return Depends(caller)
