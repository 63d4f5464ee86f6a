"""How an assistant speaks on the telephone: its way in, its vendors and voices, its patience, its fixed phrases."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Tag = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
Vendor = Annotated[str, Field(pattern=r"^[a-z0-9_-]+(:[^\s]{1,120})?$")]


class VoiceConfig(BaseModel):
    """What can be set of an assistant's voice. Empty texts are taken from the built-in ones of the language."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    way: Literal["stream", "relay", "gather", "realtime"] = Field(
        default="relay",
        description="stream: our own ears and voice; relay: Twilio's, by ConversationRelay; gather: turn by turn;"
        " realtime: a model that hears and speaks by itself.",
    )
    language: str = Field(default="en-US", max_length=20, description="BCP 47 tag; `multi` where the vendors can.")
    languages: dict[Tag, Annotated[str, Field(max_length=120)]] = Field(
        default_factory=dict,
        max_length=10,
        description="Other languages that a call goes over to when the caller speaks them or asks for them (stream, relay):"
        " BCP 47 tags, each with its voice (empty: the same one).",
    )
    stt: Annotated[tuple[Vendor, ...], Field(strict=False, max_length=4)] = Field(
        default=(),
        description="Transcribers in the order in which they are tried (stream); none: those of the settings.",
    )
    tts: Annotated[tuple[Vendor, ...], Field(strict=False, max_length=4)] = Field(
        default=(), description="Voices' vendors in the order in which they are tried (stream); none: as above."
    )
    realtime: Vendor | Literal[""] = Field(
        default="",
        description="The model that hears and speaks (realtime), such as openai:gpt-realtime-2.1; empty: that of the settings.",
    )
    voice: str = Field(default="", max_length=120, description="The vendor's name of the voice; empty: its usual one.")
    greeting: str = Field(default="", max_length=500, description="The first words of a call.")
    patience: float = Field(
        default=1.0, ge=0.3, le=3.0, allow_inf_nan=False, description="Stretches the pauses that end a caller's turn."
    )
    turn_model: Literal["", "smart-turn"] = Field(
        default="",
        description="A model that hears from the sound whether a caller has finished, where the words do not tell (stream);"
        " smart-turn: about 50 ms of a core for every pause, needs the extra of this name.",
    )
    interruptible: bool = Field(default=True, description="Whether the caller may interrupt.")
    filler_after_ms: int = Field(default=2_500, ge=0, le=20_000, description="Say a filler after this long; 0 never.")
    reprompt_after_ms: int = Field(default=8_000, ge=2_000, le=60_000, description="Ask after this much silence.")
    reprompts: int = Field(default=2, ge=0, le=5, description="How often, before a polite end.")
    max_minutes: int = Field(default=30, ge=1, le=240, description="The longest call.")
    max_call_usd: float = Field(default=5.0, gt=0, le=1_000, allow_inf_nan=False, description="The dearest call.")
    concurrent_per_number: int = Field(default=2, ge=1, le=100, description="Calls of one number at a time.")
    calls_per_hour: int = Field(default=30, ge=1, le=10_000, description="Calls of one number in an hour.")
    require_attestation: Literal["", "A", "B", "C"] = Field(
        default="", description="The least STIR/SHAKEN attestation of a caller; empty: none."
    )
    record: bool = Field(default=False, description="Record calls at Twilio, after saying so.")
    record_notice: str = Field(default="", max_length=300, description="The words that say so.")
    transfer_to: str = Field(
        default="",
        max_length=200,
        description="Where a person is: a number, a SIP address, or a TaskRouter workflow (WW...).",
    )
    transfer: Literal["plain", "warm"] = Field(
        default="plain",
        description="plain: the person is rung and joined; warm: the caller waits, the person hears what it is about and"
        " takes the call by a key, and a caller whom nobody takes comes back to the assistant. For numbers and SIP.",
    )
    hold_music: str = Field(
        default="",
        max_length=500,
        pattern=r"^(https?://\S+)?$",
        description="The address of what a waiting caller hears (an MP3 or WAV file); empty: words.",
    )
    voicemail: str = Field(default="", max_length=500, description="What an outbound call leaves on a machine.")
    hints: Annotated[tuple[Annotated[str, Field(max_length=60)], ...], Field(strict=False, max_length=100)] = Field(
        default=(), description="Words that the transcriber should expect, such as product names."
    )
