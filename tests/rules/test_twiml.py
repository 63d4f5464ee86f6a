"""TwiML: well-formed whatever the words, and what Twilio would read back."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from hookflash.twilio import twiml


def test_nothing_to_say() -> None:
    assert twiml.empty() == b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
    assert twiml.messages([]) == twiml.empty()


def test_replies_in_order_with_their_status_callbacks() -> None:
    answer = twiml.messages([("one", 'https://h.example/s?a=1&b="2"'), ("two", None)])
    messages = ET.fromstring(answer).findall("Message")
    assert [m.findtext("Body") for m in messages] == ["one", "two"]
    assert [m.get("statusCallback") for m in messages] == ['https://h.example/s?a=1&b="2"', None]


def test_markup_in_words_is_words() -> None:
    answer = twiml.messages([("</Body></Message><Redirect>http://evil.example</Redirect> & <b>", None)])
    root = ET.fromstring(answer)
    assert [child.tag for child in root] == ["Message"]
    assert root.findtext("Message/Body") == "</Body></Message><Redirect>http://evil.example</Redirect> & <b>"


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1)


@given(st.lists(WORDS))
def test_words_come_back_as_they_were(bodies: list[str]) -> None:
    answer = ET.fromstring(twiml.messages([(body, None) for body in bodies]))
    assert [m.findtext("Body") for m in answer.findall("Message")] == bodies


@given(st.lists(st.tuples(st.text(), st.text())))
def test_any_words_are_well_formed(replies: list[tuple[str, str]]) -> None:
    answer = ET.fromstring(twiml.messages(replies))
    assert len(answer.findall("Message/Body")) == len(replies)
