"""Calls in virtual time: who speaks when, who is cut off, and what the record says of it."""

from dataclasses import replace

import pytest

from hookflash.speech.call import CallRules
from hookflash.speech.events import (
    BeginTurn,
    CancelTurn,
    ClearAudio,
    EndCall,
    LookUp,
    Marked,
    Play,
    ReplyText,
    Sound,
    SpeechEnded,
    SpeechStarted,
    TransferTo,
    TurnOver,
    Words,
)
from hookflash.testing.call import ScriptedCall

LONG = "Our store is open from ten to eight on weekdays. On Sundays we open at eleven. Is there anything else?"


def test_a_question_is_answered_and_the_record_has_both() -> None:
    call = ScriptedCall(answer=lambda said: "We open at ten.")
    call.says(0.5, 2.5, "when do you open today?")
    call.run(10)
    (heard,) = call.heard
    assert (heard.said, heard.heard, heard.interrupted) == ("when do you open today?", "We open at ten.", False)
    (measured,) = call.measured
    assert measured.first_sound is not None
    assert measured.first_played is not None
    assert measured.first_played >= measured.first_sound
    assert measured.first_sound < 0.9


def test_thinking_begins_before_the_turn_is_certain_and_sound_waits_for_it() -> None:
    call = ScriptedCall(answer=lambda said: "We open at ten.", first_text=0.01, first_sound=0.01)
    call.says(0.5, 2.5, "when do you open today?", final_after=0.11)
    call.run(10)
    assert call.times(BeginTurn)[0] < 2.7
    assert call.times(Play)[0] >= 2.5 + 0.35


def test_what_was_thought_too_early_is_thrown_away() -> None:
    call = ScriptedCall(answer=lambda said: f"To {said}", first_text=0.01, first_sound=0.01)
    call.says(0.5, 1.5, "when do you open?", final_after=0.11)
    call.says(1.75, 2.6, "on Sundays I mean.")
    call.run(10)
    assert len(call.times(CancelTurn)) >= 1
    assert [h.said for h in call.heard] == ["when do you open? on Sundays I mean."]


@pytest.mark.parametrize("before", ["I would like to return the", "my order number is 4 5", "do you have tents and"])
def test_a_pause_in_mid_sentence_is_not_the_end(before: str) -> None:
    call = ScriptedCall()
    call.says(0.5, 1.5, before, final_after=0.12)
    call.says(2.1, 3.0, "blue ones please.")
    call.run(10)
    assert [h.said for h in call.heard] == [f"{before} blue ones please."]


def test_an_interruption_clears_at_once_and_keeps_only_what_was_heard() -> None:
    call = ScriptedCall(answer=lambda said: LONG if "open" in said else "All right.")
    call.says(0.5, 2.5, "when do you open today?")
    call.says(5.0, 6.0, "no stop I meant the other store")
    call.run(20)
    first, second = call.heard
    assert first.interrupted
    assert first.whole == LONG
    assert LONG.startswith(first.heard.rstrip("."))
    assert 0 < len(first.heard) < len(LONG)
    assert second.said == "no stop I meant the other store"
    assert call.times(ClearAudio) == [5.1]


def test_marks_that_clear_gives_back_are_not_heard() -> None:
    call = ScriptedCall(answer=lambda said: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(3.6, 5.0, "wait I have another question")
    call.run(6)
    assert "anything else" not in call.heard[0].heard


@pytest.mark.parametrize(("said", "end"), [("uh-huh", 4.9), ("", 4.8)], ids=["backchannel", "cough"])
def test_a_false_alarm_goes_on_where_it_stopped(said: str, end: float) -> None:
    call = ScriptedCall(answer=lambda text: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(4.5, end, said)
    call.run(20)
    (heard,) = call.heard
    assert (heard.heard, heard.interrupted) == (LONG, False)
    assert call.times(ClearAudio) == [4.6]
    assert len(call.times(BeginTurn)) == 1
    # A voice over the answer does not change what the answer took.
    (measured,) = call.measured
    assert measured.first_sound is not None
    assert measured.final_words is not None
    assert 0 < measured.final_words < measured.first_sound < 1


def test_a_voice_that_is_not_sure_does_not_clear() -> None:
    call = ScriptedCall(answer=lambda text: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(4.5, 4.7, "", sure=False)
    call.run(20)
    assert call.times(ClearAudio) == []
    assert call.heard[0].heard == LONG


def test_barge_in_at_the_first_word() -> None:
    call = ScriptedCall(answer=lambda said: LONG if "open" in said else "Sure.")
    call.says(0.5, 2.5, "when do you open today?")
    call.run(2.55)
    started = None
    while started is None:
        call.run(call.now + 0.01)
        started = next(iter(call.times(Play)), None)
    call.says(started, started + 1.0, "actually never mind that")
    call.run(12)
    assert call.heard[0].interrupted
    assert call.heard[0].heard == ""
    assert call.heard[1].said == "actually never mind that"


def test_late_text_of_a_cancelled_turn_dies_at_the_door() -> None:
    call = ScriptedCall(answer=lambda said: LONG if "open" in said else "Fine.", obey_cancel=False, first_text=1.0)
    call.says(0.5, 1.5, "when do you open today?")
    call.says(2.2, 3.0, "I mean on Sundays")
    call.run(20)
    assert [h.said for h in call.heard] == ["when do you open today? I mean on Sundays"]
    begun = [e.turn for _, e in call.log if isinstance(e, BeginTurn)]
    before = len(call.log)
    for late in begun[:-1]:
        for event in (ReplyText(late, "late words", last=True), Sound(late, 0, b"x" * 100), TurnOver(late)):
            assert [e for e in call.machine.receive(event, call.now) if isinstance(e, Play)] == []
    assert len(call.log) == before


def test_a_double_end_of_turn_is_one_turn() -> None:
    call = ScriptedCall(answer=lambda said: "Ten.")
    call.says(0.5, 2.5, "when do you open today?")
    call.at(2.7, SpeechEnded(2.5))
    call.at(2.75, Words("", final=True, end_of_turn=True))
    call.at(2.9, Words("", final=True, end_of_turn=True))
    call.run(10)
    assert len(call.heard) == 1


def test_hanging_up_while_we_think_leaves_what_was_said() -> None:
    call = ScriptedCall(first_text=3.0)
    call.says(0.5, 2.5, "when do you open today?")
    call.hangs_up(4.0)
    call.run(10)
    (heard,) = call.heard
    assert (heard.said, heard.heard) == ("when do you open today?", "")
    assert call.times(Play) == []


def test_hanging_up_while_we_speak_keeps_what_was_heard() -> None:
    call = ScriptedCall(answer=lambda said: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.hangs_up(6.0)
    call.run(10)
    assert call.heard[0].interrupted
    assert call.heard[0].heard.startswith("Our store is open")


def test_a_mark_that_never_comes_does_not_hold_the_call() -> None:
    call = ScriptedCall(answer=lambda said: "We open at ten.", lose_marks=True)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(9.0, 10.0, "and on Sundays?")
    call.run(20)
    assert [h.heard for h in call.heard] == ["We open at ten.", "We open at ten."]


def test_keys_pressed_while_we_speak() -> None:
    call = ScriptedCall(answer=lambda said: LONG if "open" in said else f"Order {said}.")
    call.says(0.5, 2.5, "when do you open today?")
    call.presses(4.5, "42#")
    call.run(20)
    assert call.heard[0].interrupted
    assert call.heard[1].said == "42"


def test_keys_without_a_hash_are_read_after_a_pause() -> None:
    call = ScriptedCall()
    call.presses(1.0, "123")
    call.run(10)
    assert [h.said for h in call.heard] == ["123"]


def test_silence_is_met_with_a_question_then_with_a_goodbye() -> None:
    rules = CallRules(reprompt="Are you still there?", reprompts=2, reprompt_after=5.0, goodbye="Goodbye.")
    call = ScriptedCall(rules=rules).run(60)
    texts = [e.text for _, e in call.log if hasattr(e, "text")]
    assert texts == ["Are you still there?", "Are you still there?", "Goodbye."]
    assert call.ended == "the caller is silent"


def test_the_longest_call_ends_politely() -> None:
    call = ScriptedCall(rules=CallRules(max_seconds=30.0, goodbye="Goodbye."), answer=lambda said: LONG * 20)
    call.says(20.0, 21.0, "tell me everything please.")
    call.run(60)
    assert call.ended == "the call is at its longest"


def test_a_filler_covers_a_slow_model_and_is_not_in_the_record() -> None:
    rules = CallRules(filler="One moment.", filler_after=1.0)
    call = ScriptedCall(rules=rules, first_text=4.0, answer=lambda said: "Ten.")
    call.says(0.5, 2.5, "when do you open today?")
    call.run(20)
    assert call.heard[0].heard == "Ten."
    assert "One moment." in [e.text for _, e in call.log if hasattr(e, "text")]


def test_the_voice_dies_in_mid_word_and_the_next_sentence_goes_on() -> None:
    call = ScriptedCall(answer=lambda said: "")
    call.says(0.5, 2.5, "when do you open today?")
    call.run(3.2)
    (turn,) = [e.turn for _, e in call.log if isinstance(e, BeginTurn)]
    call.at(3.3, ReplyText(turn, "First sentence here. Second one.", last=True))
    call.at(3.4, Sound(turn, 0, bytes(4000)))
    call.at(3.5, Sound(turn, 0, b"", failed=True))
    call.at(3.6, Sound(turn, 1, bytes(8000), last=True))
    call.at(3.6, TurnOver(turn))
    call.run(10)
    assert len(call.heard) == 1


def test_a_failed_turn_is_met_with_the_failure_text() -> None:
    call = ScriptedCall(rules=CallRules(failed="Sorry, I cannot answer."), answer=lambda said: "", first_text=100)
    call.says(0.5, 2.5, "when do you open today?")
    call.run(3.5)
    (turn,) = [e.turn for _, e in call.log if isinstance(e, BeginTurn)]
    call.at(3.6, TurnOver(turn, failed=True))
    call.run(8)
    assert "Sorry, I cannot answer." in [e.text for _, e in call.log if hasattr(e, "text")]
    assert call.heard[0].heard == ""


def test_a_transfer_waits_until_we_have_spoken() -> None:
    call = ScriptedCall(answer=lambda said: "I will connect you.")
    call.says(0.5, 2.5, "please let me speak to a person.")
    call.at(3.0, TransferTo("+15550100999"))
    call.run(20)
    assert call.ended == "to +15550100999"
    assert call.heard[0].heard == "I will connect you."


def test_a_transfer_is_forgotten_with_the_turn_that_asked_for_it() -> None:
    call = ScriptedCall(answer=lambda said: "I will connect you.")
    call.says(0.5, 2.5, "please let me speak to a person.")
    call.at(2.75, TransferTo("+15550100999"))
    call.says(2.8, 3.6, "no, wait, where is my parcel?")
    call.run(20)
    first, second = [e for _, e in call.log if isinstance(e, BeginTurn)]
    assert first.early
    assert second.said == "please let me speak to a person. no, wait, where is my parcel?"
    assert call.ended is None
    assert [heard.said for heard in call.heard] == [second.said]


def test_two_callers_have_one_record_each() -> None:
    one, two = ScriptedCall(), ScriptedCall()
    one.says(0.5, 1.5, "what does a tent cost?")
    two.says(0.6, 1.4, "where is my parcel?")
    for now in range(1, 40):
        one.run(now / 4)
        two.run(now / 4)
    assert [h.said for h in one.heard] == ["what does a tent cost?"]
    assert [h.said for h in two.heard] == ["where is my parcel?"]


def test_stable_words_are_looked_up_before_the_end() -> None:
    call = ScriptedCall()
    call.at(0.6, SpeechStarted(0.5))
    call.at(1.0, Words("how much does", final=False))
    call.at(1.3, Words("how much does a tent", final=False))
    call.at(1.6, Words("how much does a tent cost", final=False))
    call.run(2)
    call.at(1.9, SpeechEnded(1.8))
    call.at(2.0, Words("how much does a tent cost in the", final=True))
    call.run(2.1)
    looked = [(e.said, e.settled) for _, e in call.log if isinstance(e, LookUp)]
    assert looked == [
        ("how much does", False),
        ("how much does a tent", False),
        ("how much does a tent cost in the", True),
    ]


def test_our_own_voice_coming_back_is_not_the_caller() -> None:
    call = ScriptedCall(answer=lambda said: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(5.0, 5.5, "store is open from ten", sure=False)
    call.run(20)
    assert call.heard[0].heard == LONG
    assert len(call.heard) == 1


def test_an_end_that_is_asked_for_comes_after_the_words() -> None:
    call = ScriptedCall(answer=lambda said: "Goodbye then.")
    call.says(0.5, 1.5, "that is all, thank you.")
    call.at(2.4, EndCall("the assistant ended it"))
    call.run(12)
    assert call.ended == "the assistant ended it"
    assert call.heard[0].heard == "Goodbye then."


def test_marks_of_nobody_and_events_after_the_end_do_nothing() -> None:
    call = ScriptedCall()
    assert call.machine.receive(Marked("77.3"), 1.0) == []
    assert call.machine.receive(Marked("nonsense"), 1.0) == []
    call.hangs_up(2.0)
    call.run(3)
    assert call.machine.receive(SpeechStarted(4.0), 4.0) == []


def test_rules_without_interruptions_let_us_finish() -> None:
    call = ScriptedCall(rules=replace(CallRules(), interruptible=False), answer=lambda said: LONG)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(5.0, 6.0, "no stop I meant the other store")
    call.run(30)
    assert call.times(ClearAudio) == []
    assert call.heard[0].heard == LONG
