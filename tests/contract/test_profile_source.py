"""Customers' profiles elsewhere: one suite for Segment over its server, and for profiles in memory."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from hookflash.assistant.profile_source import PATIENCE_SECONDS, Fetched, Profiles, ProfileSource
from hookflash.base.breaker import Breakers
from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.conversation.identity import Identity
from hookflash.providers.segment import SegmentProfiles
from hookflash.testing.clock import VirtualClock
from hookflash.testing.profiles import MemoryProfiles
from hookflash.testing.segment_server import SegmentServer
from hookflash.testing.vendor import serve

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PHONE, EMAIL, USER = (
    Identity.parse(text) for text in ("phone:+15550111222", "email:ada+shop@example.com", "user_id:u:7")
)


@dataclass
class Place:
    """A source, and what is behind it."""

    source: ProfileSource
    server: SegmentServer | None
    memory: MemoryProfiles | None

    def knows(self, who: Identity, **traits: Any) -> None:
        if self.server is not None:
            self.server.knows(str(who), **traits)
        else:
            assert self.memory is not None
            self.memory.knows(who, **traits)

    @property
    def events(self) -> list[tuple[str, Mapping[str, Any]]]:
        if self.server is not None:
            return [
                (e["event"], e["properties"]) if e["type"] == "track" else ("identify", e["traits"])
                for e in self.server.events
            ]
        assert self.memory is not None
        return list(self.memory.events)


def segment(url: str, *, token: str = "segment-token", key: str = "segment-write-key") -> SegmentProfiles:
    return SegmentProfiles(
        space="spa_test",
        profile_token=Secret(token),
        write_key=Secret(key),
        profiles_url=url,
        tracking_url=url,
    )


@pytest.fixture(params=["segment", "memory"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        memory = MemoryProfiles()
        yield Place(memory, None, memory)
        return
    server = SegmentServer()
    async with serve(server) as url:
        source = segment(url)
        yield Place(source, server, None)
        await source.aclose()


@pytest.mark.parametrize("who", [PHONE, EMAIL, USER], ids=str)
async def test_who_is_known_has_traits(place: Place, who: Identity) -> None:
    place.knows(who, plan="gold", orders=3, vip=True, tags=["a"])
    assert await place.source.traits(who) == {"plan": "gold", "orders": 3, "vip": True, "tags": ["a"]}


async def test_all_of_many_traits_come(place: Place) -> None:
    place.knows(PHONE, **{f"t{n}": n for n in range(40)})
    assert len(await place.source.traits(PHONE) or {}) == 40


async def test_who_is_not_known_is_nobody(place: Place) -> None:
    place.knows(PHONE, plan="gold")
    assert await place.source.traits(EMAIL) is None


async def test_what_is_told_is_known_after(place: Place) -> None:
    await place.source.identify(PHONE, {"name": "Ada"}, "key-1", AT)
    found = await place.source.traits(PHONE)
    assert found is not None
    assert found["name"] == "Ada"


async def test_the_same_key_counts_once(place: Place) -> None:
    for _ in range(2):
        await place.source.track(PHONE, "Conversation Ended", {"turns": 2}, "key-2", AT)
    await place.source.track(USER, "Conversation Ended", {"turns": 3}, "key-3", AT)
    assert place.events == [("Conversation Ended", {"turns": 2}), ("Conversation Ended", {"turns": 3})]


async def test_segment_is_asked_as_its_documentation_says() -> None:
    server = SegmentServer()
    async with serve(server) as url:
        source = segment(url)
        server.knows("phone:+15550111222", plan="gold")
        await source.traits(Identity.parse("whatsapp:+15550111222"))
        await source.track(PHONE, "Ended", {"a": 1}, "k1", AT)
        await source.identify(Identity.parse("user_id:7"), {"plan": "gold"}, "k2", AT)
        await source.aclose()
    read, track, identify = server.requests
    assert read.path == "/v1/spaces/spa_test/collections/users/profiles/phone:+15550111222/traits"
    assert read.headers["authorization"] == "Basic c2VnbWVudC10b2tlbjo="
    assert track.body["anonymousId"] == "phone:+15550111222"
    assert track.body["context"]["externalIds"] == [
        {"id": "+15550111222", "type": "phone", "collection": "users", "encoding": "none"}
    ]
    assert (track.body["messageId"], track.body["timestamp"]) == ("k1", "2026-11-21T09:30:00+00:00")
    assert identify.body["userId"] == "7"
    assert "anonymousId" not in identify.body
    assert identify.path == "/v1/identify"


async def test_a_limit_of_rate_is_waited_for_and_other_trouble_is_told() -> None:
    server = SegmentServer()
    async with serve(server) as url:
        source = segment(url)
        server.knows(str(PHONE), plan="gold")
        server.refusals.append((429, "0"))
        assert await source.traits(PHONE) == {"plan": "gold"}
        server.refusals.extend([(429, "60")])
        with pytest.raises(Unavailable):
            await source.traits(PHONE)
        wrong = segment(url, token="other", key="other")
        with pytest.raises(Misconfigured):
            await wrong.traits(PHONE)
        with pytest.raises(Misconfigured):
            await wrong.track(PHONE, "Ended", {}, "k", AT)
        for each in (source, wrong):
            await each.aclose()
    gone = segment(url)
    with pytest.raises(Unavailable):
        await gone.track(PHONE, "Ended", {}, "k", AT)
    await gone.aclose()


async def test_without_a_key_nothing_is_read_and_nothing_written() -> None:
    server = SegmentServer()
    async with serve(server) as url:
        source = SegmentProfiles(space=None, profile_token=None, write_key=None, profiles_url=url, tracking_url=url)
        assert await source.traits(PHONE) is None
        await source.track(PHONE, "Ended", {}, "k", AT)
        await source.aclose()
    assert server.requests == []


# Profiles within a turn's patience


@dataclass
class Slow:
    """A source that takes its time, or fails."""

    clock: VirtualClock
    seconds: float = 0.0
    fails: bool = False
    asked: list[str] = field(default_factory=list)

    async def traits(self, identity: Identity) -> Mapping[str, Any] | None:
        self.asked.append(str(identity))
        await self.clock.sleep(self.seconds)
        if self.fails:
            raise Unavailable("Segment cannot be reached.")
        return {"plan": "gold"} if identity == PHONE else None

    async def identify(self, identity: Identity, traits: Mapping[str, Any], key: str, at: datetime) -> None:
        raise AssertionError("nothing is told here")

    async def track(
        self, identity: Identity, event: str, properties: Mapping[str, Any], key: str, at: datetime
    ) -> None:
        raise AssertionError("nothing is told here")


async def ask(profiles: Profiles, clock: VirtualClock, account: str = "acc") -> Fetched:
    got: list[Fetched] = []

    async def work() -> None:
        got.append(await profiles.of(account, (PHONE, EMAIL)))

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        while not got:
            await clock.next()
    return got[0]


async def test_what_was_had_is_kept_for_a_while_and_for_the_account_alone() -> None:
    clock = VirtualClock()
    slow = Slow(clock, 0.1)
    profiles = Profiles(slow, clock, Breakers(clock))
    assert await ask(profiles, clock) == Fetched({"plan": "gold"})
    assert slow.asked == [str(EMAIL), str(PHONE)]
    assert (await ask(profiles, clock)).traits == {"plan": "gold"}
    assert len(slow.asked) == 2
    await ask(profiles, clock, "other")
    assert len(slow.asked) == 4
    await clock.advance(301)
    await ask(profiles, clock)
    assert len(slow.asked) == 6


async def test_who_takes_too_long_is_left_alone_after_a_while() -> None:
    clock = VirtualClock()
    slow = Slow(clock, 5.0)
    profiles = Profiles(slow, clock, Breakers(clock))
    for _ in range(3):
        before = clock.monotonic()
        found = await ask(profiles, clock)
        assert found == Fetched({}, "customer profiles: no answer in time")
        assert clock.monotonic() - before == pytest.approx(PATIENCE_SECONDS)
    assert await ask(profiles, clock) == Fetched({}, "customer profiles: passed over, they failed lately")
    assert len(slow.asked) == 3


async def test_a_failure_is_a_note_and_other_accounts_are_not_served() -> None:
    clock = VirtualClock()
    slow = Slow(clock, fails=True)
    profiles = Profiles(slow, clock, Breakers(clock), frozenset({"acc"}))
    assert (await ask(profiles, clock)).degraded == "customer profiles: Segment cannot be reached."
    assert await ask(profiles, clock, "other") == Fetched({})
    assert len(slow.asked) == 1
