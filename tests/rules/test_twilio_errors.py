"""Error codes: each known one has its treatment, and a sentence."""

import pytest

from hookflash.twilio.errors import Treatment, treatment

TABLE = {
    Treatment.RETRY: (20429, 20500, 30008, 30410, 30500, 63018, 63012, 11200),
    Treatment.MARK_CONTACT: (21211, 21614, 21635, 30003, 30005, 30006, 63024, 63003),
    Treatment.OPTED_OUT: (21610, 63033),
    Treatment.STOP_SENDER: (20003, 10001, 30002, 30034, 30032, 21606, 21659, 63007, 63051, 63112),
    Treatment.CHANGE_CONTENT: (21617, 30007, 63016, 63005, 63021, 63028),
    Treatment.THROTTLE: (21611, 30001, 30022, 30023, 63038),
}


@pytest.mark.parametrize(("wanted", "code"), [(kind, code) for kind, codes in TABLE.items() for code in codes])
def test_the_treatment_of_known_codes(wanted: Treatment, code: int) -> None:
    advice = treatment(code)
    assert advice.treatment is wanted
    assert advice.sentence.endswith(".")


def test_a_handset_that_is_off_gets_a_few_tries() -> None:
    assert treatment(30003).tries == 3
    assert treatment(30005).tries == 1


@pytest.mark.parametrize("code", [0, -1, 12345, 99999])
def test_codes_that_say_nothing(code: int) -> None:
    advice = treatment(code)
    assert advice.treatment is Treatment.UNKNOWN
    assert str(code) in advice.sentence
