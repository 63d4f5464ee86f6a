"""Customers' profiles in memory: the twin of a system that has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hookflash.conversation.identity import Identity


@dataclass(slots=True)
class MemoryProfiles:
    """A ProfileSource. What it was told is in `events`, each key once."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def knows(self, identity: Identity, **traits: Any) -> None:
        """Somebody who is known by this identity."""
        self.people[str(identity)] = traits

    async def traits(self, identity: Identity) -> Mapping[str, Any] | None:
        return self.people.get(str(identity))

    async def identify(self, identity: Identity, traits: Mapping[str, Any], key: str, at: datetime) -> None:
        if self._new(key):
            self.people.setdefault(str(identity), {}).update(traits)
            self.events.append(("identify", traits))

    async def track(
        self, identity: Identity, event: str, properties: Mapping[str, Any], key: str, at: datetime
    ) -> None:
        if self._new(key):
            self.events.append((event, dict(properties)))

    def _new(self, key: str) -> bool:
        fresh = key not in self.keys
        self.keys.add(key)
        return fresh
