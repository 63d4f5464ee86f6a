"""How far a vendor's speech was heard: by marks, between marks by the clock, never past a mark that is out."""

import pytest

from hookflash.speech.played import GIVE_UP, LATENCY, Played

SECOND = bytes(8000)


def spoken(*texts: str, at: float = 0.0) -> Played:
    """One item for each text, a second of sound each."""
    played = Played()
    for number, text in enumerate(texts):
        played.words(f"item_{number}", text)
        played.sent(f"item_{number}", SECOND, at)
    played.whole()
    return played


def test_a_mark_says_that_all_before_it_was_heard() -> None:
    played = spoken("one two", "three four")
    assert played.marked("0.8000", 1.2) == 8000
    assert played.heard(1.2) == "one two"
    assert played.unheard(1.2) == [("item_1", 0)]
    assert played.marked("0.16000", 2.2) == 16000
    assert played.all_played(2.2)
    assert played.heard(2.2) == played.text() == "one two three four"


def test_between_marks_the_clock_tells_and_a_mark_that_is_out_is_not_passed() -> None:
    played = spoken("aaaa bbbb cccc dddd")
    assert played.played(LATENCY + 0.5) == 4000
    assert played.heard(LATENCY + 0.55) == "aaaa bbbb"
    assert played.unheard(LATENCY + 0.5) == [("item_0", 500)]
    played.sent("item_0", SECOND, 0.5)
    assert played.played(1.9) == 8000, "the first mark has not come back"


@pytest.mark.parametrize("name", ["1.8000", "0.9000", "0.x", "0", "", "0.8000.1"])
def test_marks_of_elsewhere_say_nothing(name: str) -> None:
    played = spoken("one")
    assert played.marked(name, 1.0) is None


def test_marks_of_what_was_taken_back_say_nothing() -> None:
    played = spoken("one")
    played.forget()
    played.sent("item_9", SECOND, 5.0)
    assert played.marked("0.8000", 5.1) is None
    assert played.played(5.1) == 0
    assert played.marked("1.8000", 6.2) == 8000


def test_a_mark_that_never_comes_is_waited_for_only_so_long() -> None:
    played = spoken("one")
    assert not played.all_played(1.5)
    assert played.all_played(1.0 + LATENCY + GIVE_UP)
    assert played.heard(1.0 + LATENCY + GIVE_UP) == "one"


def test_after_a_silence_the_next_sound_begins_when_it_is_sent() -> None:
    played = spoken("one")
    played.marked("0.8000", 1.2)
    played.words("item_1", "two")
    played.sent("item_1", SECOND, 9.0)
    assert played.played(9.0 + LATENCY) == 8000
    assert played.played(9.0 + LATENCY + 0.25) == 10000


def test_of_an_item_whose_sound_is_on_its_way_words_are_counted_by_the_pace_of_a_voice() -> None:
    played = Played()
    played.words("item_0", "a" * 14 + " " + "b" * 14 + " " + "c" * 15)
    played.sent("item_0", SECOND, 0.0)
    # Forty-five characters are three seconds; one of them came, and was heard.
    assert played.heard(LATENCY + 1.05) == "a" * 14
    assert played.unheard(LATENCY + 1.05) == [("item_0", 1000)]


def test_small_pieces_share_a_mark_and_the_tail_gets_one() -> None:
    played = Played()
    assert [played.sent("item_0", bytes(400), 0.0) for _ in range(3)] == [None, "0.800", None]
    assert played.mark() == "0.1200"
    assert played.mark() is None
