"""ConversationRelay without a socket: what its messages mean, late words, interruptions, malformed messages."""

import json

import pytest

from hookflash.channels.relay import (
    MALFORMED_AT_MOST,
    Begin,
    Cancel,
    Open,
    Pressed,
    Refuse,
    RelayMachine,
    Send,
    Settled,
    cut,
)
from hookflash.twilio import relay as wire
from hookflash.twilio.relay import Digit, Failure, Interrupt, Prompt, Setup, Unknown, decode

SETUP = Setup("VX1", "AC1", "CA1", "+15550111222", "+15550100200", "inbound", {"token": "t"})


def opened() -> RelayMachine:
    machine = RelayMachine()
    assert machine.receive(SETUP) == [Open("CA1", "t")]
    return machine


def test_messages_are_read() -> None:
    setup = {"type": "setup", "sessionId": "VX1", "callSid": "CA1", "customParameters": {"token": "t", "n": 1}}
    read = decode(json.dumps(setup))
    assert isinstance(read, Setup)
    assert read.parameters == {"token": "t", "n": "1"}
    assert decode('{"type":"prompt","voicePrompt":"hi","lang":"en-US","last":false}') == Prompt("hi", "en-US", False)
    assert decode('{"type":"prompt","voicePrompt":"hi"}') == Prompt("hi", None, True)
    assert decode('{"type":"dtmf","digit":"#"}') == Digit("#")
    assert decode('{"type":"error","description":"x"}') == Failure("x")
    spoken = '{"type":"interrupt","utteranceUntilInterrupt":"You","durationUntilInterruptMs":%s}'
    assert decode(spoken % '"460"') == decode(spoken % "460") == Interrupt("You", 460)
    assert decode(spoken % '"soon"') == Interrupt("You", None)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '{"type":"hello"}',
        '{"type":null}',
        '{"type":"dtmf","digit":"12"}',
        '{"type":"dtmf"}',
        b"\xff\xfe",
        "x" * 65_000,
    ],
)
def test_what_cannot_be_read_is_unknown(raw: str | bytes) -> None:
    assert isinstance(decode(raw), Unknown)


def test_messages_are_written() -> None:
    assert json.loads(wire.text("hi", last=True)) == {"type": "text", "token": "hi", "last": True}
    ended = json.loads(wire.end({"reason": "x"}))
    assert json.loads(ended["handoffData"]) == {"reason": "x"}
    assert json.loads(wire.end()) == {"type": "end"}
    assert json.loads(wire.language(tts="es-ES")) == {"type": "language", "ttsLanguage": "es-ES"}


def test_an_answer_is_spoken_and_settled_by_the_next_question() -> None:
    machine = opened()
    assert machine.receive(Prompt("one", "en-US", True)) == [Begin(1, "one", "en-US")]
    assert machine.reply(1, "It is ", last=False) == [Send("It is ", False)]
    assert machine.reply(1, "one.", last=True) == [Send("one.", True)]
    assert machine.receive(Prompt("two", None, True)) == [
        Settled(1, "one", "It is one.", "It is one.", False),
        Begin(2, "two", None),
    ]


def test_partial_prompts_wait_for_the_last() -> None:
    machine = opened()
    assert machine.receive(Prompt("when do ", None, False)) == []
    assert machine.receive(Prompt("you open", None, True)) == [Begin(1, "when do you open", None)]


def test_who_goes_on_before_a_word_was_said_asks_one_question() -> None:
    machine = opened()
    machine.receive(Prompt("when do you", None, True))
    assert machine.receive(Prompt("open on Sunday", None, True)) == [
        Cancel(1),
        Begin(2, "when do you open on Sunday", None),
    ]
    assert machine.reply(1, "At ten.", last=True) == [], "late words of a cancelled turn"


def test_an_interruption_keeps_what_was_heard_and_late_words_die() -> None:
    machine = opened()
    machine.receive(Prompt("one", None, True))
    machine.reply(1, "We open at ten. We close at six.", last=False)
    assert machine.receive(Interrupt("We open at ten.", 900)) == [
        Cancel(1),
        Settled(1, "one", "We open at ten.", "We open at ten. We close at six.", True),
    ]
    assert machine.reply(1, " And so on.", last=True) == []
    assert machine.receive(Interrupt("We open", 900)) == [], "a second report of it"


def test_a_word_while_they_wait_is_in_no_record() -> None:
    machine = opened()
    machine.receive(Prompt("when do you open", None, last=True))
    assert machine.fill(1, "One moment.") == [Send("One moment. ", last=False)]
    machine.reply(1, "We open at ten.", last=True)
    assert machine.fill(1, "One moment.") == []
    (settled,) = machine.receive(Interrupt("One moment. We open", 900))
    assert settled == Settled(1, "when do you open", "We open", "We open at ten.", interrupted=True)


def test_an_interruption_of_the_greeting_cuts_nothing() -> None:
    assert opened().receive(Interrupt("Hello", 200)) == []


def test_keys_are_one_question() -> None:
    machine = opened()
    assert machine.receive(Digit("4")) == [Pressed(1)]
    assert machine.receive(Digit("2")) == [Pressed(2)]
    assert machine.receive(Digit("#")) == [Begin(1, "42", None)]
    assert opened().receive(Digit("#")) == []


def test_keys_without_a_last_one_are_over_when_no_other_follows() -> None:
    machine = opened()
    machine.receive(Digit("4"))
    machine.receive(Digit("2"))
    assert machine.keys_over(1) == [], "another has followed"
    assert machine.keys_over(2) == [Begin(1, "42", None)]
    assert machine.keys_over(2) == []


def test_ten_malformed_messages_in_a_row_close_the_socket() -> None:
    machine = opened()
    for _ in range(MALFORMED_AT_MOST - 1):
        assert machine.receive(Unknown("not JSON")) == []
    machine.receive(Prompt("hello", None, True))
    for _ in range(MALFORMED_AT_MOST - 1):
        assert machine.receive(Unknown("not JSON")) == [], "counted anew after one that could be read"
    assert machine.receive(Unknown("not JSON")) == [Refuse("too many malformed messages")]


@pytest.mark.parametrize("message", [Prompt("hi", None, True), Digit("1"), Interrupt("", None), Failure("x")])
def test_nothing_comes_before_the_setup(message: Prompt | Digit | Interrupt | Failure) -> None:
    assert RelayMachine().receive(message) == [Refuse("no setup")]


def test_a_session_is_set_up_once() -> None:
    assert opened().receive(SETUP) == [Refuse("a second setup")]


def test_what_was_begun_is_settled_when_the_socket_is_gone() -> None:
    machine = opened()
    assert machine.closed() == []
    machine.receive(Prompt("one", None, True))
    machine.reply(1, "Yes.", last=True)
    assert machine.closed() == [Settled(1, "one", "Yes.", "Yes.", False)]
    machine.receive(Prompt("two", None, True))
    machine.reply(2, "It may", last=False)
    assert machine.closed() == [Cancel(2), Settled(2, "two", "", "It may", True)]
    assert machine.closed() == []


@pytest.mark.parametrize(
    ("whole", "spoken", "heard"),
    [
        ("One two. Three four.", "Three", "One two. Three"),
        ("One two. Three four.", "One  two.", "One two."),
        ("One two.", "", ""),
        ("One two.", "Eleven", "Eleven"),
        ("A b. A b. A c.", "A b.", "A b. A b."),
    ],
)
def test_where_an_answer_was_cut(whole: str, spoken: str, heard: str) -> None:
    assert cut(whole, spoken) == heard
