"""An integration: one Twilio number, Messaging Service or WhatsApp sender, joined to one assistant."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.templates import text
from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.base.secret import Secret
from hookflash.conversation.intake import Rules
from hookflash.conversation.turn import LineTraits

_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
MAX_SESSION_MS = 2_592_000_000
WEB_CHARS = 8_000
SPOKEN_CHARS = 600


class IntegrationSettings(BaseModel):
    """What can be set for one integration; a running session keeps those it began with."""

    model_config = ConfigDict(extra="forbid")

    allow_from: list[str] = Field(
        default=["*"], max_length=1000, description="Numbers that may write, E.164. `*` is everybody; empty is nobody."
    )
    session_duration_ms: int = Field(
        default=1_800_000, ge=1_000, le=MAX_SESSION_MS, description="Quiet after which the context is forgotten."
    )
    contact_collection: bool = Field(default=True, description="Keep the sender's profile name and language.")
    burst_ms: int = Field(default=1_200, ge=0, le=10_000, description="Wait for more of a burst, then answer once.")
    inline_budget_ms: int = Field(
        default=0, ge=0, le=12_000, description="Answer inside the webhook's own response when ready by then; 0 never."
    )
    acknowledge_after_ms: int = Field(
        default=8_000, ge=0, le=120_000, description="Say once that we are looking into it after this long; 0 never."
    )
    messages_per_minute: int = Field(default=20, ge=1, le=600, description="Messages of one number that are answered.")
    contact_day_usd: float = Field(default=2.0, gt=0, le=10_000, description="Spend on one number in a day (UTC).")
    account_day_usd: float = Field(
        default=100.0, gt=0, le=1_000_000, description="Spend of the account in a day (UTC)."
    )
    stale_after_minutes: int = Field(
        default=360, ge=1, le=43_200, description="A found message older than this is kept but not answered."
    )
    stop_words: list[str] = Field(default=[], max_length=50, description="Own opt-out words, beside the standard ones.")
    start_words: list[str] = Field(default=[], max_length=50, description="Own opt-in words.")
    help_words: list[str] = Field(default=[], max_length=50, description="Own help words.")
    twilio_answers_keywords: bool | None = Field(
        default=None, description="Whether Twilio answers STOP/START/HELP itself. Unset: yes for SMS, no for WhatsApp."
    )

    @field_validator("allow_from")
    @classmethod
    def _numbers(cls, values: list[str]) -> list[str]:
        out = []
        for value in values:
            given = value.strip()
            if given.isdigit() and len(given) > 8:
                given = f"+{given}"
            if given != "*":
                try:
                    address = Address.parse(given)
                except Invalid as error:
                    raise ValueError(f"{value!r}: {error.message}") from None
                if address.kind is Kind.SMS and not address.value.lstrip("+").isdigit():
                    raise ValueError(f"{value!r}: a sender with a name cannot write to us")
                given = str(address)
            out.append(given)
        return out

    def of_session(self) -> dict[str, Any]:
        """What a session keeps of them."""
        return self.model_dump(
            include={
                "burst_ms",
                "inline_budget_ms",
                "acknowledge_after_ms",
                "session_duration_ms",
                "contact_collection",
            }
        )


class Credentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """What proves Twilio to us and us to Twilio; sealed in the database, never shown again.

    `auth_tokens` are all accepted (rotation); the first one signs requests unless an API key is given.
    """

    account_sid: str | None = None
    auth_tokens: tuple[str, ...] = ()
    api_key: str | None = None
    api_secret: str | None = None
    shared_keys: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Credentials(**********)"


@dataclass(frozen=True, slots=True)
class Integration:
    """One integration as it is now. `sender` is a number or WhatsApp sender, or a Messaging Service SID.

    `has_credentials`: they are its own, not those of the whole program. `stamp`: when it or its assistant was last
    changed.
    """

    id: str
    account_id: str
    name: str
    assistant_id: str
    sender: str
    messaging_service_sid: str | None
    credentials: Credentials
    settings: IntegrationSettings
    meta: dict[str, Any]
    disabled: bool
    stopped_code: int | None
    stopped_why: str | None
    backfilled_to: datetime | None
    created_at: datetime
    updated_at: datetime
    assistant: AssistantConfig = field(default_factory=AssistantConfig)
    has_credentials: bool = False
    stamp: datetime | None = None

    @property
    def kind(self) -> Kind:
        return {"whatsapp": Kind.WHATSAPP, "web": Kind.WEB}.get(self.sender.partition(":")[0], Kind.SMS)

    @property
    def is_service(self) -> bool:
        return self.sender.startswith("MG")

    @property
    def opt_out_scope(self) -> str:
        """Opt-outs are kept per sender; a Messaging Service is one sender."""
        return self.messaging_service_sid or self.sender

    def twilio_answers_keywords(self, kind: Kind) -> bool:
        """Of a message that came by this channel: a Messaging Service may have senders of both."""
        answers = self.settings.twilio_answers_keywords
        return kind is Kind.SMS if answers is None else answers

    @property
    def auth_tokens(self) -> tuple[Secret, ...]:
        return tuple(Secret(token) for token in self.credentials.auth_tokens)

    @property
    def shared_keys(self) -> dict[str, Secret]:
        return {name: Secret(key) for name, key in self.credentials.shared_keys.items()}

    def rules(self, language: str) -> Rules:
        """What the intake gates apply; their fixed texts in this language."""
        s = self.settings
        return Rules(
            disabled=self.disabled,
            allow_from=tuple(s.allow_from),
            messages_per_minute=s.messages_per_minute,
            contact_day_micros=round(s.contact_day_usd * 1e6),
            account_day_micros=round(s.account_day_usd * 1e6),
            stale_after=s.stale_after_minutes * 60.0,
            session_micros=round(self.assistant.safety.spend.session_usd * 1e6),
            assistant_day_micros=round(self.assistant.safety.spend.day_usd * 1e6),
            texts={
                word: text(key, language, company=self.assistant.company, overrides=self.assistant.templates)
                for word, key in (("stop", "opted_out"), ("start", "opted_in"), ("help", "help"))
            },
        )


def line_traits(sender: Address, segment_budget: int | None) -> LineTraits:
    """What an answer from this sender may look like. One of the web may end in how it speaks: `web:...:voice`."""
    if sender.kind is Kind.WHATSAPP:
        return LineTraits("whatsapp")
    if sender.kind is Kind.WEB:
        spoken = sender.value.endswith(":voice")
        return LineTraits("web", max_chars=SPOKEN_CHARS if spoken else WEB_CHARS, spoken=spoken)
    return LineTraits("sms", segment_budget=segment_budget)


def parse_sender(text: str) -> str:
    """Check what a user gives as the sender: E.164, `whatsapp:+...`, a short code, or a Messaging Service SID."""
    text = text.strip()
    if _SERVICE.fullmatch(text):
        return text
    try:
        address = Address.parse(text)
    except Invalid:
        address = None
    # Nobody can write to a sender that is a name.
    if address is None or not address.value.lstrip("+").isdigit():
        raise Invalid(
            "sender must be a number in E.164 form (+15551234567), whatsapp:+15551234567, or a Messaging Service (MG...)",
            field="sender",
        )
    return str(address)
