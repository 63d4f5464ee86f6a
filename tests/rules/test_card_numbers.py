"""Card and Aadhaar numbers are found however they are written or spoken; other numbers stay."""

import pytest

from hookflash.safety.pii import luhn, mask_numbers, verhoeff

# Test numbers of the payment networks; the Aadhaar number is made up, with its right check digit.
CARD, AMEX, AADHAAR = "4111111111111111", "378282246310005", "234123412346"


@pytest.mark.parametrize("number", [CARD, AMEX, "5555555555554444", "6011111111111117"])
def test_check_digits_of_cards(number: str) -> None:
    assert luhn(number)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not luhn(wrong)


def test_check_digits_of_aadhaar() -> None:
    assert verhoeff(AADHAAR)
    assert not any(verhoeff(AADHAAR[:-1] + digit) for digit in "012345789")


@pytest.mark.parametrize(
    "said",
    [
        CARD,
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "४१११ ११११ ११११ ११११",
        "cuatro uno uno uno 1111 1111 uno uno uno uno",
        "four one one one one one one one one one one one one one one one",
        "four triple one, one one one one, double one double one, one one one one",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1",
        "Four one one one one one one one ONE one one one one one one one",
        "four one one one, 1111 1111 1111",
        "4 triple 1 1111 1111 1111",
    ],
)
def test_a_card_number_is_masked(said: str) -> None:
    assert mask_numbers(f"my card is {said}, thanks") == "my card is [card number], thanks"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("4111 1111 1111 1111 12/26 123", "[card number] 12/26 123"),
        ("07 4111 1111 1111 1111", "07 [card number]"),
        ("4111111111111111, 5555555555554444", "[card number], [card number]"),
        (f"{'four ' + 'one ' * 15}expires one two two six", "[card number] expires one two two six"),
    ],
)
def test_what_stands_beside_a_card_number_hides_nothing(said: str, kept: str) -> None:
    assert mask_numbers(said) == kept


@pytest.mark.parametrize(
    "said", [AADHAAR, "2341 2341 2346", "two three four one two three four one two three four six"]
)
def test_an_aadhaar_number_is_masked(said: str) -> None:
    assert mask_numbers(f"it is {said}.") == "it is [Aadhaar number]."


@pytest.mark.parametrize(
    "said",
    [
        "call me at +14155552671, or 4155552671",
        "order 1234567890123",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "from 9 to 5, and two or three of them",
        "tracking 1Z999AA10123456784",
        "",
    ],
)
def test_other_numbers_stay(said: str) -> None:
    assert mask_numbers(said) == said


def test_a_long_text_takes_no_time_to_speak_of() -> None:
    assert mask_numbers("1 " * 20_000).count("1") == 20_000
    assert mask_numbers("one " * 20_000).count("one") == 20_000
