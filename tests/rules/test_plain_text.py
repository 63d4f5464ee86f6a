"""Plain text: Markdown resolved, nothing invisible, and ordinary writing left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.twilio.plain_text import to_plain


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "2*3*4",
        "2 ** 3 ** 4",
        "snake_case_name",
        "call __init__ first",
        "#1",
        "#1 in the league, #2 at home",
        "1. First\n2. Second",
        "- one\n- two",
        "a | b",
        "5 > 3 and 2 < 4",
        "+ 5 points",
        "*asterisk at the start",
        "AT&T",
        "see [1] and (note)",
        "https://example.com/a_b_c?d=*e*",
        "https://example.com/_next/static_/x and https://example.com/__a__",
        "नमस्ते क्\u200dष",
        "می\u200cخواهم",
        "👩‍👩‍👧 🏳️‍🌈 1️⃣ 👍🏽 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "~5 minutes ~ or so",
    ],
)
def test_ordinary_writing_survives(text: str) -> None:
    assert to_plain(text) == text
    assert to_plain(text, whatsapp=True) == text


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("# Returns\n\nWithin **30 days**.", "Returns\n\nWithin 30 days."),
        ("### Head ###", "Head"),
        ("*a* _b_ ***c*** __Big D__ ~~e~~ `f`", "a b c Big D e f"),
        ("**Price:** 5", "Price: 5"),
        (
            "**https://example.com/a_b** or *see https://example.com*",
            "https://example.com/a_b or see https://example.com",
        ),
        ("* one\n+ two\n• three\n  - nested", "- one\n- two\n- three\n- nested"),
        ("- [ ] open\n- [x] done", "- open\n- done"),
        ("[our page](https://x.example/a)", "our page (https://x.example/a)"),
        ("[https://x.example/](https://x.example)", "https://x.example"),
        ("[x.example](https://x.example)", "https://x.example"),
        ('[wiki](https://x.example/a_(b) "title").', "wiki (https://x.example/a_(b))."),
        ("[write](mailto:a@b.example)", "write (a@b.example)"),
        ("<https://x.example>", "https://x.example"),
        ("![a map](https://x.example/m.png)", "a map (https://x.example/m.png)"),
        ("Run:\n```python\nprint(1)\n```\nDone", "Run:\nprint(1)\nDone"),
        ("> quoted\n> > twice", "quoted\ntwice"),
        ("a\n\n---\n\nb", "a\n\nb"),
        (
            "| Size | Price |\n|:--|--:|\n| S | $5 |\n| M | $6 |\n\nafter | all",
            "Size, Price\nS, $5\nM, $6\n\nafter | all",
        ),
        ("Size | Price\n--- | ---\nS | 5", "Size, Price\nS, 5"),
        ("a<br>b<br/>c <b>d</b>", "a\nb\nc d"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("a\\_b \\# c", "a_b # c"),
        ("  a \t b  \r\n\r\n\r\n\r\n c ", "a b\n\nc"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_markdown_becomes_text(markdown: str, plain: str) -> None:
    assert to_plain(markdown) == plain


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\u202eb\u2066c\u200b\u200ed\ufeff", "abcd"),
        ("a\x00b\x1bc\x7f", "abc"),
        ("a\u00adb\u2060c", "abc"),
        ("a\u200db", "ab"),
        ("x\ufe0f", "x"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("a\u2028b\u0085c", "a\nb\nc"),
        ("a\u00a0\u3000b", "a b"),
        ("lone\ud800", "lone"),
    ],
)
def test_invisible_characters_go(text: str, clean: str) -> None:
    assert to_plain(text) == clean


@pytest.mark.parametrize(
    ("markdown", "wanted"),
    [
        ("**bold** and _it_ and ~~no~~", "*bold* and _it_ and ~no~"),
        ("__Big B__ ***both***", "*Big B* *_both_*"),
        ("*kept*", "*kept*"),
        ("# Head\n* item with **b**", "Head\n- item with *b*"),
        ("2 * 3 * 4 snake_case", "2 * 3 * 4 snake_case"),
    ],
)
def test_whatsapp_keeps_emphasis_in_its_own_marks(markdown: str, wanted: str) -> None:
    assert to_plain(markdown, whatsapp=True) == wanted


MARKS = st.lists(
    st.sampled_from([
        *"*_`~#>|[]()<\\&; \n-+=!a1", "**", "__", "```", "](", "https://x.example", "&amp;", "|--|--|", "<br>", "<b>", "\u200d", "👩",
        "\u202e", "- ", "word", "\ufe0f", "</p>", "&#42;", "***",
    ]),
    max_size=30,
).map("".join)  # fmt: skip


@given(st.one_of(MARKS, st.text()), st.booleans())
def test_twice_is_once(text: str, whatsapp: bool) -> None:
    once = to_plain(text, whatsapp=whatsapp)
    assert to_plain(once, whatsapp=whatsapp) == once
    assert once == once.strip()
    assert "  " not in once
    assert "\n\n\n" not in once


@given(st.lists(st.sampled_from(["words", "and", "more", "2", "नमस्ते", "Öl"]), min_size=1).map(" ".join))
def test_words_are_never_lost(text: str) -> None:
    assert to_plain(f"# **{text}**") == text
