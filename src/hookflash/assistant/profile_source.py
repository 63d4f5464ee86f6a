"""What another system knows of a customer (Segment): asked within a turn's patience, kept for a while, never in the way."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError
from hookflash.conversation.identity import Identity, IdentityKind

PATIENCE_SECONDS = 0.3
_KEPT_SECONDS = 300.0
_MOST_KEPT = 10_000
_MOST_TRAITS = 50
_LONGEST_VALUE = 200
# How a person is best known there.
_ORDER = (IdentityKind.USER_ID, IdentityKind.EMAIL, IdentityKind.PHONE, IdentityKind.WHATSAPP)


class ProfileSource(Protocol):
    """A system that has profiles. All raise Unavailable (worth another try), Misconfigured (wrong key) or Invalid."""

    async def traits(self, identity: Identity) -> Mapping[str, Any] | None:
        """The person's traits; None when nobody is known by this identity."""
        ...

    async def identify(self, identity: Identity, traits: Mapping[str, Any], key: str, at: datetime) -> None:
        """Tell it traits. The same `key` twice counts once."""
        ...

    async def track(
        self, identity: Identity, event: str, properties: Mapping[str, Any], key: str, at: datetime
    ) -> None:
        """Tell it that something happened. The same `key` twice counts once."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was had: traits (perhaps none), and why not all could be asked, if so."""

    traits: Mapping[str, Any]
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles for turns. `accounts` are those whose customers the source knows; none: all accounts'."""

    source: ProfileSource
    clock: Clock
    breakers: Breakers
    accounts: frozenset[str] = frozenset()
    _kept: OrderedDict[tuple[str, str], tuple[float, Mapping[str, Any]]] = field(
        default_factory=OrderedDict, init=False, repr=False
    )

    def serves(self, account_id: str) -> bool:
        return not self.accounts or account_id in self.accounts

    async def of(self, account_id: str, identities: Sequence[Identity]) -> Fetched:
        """The traits of the person who is all of these: by the first identity that the source knows."""
        wanted = ordered(identities)
        if not wanted or not self.serves(account_id):
            return Fetched({})
        now = self.clock.monotonic()
        key = (account_id, " ".join(map(str, wanted)))
        kept = self._kept.get(key)
        if kept is not None and kept[0] > now:
            return Fetched(kept[1])
        breaker = self.breakers.of("customer profiles")
        if not breaker.admit(now):
            return Fetched({}, "customer profiles: passed over, they failed lately")
        settled = False
        try:
            traits = await within(self.clock, PATIENCE_SECONDS, lambda: self._ask(wanted))
            breaker.succeeded()
            settled = True
        except TimeoutError:
            breaker.failed(self.clock.monotonic())
            settled = True
            return Fetched({}, "customer profiles: no answer in time")
        except HookflashError as error:
            breaker.failed(self.clock.monotonic())
            settled = True
            return Fetched({}, f"customer profiles: {error}")
        finally:
            if not settled:
                breaker.abandoned()
        self._kept[key] = (self.clock.monotonic() + _KEPT_SECONDS, traits)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return Fetched(traits)

    async def _ask(self, wanted: Sequence[Identity]) -> Mapping[str, Any]:
        for identity in wanted:
            found = await self.source.traits(identity)
            if found is not None:
                return plain(found)
        return {}


def ordered(identities: Sequence[Identity]) -> list[Identity]:
    """Those that other systems may know, the surest first."""
    able = [i for i in identities if i.kind is not IdentityKind.WHATSAPP or i.value.startswith("+")]
    return sorted(dict.fromkeys(able), key=lambda i: _ORDER.index(i.kind))


def plain(traits: Mapping[str, Any]) -> dict[str, Any]:
    """The traits that are texts, numbers, truths or lists of texts, of bounded number and size."""
    kept: dict[str, Any] = {}
    for name, value in traits.items():
        if len(kept) == _MOST_TRAITS:
            break
        if isinstance(value, str):
            value = value[:_LONGEST_VALUE]
        elif isinstance(value, list):
            value = [each[:_LONGEST_VALUE] for each in value[:20] if isinstance(each, str)]
        elif not isinstance(value, bool | int | float):
            continue
        if value not in ("", []):
            kept[str(name)[:100]] = value
    return kept
