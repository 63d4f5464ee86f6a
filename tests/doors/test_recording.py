"""Recordings at Twilio: begun once and after saying so, silent while a number is told that must not be kept."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from hookflash.base.errors import TwilioUnclear
from hookflash.channels.recorder import Recorder
from hookflash.conversation.turn import Turn
from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.call_record import CallRecord
from hookflash.emulator.person import AfterBot, At, HangUp, Press, Say, Script, Sound
from hookflash.testing.clock import VirtualClock
from hookflash.testing.speech import Said
from hookflash.testing.wait import until
from tests.doors.test_calls import LEAVES, PERSON, calling_line
from tests.doors.test_stream import SPEECH, studio
from tests.doors.textline import OURS, TextLine

CARD = "4111111111111111"
QUESTION = "Please enter your card number."


async def shop(turn: Turn) -> str:
    """Asks for a card, and then for its code."""
    words = turn.words
    if "pay" in words:
        return QUESTION
    if "4111" in words:
        return "And what is the security code?"
    return f"Thank you for {words}."


def statuses(record: CallRecord) -> list[str]:
    """What became of the recording, in order."""
    return [entry.data["status"] for entry in record.of("recording")]


async def kept(line: TextLine) -> list[tuple[str, str]]:
    rows = await line.rows("select said, question, answered from turns order by at, (record ->> 'number')::int")
    assert all(CARD not in str(row) for row in rows)
    return [(row["said"], row["answered"]) for row in rows]


async def nothing_is_left_of_it(line: TextLine) -> None:
    """Of the card's number, in whatever we keep."""
    for table in ("messages", "turns", "calls", "journal", "sessions"):
        rows = await line.rows(
            f"select 1 from {table} t where t::text like '%%{CARD}%%' or t::text like '%%4111 1111%%'"
        )
        assert not rows, table


@pytest.mark.parametrize("way", ["relay", "gather"])
async def test_a_card_that_is_keyed_is_in_no_recording_and_no_record(
    database_url: str, fresh_directory: Path, way: str
) -> None:
    async with calling_line(database_url, fresh_directory, answer=shop, record=True, way=way) as (line, _):
        acts = (Say("I want to pay", AfterBot(0.2)), Press(f"{CARD}#", AfterBot(0.2)), Press("737#", AfterBot(0.2)))
        call = line.phone(PERSON).call(OURS, Script((*acts, HangUp(AfterBot(1.5)))))
        await call.ended()
        assert call.record.said[0].startswith("This call is recorded.")
        assert statuses(call.record) == ["paused", "in-progress"]
        assert await until_kept(line, 3) == [
            ("I want to pay", QUESTION),
            ("[card number]", "And what is the security code?"),
            ("[number]", "Thank you for [number]."),
        ]
        await nothing_is_left_of_it(line)
        # While it was silent nothing of what was keyed was recorded.
        paused, resumed = (entry.at for entry in call.record.of("recording"))
        pressed = [entry.at for entry in call.record.of("presses")]
        assert paused < min(pressed)
        assert resumed > max(pressed)


async def until_kept(line: TextLine, turns: int) -> list[tuple[str, str]]:
    await until(lambda: line.rows("select 1 from turns having count(*) = %s", turns))
    return await kept(line)


async def test_a_card_that_is_said_to_a_stream_is_in_no_recording(database_url: str, fresh_directory: Path) -> None:
    spoken = "four one one one, one one one one, one one one one, one one one one"
    heard = Said(f"my card is {spoken}", start=1.6, end=1.6 + len(SPEECH) / 8000)
    async with calling_line(
        database_url, fresh_directory, studio=studio(heard), answer=shop, record=True, way="stream", greeting="Hi."
    ) as (line, _):
        acts: Sequence[Sound | HangUp] = (Sound(SPEECH, "", At(1.5)), HangUp(AfterBot(1.0)))
        call: CallHandle = line.phone(PERSON).call(OURS, Script(tuple(acts)))
        await call.ended()
        (ended,) = [entry.at for entry in call.record.of("spoke")]
        paused = call.record.of("recording")[0]
        assert paused.data["status"] == "paused"
        # Before it was said to its end.
        assert paused.at < ended
        assert statuses(call.record)[-1] == "in-progress"
        assert (await until_kept(line, 1))[0][0] == "my card is [card number]"
        await nothing_is_left_of_it(line)


async def test_a_caller_of_earlier_is_recorded_turn_by_turn_too(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, record=True, way="gather") as (line, _):
        for _ in range(2):
            call = line.phone(PERSON).call(OURS, Script((Say("hello", AfterBot(0.2)), LEAVES)))
            await call.ended()
        await until(lambda: line.rows("select 1 from calls where recording_sid is not null having count(*) = 2"))


class Deaf:
    """An account whose recordings cannot be paused."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    async def record_call(self, sid: str, callback: str) -> bool:
        return True

    async def pause_recording(self, call_sid: str) -> bool:
        raise TwilioUnclear("The connection broke.")

    async def resume_recording(self, call_sid: str) -> bool:
        return True

    async def stop_recording(self, call_sid: str) -> bool:
        self.stopped.append(call_sid)
        return True


async def test_a_recording_that_cannot_be_paused_is_ended() -> None:
    clock, account = VirtualClock(), Deaf()

    recorder = Recorder(account, "CA1", "https://example.com", clock, begin=True)
    recorder.pressed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await clock.advance(5)
    assert account.stopped == ["CA1"]
