"""Addresses are read in Twilio's notation, and written in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind

_E164 = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("+15551234567", Kind.SMS, "+15551234567"),
        ("  +919876543210 ", Kind.SMS, "+919876543210"),
        ("whatsapp:+15551234567", Kind.WHATSAPP, "+15551234567"),
        ("whatsapp:US.1234567890", Kind.WHATSAPP, "US.1234567890"),
        ("12345", Kind.SMS, "12345"),
        ("ACME Inc", Kind.SMS, "ACME Inc"),
        ("web:visitor-7", Kind.WEB, "visitor-7"),
    ],
)
def test_twilios_notation(text: str, kind: Kind, value: str) -> None:
    address = Address.parse(text)
    assert (address.kind, address.value) == (kind, value)
    assert str(address) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+0123456789",
        "+123456",
        "+1234567890123456",
        "whatsapp:",
        "whatsapp:+12",
        "web:",
        "ACME & Sons Ltd",
        "a\nb",
        "+1555123456x",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Address.parse(text)
    assert refused.value.field == "address"
    assert not any(len(text) > 4 and text in said for said in (refused.value.message, refused.value.hint or ""))


@given(_E164, st.sampled_from([Kind.SMS, Kind.WHATSAPP]))
def test_every_number_comes_back_as_it_went_in(number: str, kind: Kind) -> None:
    address = Address(kind, number)
    assert Address.parse(str(address)) == address
    assert address.is_number


@given(st.text(max_size=40))
def test_reading_is_settled_after_once(text: str) -> None:
    try:
        address = Address.parse(text)
    except Invalid:
        return
    assert Address.parse(str(address)) == address


@given(_E164)
def test_a_masked_number_shows_five_characters_at_most(number: str) -> None:
    masked = Address(Kind.SMS, number).masked()
    assert number not in masked
    assert len(masked.replace("…", "")) <= 5


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("+12125550123", "US"),
        ("+919876543210", "IN"),
        ("whatsapp:+447400123456", "GB"),
        ("12345", None),
        ("+9990000000", None),
    ],
)
def test_country(text: str, country: str | None) -> None:
    assert Address.parse(text).country == country
