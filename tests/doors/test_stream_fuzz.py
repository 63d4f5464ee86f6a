"""Media Streams under nonsense: ten thousand messages that are wrong, too large or out of order, and a call beside them."""

import gc
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.channels.stream_routes import StreamSession
from hookflash.rest.socket import MAX_MESSAGE
from hookflash.speech.run_call import CallShell
from hookflash.testing.speech import Said
from hookflash.testing.stream_caller import StreamCaller
from hookflash.testing.wait import until
from tests.doors.test_relay import CALLER, SID, answered, socket
from tests.doors.test_stream import SILENCE, SPEECH, calling, studio
from tests.doors.textline import TextLine, text_line

CALLS, MESSAGES = 25, 400
# What `alive` counts of a call: its session and its shell.
ONE_CALL = 2
# Our own ending, a refusal, a message that is too large. Nothing broke on our side (1011).
CLEAN = {1000, 1005, 1008, 1009}

Message = str | bytes


def media(payload: str, timestamp: object, **more: object) -> str:
    body = {"track": "inbound", "chunk": "1", "timestamp": timestamp, "payload": payload}
    return json.dumps({"event": "media", "sequenceNumber": "1", "streamSid": "MZ1", "media": body} | more)


def sound(random: Random) -> str:
    return b64encode(random.randbytes(random.choice((1, 80, 160, 160, 160, 161, 4000)))).decode()


def out_of_order(random: Random) -> Iterator[Message]:
    """Well-formed, but nothing is where it belongs."""
    while True:
        at = random.choice((0, 20, 40, 60, 1_000, 5_000, 10**9, 2**53 - 1)) + random.randrange(200)
        yield random.choice(
            (
                media(sound(random), min(at, 2**53 - 1)),
                media(sound(random), str(random.randrange(4_000))),
                json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": random.choice(MARKS)}}),
                json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}}),
            )
        )


MARKS = ("", "0.0", "1.0", "1.first.x", "0.first.²", "1.first.-1", "..", "9.²", f"0.{'9' * 90}", "0.first." + "9" * 90)


def wrong(random: Random) -> Iterator[Message]:
    """Not as documented: any of these may end the call, none may break it."""
    deep = "[" * 900 + "]" * 900
    while True:
        yield random.choice(
            (
                "",
                "{",
                "null",
                '"media"',
                deep,
                f'{{"event": {deep}}}',
                '{"event": "media"}',
                '{"event": "media", "media": 7}',
                '{"event": "mark", "streamSid": "MZ1", "mark": {"name": ' + '"x' * 500 + '"}}',
                json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "12345" * 100}}),
                json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": "9" * 5_000}}),
                json.dumps({"event": "start", "streamSid": "MZ1", "start": {}}),
                json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
                json.dumps({"event": "\u0000" * 50}),
                media("How do I return a jacket?", "20"),
                media("", "20"),
                media("=" * 40, "20"),
                media(sound(random), "-20"),
                media(sound(random), "²"),
                media(sound(random), 2**70),
                media(sound(random), None),
                media(sound(random), "20", streamSid="MZ2"),
                media("A" * 100_000, "20"),
                random.randbytes(random.randrange(300)),
                media(sound(random), "20").encode("utf-16"),
                media(sound(random), "20").encode() + b"\xff",
            )
        )


def anything(random: Random) -> Iterator[Message]:
    good, bad = out_of_order(random), wrong(random)
    while True:
        yield next(good) if random.random() < 0.9 else next(bad)


def too_large(random: Random) -> Iterator[Message]:
    yield from (media(sound(random), "20") for _ in range(20))
    while True:
        yield media("A" * 1_400_000, "40")


def stopped(random: Random) -> Iterator[Message]:
    """It goes on after its `stop`."""
    yield from (media(sound(random), str(20 * n)) for n in range(20))
    yield json.dumps({"event": "stop", "streamSid": "MZ1"})
    yield from anything(random)


@asynccontextmanager
async def hostile(line: TextLine, number: int) -> AsyncIterator[tuple[ClientConnection, str]]:
    """A call of its own number, admitted; its socket and token."""
    sid = f"CA{number:032x}"
    url, token = await answered(line, CallSid=sid, From=f"+1202555{number:04}")
    async with socket(line, url) as ws:
        yield ws, token


async def attack(line: TextLine, number: int, kind: Callable[[Random], Iterator[Message]], *, start: bool) -> int:
    """Send all the messages, or as many as the other side listens to; how the socket was closed."""
    messages = kind(Random(number))
    async with hostile(line, number) as (ws, token):
        try:
            if start:
                await StreamCaller(ws).start(token, f"CA{number:032x}")
            for _ in range(MESSAGES):
                await ws.send(next(messages))
            # Whoever listens still must also understand the end.
            await ws.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
        except ConnectionClosed:
            pass
        await ws.wait_closed()
        assert ws.close_code is not None
        return ws.close_code


def alive() -> int:
    """Calls of which anything is left."""
    gc.collect()
    return sum(type(one) in (StreamSession, CallShell) for one in gc.get_objects())


KINDS = (out_of_order, anything, wrong, stopped, too_large)


async def test_ten_thousand_wrong_messages_end_their_own_calls_at_most(
    database_url: str, fresh_directory: Path
) -> None:
    asked = Said("How long do I have to return a jacket?", start=1.5, end=1.5 + len(SPEECH) / 8000)
    codes: dict[int, int] = {}
    async with text_line(database_url, fresh_directory, studio=studio(asked)) as line:
        async with calling(line) as caller:

            async def attacks(first: int) -> None:
                for number in range(first, CALLS, 5):
                    # Every fifth call of a kind never says `start`.
                    start = number // 5 != 4
                    codes[number] = await attack(line, number, KINDS[number % 5], start=start)

            async with anyio.create_task_group() as tasks:
                for first in range(5):
                    tasks.start_soon(attacks, first)
                await caller.speak(SILENCE * 70)
                await caller.speak(SPEECH)
                async with anyio.create_task_group() as quiet:
                    quiet.start_soon(caller.speak, SILENCE * 600)
                    await until(
                        lambda: line.rows("select 1 from messages where direction = 'out' and address = %s", CALLER)
                    )
                    quiet.cancel_scope.cancel()
            assert caller.audio
            await until(lambda: alive() == ONE_CALL)
            # A message that is too large is not read to its end, so its sender may miss how it was refused.
            assert {code for number, code in codes.items() if KINDS[number % 5] is not too_large} <= CLEAN
            assert {code for number, code in codes.items() if KINDS[number % 5] is too_large} <= CLEAN | {1006}
            assert len(codes) == CALLS
            await caller.send(event="stop", sequenceNumber="9", streamSid="MZ1", stop={"callSid": SID})
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and call_sid = %s", SID))
        await until(lambda: not alive())
        # Every stream that began has ended in its record too, and what came was counted.
        left = await line.rows("select call_sid from calls where state = 'live'")
        assert not left
        counted = await line.rows("select measures from calls where measures ? 'malformed' and call_sid <> %s", SID)
        assert len(counted) == CALLS - 5
        assert any(row["measures"]["malformed"] > 50 for row in counted)
        assert any(row["measures"]["jitter"]["received"] > 100 for row in counted)


async def test_a_megabyte_ends_the_call_whatever_it_says(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, studio=studio()) as line, calling(line) as caller:
        await until(lambda: line.rows("select 1 from calls where state = 'live'"))
        try:
            await caller.ws.send("x" * (MAX_MESSAGE + 1))
        except ConnectionClosed:
            pass
        await caller.ws.wait_closed()
        # It is not read to its end, so its sender may miss how it was refused.
        assert caller.ws.close_code in (1009, 1006)
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
