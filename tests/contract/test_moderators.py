"""One suite for every judge of texts: the rules, and OpenAI's endpoint against its server's fake."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
import stamina

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.providers.registry import MODERATORS, Providers, known
from hookflash.safety.moderation import CATEGORIES, LocalModerator, Moderator
from hookflash.testing.clock import VirtualClock
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import Answer, Drop, Hang, Refuse, serve


@pytest.fixture(autouse=True)
def retries_do_not_wait() -> object:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
async def server() -> AsyncIterator[tuple[OpenAIServer, Moderator]]:
    server = OpenAIServer(SystemClock())
    async with serve(server) as address:
        options: dict[str, str | Secret | None] = {
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_KEY": Secret("sk-test"),
        }
        providers = Providers(options, clock=SystemClock())
        yield server, providers.moderator("openai:omni-moderation-latest")
        await providers.aclose()


@pytest.fixture(params=["local", "openai"])
def moderator(request: pytest.FixtureRequest) -> Moderator:
    if request.param == "local":
        return LocalModerator()
    return request.getfixturevalue("server")[1]  # type: ignore[no-any-return]


async def test_every_text_is_judged_in_its_order(moderator: Moderator) -> None:
    fine, threat, none = await moderator.moderate(["Where is my order?", "I will kill you", ""])
    assert fine.over({}) == ()
    assert "harassment/threatening" in dict(threat.over({}))
    assert none.over({}) == ()
    assert all(category in CATEGORIES for category in threat.scores)
    assert await moderator.moderate([]) == []


async def test_the_model_and_the_texts_are_sent_as_the_vendor_wants_it(server: tuple[OpenAIServer, Moderator]) -> None:
    fake, moderator = server
    fake.script.then(Answer(msgspec.json.encode({"self-harm/intent": 0.97}).decode()))
    found = await moderator.moderate(["a"])
    assert found[0].over({}) == (("self-harm/intent", 0.97),)
    sent = fake.script.requests[0]
    assert sent.path == "/v1/moderations"
    assert sent.body == {"model": "omni-moderation-latest", "input": ["a"]}
    assert sent.headers["authorization"] == "Bearer sk-test"


async def test_what_passes_is_tried_again_and_what_does_not_is_said(server: tuple[OpenAIServer, Moderator]) -> None:
    fake, moderator = server
    fake.script.then(Refuse(503), Refuse(429, wait=0.0))
    assert (await moderator.moderate(["Hi"]))[0].over({}) == ()
    for trouble in (Refuse(400), *[Refuse(500)] * 3):
        fake.script.then(trouble)
    with pytest.raises(Unavailable):
        await moderator.moderate(["Hi"])
    with pytest.raises(Unavailable):
        await moderator.moderate(["Hi"])
    fake.script.then(*[Drop()] * 3)
    with pytest.raises(Unavailable):
        await moderator.moderate(["Hi"])
    fake.key = "sk-other"
    with pytest.raises(Unavailable) as refused:
        await moderator.moderate(["a secret"])
    assert "OPENAI_API_KEY" in refused.value.message
    assert "a secret" not in str(refused.value)


async def test_nobody_waits_for_a_judge_that_is_silent() -> None:
    clock = VirtualClock()
    fake = OpenAIServer(clock, key=None)
    async with serve(fake) as address:
        providers = Providers({"OPENAI_BASE_URL": f"{address}/v1"}, clock=clock)
        moderator = providers.moderator("openai")
        assert moderator.name == "openai:omni-moderation-latest"
        fake.script.then(Hang())
        async with anyio.create_task_group() as group:
            group.start_soon(ripen, fake, clock)
            with pytest.raises(Unavailable):
                await moderator.moderate(["Hi"])
        assert clock.monotonic() < 10
        await providers.aclose()


async def ripen(fake: OpenAIServer, clock: VirtualClock) -> None:
    await fake.script.until(1)
    await clock.advance(6.0)


def test_the_registry_knows_it() -> None:
    assert "openai" in known(MODERATORS)
    with pytest.raises(Misconfigured):
        Providers({}, clock=SystemClock()).moderator("nobody")
