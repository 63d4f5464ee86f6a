"""Status callbacks: whatever their order and however often they come, a message never goes back."""

from collections.abc import AsyncIterator, Sequence
from itertools import count, permutations
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hookflash.asgi import create_app
from hookflash.testing.wait import until
from hookflash.twilio.messaging import Status, advance
from hookflash.twilio.signature import sign
from tests.doors.textline import OURS, TextLine, text_line

THEIRS = "+15550111222"
_numbers = count(1)


class Carrier:
    """Calls the status address as Twilio does."""

    def __init__(self, line: TextLine, client: httpx2.AsyncClient) -> None:
        self.line = line
        self._client = client

    async def sent(self, *, state: str = "queued", sid: str | None = "", to: str = THEIRS) -> tuple[str, str]:
        """A message of ours that Twilio has: our id and Twilio's."""
        number = next(_numbers)
        twilios = f"SM{number:032x}"
        await self.line.rows(
            "insert into messages (id, account_id, contact_id, integration_id, direction, kind, address, sender, body, state,"
            " sid, at) select %s, account_id, contact_id, integration_id, 'out', 'answer', %s, sender, 'x', %s, %s, now()"
            " from messages where direction = 'in' limit 1 returning 1",
            f"msg_{number}",
            to,
            state,
            twilios if sid == "" else sid,
        )
        return f"msg_{number}", twilios

    async def tell(self, sid: str, status: str, *, message: str | None = None, **fields: str) -> int:
        form = {
            "AccountSid": self.line.emulator.account_sid,
            "From": OURS,
            "To": THEIRS,
            "MessageSid": sid,
            "SmsSid": sid,
            "MessageStatus": status,
            "SmsStatus": status,
        } | fields
        url = f"{self.line.base}/status" + (f"?message={message}" if message else "")
        headers = sign(url, self.line.emulator.auth_token, form=form.items())
        return (await self._client.post(url, data=form, headers=headers)).status_code

    async def state(self, message: str) -> dict[str, Any]:
        (row,) = await self.line.rows("select state, sid, error_code, error from messages where id = %s", message)
        return row


@pytest.fixture
async def carrier(database_url: str, fresh_directory: Path) -> AsyncIterator[Carrier]:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.phone(THEIRS).text(OURS, "hello")
        await line.emulator.idle()
        transport = httpx2.ASGITransport(create_app(line.core))
        async with httpx2.AsyncClient(transport=transport) as client:
            yield Carrier(line, client)


def furthest(statuses: Sequence[str]) -> str:
    best = Status.ACCEPTED
    for status in statuses:
        best = advance(best, Status(status))
    return best


LIVES = {
    "read": ("queued", "sending", "sent", "delivered", "read"),
    "undelivered": ("queued", "sending", "sent", "undelivered"),
    "failed": ("queued", "sending", "failed"),
    "receipt": ("sent", "undelivered", "delivered"),
    "canceled": ("queued", "sending", "canceled"),
}


@pytest.mark.parametrize("life", LIVES)
async def test_all_orders_with_repeats_end_alike_and_never_go_back(carrier: Carrier, life: str) -> None:
    for order in permutations(LIVES[life]):
        message, sid = await carrier.sent()
        told: list[str] = []
        for status in (*order, order[0], order[len(order) // 2]):
            code = {"ErrorCode": "30005"} if status in ("undelivered", "failed") else {}
            assert await carrier.tell(sid, status, **code) == 204
            told.append(status)
            found = await carrier.state(message)
            assert found["state"] == furthest(told), told
        assert found["error_code"] == (30005 if {"undelivered", "failed"} & set(order) else None)


async def test_the_first_reason_is_kept(carrier: Carrier) -> None:
    message, sid = await carrier.sent()
    await carrier.tell(sid, "undelivered", ErrorCode="30005")
    first = await carrier.state(message)
    assert (first["state"], first["error_code"]) == ("undelivered", 30005)
    assert first["error"] == "The number is unknown or no longer in use."
    await carrier.tell(sid, "undelivered", ErrorCode="30008", ErrorMessage="Unknown error")
    await carrier.tell(sid, "sent")
    await carrier.tell(sid, "undelivered")
    assert await carrier.state(message) == first


async def test_a_reason_without_words_and_words_without_a_code(carrier: Carrier) -> None:
    message, sid = await carrier.sent()
    await carrier.tell(sid, "failed", ErrorCode="99999")
    assert (await carrier.state(message))["error"] == "Twilio reported error 99999."
    other, sid = await carrier.sent()
    await carrier.tell(sid, "failed", ErrorCode="63016", ChannelStatusMessage="Outside of the window")
    assert (await carrier.state(other))["error"] == "Outside of the window"


async def test_each_change_is_in_the_journal_once(carrier: Carrier) -> None:
    message, sid = await carrier.sent()
    for status in ("sent", "sent", "queued", "delivered", "delivered", "sent"):
        await carrier.tell(sid, status)
    entries = await carrier.line.rows(
        "select body from journal where subject = %s and kind = 'status' order by id", message
    )
    assert ['"sent"' in e["body"] for e in entries] == [True, False]


async def test_read_counts_as_opened(carrier: Carrier) -> None:
    message, sid = await carrier.sent()
    await carrier.tell(sid, "delivered", EventType="READ", ChannelPrefix="whatsapp")
    assert (await carrier.state(message))["state"] == "read"


async def test_unknown_messages_statuses_and_inbound_ones_change_nothing(carrier: Carrier) -> None:
    message, _ = await carrier.sent()
    assert await carrier.tell("SM" + "f" * 32, "delivered") == 204
    assert await carrier.tell("SM" + "f" * 32, "delivered", message="msg_none") == 204
    assert await carrier.tell("SM" + "f" * 32, "teleported") == 422
    assert await carrier.tell("nonsense", "delivered") == 422
    (inbound,) = await carrier.line.rows("select sid from messages where direction = 'in'")
    assert await carrier.tell(inbound["sid"], "received") == 204
    assert await carrier.tell(inbound["sid"], "failed") == 204
    states = await carrier.line.rows("select state from messages order by seq")
    assert [s["state"] for s in states] == ["unanswered", "queued"]
    assert (await carrier.state(message))["state"] == "queued"


@pytest.mark.parametrize("state", ["posting", "waiting", "parked"])
async def test_a_callback_settles_a_request_whose_answer_was_lost(carrier: Carrier, state: str) -> None:
    message, sid = await carrier.sent(state=state, sid=None)
    await carrier.line.rows("update lanes set due_at = null returning 1")
    assert await carrier.tell(sid, "sent", message=message) == 204
    assert await carrier.state(message) == {"state": "sent", "sid": sid, "error_code": None, "error": None}
    (lane,) = await carrier.line.rows("select due_at from lanes")
    assert lane["due_at"] is not None
    # Another message of Twilio's that names the same row is none of ours.
    assert await carrier.tell("SM" + "e" * 32, "failed", message=message, ErrorCode="30005") == 204
    assert (await carrier.state(message))["state"] == "sent"


async def test_what_was_withheld_stays_withheld(carrier: Carrier) -> None:
    message, sid = await carrier.sent(state="withheld", sid=None)
    await carrier.tell(sid, "delivered", message=message)
    assert (await carrier.state(message))["state"] == "withheld"


@pytest.mark.parametrize("code", ["21610", "63033"])
async def test_an_opt_out_that_only_twilio_knew_of_withholds_what_waits(carrier: Carrier, code: str) -> None:
    _, sid = await carrier.sent()
    waiting, _ = await carrier.sent(state="waiting", sid=None)
    await carrier.tell(sid, "failed", ErrorCode=code)
    assert (await carrier.state(waiting))["state"] == "withheld"
    (kept,) = await carrier.line.rows("select address, sender, opted_out, via from opt_outs")
    assert kept == {"address": THEIRS, "sender": OURS, "opted_out": True, "via": f"error {code}"}
    phone = carrier.line.phone(THEIRS)
    phone.text(OURS, "are you there?")
    await carrier.line.emulator.idle()
    (last,) = await carrier.line.rows("select state, why from messages where body = 'are you there?'")
    assert last == {"state": "silenced", "why": "the sender has opted out"}


async def test_a_number_that_does_not_exist_is_marked_until_it_writes_again(carrier: Carrier) -> None:
    _, sid = await carrier.sent()
    await carrier.tell(sid, "undelivered", ErrorCode="30005")
    assert await marked(carrier) == 30005
    carrier.line.phone(THEIRS).text(OURS, "here I am")
    await until(lambda: _unmarked(carrier))


async def marked(carrier: Carrier) -> int | None:
    (row,) = await carrier.line.rows("select unreachable_code from contact_addresses")
    code: int | None = row["unreachable_code"]
    return code


async def _unmarked(carrier: Carrier) -> bool:
    return await marked(carrier) is None


async def test_a_handset_that_is_off_is_marked_after_three_messages_in_a_row(carrier: Carrier) -> None:
    for code in ("30003", "30003", None, "30003", "30003"):
        _, sid = await carrier.sent()
        if code:
            await carrier.tell(sid, "undelivered", ErrorCode=code)
        else:
            await carrier.tell(sid, "delivered")
        assert await marked(carrier) is None
    _, sid = await carrier.sent()
    await carrier.tell(sid, "undelivered", ErrorCode="30003")
    assert await marked(carrier) == 30003


async def test_a_sender_that_carriers_refuse_is_stopped(carrier: Carrier) -> None:
    _, sid = await carrier.sent()
    await carrier.tell(sid, "undelivered", ErrorCode="30034")
    (row,) = await carrier.line.rows("select stopped_code, stopped_why from integrations")
    assert row["stopped_code"] == 30034
    assert "A2P" in row["stopped_why"]


@pytest.mark.parametrize("faults", [("shuffle_status",), ("duplicate_status",), ("shuffle_status", "duplicate_status")])
async def test_over_the_wire(database_url: str, fresh_directory: Path, faults: tuple[str, ...]) -> None:
    async with text_line(database_url, fresh_directory, sender="whatsapp:+15550100300") as line:
        for fault in faults:
            line.emulator.fault(fault)
        phone = line.phone()
        for n in range(5):
            phone.text("whatsapp:+15550100300", f"hello {n}")
            await phone.wait_reply()
        await line.at_rest()
        rows = await line.rows("select distinct state from messages where direction = 'out'")
        assert [r["state"] for r in rows] == ["read"]
