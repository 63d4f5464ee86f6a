"""Where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.knowledge.sentences import split_sentences

WHOLE = [
    "Standard shipping costs $4.99 and takes 3.5 days on average.",
    "Ask Dr. Meyer or Mrs. Jones at the desk.",
    "Some items, e.g. Tents, cannot be returned.",
    "It takes approx. 5 days.",
    "See No. 12 in the list.",
    "We open at 9 a.m. on Sundays.",
    "The sale starts on Jan. 5 at noon.",
    "Read more at https://example.com/help?page=2.html today.",
    "Write to help@example.com for help.",
    "Version 2.3.1 is out",
    "Contact J. Smith at the store.",
    "Well... maybe not today.",
    "Das gilt z.B. Für Schuhe.",
]

PARTS = [
    ("Open daily. Closed on Monday.", ["Open daily.", "Closed on Monday."]),
    ("Where is it? I paid! Please help.", ["Where is it?", "I paid!", "Please help."]),
    ("hi! where is my order? its late. help", ["hi!", "where is my order?", "its late.", "help"]),
    ("Do you take cash? No. Only cards.", ["Do you take cash?", "No.", "Only cards."]),
    ("We open at 9 a.m. Come early.", ["We open at 9 a.m.", "Come early."]),
    ("Visit example.com. Then pay.", ["Visit example.com.", "Then pay."]),
    ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    ("It costs $8. Orders over $75 ship free.", ["It costs $8.", "Orders over $75 ship free."]),
    ("Price: 5 EUR. 2 pieces.", ["Price: 5 EUR.", "2 pieces."]),
    ("रिटर्न 30 दिन में होता है। रिफंड 5 दिन में आता है।", ["रिटर्न 30 दिन में होता है।", "रिफंड 5 दिन में आता है।"]),
    ("我们周日休息。周一营业。", ["我们周日休息。", "周一营业。"]),
    ("¿Cuánto cuesta? Cuesta 5 €. ¡Gracias!", ["¿Cuánto cuesta?", "Cuesta 5 €.", "¡Gracias!"]),
    ("- one thing\n- another. It is good.\n- third", ["- one thing", "- another.", "It is good.", "- third"]),
    ("1. Print the label. Keep it.\n2. Post the box.", ["1. Print the label.", "Keep it.", "2. Post the box."]),
    ("## Returns. And more\nWithin 30 days.", ["## Returns. And more", "Within 30 days."]),
    (
        "| Day | Hours |\n| --- | --- |\n| Mon. | 9. to 6. |",
        ["| Day | Hours |", "| --- | --- |", "| Mon. | 9. to 6. |"],
    ),
    ("Monday: 9-6\nTuesday: 9-6\n\nClosed on holidays", ["Monday: 9-6", "Tuesday: 9-6", "Closed on holidays"]),
    (
        "This paragraph was wrapped by whoever wrote it\nbecause the line was long. So it is two.",
        ["This paragraph was wrapped by whoever wrote it\nbecause the line was long.", "So it is two."],
    ),
    (
        "Warranty claims: warranty@alderandpine.example\nInvoices and billing: billing@alderandpine.example",
        ["Warranty claims: warranty@alderandpine.example", "Invoices and billing: billing@alderandpine.example"],
    ),
    ("**Bold end.** Next one.", ["**Bold end.**", "Next one."]),
    ("Wait… what? Yes… No.", ["Wait… what?", "Yes…", "No."]),
    ("", []),
    (" \n\t ", []),
]


@pytest.mark.parametrize("text", WHOLE)
def test_a_point_inside_does_not_end_a_sentence(text: str) -> None:
    assert [sentence.text for sentence in split_sentences(text)] == [text]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_the_parts(text: str, parts: list[str]) -> None:
    assert [sentence.text for sentence in split_sentences(text)] == parts


PIECES = st.sampled_from(
    [
        "a",
        "Dr",
        "e.g",
        "5",
        "$4.99",
        ".",
        "!",
        "?",
        "…",
        "।",
        " ",
        "  ",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "# ",
        "| x |",
        ")",
        '"',
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_nothing_but_white_space_is_between_sentences(text: str) -> None:
    at = 0
    for sentence in split_sentences(text):
        assert text[at : sentence.start].strip() == ""
        assert text[sentence.start : sentence.end] == sentence.text
        assert sentence.text == sentence.text.strip() != ""
        at = sentence.end
    assert text[at:].strip() == ""
