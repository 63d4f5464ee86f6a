"""Codes as they are said, and what follows from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hookflash.assistant.code_words import Again, Code, Heard, Other, Stop, Unlike, conceal, listen
from hookflash.assistant.templates import KEYS, TEXTS
from hookflash.assistant.verification import (
    GOOD_FOR,
    MOST_SENDS,
    MOST_TRIES,
    RESEND_AFTER,
    CannotProve,
    Check,
    PassOn,
    Resume,
    SendAgain,
    Tell,
    Verification,
    checked,
    hear,
    number_of,
    sent_again,
)
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from hookflash.safety.card_question import asks_for_card

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)
PENDING = Verification(
    "veri_1", "c", "s", "+15550111222", "sms:+1", "where is it", NOW, NOW, NOW + GOOD_FOR, sends=1, seeds=("m",)
)


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ("421337", Code("421337")),
        ("421 337", Code("421337")),
        ("my code is 421-337, thanks", Code("421337")),
        ("it's four two one three three seven", Code("421337")),
        ("four two one, double three, seven", Code("421337")),
        ("4 2 1 and 3 3 7", Code("421337")),
        ("oh four two one three three", Code("042133")),
        ("cuatro dos uno tres tres siete", Code("421337")),
        ("quatre deux un trois trois sept", Code("421337")),
        ("vier zwei eins drei drei sieben", Code("421337")),
        ("quatro dois um três três sete", Code("421337")),
        ("चार दो एक तीन तीन सात", Code("421337")),
        ("char do ek teen teen saat", Code("421337")),
        ("४२१३३७", Code("421337")),
        ("I was sent 421337, do you need more?", Code("421337")),
        ("4213", Unlike()),
        ("42133712", Unlike()),
        ("four two one", Unlike()),
        ("Where is my order 12345 that I made?", Other()),
        ("do you have one for two people?", Other()),
        ("please send it again", Again()),
        ("I didn't get it", Again()),
        ("nicht bekommen", Again()),
        ("cancel", Stop()),
        ("never mind", Stop()),
        ("when do you open?", Other()),
        ("", Other()),
    ],
)
def test_what_is_heard(words: str, heard: Heard) -> None:
    assert listen(words) == heard


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("421337", "[code]"),
        ("my code is 421 337, thanks", "my code is [code], thanks"),
        ("it is four two one three three seven", "it is [code]"),
        ("421 er 337", "[code] er [code]"),
        ("one of 2 jackets", "one of 2 jackets"),
    ],
)
def test_what_is_kept_of_it(words: str, kept: str) -> None:
    assert conceal(words) == kept


def test_five_tries_and_no_more() -> None:
    now, verification = NOW, PENDING
    for n in range(1, MOST_TRIES + 1):
        tried, effect = hear(verification, Code("000000"), bytes([n]), now)
        assert effect == Check("000000")
        assert tried.tries == n, "it is counted before it is looked at"
        verification, told = checked(tried, "wrong", now)
        assert told == (
            Tell("code_wrong", {"end": "22", "left": str(5 - n)}, awaiting=True) if n < 5 else Tell("code_tries")
        )
    assert (verification.state, verification.closed_at) == ("failed", NOW)
    assert hear(verification, Code("000000"), b"9", now) == (verification, PassOn())


def test_the_right_code_takes_up_what_waits() -> None:
    tried, _ = hear(PENDING, Code("421337"), b"h", NOW)
    approved, then = checked(replace(tried, given="421337"), "right", NOW)
    assert approved.state == "approved"
    assert approved.given is None
    assert then == Resume(approved)


def test_the_same_wrong_code_costs_one_try() -> None:
    tried, _ = hear(PENDING, Code("000000"), b"h", NOW)
    wrong, _ = checked(tried, "wrong", NOW)
    again, effect = hear(wrong, Code("000000"), b"h", NOW)
    assert again is wrong
    assert isinstance(effect, Tell)


def test_who_cannot_be_asked_costs_no_try() -> None:
    tried, _ = hear(PENDING, Code("421337"), b"h", NOW)
    after, told = checked(tried, "away", NOW)
    assert (after.tries, after.last_code, told) == (0, None, Tell("code_away", awaiting=True))
    assert isinstance(hear(after, Code("421337"), b"h", NOW)[1], Check)


def test_after_ten_minutes_it_is_over() -> None:
    late = NOW + GOOD_FOR
    assert hear(PENDING, Code("421337"), b"h", late - timedelta(seconds=1))[1] == Check("421337")
    expired, told = hear(PENDING, Code("421337"), b"h", late)
    assert (expired.state, told) == ("expired", Tell("code_expired"))
    assert hear(PENDING, Other(), None, late)[1] == PassOn(), "nobody is told of a code who speaks of something else"


def test_it_is_sent_again_after_a_while_and_not_for_ever() -> None:
    assert hear(PENDING, Again(), None, NOW)[1] == Tell("code_wait", PENDING.values(), awaiting=True)
    now, verification = NOW, PENDING
    for _ in range(MOST_SENDS - 1):
        now += RESEND_AFTER
        verification, effect = hear(verification, Again(), None, now)
        assert effect == SendAgain()
        assert sent_again(verification, "sent")[1] == Tell("code_sent_again", verification.values(), awaiting=True)
    now += RESEND_AFTER
    assert hear(verification, Again(), None, now)[1] == Tell("code_no_more", verification.values(), awaiting=True)
    assert sent_again(verification, "failed")[0].sends == verification.sends - 1


def test_it_is_canceled_and_other_things_pass() -> None:
    canceled, told = hear(PENDING, Stop(), None, NOW)
    assert (canceled.state, told) == ("canceled", Tell("code_canceled"))
    assert hear(PENDING, Other(), None, NOW) == (PENDING, PassOn(awaiting=True))
    assert hear(PENDING, Unlike(), None, NOW)[1] == Tell("code_digits", PENDING.values(), awaiting=True)


@pytest.mark.parametrize(
    ("traits", "number"),
    [
        ({"phone": "+15550111222"}, "+15550111222"),
        ({"phone_number": "+1 (555) 011-1222"}, "+15550111222"),
        ({"phone": "", "phone_number": "+15550111222"}, "+15550111222"),
        ({"phone": "0555"}, "is not valid"),
        ({"email": "a@b.example"}, "no phone number of theirs"),
    ],
)
def test_the_code_goes_to_the_number_that_the_company_knows(traits: dict[str, str], number: str) -> None:
    session = Session("s", "a", 1, {}, NOW)
    turn = Turn("t", "acct", "i", Contact("c", None, None, traits), session, (), (), LineTraits("sms"), NOW)
    found = number_of(turn)
    assert number in (found.why if isinstance(found, CannotProve) else found)


def test_whoever_records_a_call_knows_that_a_code_is_asked_for() -> None:
    for language, texts in TEXTS.items():
        for key in ("code_sent", "code_sent_again", "code_digits", "code_wrong"):
            assert asks_for_card(texts[key]), (language, key)


def test_every_language_has_every_text() -> None:
    codes = {key for key in KEYS if key.startswith("code_")}
    assert all(codes <= texts.keys() for texts in TEXTS.values())
    assert all("{code}" in texts["code_text"] for texts in TEXTS.values())
    assert all("{end}" in texts["code_sent"] and "{left}" in texts["code_wrong"] for texts in TEXTS.values())
