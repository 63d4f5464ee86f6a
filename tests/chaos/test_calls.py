"""A server is killed with SIGKILL in the middle of a call: the person goes on, at another server or by text, and nothing is lost."""

import os
import signal
from pathlib import Path

from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.person import AfterBot, HangUp, Say, Script
from hookflash.testing.wait import until
from tests.chaos.fleet import Process
from tests.chaos.line import SMS, Line, chaos_line

CALLER = "+15553000001"
LISTEN = "0A"


def listening(line: Line) -> int:
    """How many processes listen on the port of the web role."""
    port = f":{int(line.base.rpartition(':')[2]):04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == LISTEN for row in rows)


async def on_the_telephone(line: Line) -> CallHandle:
    """A call that has had one question and its answer."""
    call = line.emulator.handset(CALLER).call(SMS, Script((Say("call 1-0", AfterBot(0.2)),)))
    await call.record.until(lambda record: any("[/call 1-0]" in said for said in record.said), 30)
    # What was said is kept a moment after it was heard.
    await until(lambda: line.rows("select 1 from turns where said = 'call 1-0'"))
    return call


async def kill(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not process.lives)


async def turns(line: Line) -> list[str]:
    return [row["said"] for row in await line.rows("select said from turns order by at")]


async def by_text(line: Line) -> None:
    """The person texts, and is answered in the session of the call."""
    phone = line.emulator.handset(CALLER)
    phone.text(SMS, "text 1-2")
    await until(lambda: any("[/text 1-2]" in received.body for received in phone.inbox), 30)
    assert len(await line.rows("select 1 from sessions")) == 1


async def test_a_call_whose_server_is_killed_goes_on_at_another(database_url: str, fresh_directory: Path) -> None:
    async with chaos_line(database_url, fresh_directory, webs=1, workers=1) as line:
        line.fleet.restarting = False
        call = await on_the_telephone(line)
        (first,) = line.fleet.living("web")
        await line.fleet.start("web")
        await until(lambda: listening(line) == 2, 60)
        await kill(first)
        await call.record.until(lambda record: "Please go on." in record.said, 30)
        assert "We were cut off. One moment please." in call.record.said
        await call.act(Say("call 1-1", AfterBot(0.2)), HangUp(AfterBot(0.4)))
        await call.ended()
        assert "[call 1-1] was heard [/call 1-1]" in call.record.said
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        await by_text(line)
        assert await turns(line) == ["call 1-0", "call 1-1", "text 1-2"]
        (row,) = await line.rows("select measures, summary from calls")
        assert row["measures"]["lost"] == 1
        assert "call 1-1" in row["summary"]


async def test_a_call_whose_only_server_is_killed_goes_on_by_text(database_url: str, fresh_directory: Path) -> None:
    async with chaos_line(database_url, fresh_directory, webs=1, workers=1) as line:
        line.fleet.restarting = False
        call = await on_the_telephone(line)
        await kill(line.fleet.living("web")[0])
        # Nobody answers Twilio, neither at the action nor at the fallback: it apologises and hangs up.
        await call.ended()
        await line.fleet.start("web")
        await until(line.is_up, 60)
        await by_text(line)
        assert await turns(line) == ["call 1-0", "text 1-2"]
