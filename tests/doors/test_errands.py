"""What tools of the house send: a link, a message for later; once, by day, and only to who wants it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hookflash.assistant.builtin import SCHEDULE, SEND_LINK
from hookflash.assistant.tool import ToolAnswer, ToolOutcome, ToolRefused
from hookflash.base.clock import SystemClock
from hookflash.base.phone import Address, Kind
from hookflash.cli.turns_store import fate_of
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from tests.doors.textline import OURS, TextLine, text_line

PERSON = "+12125550123"  # in New York
HOME = ZoneInfo("America/New_York")
HOSTS = {"hosts": ["acme.example"]}


class NoonClock(SystemClock):
    """The machine's clock, set to noon of a winter's day in New York."""

    def __init__(self) -> None:
        self._ahead = datetime(2026, 1, 14, 12, tzinfo=HOME) - super().now()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def forward(self, time: timedelta) -> None:
        self._ahead += time


@dataclass
class Shop:
    """A line on which somebody has written, and the next turn of theirs."""

    line: TextLine
    clock: NoonClock
    turn: Turn

    async def do(self, name: str, config: Mapping[str, Any], arguments: dict[str, Any], key: str) -> ToolOutcome:
        tool = self.line.core.errands.builtins()[name]
        run = tool.run if tool.configured is None else tool.configured(config)
        return await run(self.turn, arguments, key * 32)

    async def link(self, url: str, key: str = "a") -> ToolOutcome:
        return await self.do(SEND_LINK, HOSTS, {"url": url, "text": "Here it is:"}, key)

    async def later(self, at: str, key: str = "a", text: str = "Your visit is today.") -> ToolOutcome:
        return await self.do(SCHEDULE, {}, {"text": text, "at": at}, key)

    async def due(self, key: str = "a") -> None:
        await self.line.core.errands.send_scheduled(self.line.account_id, f"msg_{key * 32}")
        await self.line.at_rest()

    def got(self, words: str) -> int:
        return sum(words in message.body for message in self.line.phone(PERSON).inbox)

    async def scheduled(self) -> list[tuple[str, str | None]]:
        rows = await self.line.rows("select state, why from scheduled_messages order by created_at")
        return [(row["state"], row["why"]) for row in rows]


@asynccontextmanager
async def open_shop(database_url: str, directory: Path) -> AsyncIterator[Shop]:
    clock = NoonClock()
    async with text_line(database_url, directory, clock=clock) as line:
        line.phone(PERSON).text(OURS, "hello")
        await line.at_rest()
        (found,) = await line.rows("select id, contact_id, assistant_id, started_at from sessions")
        session = Session(found["id"], found["assistant_id"], 1, {}, found["started_at"])
        address = Address(Kind.VOICE, PERSON)
        said = Message("msg_1", Direction.IN, address, "send me the link", clock.now())
        turn = Turn(
            "turn_1",
            line.account_id,
            line.integration.id,
            Contact(found["contact_id"], None, "en"),
            session,
            (said,),
            (),
            LineTraits("voice", spoken=True),
            clock.now(),
        )
        yield Shop(line, clock, turn)


@pytest.fixture
async def shop(database_url: str, fresh_directory: Path) -> AsyncIterator[Shop]:
    async with open_shop(database_url, fresh_directory) as opened:
        yield opened


async def test_a_link_arrives_once_by_text_while_they_call(shop: Shop) -> None:
    sent = await shop.link("https://www.acme.example/returns?order=7")
    assert sent == ToolAnswer("The link is on its way to the customer's phone +12…23.")
    assert await shop.link("https://www.acme.example/returns?order=7") == sent, "thought again"
    await shop.line.at_rest()
    assert shop.got("Here it is: https://www.acme.example/returns?order=7") == 1
    (row,) = await shop.line.rows("select kind, state, turn_id, cost_micros from messages where kind = 'tool'")
    assert (row["state"], row["turn_id"], row["cost_micros"] > 0) == ("delivered", "turn_1", True)


ELSEWHERE = (
    "http://acme.example/",
    "https://acme.example.evil.example/",
    "https://notacme.example/",
    "https://acme.example@evil.example/",
    "https://evil.example\\@acme.example/",
    "javascript:alert(1)",
    "https://[/",
    "https://acme.example/ and https://evil.example/",
)


async def test_a_phone_in_the_terminal_waits_for_what_leaves_beside_the_answer(shop: Shop) -> None:
    (said,) = await shop.line.rows("select sid from messages where direction = 'in'")
    async with shop.line.core.db.tenant(shop.line.account_id) as conn:
        before = await fate_of(conn, said["sid"])
    assert await shop.link("https://acme.example/x") == ToolAnswer(
        "The link is on its way to the customer's phone +12…23."
    )
    await shop.line.at_rest()
    async with shop.line.core.db.tenant(shop.line.account_id) as conn:
        after = await fate_of(conn, said["sid"])
    assert before is not None
    assert after is not None
    assert (before.sent, after.sent) == (1, 2)


async def test_links_lead_to_the_companys_hosts_only(shop: Shop) -> None:
    for url in ELSEWHERE:
        assert await shop.link(url) == ToolRefused("links may lead to these only, by https: acme.example"), url


async def test_who_opted_out_gets_nothing(shop: Shop) -> None:
    assert isinstance(await shop.later("2026-01-15T09:30"), ToolAnswer)
    shop.line.phone(PERSON).text(OURS, "STOP")
    await shop.line.at_rest()
    assert await shop.scheduled() == [("canceled", "opted out")]
    await shop.due()
    assert shop.got("Your visit") == 0
    assert await shop.link("https://acme.example/") == ToolRefused("the customer has asked for no more messages")
    assert await shop.later("2026-01-16T09:30", "b") == ToolRefused("the customer has asked for no more messages")
    shop.line.phone(PERSON).text(OURS, "START")
    await shop.line.at_rest()
    await shop.due()
    assert shop.got("Your visit") == 0, "what was canceled stays so"


async def test_a_message_leaves_at_its_hour_and_once(shop: Shop) -> None:
    put_by = await shop.later("2026-01-15T09:30")
    assert put_by == ToolAnswer("It will be sent at 2026-01-15T14:30+00:00 (UTC)."), "where the customer lives"
    assert await shop.later("2026-01-15T09:30") == put_by, "thought again"
    await shop.due()
    assert shop.got("Your visit") == 0, "too early"
    shop.clock.forward(timedelta(hours=21, minutes=31))
    await shop.due()
    await shop.due()
    assert shop.got("Your visit is today.") == 1
    assert await shop.scheduled() == [("sent", None)]
    jobs = await shop.line.rows("select args from procrastinate_jobs where task_name = 'channels.scheduled'")
    assert all("visit" not in str(job["args"]) for job in jobs)


async def test_at_night_nothing_leaves(shop: Shop) -> None:
    assert await shop.later("2026-01-14T23:00") == ToolAnswer("It will be sent at 2026-01-15T13:00+00:00 (UTC).")
    shop.clock.forward(timedelta(hours=44))  # late for it, and it is morning before eight
    shop.clock.forward(timedelta(hours=-2))
    await shop.due()
    assert shop.got("Your visit") == 0
    shop.clock.forward(timedelta(hours=3))
    await shop.due()
    assert shop.got("Your visit") == 1


async def test_what_cannot_be_put_by_says_why(shop: Shop) -> None:
    for at, why in (
        ("tomorrow", "must be a date and time"),
        ("2026-01-14T09:00", "must lie ahead"),
        ("2027-01-14T09:00", "at most 90 days"),
    ):
        refused = await shop.later(at)
        assert isinstance(refused, ToolRefused)
        assert why in refused.why
    assert isinstance(await shop.later("2026-01-15T09:00", text="x" * 601), ToolRefused)
    whatsapp = Message("msg_1", Direction.IN, Address(Kind.WHATSAPP, PERSON), "later", shop.clock.now())
    talking, shop.turn = shop.turn, replace(shop.turn, said=(whatsapp,))
    assert await shop.later("2026-01-20T09:00") == ToolRefused(
        "on WhatsApp a message may be put by for at most 24 hours"
    )
    shop.turn = talking
    for key in "bcd":
        assert isinstance(await shop.later("2026-01-15T09:00", key), ToolAnswer)
    fourth = await shop.later("2026-01-15T09:00", "e")
    assert fourth == ToolRefused("3 messages wait for this customer already, and more are not allowed")
    assert isinstance(await shop.later("2026-01-15T09:00", "d"), ToolAnswer), "thought again, it is none more"
