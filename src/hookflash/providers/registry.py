"""The door for vendors of models, embedders, re-rankers, transcribers, voices: from entry points, also strangers'."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from hookflash.assistant.model import ChatModel
from hookflash.base.clock import Clock, SystemClock
from hookflash.base.errors import Misconfigured
from hookflash.base.secret import Secret
from hookflash.knowledge.passage import Embedder
from hookflash.knowledge.rerank import Reranker
from hookflash.safety.moderation import Moderator
from hookflash.safety.personal import PATTERNS, Finder
from hookflash.speech.sts import Sts
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts

MODELS = "hookflash.models"
EMBEDDERS = "hookflash.embedders"
STT = "hookflash.stt"
TTS = "hookflash.tts"
STS = "hookflash.sts"
RERANKERS = "hookflash.rerankers"
MODERATORS = "hookflash.moderators"
FINDERS = "hookflash.finders"
_KINDS = {
    MODELS: "language model",
    EMBEDDERS: "embedder",
    RERANKERS: "re-ranker",
    MODERATORS: "moderation",
    FINDERS: "finder of personal data",
    STT: "transcriber",
    TTS: "voice",
    STS: "speech to speech",
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a vendor: to connect, for the first piece of an answer, for all of it."""

    connect: float = 5.0
    first: float = 10.0
    total: float = 45.0


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """What a vendor's constructor is given.

    `model` is what follows the colon of the name (`gpt-4o-mini` of `openai:gpt-4o-mini`; empty when nothing does).
    `options` are settings by their customary environment names, such as OPENAI_API_KEY. `data_dir` is for caches.
    """

    model: str = ""
    options: Mapping[str, str | Secret | None] = field(default_factory=dict)
    data_dir: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    timeouts: Timeouts = Timeouts()

    def text(self, name: str) -> str | None:
        """The setting, None when it is missing or blank."""
        value = self.options.get(name)
        plain = value.get_secret_value() if isinstance(value, Secret) else value
        return plain.strip() or None if plain else None


class Providers:
    """Makes each vendor's object once, when it is first asked for, so that unused vendors cost nothing."""

    def __init__(
        self,
        options: Mapping[str, str | Secret | None],
        *,
        clock: Clock,
        data_dir: Path | None = None,
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        self._config = ProviderConfig("", options, data_dir, clock, timeouts)
        self._made: dict[tuple[str, str], Any] = {}

    def model(self, name: str) -> ChatModel:
        """The language model of a name such as `openai:gpt-4o-mini` or `extractive`; raises Misconfigured."""
        return cast(ChatModel, self._make(MODELS, name))

    def embedder(self, name: str) -> Embedder:
        """The embedder of a name such as `minilm` or `openai:text-embedding-3-small`; raises Misconfigured."""
        return cast(Embedder, self._make(EMBEDDERS, name))

    def reranker(self, name: str) -> Reranker:
        """The re-ranker of a name such as `http:jina-reranker-v2-base-multilingual` or `onnx:/srv/model`."""
        return cast(Reranker, self._make(RERANKERS, name))

    def moderator(self, name: str) -> Moderator:
        """The judge of texts of a name such as `openai:omni-moderation-latest`; raises Misconfigured."""
        return cast(Moderator, self._make(MODERATORS, name))

    def finder(self, name: str) -> Finder:
        """What finds personal data, of a name such as `patterns` or `presidio`; raises Misconfigured."""
        return cast(Finder, self._make(FINDERS, name)) if name != "patterns" else PATTERNS

    def stt(self, name: str) -> Stt:
        """The transcriber of a name such as `deepgram:flux` or `whisper`; raises Misconfigured."""
        return cast(Stt, self._make(STT, name))

    def tts(self, name: str) -> Tts:
        """The synthesizer of a name such as `elevenlabs:eleven_flash_v2_5@<voice>` or `espeak`; raises Misconfigured."""
        return cast(Tts, self._make(TTS, name))

    def sts(self, name: str) -> Sts:
        """The one that hears and speaks, of a name such as `openai:gpt-realtime-2.1`; raises Misconfigured."""
        return cast(Sts, self._make(STS, name))

    async def aclose(self) -> None:
        """Close the connections of all that were made."""
        made, self._made = self._made, {}
        for thing in made.values():
            close = getattr(thing, "aclose", None)
            if close is not None:
                await close()

    def _make(self, group: str, name: str) -> Any:
        if (group, name) not in self._made:
            vendor, _, model = name.partition(":")
            make = _constructor(group, vendor, name)
            config = self._config
            self._made[group, name] = make(
                ProviderConfig(model, config.options, config.data_dir, config.clock, config.timeouts)
            )
        return self._made[group, name]


def known(group: str) -> tuple[str, ...]:
    """The vendors that are installed for a group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def _constructor(group: str, vendor: str, name: str) -> Callable[[ProviderConfig], Any]:
    points: tuple[EntryPoint, ...] = tuple(entry_points(group=group, name=vendor))
    if not points:
        raise Misconfigured(
            f"There is no {_KINDS[group]} named {name!r}; installed are: {', '.join(known(group)) or 'none'}.",
            hint=f"a name is one of these, with a model after a colon where the vendor has several (group {group})",
        )
    try:
        return cast(Callable[[ProviderConfig], Any], points[0].load())
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"{vendor!r} needs the Python package {error.name!r}, which is not installed.",
            hint=f"pip install 'hookflash[{vendor}]'",
        ) from error
