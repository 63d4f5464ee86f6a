"""Codes that verify: Twilio Verify, over the emulator that keeps its contract, and our own texts, through one suite."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from hookflash.assistant.code_words import MASK
from hookflash.assistant.verification import GOOD_FOR, Verification
from hookflash.base.clock import SystemClock
from hookflash.base.errors import TwilioFailed
from hookflash.channels.codes import KIND, CodePost, Codes, NotSent, OwnCodes, Sent, VerifyCodes, code_of, digest_of
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings
from hookflash.conversation.lane import Leaving
from hookflash.conversation.outbox import Accepted, Candidate
from hookflash.emulator.server import Emulator
from hookflash.twilio.account import Account
from hookflash.twilio.account import Credentials as AccountCredentials
from hookflash.twilio.client import TwilioClient

NUMBER = "+15550111222"
KEY = b"key"
NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)


class LaterClock(SystemClock):
    """The machine's clock, ahead by as much as is wanted."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


def a_verification(number: str = NUMBER) -> Verification:
    return Verification("veri_1", "cont_1", "sess_1", number, "sms:x", "where is it", NOW, NOW, NOW + GOOD_FOR)


def an_integration(emulator: Emulator) -> Integration:
    credentials = Credentials(emulator.account_sid, (emulator.auth_token.get_secret_value(),))
    return Integration(
        id="intg_1",
        account_id="acct_1",
        name="line",
        assistant_id="asst_1",
        sender="+15550100200",
        messaging_service_sid=None,
        credentials=credentials,
        settings=IntegrationSettings(),
        meta={},
        disabled=False,
        stopped_code=None,
        stopped_why=None,
        backfilled_to=None,
        created_at=NOW,
        updated_at=NOW,
    )


@dataclass
class Bench:
    """Somebody who sends codes, and the phone at which they arrive."""

    codes: Codes
    integration: Integration
    arrived: Callable[[], str]
    clock: LaterClock
    emulator: Emulator
    twilio: TwilioClient

    async def send(self, verification: Verification) -> Verification:
        sent = await self.codes.send(self.integration, verification, "en")
        assert isinstance(sent, Sent), sent
        return sent.verification

    async def check(self, verification: Verification, digits: str) -> str:
        return await self.codes.check(self.integration, verification, digits)


def other(code: str) -> str:
    return code[:-1] + str((int(code[-1]) + 1) % 10)


@pytest.fixture
async def verify() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield await open_bench(stack, "verify")


async def open_bench(stack: AsyncExitStack, kind: str) -> Bench:
    clock = LaterClock()
    emulator = await stack.enter_async_context(Emulator.serve(clock=clock))
    twilio = await stack.enter_async_context(TwilioClient(emulator.url))
    sent: list[str] = []

    async def keep(_: str, verification: Verification, sid: str) -> Verification:
        return replace(verification, sid=sid)

    async def write(_: Integration, verification: Verification, __: str) -> Verification:
        sent.append(f"msg_{len(sent)}")
        return replace(verification, seeds=(*verification.seeds, sent[-1]))

    def texted() -> str:
        found = re.search(r"\d{6}", emulator.handset(NUMBER).inbox[-1].body)
        assert found
        return found.group()

    service = emulator.add_verify_service("Acme")
    if kind == "verify":
        return Bench(VerifyCodes(twilio, service, keep), an_integration(emulator), texted, clock, emulator, twilio)
    own = OwnCodes(KEY, write)
    return Bench(own, an_integration(emulator), lambda: code_of(KEY, sent[-1]), clock, emulator, twilio)


@pytest.fixture(params=["verify", "text"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield await open_bench(stack, request.param)


async def test_the_code_that_arrives_is_right_and_another_is_wrong(bench: Bench) -> None:
    verification = await bench.send(a_verification())
    code = bench.arrived()
    assert re.fullmatch(r"\d{6}", code)
    assert await bench.check(verification, other(code)) == "wrong"
    assert await bench.check(verification, code) == "right"


async def test_a_code_that_is_sent_again_is_right_and_so_is_the_one_before(bench: Bench) -> None:
    verification = await bench.send(a_verification())
    first = bench.arrived()
    verification = await bench.send(verification)
    assert await bench.check(verification, bench.arrived()) == "right"
    again = await bench.send(a_verification())
    assert await bench.check(again, other(bench.arrived())) == "wrong"
    assert first


async def test_what_was_never_sent_is_never_right(bench: Bench) -> None:
    assert await bench.check(a_verification(), "000000") in ("wrong", "expired")


async def test_after_one_that_failed_the_next_begins_anew(bench: Bench) -> None:
    first = await bench.send(a_verification())
    wrong = other(bench.arrived())
    assert [await bench.check(first, wrong) for _ in range(5)] == ["wrong"] * 5
    await bench.codes.end(bench.integration, first)
    await bench.codes.end(bench.integration, first)
    second = await bench.send(replace(a_verification(), id="veri_2"))
    assert await bench.check(second, bench.arrived()) == "right"


# Verify's own contract


# What twilio-oai 2.6.7 (twilio_verify_v2.json, MIT) says of verify.v2.service.verification and of its check.
STARTED = {
    *("sid", "service_sid", "account_sid", "to", "channel", "status", "valid", "lookup", "amount", "payee"),
    *("send_code_attempts", "date_created", "date_updated", "sna", "url"),
}
CHECKED = (STARTED - {"lookup", "send_code_attempts", "sna", "url"}) | {"sna_attempts_error_codes"}


async def test_the_emulator_answers_in_verifys_form(verify: Bench) -> None:
    service = next(iter(verify.emulator.verifier.services))
    auth = (verify.emulator.account_sid, verify.emulator.auth_token.get_secret_value())
    base = f"{verify.emulator.url}/v2/Services/{service}"
    async with httpx2.AsyncClient(auth=auth) as client:
        started = await client.post(f"{base}/Verifications", data={"To": NUMBER, "Channel": "sms"})
        assert (started.status_code, set(started.json())) == (201, STARTED)
        assert (started.json()["status"], started.json()["valid"]) == ("pending", False)
        again = await client.post(f"{base}/Verifications", data={"To": NUMBER, "Channel": "sms"})
        assert again.json()["sid"] == started.json()["sid"]
        assert len(again.json()["send_code_attempts"]) == 2
        checked = await client.post(f"{base}/VerificationCheck", data={"To": NUMBER, "Code": verify.arrived()})
        assert set(checked.json()) == CHECKED
        assert (checked.json()["status"], checked.json()["valid"]) == ("approved", True)
        gone = await client.get(f"{base}/Verifications/{started.json()['sid']}")
        assert (gone.status_code, gone.json()["code"]) == (404, 20404)
        made = await client.post(f"{verify.emulator.url}/v2/Services", data={"FriendlyName": "Other"})
        assert (made.status_code, made.json()["sid"][:2]) == (201, "VA")
        assert (await client.get(f"{verify.emulator.url}/v2/Services/{made.json()['sid']}")).json() == made.json()


async def test_what_was_approved_is_gone(verify: Bench) -> None:
    verification = await verify.send(a_verification())
    assert await verify.check(verification, verify.arrived()) == "right"
    assert await verify.check(verification, verify.arrived()) == "expired"


async def test_a_sixth_look_is_one_too_many(verify: Bench) -> None:
    verification = await verify.send(a_verification())
    wrong = other(verify.arrived())
    assert [await verify.check(verification, wrong) for _ in range(5)] == ["wrong"] * 5
    assert await verify.check(verification, verify.arrived()) == "used_up"


async def test_after_ten_minutes_it_is_gone(verify: Bench) -> None:
    verification = await verify.send(a_verification())
    verify.clock.ahead = GOOD_FOR
    assert await verify.check(verification, verify.arrived()) == "expired"


async def test_a_sixth_code_is_not_sent(verify: Bench) -> None:
    for _ in range(5):
        await verify.send(a_verification())
    refused = await verify.codes.send(verify.integration, a_verification(), "es")
    assert refused == NotSent("too many codes were sent to this number lately", no_more=True)


async def test_what_verify_does_not_take_says_why(verify: Bench) -> None:
    refused = await verify.codes.send(verify.integration, a_verification("12345"), "en")
    assert refused == NotSent("the phone number that the company has of them is not valid")
    elsewhere = replace(verify.integration, credentials=Credentials())
    assert await verify.codes.send(elsewhere, a_verification(), "en") == NotSent("the code could not be sent")
    verification = await verify.send(a_verification())
    assert await verify.check(verification, "12") == "wrong"
    assert await verify.codes.check(elsewhere, verification, "123456") == "away"


async def test_verify_itself_refuses_as_twilio_does(verify: Bench) -> None:
    account: Account = verify.twilio.account(
        AccountCredentials(verify.emulator.account_sid, verify.emulator.auth_token)
    )
    service = next(iter(verify.emulator.verifier.services))

    async def code_of_refusal(asked: Awaitable[str]) -> tuple[int, int | None]:
        with pytest.raises(TwilioFailed) as refused:
            await asked
        return refused.value.code, refused.value.http_status

    assert await code_of_refusal(account.start_verification("VA" + "0" * 32, NUMBER)) == (20404, 404)
    assert await code_of_refusal(account.start_verification(service, "nobody")) == (60200, 400)
    assert await code_of_refusal(account.check_verification(service, "VE" + "0" * 32, "123456")) == (20404, 404)
    sid = await account.start_verification(service, NUMBER)
    for _ in range(5):
        assert await account.check_verification(service, sid, other(verify.arrived())) == "pending"
    assert await code_of_refusal(account.check_verification(service, sid, "123456")) == (60202, 429)


# The text that brings a code of ours


class Pigeon:
    """A Post that keeps what it was given."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def send(self, _: Integration, row: Leaving, __: str) -> Accepted:
        self.bodies.append(row.body)
        return Accepted("SM1", "queued")

    async def sent_lately(self, _: Integration, __: Leaving, ___: float) -> list[Candidate]:
        return [Candidate("SM1", "sent", body) for body in self.bodies]


async def test_a_code_is_put_in_when_it_leaves_and_is_nowhere_before(verify: Bench) -> None:
    row = Leaving(
        "msg_7", "cont_1", "acct_1", "intg_1", NUMBER, "+1", f"Your code is {MASK}.", KIND, "posting", 1, 1, 0.0, None
    )
    pigeon = Pigeon()
    post = CodePost(pigeon, KEY)
    await post.send(verify.integration, row, "")
    assert pigeon.bodies == [f"Your code is {code_of(KEY, 'msg_7')}."]
    (found,) = await post.sent_lately(verify.integration, row, 60.0)
    assert found.body == row.body, "an unclear send is settled by comparing"
    await post.send(verify.integration, replace(row, kind="answer"), "")
    assert pigeon.bodies[-1] == row.body, "nobody else gets a code by writing the word"


def test_a_digest_tells_codes_apart_and_says_nothing() -> None:
    assert digest_of(KEY, "veri_1", "123456") != digest_of(KEY, "veri_1", "123457")
    assert digest_of(KEY, "veri_1", "123456") != digest_of(KEY, "veri_2", "123456")
