"""What services that conduct calls send, and what of an answer was heard by what they tell."""

import json
from typing import Any

import pytest

from hookflash.base.errors import Invalid
from hookflash.channels.orchestrators import bland, chat, retell, vapi
from hookflash.channels.orchestrators.transcript import Conducted, Line, Moment, Over, heard_of, moment, only

WHOLE = "We open at nine, on Sundays at ten."


def lines(*said: str) -> list[Line]:
    """Lines of the caller; those of ours begin with `>`."""
    return [Line(text.startswith(">"), text.removeprefix(">")) for text in said]


def test_where_a_call_is() -> None:
    assert moment([]) == Moment()
    assert moment(lines(">Hello!")) == Moment(spoken="Hello!")
    now = moment(lines(">Hello!", "hi", "when do you", " ", "open", ">At", ">nine.", "and", "on Sunday?"))
    assert (now.said, now.spoken, now.before) == ("and on Sunday?", "At nine.", "hi when do you open")
    assert (now.turns, now.asked[-1]) == (5, "on Sunday?")


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (lines("when?", ">We open at nine, on Sundays at ten.", "and"), WHOLE),
        (lines("When", ">we open at nine", "and"), "We open at nine"),
        # Their spelling, where it is the answer to this question.
        (lines("when?", ">We open at 9 o'clock", "and"), "We open at 9 o'clock"),
        # The caller went on before there was an answer.
        (lines(">Hello", "when? On Sundays?"), ""),
        (lines(">We open a shop.", "when?", "On Sundays?"), ""),
        # Nothing tells: another answer, none at all.
        (lines(">Hello", "and"), None),
        (lines("something else", ">We are closed", "and"), None),
        (lines("and"), None),
        ([], None),
    ],
)
def test_what_was_heard_of_an_answer(told: list[Line], heard: str | None) -> None:
    assert heard_of("when?", WHOLE, moment(told)) == heard


def test_the_last_words_alone_tell_nothing_of_those_before() -> None:
    assert heard_of("when?", WHOLE, only("when?")) is None


def test_a_call_without_a_number_has_an_address_of_its_own() -> None:
    arrival = Conducted("vapi", "a-1", theirs="sip:ada@example.com", ours="none").arrival(
        "acct", "intg", "+15550100200"
    )
    assert (arrival.address, arrival.sender, arrival.direction) == ("web:vapi:a-1", "+15550100200", "in")
    with pytest.raises(Invalid):
        Conducted("vapi", "a:1")


def test_the_form_of_an_answer() -> None:
    answer = chat.Answer("1", "m", 0)
    first, second = answer.piece("At "), answer.piece("nine.")
    assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"] == {"role": "assistant", "content": "At "}
    assert json.loads(second.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "nine."}
    last = answer.last(None, chat.usage(3, 2)).split(b"\n\n")
    assert json.loads(last[0].removeprefix(b"data: "))["choices"][0]["finish_reason"] == "stop"
    assert json.loads(last[1].removeprefix(b"data: "))["usage"]["total_tokens"] == 5
    assert last[2:] == [b"data: [DONE]", b""]


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (
            {"call": {"id": "v", "type": "outboundPhoneCall", "customer": {"number": "+15550111222", "name": "Ada"}}},
            Conducted("vapi", "v", True, "+15550111222", None, "Ada"),
        ),
        ({"metadata": {"call_id": "c", "caller": "+15550111222"}}, Conducted("chat", "c", False, "+15550111222")),
        ({"user": "room-7"}, Conducted("chat", "room-7")),
    ],
)
def test_which_call_asks(body: dict[str, Any], call: Conducted) -> None:
    assert chat.decode(body | {"messages": []}).call == call


def test_ends_of_calls_are_understood() -> None:
    report = {
        "type": "end-of-call-report",
        "call": {"id": "v", "cost": 0.5},
        "startedAt": "2026-11-21T10:00:00.000Z",
        "endedAt": "2026-11-21T10:01:30.500Z",
        "endedReason": "customer-ended-call",
    }
    assert vapi.decode({"message": report}) == Over(Conducted("vapi", "v"), "customer-ended-call", 90.5, 500_000)
    assert vapi.decode({"message": {"type": "status-update", "status": "ringing", "call": {"id": "v"}}}) is None
    assert vapi.destination("sip:desk@example.com") == {
        "destination": {"type": "sip", "sipUri": "sip:desk@example.com"}
    }
    told = bland.decode_event({"call_id": "b", "completed": True, "call_length": 1.5, "price": "0.1", "to": "{{to}}"})
    assert told == Over(Conducted("bland", "b"), "completed", 90.0, 100_000)
    assert bland.decode_event({"call_id": "b", "category": "call"}) is None
    # A number that no float can hold is as good as none.
    huge = bland.decode_event({"call_id": "b", "completed": True, "call_length": 10**400, "price": 10**400})
    assert huge == Over(Conducted("bland", "b"), "completed")
    assert retell.decode_event({"event": "call_started", "call": {"call_id": "r"}}) is None


@pytest.mark.parametrize(
    "raw", ["", "[]", "{", '{"interaction_type": 7}', '{"interaction_type": "response_required", "response_id": "1"}']
)
def test_what_retell_would_not_send_is_not_understood(raw: str) -> None:
    assert isinstance(retell.decode(raw, "r"), retell.Unknown)


def test_what_retell_did_not_understand_was_not_said() -> None:
    told = {"interaction_type": "update_only", "transcript": [{"role": "user", "content": retell.UNINTELLIGIBLE}]}
    assert retell.decode(json.dumps(told), "r") == retell.Told(())
    told["transcript"] = [{"role": "user", "content": "hel\0lo"}]
    assert retell.decode(json.dumps(told), "r") == retell.Told((Line(False, "hello"),))
