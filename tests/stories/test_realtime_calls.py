"""Calls of speech to speech in virtual time: who is cut off, what the vendor is told of it, and what the record says."""

import pytest

from hookflash.speech.call import CallRules
from hookflash.speech.events import ClearAudio, EndCall, Play, TransferTo
from hookflash.speech.realtime_events import RealtimeEvent, Use, Used
from hookflash.speech.sts import (
    Answer,
    CallerWords,
    Cease,
    FunctionAsked,
    Give,
    NotNow,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyWords,
    SayThis,
    Tell,
)
from hookflash.testing.realtime_call import Call, Outcome, ScriptedRealtime, Step

LONG = "Our store is open from ten to eight on weekdays. On Sundays we open at eleven. Is there anything else?"


def answers(said: str) -> list[Step]:
    return [LONG if "open" in said else "All right."]


def searches(said: str) -> list[Step]:
    """Looks it up, and says what was found."""
    return [said] if said.startswith("Found:") else ["One moment.", Call("search_knowledge", '{"question": "x"}')]


def test_a_question_is_answered_and_the_record_has_both() -> None:
    call = ScriptedRealtime(answer=answers)
    call.says(0.5, 2.5, "when do you open today?")
    call.run(15)
    (heard,) = call.heard
    assert (heard.turn, heard.said, heard.heard, heard.whole, heard.interrupted) == (
        1,
        "when do you open today?",
        LONG,
        LONG,
        False,
    )
    (measured,) = call.measured
    assert measured.final_words == pytest.approx(0.8)
    assert measured.begun == pytest.approx(0.2)
    assert measured.first_sound == pytest.approx(0.5)
    assert measured.first_played == pytest.approx(0.5)
    assert sum(s.micros for s in call.spent if not s.words) == 100
    assert sum(s.micros for s in call.spent if s.words) == 3
    assert call.cuts() == []
    assert call.times(ClearAudio) == []


def test_an_interruption_clears_cuts_and_keeps_only_what_was_heard() -> None:
    call = ScriptedRealtime(answer=answers)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(5.0, 6.0, "no stop I meant the other store")
    call.run(20)
    first, second = call.heard
    assert first.interrupted
    assert first.whole == LONG
    assert LONG.startswith(first.heard)
    # Sound from 3.0 to 5.1 at 15 characters a second.
    assert 25 <= len(first.heard) <= 32
    assert second.said == "no stop I meant the other store"
    assert second.heard == "All right."
    assert call.times(ClearAudio) == [5.1]
    (cut,) = call.cuts()
    assert 1900 <= cut.heard_ms <= 2150


def test_what_a_cancelled_reply_still_brings_dies_at_the_door() -> None:
    call = ScriptedRealtime(answer=answers, obey=False)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(3.4, 4.4, "stop, something else please")
    call.run(3.51)
    assert call.times(Play)[-1] <= 3.5
    before = len(call.times(Play))
    call.run(4.55)
    assert len(call.times(Play)) == before
    call.run(20)
    assert call.heard[0].interrupted
    assert len(call.heard[0].heard) < 10
    assert call.heard[1].said == "stop, something else please"
    assert call.heard[1].heard == "All right."


def test_marks_that_clear_gives_back_are_not_heard() -> None:
    call = ScriptedRealtime(answer=answers)
    call.says(0.5, 2.5, "when do you open today?")
    call.says(4.8, 6.0, "wait I have another question")
    call.run(7)
    assert "Sundays" not in call.heard[0].heard


def test_words_before_the_first_sound_go_on_with_what_was_said() -> None:
    call = ScriptedRealtime(answer=answers, first_sound=0.8)
    call.says(0.5, 1.5, "when do you open")
    call.says(1.9, 2.9, "on Sundays I mean")
    call.run(15)
    (heard,) = call.heard
    assert heard.said == "when do you open on Sundays I mean"
    assert not heard.interrupted
    assert heard.heard == "All right."
    assert call.times(ClearAudio) == []


def test_a_function_is_used_and_its_passages_are_spoken() -> None:
    call = ScriptedRealtime(answer=searches, functions={"search_knowledge": Outcome("Found: thirty days.", after=0.4)})
    call.says(0.5, 2.0, "how long may I return a jacket?")
    call.run(15)
    (heard,) = call.heard
    assert heard.heard == "One moment. Found: thirty days."
    assert not heard.interrupted
    ((_, given),) = [(at, e) for at, e in call.log if isinstance(e, Give)]
    assert given.output == "Found: thirty days."
    assert len(call.times(Answer)) == 1
    # Both replies of the turn are on its bill.
    assert [s.micros for s in call.spent if s.turn == 1 and not s.words] == [100, 100]


def test_an_answer_is_asked_for_once_when_all_functions_of_a_reply_are_done() -> None:
    call = ScriptedRealtime(
        answer=lambda said: [Call("a"), Call("b")] if "?" in said else ["Done."],
        functions={"a": Outcome("first", after=0.2), "b": Outcome("second", after=0.9)},
    )
    call.says(0.5, 1.5, "two things?")
    call.run(12)
    assert len(call.times(Give)) == 2
    assert len(call.times(Answer)) == 1
    assert call.heard[0].heard == "Done."


def test_what_a_function_gives_to_a_turn_that_was_cut_off_is_told_and_not_answered() -> None:
    call = ScriptedRealtime(
        answer=lambda said: searches(said) if "?" in said or said.startswith("Found") else ["All right."],
        functions={"search_knowledge": Outcome("Found: thirty days.", after=3.0)},
    )
    call.says(0.5, 2.0, "how long may I return a jacket?")
    call.says(4.0, 4.8, "never mind")
    call.run(15)
    assert [h.heard for h in call.heard] == ["One moment.", "All right."]
    assert len(call.times(Give)) == 1
    assert call.times(Answer) == []


def test_who_speaks_while_a_function_works_is_answered_once() -> None:
    call = ScriptedRealtime(
        answer=lambda said: [Call("search_knowledge")] if said.endswith("?") else ["Within thirty days."],
        functions={"search_knowledge": Outcome("Found: thirty days.", after=1.0)},
    )
    call.says(0.5, 1.5, "how long may I return it?")
    call.says(2.1, 3.5, "a jacket I mean")
    call.run(15)
    (heard,) = call.heard
    assert heard.said == "how long may I return it? a jacket I mean"
    assert heard.heard == "Within thirty days."
    assert len(call.times(Give)) == 1
    assert call.times(Answer) == []


def test_a_filler_is_said_while_a_function_takes_long_and_is_no_part_of_the_record() -> None:
    call = ScriptedRealtime(
        answer=lambda said: [said] if said.startswith("Found") else [Call("search_knowledge")],
        rules=CallRules(filler="I am still looking.", filler_after=1.0),
        functions={"search_knowledge": Outcome("Found: it.", after=2.0)},
    )
    call.says(0.5, 1.5, "how long?")
    call.run(12)
    assert call.own() == ["I am still looking."]
    assert call.heard[0].heard == "Found: it."


@pytest.mark.parametrize(
    ("why", "ended"),
    [("", "joined anew"), ("failed: OpenAI does not accept the key.", "failed: OpenAI does not accept the key.")],
    ids=["again", "for good"],
)
def test_a_vendor_that_dies_in_mid_word_leaves_what_was_heard(why: str, ended: str) -> None:
    call = ScriptedRealtime(answer=answers)
    call.says(0.5, 2.5, "when do you open today?")
    call.dies(3.6, why)
    call.run(20)
    assert call.ended == ended
    (heard,) = call.heard
    assert heard.said == "when do you open today?"
    assert heard.interrupted
    assert 0 < len(heard.heard) < len(LONG)
    assert LONG.startswith(heard.heard)


def test_a_hang_up_while_it_speaks_keeps_what_was_heard_and_waits_for_the_words() -> None:
    call = ScriptedRealtime(answer=answers, words_after=1.5)
    call.says(0.5, 2.5, "when do you open today?")
    call.hangs_up(4.0)
    call.run(4.1)
    assert call.ended is None
    call.run(10)
    assert call.ended == "over"
    (heard,) = call.heard
    assert heard.said == "when do you open today?"
    assert heard.interrupted
    assert 10 <= len(heard.heard) <= 16


def test_a_hang_up_whose_words_never_come_ends_all_the_same() -> None:
    call = ScriptedRealtime(answer=answers, words_after=60.0)
    call.says(0.5, 2.5, "when do you open today?")
    call.hangs_up(4.0)
    call.run(10)
    assert call.ended == "over"
    assert call.heard[0].said == ""
    assert call.heard[0].heard


def test_words_that_come_late_hold_the_record_and_not_the_talk() -> None:
    call = ScriptedRealtime(answer=lambda said: ["Yes."], words_after=2.5)
    call.says(0.5, 1.5, "are you open?")
    call.says(3.2, 4.0, "and tomorrow?")
    call.run(15)
    assert [(h.turn, h.said, h.heard) for h in call.heard] == [
        (1, "are you open?", "Yes."),
        (2, "and tomorrow?", "Yes."),
    ]


def test_a_silent_caller_is_asked_and_then_let_go() -> None:
    rules = CallRules(greeting="Hello.", reprompt="Are you there?", reprompt_after=5.0, reprompts=2, goodbye="Goodbye.")
    call = ScriptedRealtime(rules=rules)
    call.run(60)
    assert call.own() == ["Hello.", "Are you there?", "Are you there?", "Goodbye."]
    assert call.ended == "the caller is silent"
    assert call.heard == []


def test_an_interrupted_greeting_is_cut_and_the_question_answered_once() -> None:
    call = ScriptedRealtime(answer=answers, rules=CallRules(greeting="Hello and welcome to the shop of Acme. " * 2))
    call.says(1.5, 2.5, "when do you open?")
    call.run(15)
    assert call.times(ClearAudio) == [1.6]
    assert len(call.cuts()) == 1
    assert [(h.said, h.heard) for h in call.heard] == [("when do you open?", LONG)]
    assert call.times(Answer) == []


def test_the_longest_call_ends_with_a_goodbye() -> None:
    call = ScriptedRealtime(answer=answers, rules=CallRules(max_seconds=5.0, goodbye="Goodbye."))
    call.says(0.5, 2.5, "when do you open today?")
    call.run(20)
    assert call.ended == "the call is at its longest"
    assert call.own() == ["Goodbye."]
    assert call.times(Cease) == [] or call.times(Cease) == [5.0]
    assert call.heard[0].interrupted


def test_keys_interrupt_are_told_as_text_and_answered() -> None:
    call = ScriptedRealtime(answer=lambda said: [LONG] if "open" in said else [f"Thank you for {said[-4:-1]}."])
    call.says(0.5, 2.5, "when do you open?")
    call.presses(4.0, "42#")
    call.run(20)
    ((_, told),) = [(at, e) for at, e in call.log if isinstance(e, Tell)]
    assert "42" in told.text
    assert call.times(ClearAudio) == [4.0]
    assert [h.said for h in call.heard] == ["when do you open?", "42"]
    assert call.heard[0].interrupted
    assert "Thank you" in call.heard[1].heard


def test_a_person_takes_over_after_what_is_being_said() -> None:
    call = ScriptedRealtime(
        answer=lambda said: ["A colleague will help you.", Call("hand_off", '{"reason": "asked"}')],
        functions={"hand_off": Outcome("ok", after=0.05, then=TransferTo("+15550100300"))},
    )
    call.says(0.5, 1.5, "a person please")
    call.run(12)
    assert call.ended == "to +15550100300"
    assert call.heard[0].heard == "A colleague will help you."
    assert not call.heard[0].interrupted
    assert call.times(Answer) == []


def test_who_ends_the_call_without_a_word_has_goodbye_said() -> None:
    call = ScriptedRealtime(
        answer=lambda said: [Call("end_call")],
        rules=CallRules(goodbye="Goodbye."),
        functions={"end_call": Outcome("ok", after=0.05, then=EndCall("the caller has said goodbye"))},
    )
    call.says(0.5, 1.5, "that was all, bye")
    call.run(12)
    assert call.own() == ["Goodbye."]
    assert call.ended == "the caller has said goodbye"
    assert call.heard[0].said == "that was all, bye"


def test_who_may_not_interrupt_is_answered_afterwards() -> None:
    call = ScriptedRealtime(answer=answers, rules=CallRules(interruptible=False))
    call.says(0.5, 2.5, "when do you open today?")
    call.says(4.0, 5.0, "and where?")
    call.run(25)
    assert call.times(ClearAudio) == []
    assert [(h.said, h.heard, h.interrupted) for h in call.heard] == [
        ("when do you open today?", LONG, False),
        ("and where?", "All right.", False),
    ]


def test_a_mark_that_never_comes_does_not_hold_the_call() -> None:
    call = ScriptedRealtime(answer=answers, lose_marks=True, rules=CallRules(reprompt="Are you there?"))
    call.says(0.5, 2.5, "when do you open today?")
    call.run(25)
    assert call.heard[0].heard == LONG
    assert call.own()[0] == "Are you there?"


def test_a_vendor_that_says_nothing_is_asked_again_and_then_given_up() -> None:
    call = ScriptedRealtime(answer=answers, mute=True)
    call.says(0.5, 2.5, "when do you open today?")
    call.run(30)
    assert len(call.times(Answer)) == 1
    assert call.ended == "joined anew"
    assert call.heard[0].said == "when do you open today?"
    assert call.heard[0].heard == ""


@pytest.mark.parametrize("failures", [1, 2])
def test_a_reply_that_fails_is_asked_for_once_more(failures: int) -> None:
    call = ScriptedRealtime(answer=answers, failures=failures)
    call.says(0.5, 1.5, "where are you?")
    call.run(7)
    assert len(call.times(Answer)) == 1
    if failures == 1:
        assert call.heard[0].heard == "All right."
    else:
        assert call.ended == "failed: the vendor reported an error (server_error)."


def test_what_we_want_said_waits_while_the_vendor_is_busy() -> None:
    call = ScriptedRealtime(rules=CallRules(greeting="Hello."), mute=True)
    call.at(0.1, NotNow())
    call.run(5)
    assert call.own() == ["Hello.", "Hello."]


@pytest.mark.parametrize("seed", range(60))
def test_events_of_nowhere_and_in_no_order_break_nothing(seed: int) -> None:
    events: list[RealtimeEvent | SayThis] = [
        CallerWords("item_x", "what?"),
        ReplyAudio("resp_x", "item_y", bytes(400)),
        ReplyWords("resp_x", "item_y", "no"),
        FunctionAsked("resp_x", "call_x", "search_knowledge", "{"),
        Used("call_y", "nothing"),
        ReplyEnded("resp_x"),
        ReplyBegan("resp_z"),
        ReplyEnded("resp_z", failed="x"),
        NotNow(),
        SayThis("x"),
        EndCall("enough"),
        TransferTo("+15550100300"),
    ]
    call = ScriptedRealtime(
        answer=answers, rules=CallRules(greeting="Hello."), functions={"search_knowledge": Outcome()}
    )
    call.says(0.5, 1.5, "when do you open?")
    call.says(3.0, 4.0, "stop")
    for n in range(20):
        event = events[(seed * 7 + n * 5 + n * n) % (len(events) - (2 if seed % 2 else 0))]
        if not isinstance(event, SayThis):
            call.at((seed * 13 + n * 37) % 70 / 10, event)
    call.hangs_up(20)
    call.run(40)
    assert call.ended is not None
    assert [h.turn for h in call.heard] == sorted({h.turn for h in call.heard})
    assert all(h.whole.startswith(h.heard[:-1]) for h in call.heard if h.heard)
    assert len(call.times(Use)) <= 1
