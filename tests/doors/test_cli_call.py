"""`hookflash call`: what it says and shows, a demonstration by words alone, and a call of one's own."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookflash.cli import app, screen
from hookflash.cli.call import Wanted, _ring
from hookflash.cli.call_view import clock, heard, remarks, shown, strip, summed_up, timeline
from hookflash.cli.turns_store import Taken
from hookflash.emulator.call_record import CallRecord
from hookflash.emulator.person import Callee, HangUp, OverBot, Say, Script, Sound
from tests.doors.test_calls import ASKS, LEAVES, PERSON, DaytimeClock, calling_line
from tests.doors.test_cli import logs_as_they_were

__all__ = ["logs_as_they_were"]


def taken(said: str, answered: str, **record: object) -> Taken:
    return Taken("turn_1", said, None, answered, "answered", 0.9, "extractive", "en", record, 0)


def spoken() -> tuple[CallRecord, list[Taken]]:
    """A call of two questions, the answer to the first of which is cut off."""
    record = CallRecord()
    for at, kind, text in (
        (2.0, "speaks", "One?"),
        (3.0, "spoke", "One?"),
        (6.0, "speaks", "Two?"),
        (7.0, "spoke", ""),
    ):
        record.note(at, kind, text=text)
    for at, seconds in ((0.5, 1.0), (3.5, 1.0), (5.0, 1.2), (8.0, 2.0)):
        record.ear.heard.add(at, b"\x00" * int(seconds * 8000))
    first = taken(
        "one", "Yes, it", interrupted=True, whole="Yes, it is one.", measures={"final_words": 0.2, "first_played": 0.6}
    )
    return record, [first, taken("two", "It is two.", whole="It is two.", sources=[{"title": "Two", "cited": True}])]


def test_the_timeline_pairs_what_was_said_with_what_was_heard() -> None:
    record, turns = spoken()
    assert heard(record) == [(0.5, 1.5), (3.5, 6.2), (8.0, 10.0)]
    lines = timeline(record, turns, "Hello.")
    assert [(line.at, line.ours, line.words) for line in lines] == [
        (0.5, True, "Hello."),
        (2.0, False, "One?"),
        (3.5, True, "Yes, it"),
        (6.0, False, "Two?"),
        (8.0, True, "It is two."),
    ]
    assert remarks(lines[2]) == [
        "600 ms after the caller's last word  (words 200 ms)",
        "heard 7 of 15 characters, and so it is kept",
    ]
    assert remarks(lines[4]) == ["1.0 s after the caller's last word", "from Two"]
    assert summed_up(lines) == "2 answers, half of them within 1.0 s, 1 interruption"
    console = screen.out()
    with console.capture() as told:
        console.print(shown(lines))
        console.print(strip(lines))
    assert "✂ interrupted" in told.get()
    assert "0:10.0" in told.get()


def test_a_call_in_which_nobody_spoke_can_be_shown() -> None:
    lines = timeline(CallRecord(), [], "Hello.")
    assert lines == []
    assert summed_up(lines) == "0 answers, 0 interruptions"
    assert clock(61.25) == "1:01.2"


def test_what_the_caller_does() -> None:
    *_, last, leaves = Wanted((), ()).acts()
    assert isinstance(last, Say)
    assert isinstance(last.when, OverBot)
    assert isinstance(leaves, HangUp)
    assert [act.text for act in Wanted((), ("A?", "B?")).acts() if isinstance(act, Say)] == ["A?", "B?"]
    assert [act.text for act in Wanted((b"a", b"b"), ("A?",)).acts() if isinstance(act, Sound)] == ["A?", ""]


@pytest.mark.usefixtures("logs_as_they_were")
def test_without_a_voice_the_demonstration_goes_by_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hookflash.cli.call.hears_and_speaks", lambda: False)
    result = CliRunner().invoke(
        app, ["call", "--demo", "--say", "Do you ship to Canada?", "--out", str(tmp_path / "call.wav")]
    )
    assert result.exit_code == 0, result.output
    assert "ConversationRelay" in result.output
    assert "$18" in result.output
    assert "1 answer, half of them within" in result.output
    assert not (tmp_path / "call.wav").exists()


def test_a_place_that_is_not_there_is_said_before_the_call(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["call", "--demo", "--out", str(tmp_path / "nowhere" / "call.wav")])
    assert refused.exit_code == 2


def test_whom_to_ring_must_be_said() -> None:
    result = CliRunner().invoke(app, ["call"])
    assert result.exit_code == 2
    assert "hookflash call --demo" in result.output


async def test_a_call_of_ones_own_is_made_by_the_rules_and_awaited(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, _):
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES))))
        row, turns = await _ring(line.core.settings, PERSON, None, "repair", None, clock=DaytimeClock())
        assert (row.state, row.purpose, row.measures["status"]) == ("ended", "repair", "completed")
        assert [turn.answered for turn in turns] == ["You said: when do you open"]
