"""Who was not reached is called again: later, by the rules of that moment, once per attempt, whatever process dies meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hookflash.base.errors import TwilioUnclear
from hookflash.base.phone import Address, Kind
from hookflash.channels.outbound import Dialled, Outbound
from hookflash.channels.redial_jobs import DIAL, LOOK_AFTER, Redial
from hookflash.conversation import attempt_store
from hookflash.emulator.person import Callee, Script
from hookflash.testing.wait import until
from tests.doors.test_calls import ASKS, LEAVES, PERSON, DaytimeClock, calling_line, make
from tests.doors.textline import OURS, TextLine

HOUR = timedelta(hours=1)


@asynccontextmanager
async def busy_line(
    database_url: str, directory: Path, retries: int, *, hour: int = 12
) -> AsyncIterator[tuple[TextLine, httpx2.AsyncClient, DaytimeClock]]:
    """A person whose line is busy has been called once, and the next attempt is planned."""
    async with calling_line(database_url, directory, hour=hour) as (line, client):
        line.phone(PERSON).answer_calls(Callee(outcome="busy"))
        made = await make(client, line, retries)
        assert made.status_code == 201, made.text
        await until(lambda: line.rows("select 1 from calls where state = 'waiting'"))
        yield line, client, clock_of(line)


def clock_of(line: TextLine) -> DaytimeClock:
    clock = line.core.clock
    assert isinstance(clock, DaytimeClock)
    return clock


async def attempts(line: TextLine) -> list[dict[str, Any]]:
    return await line.rows("select * from call_attempts order by number")


async def waiting_jobs(line: TextLine) -> list[dict[str, Any]]:
    """The jobs that see to attempts, the soonest first; `wait` in seconds."""
    async with line.core.db.system() as conn:
        cursor = await conn.execute(
            "select args, extract(epoch from scheduled_at - now())::float as wait from procrastinate_jobs"
            " where task_name = %s and args ->> 'account_id' = %s and status = 'todo' order by id",
            (DIAL, line.account_id),
        )
        return list(await cursor.fetchall())


async def shown(client: httpx2.AsyncClient) -> dict[str, Any]:
    (call,) = (await client.get("/v1/calls")).json()["items"]
    found: dict[str, Any] = call
    return found


async def test_a_busy_person_is_called_again_after_a_gap_and_reached(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 2) as (line, client, clock):
        first, second = await attempts(line)
        assert (first["state"], first["why"], second["state"]) == ("over", "busy", "due")
        job = (await waiting_jobs(line))[-1]
        assert job["args"]["attempt_id"] == second["id"]
        assert 250 < job["wait"] <= 300
        call = await shown(client)
        assert (call["state"], call["retries"], call["why"]) == ("waiting", 2, "busy")
        assert call["next_try_at"] is not None
        assert [each["why"] for each in call["attempts"]] == ["busy", None]
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES))))
        clock.forward(timedelta(minutes=6))
        again = line.core.redial()
        await again.see_to(line.account_id, second["id"])
        await again.see_to(line.account_id, second["id"])
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        call = await shown(client)
        assert [each["why"] for each in call["attempts"]] == ["busy", "completed"]
        assert call["next_try_at"] is None
        assert len(line.emulator.calls) == 2
        (turn,) = await line.rows("select said from turns")
        assert turn["said"] == "when do you open"


async def test_an_attempt_waits_for_its_hour(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 1) as (line, _, _clock):
        _, second = await attempts(line)
        await line.core.redial().see_to(line.account_id, second["id"])
        assert len(line.emulator.calls) == 1
        assert (await attempts(line))[1]["state"] == "due"


async def test_the_last_attempt_is_the_last(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 1) as (line, client, clock):
        _, second = await attempts(line)
        clock.forward(HOUR)
        await line.core.redial().see_to(line.account_id, second["id"])
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        assert [each["state"] for each in await attempts(line)] == ["over", "over"]
        call = await shown(client)
        assert (call["why"], call["measures"]["status"]) == ("busy", "busy")


async def test_an_attempt_asks_anew_whether_it_may_be_made(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 3, hour=19) as (line, client, clock):
        _, second = await attempts(line)
        # By then it is night where they live: it waits for the morning.
        clock.forward(3 * HOUR)
        await line.core.redial().see_to(line.account_id, second["id"])
        assert len(line.emulator.calls) == 1
        job = (await waiting_jobs(line))[-1]
        assert 9.9 * 3600 < job["wait"] <= 10 * 3600
        # In the morning they have opted out.
        line.phone(PERSON).text(OURS, "STOP")
        await until(lambda: line.rows("select 1 from opt_outs where opted_out"))
        clock.forward(11 * HOUR)
        await line.core.redial().see_to(line.account_id, second["id"])
        assert len(line.emulator.calls) == 1
        call = await shown(client)
        assert (call["state"], call["next_try_at"]) == ("ended", None)
        assert "opted out" in call["attempts"][-1]["why"]


async def test_who_hangs_up_is_not_called_again(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        line.phone(PERSON).answer_calls(Callee(script=Script((LEAVES,))))
        await make(client, line, 2)
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        assert len(await attempts(line)) == 1


async def test_a_callback_that_comes_twice_plans_one_attempt(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 2) as (line, _, _clock):
        (there,) = line.emulator.calls
        form = {"CallSid": there.sid, "From": OURS, "To": PERSON, "CallStatus": "busy", "Direction": "outbound-api"}
        first, _ = await attempts(line)
        for _ in range(2):
            assert (await line.signed(f"/voice/status?try={first['id']}", form)).status_code == 204
        assert len(await attempts(line)) == 2
        (row,) = await line.rows("select state from calls")
        assert row["state"] == "waiting"


class Dies(Exception):
    """The process, at this moment."""


class Mortal(Outbound):
    """Dies before or after Twilio is asked."""

    after: bool = False

    async def ring(self, integration: Any, attempt_id: str, to: str) -> str:
        if type(self).after:
            await super().ring(integration, attempt_id, to)
        raise Dies


class MortalAfter(Mortal):
    after = True


@pytest.mark.parametrize("kind", [Mortal, MortalAfter], ids=["before Twilio is asked", "after Twilio was asked"])
async def test_a_process_that_dies_while_dialling_loses_and_repeats_nothing(
    database_url: str, fresh_directory: Path, kind: type[Mortal]
) -> None:
    async with busy_line(database_url, fresh_directory, 1) as (line, _, clock):
        _, second = await attempts(line)
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES)), rings=0.5))
        living = line.core.redial()
        outbound = living.outbound
        mortal = kind(outbound.twilio, clock, outbound.desk, outbound.permit, outbound.public_url)
        clock.forward(timedelta(minutes=6))
        with pytest.raises(Dies):
            await Redial(line.core.db, clock, line.core.integrations, mortal).see_to(line.account_id, second["id"])
        # Whoever takes the job over at once does nothing yet: the request may still be on its way.
        await living.see_to(line.account_id, second["id"])
        assert len(line.emulator.calls) == (2 if kind.after else 1)
        clock.forward(LOOK_AFTER + timedelta(seconds=1))
        await living.see_to(line.account_id, second["id"])
        await living.see_to(line.account_id, second["id"])
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        assert len(line.emulator.calls) == 2
        assert [each["why"] for each in await attempts(line)] == ["busy", "completed"]


async def test_the_first_attempt_is_looked_after_too(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, _):
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES))))
        core, clock = line.core, clock_of(line)
        outbound = core.outbound()
        dies = Mortal(outbound.twilio, clock, outbound.desk, outbound.permit, outbound.public_url)
        with pytest.raises(Dies):
            await dies.call(line.integration, Address.parse(PERSON, Kind.VOICE), "test")
        (first,) = await attempts(line)
        (job,) = await waiting_jobs(line)
        assert job["args"]["attempt_id"] == first["id"]
        clock.forward(timedelta(minutes=2))
        await line.core.redial().see_to(line.account_id, first["id"])
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        assert len(line.emulator.calls) == 1


async def test_an_end_of_which_nobody_told_us_is_asked_for(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        line.emulator.fault("lose_status", probability=1.0)
        line.phone(PERSON).answer_calls(Callee(outcome="no-answer"))
        await make(client, line, 1)
        await until(lambda: all(each.is_over for each in line.emulator.calls))
        (first,) = await attempts(line)
        assert first["state"] == "ringing"
        await line.core.redial().see_to(line.account_id, first["id"])
        first, second = await attempts(line)
        assert (first["why"], second["state"]) == ("no-answer", "due")


class Unclear(Outbound):
    """Twilio does not say whether it took the call."""

    async def ring(self, integration: Any, attempt_id: str, to: str) -> str:
        raise TwilioUnclear("The connection broke.")


async def test_an_attempt_that_is_in_doubt_is_not_made_again(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 5) as (line, client, clock):
        _, second = await attempts(line)
        outbound = line.core.outbound()
        clock.forward(HOUR)
        doubtful = Unclear(outbound.twilio, clock, outbound.desk, outbound.permit, outbound.public_url)
        await Redial(line.core.db, clock, line.core.integrations, doubtful).see_to(line.account_id, second["id"])
        call = await shown(client)
        assert call["state"] == "ended"
        assert call["attempts"][-1]["why"].startswith("unclear")


async def test_sids_that_are_ours_are_known(database_url: str, fresh_directory: Path) -> None:
    async with busy_line(database_url, fresh_directory, 1) as (line, _, _clock):
        (there,) = line.emulator.calls
        async with line.core.db.tenant(line.account_id) as conn:
            assert await attempt_store.known_sids(conn, [there.sid, "CA" + "0" * 32]) == {there.sid}
        # A call that is given up stays given up.
        (first, _) = await attempts(line)
        await line.core.switchboard().failed(line.account_id, Dialled(first["call_id"], first["id"]), "too late")
        assert (await attempts(line))[0]["why"] == "busy"
