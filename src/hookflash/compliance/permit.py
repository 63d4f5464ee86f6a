"""May we speak to this person, now, about this? The default answer: not to who opted out, not at night where they live."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone as zones

from hookflash.base.phone import Address

EARLIEST = time(8, 0)
LATEST = time(21, 0)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes."""


@dataclass(frozen=True, slots=True)
class NotBefore:
    """Not yet."""

    when: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Never:
    """No."""

    why: str


Permission = Allowed | NotBefore | Never


class Permit(Protocol):
    """Asked before we speak first. `opted_out` is what we know of the person's wish."""

    def __call__(
        self, address: Address, *, purpose: str, channel: str, opted_out: bool, now: datetime
    ) -> Permission: ...


def by_day_only(address: Address, *, purpose: str, channel: str, opted_out: bool, now: datetime) -> Permission:
    """Refuses who opted out; at night (before 8 or after 21 in any zone that the number may be in) asks to wait."""
    if opted_out:
        return Never("the person has opted out")
    if not address.is_number:
        return Never("there is no telephone number")
    latest = now
    for zone in _zones(address.value):
        local = now.astimezone(zone)
        if local.time() < EARLIEST:
            latest = max(
                latest, local.replace(hour=EARLIEST.hour, minute=0, second=0, microsecond=0).astimezone(now.tzinfo)
            )
        elif local.time() >= LATEST:
            morning = (local + timedelta(days=1)).replace(hour=EARLIEST.hour, minute=0, second=0, microsecond=0)
            latest = max(latest, morning.astimezone(now.tzinfo))
    return Allowed() if latest == now else NotBefore(latest, "it is night where the person lives")


def zones_of(address: Address, named: object = None) -> list[ZoneInfo]:
    """Where a person may be: the zone that is known of them (`Europe/Paris`), else all that their number may be in."""
    if isinstance(named, str):
        try:
            return [ZoneInfo(named)]
        except (ZoneInfoNotFoundError, ValueError):
            pass
    return _zones(address.value)


def _zones(number: str) -> list[ZoneInfo]:
    try:
        names = zones.time_zones_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        names = ()
    found = []
    for name in names:
        try:
            found.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return found or [ZoneInfo("UTC")]
