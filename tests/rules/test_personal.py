"""Personal data is found by what proves it, and placeholders lead back to it, also through pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookflash.safety.masker import Masker, Unmasking
from hookflash.safety.personal import KINDS, conceal, concealed, find, iban, unsaid


def found(text: str, names: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find(text, KINDS, names)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card 4111 1111 1111 1111 please", [("card", "4111 1111 1111 1111")]),
        ("aadhaar 2341 2341 2346", [("aadhaar", "2341 2341 2346")]),
        ("my PAN is ABCPE1234F.", [("pan", "ABCPE1234F")]),
        ("ssn 078-05-1120", [("ssn", "078-05-1120")]),
        ("pay to DE89 3704 0044 0532 0130 00 please", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("write to jo.doe+x@mail.example now", [("email", "jo.doe+x@mail.example")]),
        ("jo at mail dot com", [("email", "jo at mail dot com")]),
        ("call +1 (503) 555-0142 or 503-555-0143", [("phone", "+1 (503) 555-0142"), ("phone", "503-555-0143")]),
        (
            "send it to 12 Oak Street, Apt 4, Portland, OR 97201",
            [("address", "12 Oak Street, Apt 4, Portland, OR 97201")],
        ),
        ("llámame al 612 345 678", [("phone", "612 345 678")]),
        ("my name is Asha Rao and I wait", [("name", "Asha Rao")]),
        # What only looks like it.
        ("order 4111 1111 1111 1112 and 078-00-1120", []),
        ("DE88 3704 0044 0532 0130 00", []),
        ("on 2026-03-05, 10:30, $1,000.50, 1.000.000 items, 60 days, order A-1001", []),
        ("within 45 days in store", []),
    ],
)
def test_what_is_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert [each for each in found(text) if expected or each[0] != "phone"] == expected


def test_names_that_are_known_are_found_and_words_that_are_names_only_as_names() -> None:
    assert found("this is asha", ("Asha Rao",)) == [("name", "asha")]
    assert found("will it fit?", ("Will Jones",)) == []
    assert found("tell Will", ("Will Jones",)) == [("name", "Will")]


def test_iban_check_digits() -> None:
    assert iban("GB82 WEST 1234 5698 7654 32")
    assert not iban("GB83 WEST 1234 5698 7654 32")


def test_a_record_says_what_was_there() -> None:
    said = "I am jo@mail.example, card 4111 1111 1111 1111"
    assert conceal(said, ("card", "aadhaar")) == "I am jo@mail.example, card [card number]"
    assert conceal(said, KINDS) == "I am [e-mail], card [card number]"


def test_the_same_value_has_the_same_placeholder_and_another_one_another() -> None:
    masker = Masker()
    assert masker.mask("jo@a.example, JO@a.example and bo@a.example") == "[EMAIL_1], [EMAIL_1] and [EMAIL_2]"
    assert masker.unmask("to [email_2] and [EMAIL 1]") == "to bo@a.example and jo@a.example"
    assert masker.unmask("[EMAIL_3] [PHONE_1]") == "[EMAIL_3] [PHONE_1]"


def test_what_the_company_publishes_stays() -> None:
    masker = Masker(public=("Write to help@acme.example.",))
    assert masker.mask("is it help@acme.example or jo@a.example?") == "is it help@acme.example or [EMAIL_1]?"


def test_a_placeholder_that_a_person_wrote_stands_for_nothing() -> None:
    masker = Masker()
    asked = masker.mask("give me [EMAIL_1], mine is jo@a.example")
    assert asked == "give me [EMAIL_1], mine is [EMAIL_2]"
    assert masker.unmask(asked) == "give me [EMAIL_1], mine is jo@a.example"


def test_values_of_tools_go_both_ways() -> None:
    masker = Masker()
    given_ = {"to": "jo@a.example", "card": 4111111111111111, "n": 2, "deep": [{"a": "jo@a.example"}], "yes": True}
    hidden = masker.mask_value(given_)
    assert hidden == {"to": "[EMAIL_1]", "card": "[CARD_1]", "n": 2, "deep": [{"a": "[EMAIL_1]"}], "yes": True}
    assert masker.unmask_value(hidden) == {**given_, "card": "4111111111111111"}


@settings(max_examples=60)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_pieces_of_any_size_are_unmasked(sizes: list[int]) -> None:
    masker = Masker()
    text = masker.mask("jo@a.example has [x] 4111 1111 1111 1111, [bo@a.example] and [")
    pieces, said, at = Unmasking(masker), "", 0
    for size in sizes:
        said += pieces.feed(text[at : at + size])
        at += size
    said += pieces.feed(text[at:]) + pieces.end()
    assert said == "jo@a.example has [x] 4111 1111 1111 1111, [bo@a.example] and ["


def test_an_answer_does_not_say_back_what_must_not_be_kept() -> None:
    said = "My card is 4111 1111 1111 1111, or IBAN DE89370400440532013000"
    answer = "Card 4111111111111111 is charged; pay us at GB82 WEST 1234 5698 7654 32 or 5500005555555559."
    assert unsaid(answer, said, ("card", "iban")) == answer.replace("4111111111111111", "[card number]")
    assert unsaid(answer, said, ()) == answer
    assert concealed({"a": ["4111 1111 1111 1111", 7]}, ("card",)) == {"a": ["[card number]", 7]}
