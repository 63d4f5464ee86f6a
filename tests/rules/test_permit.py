"""When somebody may be spoken to first: opt-outs, and night in every zone that a number may be in."""

from datetime import UTC, datetime

import pytest

from hookflash.base.phone import Address, Kind
from hookflash.compliance.permit import Allowed, Never, NotBefore, Permission, by_day_only


def asked(number: str, now: datetime, *, opted_out: bool = False) -> Permission:
    return by_day_only(
        Address.parse(number, Kind.VOICE), purpose="service", channel=Kind.VOICE, opted_out=opted_out, now=now
    )


def test_who_opted_out_is_never_spoken_to() -> None:
    assert asked("+12125550123", datetime(2026, 1, 14, 17, tzinfo=UTC), opted_out=True) == Never(
        "the person has opted out"
    )


@pytest.mark.parametrize(
    ("number", "now", "when"),
    [
        # New York in winter and in summer, the first minute and the last.
        ("+12125550123", datetime(2026, 1, 14, 13, 0, tzinfo=UTC), None),
        ("+12125550123", datetime(2026, 7, 14, 12, 0, tzinfo=UTC), None),
        ("+12125550123", datetime(2026, 1, 14, 12, 59, tzinfo=UTC), datetime(2026, 1, 14, 13, tzinfo=UTC)),
        ("+12125550123", datetime(2026, 1, 15, 1, 59, tzinfo=UTC), None),
        ("+12125550123", datetime(2026, 1, 15, 2, 0, tzinfo=UTC), datetime(2026, 1, 15, 13, tzinfo=UTC)),
        # Delhi, with its half hour.
        ("+911123456789", datetime(2026, 1, 14, 15, 29, tzinfo=UTC), None),
        ("+911123456789", datetime(2026, 1, 14, 15, 30, tzinfo=UTC), datetime(2026, 1, 15, 2, 30, tzinfo=UTC)),
        # The night before the clocks go forward in Berlin: eight o'clock comes an hour earlier.
        ("+493012345678", datetime(2026, 3, 28, 21, 0, tzinfo=UTC), datetime(2026, 3, 29, 6, tzinfo=UTC)),
    ],
)
def test_nobody_is_spoken_to_at_night(number: str, now: datetime, when: datetime | None) -> None:
    found = asked(number, now)
    assert found == (Allowed() if when is None else NotBefore(when, "it is night where the person lives"))


def test_a_number_that_may_be_in_several_zones_waits_for_the_last_of_them() -> None:
    # Toll-free, nine in the morning in New York and six in Los Angeles.
    now = datetime(2026, 1, 14, 14, tzinfo=UTC)
    found = asked("+18005550123", now)
    assert isinstance(found, NotBefore)
    assert found.when >= datetime(2026, 1, 14, 16, tzinfo=UTC)


def test_who_has_no_number_cannot_be_called() -> None:
    address = Address(Kind.WHATSAPP, "US.1234")
    found = by_day_only(
        address, purpose="service", channel=Kind.VOICE, opted_out=False, now=datetime(2026, 1, 14, 17, tzinfo=UTC)
    )
    assert found == Never("there is no telephone number")
