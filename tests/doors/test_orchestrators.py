"""Calls that Vapi, Retell, Bland or others conduct: answered by our assistant, in the same sessions and by the same rules."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.channels.orchestrators.jobs import Answered, Conductors
from hookflash.channels.orchestrators.transcript import Conducted, Line, moment
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Ending, Say, Turn
from hookflash.rest.auth import ANSWER_CALLS
from hookflash.testing.retell_call import RetellCall
from hookflash.testing.vapi_call import VapiCall
from hookflash.testing.wait import until
from hookflash.workspace import store as workspace
from tests.doors.textline import OURS, TextLine, echo, text_line

CALLER = "+15550111222"
TRANSFERS = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig(transfer_to="+15550100900"))


@dataclass
class Service:
    """A service that conducts calls of a line, with a key of its own."""

    line: TextLine
    http: httpx2.AsyncClient
    key: str
    url: str

    def vapi(self, call_id: str = "call-1", **more: Any) -> VapiCall:
        return VapiCall(self.http, self.url, self.key, call_id, **({"number": CALLER} | more))

    async def post(self, path: str, body: object, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(self.url + path, content=content, headers=self.auth | headers)

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    async def addresses(self) -> dict[str, str]:
        found: dict[str, str] = (await self.http.get(self.url, headers=self.auth)).json()
        return found


async def key_of(line: TextLine, account_id: str, *scopes: str) -> tuple[str, str]:
    async with line.core.db.tenant(account_id) as conn:
        made = await workspace.create_key(conn, account_id, "service", frozenset(scopes), line.core.clock.now())
    return made.id, made.text.get_secret_value()


@asynccontextmanager
async def service(database_url: str, directory: Path, **more: Any) -> AsyncIterator[Service]:
    async with text_line(database_url, directory, **more) as line, httpx2.AsyncClient() as http:
        _, key = await key_of(line, line.account_id, ANSWER_CALLS)
        url = f"{line.core.settings.public_url}/orchestrators/{line.integration.id}"
        yield Service(line, http, key, url)


async def spoken(line: TextLine) -> list[tuple[str, str]]:
    rows = await line.rows("select direction, body from messages where kind = 'speech' order by seq")
    return [(r["direction"], r["body"]) for r in rows]


async def test_vapi_asks_turn_by_turn_and_tells_what_was_heard(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        phone = at.line.phone(CALLER)
        phone.text(OURS, "I texted you about it")
        await phone.wait_reply()
        await at.line.at_rest()
        call = at.vapi()
        first = await call.asks()
        assert (first.words, first.finish) == ("Hello! How can I help you?", "stop")
        call.messages.append({"role": "assistant", "content": first.words})
        answer = await call.says("when do you open on Sunday", hears="You said: when do")
        assert answer.words == "You said: when do you open on Sunday"
        assert (await call.says("no, on Monday")).words == "You said: no, on Monday"
        assert await spoken(at.line) == [
            ("in", "when do you open on Sunday"),
            ("out", "You said: when do"),
            ("in", "no, on Monday"),
            ("out", "You said: no, on Monday"),
        ]
        call.messages[-1]["content"] = "You said: no"
        await call.ends("customer-ended-call", 42.7, 0.1234)
        (row,) = await at.line.rows("select * from calls")
        assert (row["call_sid"], row["way"], row["address"], row["sender"]) == (
            "vapi:call-1",
            "vapi",
            CALLER,
            "+15550100777",
        )
        assert (row["state"], row["why"], row["direction"]) == ("ended", "customer-ended-call", "in")
        assert row["measures"] == {"seconds": 42.7, "status": "customer-ended-call"}
        assert row["parts"]["telephony"] == 123_400
        assert "no, on Monday → You said: no\n" in row["summary"] + "\n"
        # The text and the call are one session.
        assert len(await at.line.rows("select 1 from sessions")) == 1
        turns = await at.line.rows("select answered, record from turns where record ? 'call' order by at")
        assert [(t["answered"], t["record"]["interrupted"]) for t in turns] == [
            ("You said: when do", True),
            ("You said: no", True),
        ]
        assert turns[0]["record"]["whole"] == "You said: when do you open on Sunday"


async def test_a_person_takes_over_by_the_functions_that_the_service_has(
    database_url: str, fresh_directory: Path
) -> None:
    async with service(database_url, fresh_directory, assistant_config=TRANSFERS) as at:
        plain = await at.vapi("without").says("a person please")
        assert (plain.functions, plain.finish) == ((), "stop")
        call = at.vapi("with", tools=("endCall", "transferCall"), number="+15550111333")
        given = await call.says("a person please")
        assert given.functions == (("transferCall", {"destination": "+15550100900"}),)
        assert given.finish == "tool_calls"
        # What a function gave back wants no words.
        call.messages.append({"role": "tool", "tool_call_id": "1", "content": "Transferred."})
        assert (await call.asks()).words == ""
        eleven = await at.post(
            "/chat/completions",
            {
                "messages": [{"role": "user", "content": [{"type": "text", "text": "a person please"}]}],
                "elevenlabs_extra_body": {"call_id": "e1", "caller": "+15550111444"},
                "tools": [{"type": "function", "function": {"name": "transfer_to_number"}}],
            },
        )
        choice = eleven.json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] == "You said: a person please"
        called = choice["message"]["tool_calls"][0]["function"]
        assert json.loads(called["arguments"]) == {"transfer_number": "+15550100900"}
        where = await call.tells({"type": "transfer-destination-request", "call": {"id": "with"}})
        assert where == {"destination": {"type": "number", "number": "+15550100900"}}
        assert len(await at.line.rows("select 1 from tickets")) == 3


async def test_a_newer_request_stops_the_one_that_still_thinks(database_url: str, fresh_directory: Path) -> None:
    thinking, stopped = anyio.Event(), anyio.Event()

    async def slow(turn: Turn) -> str:
        if turn.words.endswith("order"):
            thinking.set()
            try:
                await anyio.sleep_forever()
            finally:
                stopped.set()
        return f"You said: {turn.words}"

    async with service(database_url, fresh_directory, answer=slow) as at:
        call = at.vapi()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(VapiCall.says, call, "where is my order")
            await thinking.wait()
            newer = await call.says("of Tuesday")
            await stopped.wait()
        assert newer.words == "You said: where is my order of Tuesday"
        assert await spoken(at.line) == [
            ("in", "where is my order of Tuesday"),
            ("out", "You said: where is my order of Tuesday"),
        ]


async def test_what_was_said_before_a_newer_request_is_kept(database_url: str, fresh_directory: Path) -> None:
    begun, heard = anyio.Event(), []

    async def answer(turn: Turn, say: Say) -> Ending:
        heard.append((turn.words, turn.contact.language))
        await say(Segment("We open "))
        if turn.words == "when":
            begun.set()
            await anyio.sleep_forever()
        await say(Segment("at nine.", last=True))
        return Ending("answered", "We open at nine.", turn.words, 0.9, (), "scripted", "test", "en")

    async def say(segment: Segment) -> None:
        said.append(segment.text)

    said: list[str] = []
    config = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig(languages={"es-MX": ""}))
    async with text_line(database_url, fresh_directory, assistant_config=config) as line:
        conductors = Conductors(replace(line.core.switchboard(), answer=answer))
        call = Conducted("vapi", "v", theirs=CALLER)
        done: list[Answered] = []

        async def asks(*words: str) -> None:
            now = moment([Line(word.startswith(">"), word.removeprefix(">")) for word in words])
            done.append(await conductors.answer(line.integration, call, now, say))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asks, "when")
            await begun.wait()
            # Of two that wait only the newer one is answered.
            tasks.start_soon(asks, "when", ">We", "today")
            tasks.start_soon(asks, "when", ">We", "today", "¿a qué hora abren los domingos?")
        assert [answered.superseded for answered in done] == [True, True, False]
        assert said == ["We open ", "We open ", "at nine."]
        assert heard == [("when", "en"), ("today ¿a qué hora abren los domingos?", "es")]
        rows = await line.rows("select said, answered, record from turns order by at")
        assert [(r["said"], r["answered"], r["record"]["whole"], r["record"]["interrupted"]) for r in rows] == [
            ("when", "We", "We open", True),
            ("today ¿a qué hora abren los domingos?", "We open at nine.", "We open at nine.", False),
        ]


async def test_who_hangs_up_on_an_answer_stops_it(database_url: str, fresh_directory: Path) -> None:
    thinking, stopped = anyio.Event(), anyio.Event()

    async def slow(turn: Turn) -> str:
        thinking.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        return ""

    async with service(database_url, fresh_directory, answer=slow) as at, anyio.create_task_group() as tasks:
        tasks.start_soon(at.vapi().says, "hello")
        await thinking.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await stopped.wait()


async def test_the_rules_of_calls_hold_and_card_numbers_are_not_kept(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        await at.vapi("one").says("my card is 4242 4242 4242 4242 ok", hears="You said: my card is 4242 4242 4242 4242")
        await at.vapi("one").says("hello")
        await at.vapi("two").says("hello")
        third = at.vapi("three", tools=("endCall",))
        refused = await third.says("hello")
        assert refused.words.startswith("Sorry, I cannot answer")
        assert refused.functions == (("endCall", {}),)
        assert (await third.says("hello?")).functions == (("endCall", {}),)
        (row,) = await at.line.rows("select why from calls where state = 'refused'")
        assert "at once" in row["why"]
        assert "4242" not in json.dumps([await spoken(at.line), await at.line.rows("select answered, said from turns")])
        # Calls whose end nobody told count no more after a while.
        async with at.line.core.db.tenant(at.line.account_id) as conn:
            await conn.execute("update calls set updated_at = updated_at - interval '6 minutes'")
        assert (await at.vapi("four").says("hello")).words == "You said: hello"
        async with at.line.core.db.tenant(at.line.account_id) as conn:
            await conn.execute(
                "update calls set started_at = started_at - interval '31 minutes' where call_sid like '%four'"
            )
        assert (await at.vapi("four", tools=("endCall",)).says("and")).words == "Thank you for calling. Goodbye."
        # Nobody who opted out is rung, but who rings is answered.
        async with at.line.core.db.tenant(at.line.account_id) as conn:
            await conn.execute(
                "insert into opt_outs values (%s, %s, %s, true, 'keyword', now())",
                (at.line.account_id, "+15550111555", at.line.integration.opt_out_scope),
            )
        rung = await at.vapi("out", number="+15550111555", outbound=True, tools=("endCall",)).says("hello")
        assert rung.functions == (("endCall", {}),)
        assert (await at.vapi("in", number="+15550111555").says("hello")).words == "You said: hello"


async def test_callers_without_a_number_are_strangers_to_each_other(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        for call_id in ("web-1", "web-2"):
            assert (await at.vapi(call_id, number=None).says("hello")).words == "You said: hello"
        rows = await at.line.rows("select distinct contact_id, session_id, address from calls")
        assert {r["address"] for r in rows} == {"web:vapi:web-1", "web:vapi:web-2"}
        assert len({r["contact_id"] for r in rows}) == len({r["session_id"] for r in rows}) == 2


async def test_retell_conducts_a_call_over_its_socket(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory, assistant_config=TRANSFERS) as at:
        addresses = await at.addresses()
        assert at.key not in json.dumps(addresses)
        async with RetellCall.open(addresses["retell"], "call_r1", CALLER) as call:
            assert (await call.begins()).words == "Hello! How can I help you?"
            assert await call.pings(1703302407333) == {"response_type": "ping_pong", "timestamp": 1703302407333}
            answer = await call.says("when do you open", hears="You said: when")
            assert answer.words == "You said: when do you open"
            await call.speaks("", wants="reminder_required")
            assert (await call.answer()).words == "Are you still there?"
            given = await call.says("I want a person", hears="You said: I want")
            assert given.transfer_number == "+15550100900"
            assert not given.end_call
            await call.updates()
        await until(lambda: at.line.rows("select 1 from calls where state = 'ended'"))
        assert await spoken(at.line) == [
            ("in", "when do you open"),
            ("out", "You said: when"),
            ("in", "I want a person"),
            ("out", "You said: I want"),
        ]
        ended = {
            "event": "call_ended",
            "call": {
                "call_id": "call_r1",
                "duration_ms": 61_500,
                "disconnection_reason": "call_transfer",
                "call_cost": {"combined_cost": 12.5},
            },
        }
        assert (await at.http.post(addresses["events"], json=ended)).status_code == 204
        (row,) = await at.line.rows("select * from calls")
        assert (row["call_sid"], row["address"], row["why"]) == ("retell:call_r1", CALLER, "call_transfer")
        assert (row["measures"]["seconds"], row["parts"]["telephony"]) == (61.5, 125_000)
        assert "when do you open" in row["summary"]


async def test_retell_comes_back_after_its_socket_broke(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        url = (await at.addresses())["retell"]
        async with RetellCall.open(url, "call_r2") as call:
            await call.begins()
            await call.says("hello")
            transcript = call.transcript
        await until(lambda: at.line.rows("select 1 from calls where state = 'ended'"))
        async with RetellCall.open(url, "call_r2") as again:
            assert (await again.begins()).words == ""
            again.transcript = transcript
            assert (await again.says("still me")).words == "You said: still me"
            (row,) = await at.line.rows("select state, address from calls")
            assert (row["state"], row["address"]) == ("live", "web:retell:call_r2")
            long = [{"word": "well", "start": 1.25, "end": 1.5}] * 10_000
            await again.send(
                interaction_type="update_only", transcript=[{"role": "user", "content": "x", "words": long}]
            )
            assert (await again.says("and now")).words == "You said: and now"
        async with RetellCall.open(url, "call_r3") as broken:
            await broken.begins()
            for _ in range(10):
                await broken.ws.send("{nonsense")
            with pytest.raises(ConnectionClosed):
                await broken.ws.recv()


async def test_a_bland_pathway_asks_by_a_webhook(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory, assistant_config=TRANSFERS) as at:
        body = {"call_id": "b-1", "from": CALLER, "to": "+15550100777", "inbound": True, "said": "when do you open"}
        for _ in range(2):
            answer = await at.post("/bland", body)
            assert answer.json() == {"answer": "You said: when do you open", "next": "continue", "transfer_to": ""}
        person = await at.post("/bland", body | {"said": "a person"})
        assert person.json() == {"answer": "You said: a person", "next": "transfer", "transfer_to": "+15550100900"}
        over = {"call_id": "b-1", "completed": True, "status": "completed", "corrected_duration": "60", "price": 0.09}
        assert (await at.http.post((await at.addresses())["events"], json=over)).status_code == 204
        (row,) = await at.line.rows("select * from calls")
        assert (row["call_sid"], row["address"], row["why"]) == ("bland:b-1", CALLER, "completed")
        assert (row["measures"]["seconds"], row["parts"]["telephony"]) == (60.0, 90_000)
        # Nothing told what was heard, not even that the same was asked twice.
        assert (await spoken(at.line))[:2] == [("in", "when do you open"), ("out", "You said: when do you open")]
        assert (await at.post("/bland", body | {"said": "{{question}}"})).status_code == 422


async def test_nobody_comes_in_without_the_right_key(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        line, body = at.line, at.vapi().body()
        addresses = await at.addresses()
        stranger_account = await workspace.create_account(line.core.db, "Strangers")
        _, foreign = await key_of(line, stranger_account, "admin")
        _, narrow = await key_of(line, line.account_id, "messages:write")
        key_id, other = await key_of(line, line.account_id, ANSWER_CALLS)
        paths = ("/chat/completions", "/bland", "/events")
        for path in paths:
            assert (await at.http.post(at.url + path, json=body)).status_code == 401
            for key, status in ((foreign, 404), (narrow, 403), (at.key[:-1] + "x", 401), ("nonsense", 401)):
                refused = await at.http.post(at.url + path, json=body, headers={"Authorization": f"Bearer {key}"})
                assert refused.status_code == status, (path, key)
                assert refused.headers["content-type"] == "application/problem+json"
        unknown = at.url.replace(line.integration.id, "intg_" + "0" * 26)
        assert (await at.http.post(f"{unknown}/chat/completions", json=body, headers=at.auth)).status_code == 404
        # An address with a door in it is good for its integration, and as long as its key.
        second = await line.second("+15550100201")
        moved = addresses["retell"].replace(line.integration.id, second.id)
        made = await at.http.get(at.url, headers={"Authorization": f"Bearer {other}"})
        async with line.core.db.tenant(line.account_id) as conn:
            await workspace.revoke_key(conn, key_id, line.core.clock.now())
        for url in (moved, made.json()["retell"], addresses["retell"][:-6] + "AAAAAA", addresses["retell"] + "é"):
            with pytest.raises(InvalidStatus):
                async with connect(f"{url}/call_1"):
                    pass
        with pytest.raises(InvalidStatus):
            async with connect(f"{addresses['retell']}/{'x' * 101}"):
                pass
        refused = await at.http.post(made.json()["events"], json={"call_id": "b", "completed": True})
        assert refused.status_code == 401
        assert await line.rows("select 1 from calls") == []


async def test_bad_requests_are_told_what_is_wrong(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory) as at:
        good = at.vapi().body()
        large = json.dumps(good | {"metadata": {"x": "y" * 1_000_000}}).encode()
        for body, status, field in (
            (b"{nonsense", 422, "body"),
            ([], 422, "body"),
            (large, 413, None),
            ({**good, "messages": "hello"}, 422, "messages"),
            ({**good, "call": {}}, 422, "call.id"),
            ({**good, "call": {"id": "a/b"}}, 422, "call.id"),
            ({**good, "messages": [{"role": "user", "content": "\0"}]}, 422, "messages[0].content"),
        ):
            refused = await at.post("/chat/completions", body)
            assert refused.status_code == status, (body, refused.text)
            if field:
                assert [error["field"] for error in refused.json()["errors"]] == [field]
        assert (await at.post("/events", [])).status_code == 422
        for strange in ({}, {"message": {"type": "hang"}}, {"message": {"type": "hang", "call": {"id": "x"}}}):
            assert (await at.post("/events", strange)).status_code == 204
        # Strange parts of a good request are passed over.
        odd = good | {"messages": [7, {"role": "user"}, {"role": "user", "content": ["x", {"text": "hello"}]}]}
        assert "You said: hello" in (await at.post("/chat/completions", odd | {"tools": [1, {}]})).text


async def test_a_call_belongs_to_the_integration_that_it_began_with(database_url: str, fresh_directory: Path) -> None:
    async with service(database_url, fresh_directory, answer=echo) as at:
        await at.vapi().says("hello")
        second = await at.line.second("+15550100201")
        elsewhere = at.vapi()
        elsewhere.url = at.url.replace(at.line.integration.id, second.id)
        with pytest.raises(AssertionError, match="404"):
            await elsewhere.says("hello")
        await elsewhere.ends("hijacked", 1, 1)
        other = await at.http.get(elsewhere.url, headers=at.auth)
        async with at.line.core.db.tenant(at.line.account_id) as conn:
            await conn.execute("update calls set call_sid = 'retell:call-1'")
        async with RetellCall.open(other.json()["retell"], "call-1") as socket:
            assert (await socket.begins()).words.startswith("Sorry")
        (row,) = await at.line.rows("select state, why from calls")
        assert (row["state"], row["why"]) == ("live", None)
