"""Money: what tokens, embeddings and texts cost, in micro-dollars, from price lists that need no network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hookflash.base.phone import Kind
from hookflash.conversation.turn import Usage
from hookflash.knowledge.passage import Embedder

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Priced:
    """An amount in micro-dollars; `note` tells why it is not the whole truth (None when it is)."""

    micros: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TextPrice:
    """What one text to a country costs, in micro-dollars: per SMS segment, and per MMS."""

    segment: int
    mms: int = 0


# List prices of April 2026 in micro-dollars, without carrier fees, taxes and discounts: for budgets and comparison, not for accounting.
# Where we have no price for a country ANYWHERE holds, on the dear side, so that a spend limit stops early, not late.
SMS_PRICES: Mapping[str, TextPrice] = {
    "US": TextPrice(8_300, 22_000),
    "CA": TextPrice(8_300, 22_000),
    "PR": TextPrice(42_000),
    "ME": TextPrice(137_500),
    "TT": TextPrice(299_200),
    "AO": TextPrice(178_900),
    "MU": TextPrice(189_600),
    "SR": TextPrice(235_000),
    "NP": TextPrice(302_200),
}
ANYWHERE = TextPrice(110_000, 220_000)
WHATSAPP_MESSAGE = 5_000
# By whose price speech of unknown price is counted, so that a spend limit stops early.
DEAR_SPEECH = "gpt-realtime-2.1"


def tokens(model: str, usage: Usage) -> Priced:
    """The price of a model's tokens; `model` is `vendor:model`. A model that is in no price list costs 0, with a note."""
    vendor, _, name = model.partition(":")
    return _priced(vendor, name, usage.input_tokens, usage.output_tokens, model)


@dataclass(frozen=True, slots=True)
class SpokenTokens:
    """What a model that hears and speaks consumed; the cached ones are counted in `text_in` and `audio_in` too."""

    text_in: int = 0
    audio_in: int = 0
    text_out: int = 0
    audio_out: int = 0
    cached_text: int = 0
    cached_audio: int = 0


def spoken(model: str, used: SpokenTokens) -> Priced:
    """The price of a model's tokens of text and sound; a model that is in no price list costs what DEAR_SPEECH does."""
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    vendor, _, name = model.partition(":")
    tokens = Tokens(
        input_tokens=used.text_in + used.audio_in,
        output_tokens=used.text_out + used.audio_out,
        input_audio_tokens=used.audio_in,
        output_audio_tokens=used.audio_out,
        cache_read_tokens=used.cached_text + used.cached_audio,
        cache_audio_read_tokens=used.cached_audio,
    )
    note = None
    try:
        price = calc_price(tokens, name, provider_id=vendor)
    except LookupError:
        note = f"no price list has {model}: estimated"
        price = calc_price(tokens, DEAR_SPEECH, provider_id="openai")
    return Priced(math.ceil(price.total_price * MICROS), note)


def embedding(embedder: Embedder, text: str) -> Usage:
    """What it consumes to embed one text; embedders that run here cost nothing."""
    count = embedder.count_tokens(text)
    vendor, _, rest = embedder.name.partition(":")
    # An embedder's name ends in its settings, such as `openai:text-embedding-3-small@1536`.
    priced = _priced(vendor, rest.partition("@")[0], count, None, embedder.name)
    return Usage(embedded_tokens=count, embedding_micros=priced.micros)


def texts(
    kind: Kind,
    country: str | None,
    segments: int,
    *,
    media: bool = False,
    prices: Mapping[str, int] | None = None,
) -> Priced:
    """The list price of one outgoing answer of `segments` SMS segments (or WhatsApp messages).

    `prices` overrides it, in micro-dollars for one segment by the country's ISO code (`whatsapp` for a WhatsApp message).
    """
    own = prices or {}
    if kind is Kind.WEB or kind is Kind.VOICE:
        return Priced(0)
    if kind is Kind.WHATSAPP:
        return Priced(own.get("whatsapp", WHATSAPP_MESSAGE) * segments)
    if country is not None and country in own and not media:
        return Priced(own[country] * segments)
    price = SMS_PRICES.get(country or "", ANYWHERE)
    note = None if country in SMS_PRICES else f"no list price of {country or 'this destination'}: estimated"
    if media and price.mms:
        return Priced(price.mms, note)
    return Priced(price.segment * segments, note)


def total(first: Usage, second: Usage) -> Usage:
    """Both together."""
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.embedded_tokens + second.embedded_tokens,
        first.model_micros + second.model_micros,
        first.embedding_micros + second.embedding_micros,
    )


def _priced(vendor: str, name: str, read: int, written: int | None, full: str) -> Priced:
    if not name:
        return Priced(0)
    # Imported here: the price lists take a tenth of a start, and who answers without a vendor never needs them.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        price = calc_price(Tokens(input_tokens=read, output_tokens=written), name, provider_id=vendor)
    except LookupError:
        return Priced(0, f"no price list has {full}")
    # Rounded up: many small turns must not add up to nothing.
    return Priced(math.ceil(price.total_price * MICROS))
