"""The way of a message out: what a refusal means, how long to wait, and which listed message is ours."""

import pytest

from hookflash.base.errors import TwilioFailed
from hookflash.channels.deliver import heeded, judge
from hookflash.channels.routes import advance
from hookflash.conversation.outbox import (
    POST_WITHIN,
    PROVE_ABSENT_DEAD,
    PROVE_ABSENT_LIVE,
    RETRY_MOST,
    Candidate,
    Refused,
    match,
    proven_absent_after,
    retry_after,
)


def refusal(code: int, http_status: int = 400, *, retryable: bool = False) -> TwilioFailed:
    return TwilioFailed("no", code=code, http_status=http_status, retryable=retryable)


@pytest.mark.parametrize("code", [20429, 20500, 30008, 30410, 30500, 63018, 63012, 11200])
@pytest.mark.parametrize("attempts", [1, 5])
def test_what_may_go_through_later_is_tried_again(code: int, attempts: int) -> None:
    assert judge(refusal(code), attempts).again


@pytest.mark.parametrize("code", [21611, 30001, 30022, 30023, 63038])
def test_a_full_queue_is_waited_for(code: int) -> None:
    assert judge(refusal(code), 1).again


@pytest.mark.parametrize("code", [21211, 21614, 21635, 30005, 30006, 63024, 63003])
def test_a_person_who_cannot_be_reached_is_marked(code: int) -> None:
    outcome = judge(refusal(code), 1)
    assert (outcome.again, outcome.unreachable, outcome.tries) == (False, True, 1)


def test_a_handset_that_is_off_gets_some_tries() -> None:
    assert judge(refusal(30003), 1).again
    assert judge(refusal(30003), 2).again
    last = judge(refusal(30003), 3)
    assert (last.again, last.unreachable, last.tries) == (False, True, 3)


@pytest.mark.parametrize("code", [21610, 63033])
def test_who_opted_out_elsewhere_is_opted_out(code: int) -> None:
    outcome = judge(refusal(code), 1)
    assert (outcome.again, outcome.opted_out, outcome.stop_sender) == (False, True, False)
    assert heeded(code) == outcome


@pytest.mark.parametrize("code", [20003, 10001, 30002, 30034, 30032, 21606, 21659, 63007, 63051, 63112])
def test_a_sender_that_may_not_send_is_stopped(code: int) -> None:
    outcome = judge(refusal(code), 1)
    assert (outcome.again, outcome.stop_sender) == (False, True)
    assert outcome.reason


@pytest.mark.parametrize("code", [21617, 30007, 63016, 63005, 63021, 63028])
def test_content_that_is_refused_fails_and_says_nothing_of_person_or_sender(code: int) -> None:
    outcome = judge(refusal(code), 1)
    assert outcome == Refused(code, outcome.reason)
    assert heeded(code) is None


def test_what_never_left_is_tried_again_and_an_unknown_code_is_not() -> None:
    assert judge(refusal(0, 0, retryable=True), 1).again
    assert not judge(refusal(99999), 1).again
    assert judge(refusal(99999, 503, retryable=True), 1).again


def test_waits_double_up_to_a_limit() -> None:
    waits = [retry_after(n) for n in range(1, 16)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_MOST


def test_a_living_sender_is_given_longer_than_any_request_of_its_takes() -> None:
    assert proven_absent_after(poster_lives=True) == PROVE_ABSENT_LIVE > POST_WITHIN + 20
    assert proven_absent_after(poster_lives=False) == PROVE_ABSENT_DEAD


def test_the_listed_message_with_our_words_is_ours() -> None:
    first, second, other = (
        Candidate("SM1", "sent", "Hello  there\n"),
        Candidate("SM2", "queued", "Hello there"),
        Candidate("SM3", "sent", "Hello"),
    )
    assert match("Hello there", [other, first, second]) == first
    assert match("Hello there", [other]) is None
    assert match("Hello there", []) is None


@pytest.mark.parametrize("ours", ["waiting", "posting", "parked"])
def test_any_status_of_twilio_is_further_than_our_own_states(ours: str) -> None:
    for status in ("queued", "sending", "sent", "delivered", "undelivered", "failed", "read"):
        assert advance(ours, status) == status


def test_what_was_withheld_stays_so() -> None:
    assert advance("withheld", "delivered") == "withheld"
