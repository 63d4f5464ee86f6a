"""Money of calls: what a minute of listening, a spoken character and a minute of telephony cost, in micro-dollars."""

import math
from collections.abc import Mapping

from hookflash.assistant.cost import Priced

# List prices of the smallest plans in April 2026, without taxes and discounts: for budgets and comparison, not for accounting.
# A name that begins with one of these has its price, the longest that fits; what runs on this machine costs nothing.
LISTENING: Mapping[str, int] = {
    "deepgram": 7_700,
    "deepgram:nova-2": 5_800,
    "deepgram:flux": 7_800,
    "openai": 6_000,
    "openai:gpt-4o-mini-transcribe": 3_000,
    "whisper": 6_000,
    "pocketsphinx": 0,
}
# Of a transcriber that is told to expect several languages.
MIXED: Mapping[str, int] = {"deepgram:nova-3": 9_200}
SPEAKING: Mapping[str, int] = {
    "elevenlabs": 100,
    "elevenlabs:eleven_flash": 50,
    "elevenlabs:eleven_turbo": 50,
    "cartesia": 50,
    "polly": 16,
    "polly:standard": 4,
    "polly:generative": 30,
    "polly:long-form": 100,
    "openai": 17,
    "openai:tts-1-hd": 30,
    "espeak": 0,
}
# Where no list has a vendor: on the dear side, so that a spend limit stops early, not late.
DEAR_MINUTE, DEAR_CHARACTER = 10_000, 100

# A minute of a call on Twilio in the United States, by its direction, and what its way costs beside it.
MINUTE: Mapping[str, int] = {"in": 8_500, "out": 14_000}
WAY_MINUTE: Mapping[str, int] = {"stream": 4_000, "realtime": 4_000, "relay": 70_000, "gather": 0}
# Turn by turn Twilio hears and speaks, for a price of its own.
GATHERED, SAID_CHARACTER = 20_000, 8


def listening(vendor: str, seconds: float, *, mixed: bool = False) -> Priced:
    """A transcriber that was listening for so long; `mixed`: to several languages."""
    price = _price(MIXED, vendor) if mixed else None
    if price is None:
        price = _price(LISTENING, vendor)
    note = None if price is not None else f"no price list has {vendor}: estimated"
    return Priced(math.ceil((DEAR_MINUTE if price is None else price) * seconds / 60), note)


def speaking(vendor: str, characters: int) -> Priced:
    """A voice that was given so many characters."""
    price = _price(SPEAKING, vendor)
    note = None if price is not None else f"no price list has {vendor}: estimated"
    return Priced((DEAR_CHARACTER if price is None else price) * characters, note)


def telephony(way: str, direction: str, seconds: float) -> Priced:
    """A call of so long; Twilio counts every minute that has begun."""
    minutes = math.ceil(seconds / 60)
    return Priced(minutes * (MINUTE.get(direction, MINUTE["out"]) + WAY_MINUTE.get(way, 0)), "counted as in the US")


def _price(prices: Mapping[str, int], vendor: str) -> int | None:
    fits = [name for name in prices if vendor == name or vendor.startswith((f"{name}:", f"{name}-", f"{name}_"))]
    return prices[max(fits, key=len)] if fits else None
