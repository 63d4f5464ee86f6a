"""What can be set: read once, from a mapping of environment variables and a TOML file, and handed on as an argument.

One name in three notations: the field `public_url`, the TOML key `public_url`, the variable `HOOKFLASH_PUBLIC_URL`.
Variables that other programs share keep their customary names (`TWILIO_AUTH_TOKEN`). The environment wins over the
file; a blank value is no value. A secret may also be read from a file (`TWILIO_AUTH_TOKEN_FILE`, or
`twilio_auth_token_file`), and any value may name a key in HashiCorp Vault (`vault:path#key`).
"""

import contextlib
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hookflash.base.errors import Misconfigured
from hookflash.base.secret import Sealer, Secret
from hookflash.providers.vault import PREFIX as VAULT_PREFIX
from hookflash.providers.vault import Vault

FILE_NAME = "hookflash.toml"
_PREFIX = "HOOKFLASH_"
_CONFIG = "HOOKFLASH_CONFIG"


def _listed(value: object) -> object:
    """A list as a variable has it: separated by commas, or as JSON and TOML write it."""
    if not isinstance(value, str):
        return value
    inner = value.strip()[1:-1] if re.fullmatch(r"\s*\[.*\]\s*", value) else value
    return [part.strip(" \t\"'") for part in inner.split(",") if part.strip(" \t\"'")]


def _network(value: object) -> object:
    try:
        return ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError("an address or a range such as 10.0.0.0/8 is expected") from None


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("an address such as https://bot.example.com is expected")
    return value.rstrip("/")


def _index_address(value: str) -> str:
    return value if value.endswith(".db") and "://" not in value else _web_address(value)


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_listed)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
IndexAddress = Annotated[str, AfterValidator(_index_address)]


class Setting(NamedTuple):
    """One setting as the documentation shows it; `secret` ones may also be read from a file."""

    section: str
    env: str
    key: str
    default: str
    meaning: str
    secret: bool


class Settings(BaseModel):
    """Everything that the operator decides for the whole program; see `Settings.load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: Secret | None = Field(
        None, description="PostgreSQL 16 or newer with pgvector. Unset: our own, kept in the data directory."
    )
    database_pool_size: int = Field(10, ge=2, le=1000, description="Database connections that one process may hold.")
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default_factory=lambda: _data_home(os.environ),
        description="Where files are kept: our own database, media, caches.",
    )
    secret_key: Secret | None = Field(
        None,
        description="Seals stored credentials: 32 bytes, URL-safe base64. Unset with our own database: in data_dir.",
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    public_url: WebAddress | None = Field(
        None, description="Where Twilio reaches us; signatures are checked against it."
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses or ranges of proxies whose forwarded headers are believed."
    )
    max_upload_bytes: int = Field(50_000_000, ge=1_000, description="Largest document that is taken in.")
    requests_per_minute: int = Field(600, ge=1, description="API requests that one key may make in a minute.")

    compat_messages_per_day: int = Field(
        0,
        ge=0,
        description="Messages that an account may send its assistants through the AI Assistants API in a day (UTC); 0: any.",
    )

    twilio_api_url: WebAddress = Field(
        "https://api.twilio.com",
        description="Base address of Twilio's REST API; the emulator's to work without an account.",
    )
    twilio_account_sid: str | None = Field(
        None,
        pattern="^AC[0-9a-fA-F]{32}$",
        description="Account of integrations that carry no credentials of their own.",
    )
    twilio_auth_token: Secret | None = Field(
        None, description="That account's Auth Token: signs requests and proves webhooks."
    )

    twilio_verify_service_sid: str | None = Field(
        None,
        pattern="^VA[0-9a-fA-F]{32}$",
        description="Service of Twilio Verify, with codes of six digits, that verifies customers. Unset: texts of ours do.",
    )

    models: Names = Field(
        (),
        description="Models to try, in order, such as openai:gpt-4o-mini. Unset: vendors with a key, else extractive.",
    )
    model_timeout_seconds: float = Field(45, gt=0, le=600, description="How long a model may take for one answer.")
    embedder: str = Field(
        "minilm", description="What turns texts into vectors: minilm (local) or such as openai:text-embedding-3-small."
    )
    vector_index_url: IndexAddress | None = Field(
        None,
        description="Milvus that searches sources too big for memory: its address, or a file (.db). Unset: PostgreSQL.",
    )
    vector_index_token: Secret | None = Field(None, description="Token of that Milvus, where it asks for one.")
    vector_index_region: str = Field(
        "",
        pattern="^[a-z0-9_-]{0,32}$",
        description="Region of this deployment's accounts: begins the names of their collections.",
    )
    reranker: str | None = Field(
        None,
        description="What puts the passages found into a better order: http:MODEL, or onnx:DIRECTORY. Unset: nothing.",
    )
    reranker_url: WebAddress | None = Field(
        None, description="Base address of a server with Cohere's and Jina's rerank, such as https://api.jina.ai/v1."
    )
    reranker_api_key: Secret | None = Field(None, description="Key of that server.")
    rerank_seconds: float = Field(0.4, gt=0, le=10, description="How long a search waits for the re-ranker.")
    openai_api_key: Secret | None = Field(None, description="Key of OpenAI or of a compatible server.")
    openai_base_url: WebAddress | None = Field(
        None, description="Base address of a server that is compatible with OpenAI's."
    )
    anthropic_api_key: Secret | None = Field(None, description="Key of Anthropic.")

    stt: Names = Field(
        (),
        description="Transcribers to try, in order, such as deepgram:flux. Unset: deepgram or openai, by their keys.",
    )
    tts: Names = Field(
        (),
        description="Voices to try, in order, such as elevenlabs:@<voice id>. Unset: elevenlabs, cartesia, openai, by key.",
    )
    realtime: str = Field(
        "openai", min_length=1, description="Model for calls of speech to speech, such as openai:gpt-realtime-2.1-mini."
    )
    deepgram_api_key: Secret | None = Field(None, description="Key of Deepgram.")
    deepgram_base_url: WebAddress | None = Field(
        None, description="Base address of Deepgram in another region, or of your own."
    )
    elevenlabs_api_key: Secret | None = Field(None, description="Key of ElevenLabs.")
    elevenlabs_base_url: WebAddress | None = Field(None, description="Base address of ElevenLabs in another region.")
    cartesia_api_key: Secret | None = Field(None, description="Key of Cartesia.")

    worker_concurrency: int = Field(64, ge=1, le=10_000, description="Contacts that one worker thinks about at once.")
    call_drain_seconds: float = Field(
        120, ge=0, le=14_400, description="How long live calls may go on when the web role is told to stop."
    )
    backfill_seconds: float = Field(
        300, ge=10, le=86_400, description="How often Twilio's list of messages is compared with what arrived."
    )

    tools_per_assistant: int = Field(5, ge=1, le=100, description="Most tools that an assistant may have.")
    tool_name_chars: int = Field(30, ge=1, le=64, description="Longest name of a tool.")
    tool_description_chars: int = Field(300, ge=1, le=4_000, description="Longest description of a tool.")
    tool_properties: int = Field(25, ge=1, le=200, description="Most properties that the input of a tool may have.")
    allowed_hosts: Names = Field(
        (),
        description="Hosts of your own network (`erp.internal`, `10.0.0.7:8080`) that tools and web sources may reach.",
    )
    web_delay_seconds: float = Field(
        1.0, ge=0, le=60, description="Pause between two requests to one web site; its robots.txt may ask for more."
    )
    web_page_bytes: int = Field(10_000_000, ge=1_000, description="Largest web page that is read.")

    media_bucket: str | None = Field(None, description="S3-compatible bucket for media. Unset: the data directory.")
    media_endpoint: WebAddress | None = Field(
        None, description="Address of the S3-compatible service when it is not AWS."
    )
    aws_access_key_id: str | None = Field(
        None, description="Key of that storage, and of Amazon Polly. Unset: what the machine's role allows."
    )
    aws_secret_access_key: Secret | None = Field(None, description="The secret of that key.")
    aws_region: str | None = Field(None, description="Region of the bucket, and of Amazon Polly.")

    segment_space: str | None = Field(
        None, description="Segment's Unify space whose profiles assistants with customer_ai read."
    )
    segment_profile_token: Secret | None = Field(None, description="Access token of its Profile API.")
    segment_write_key: Secret | None = Field(
        None, description="Write key of the source to which is written what was learned of customers."
    )
    segment_profiles_url: WebAddress = Field(
        "https://profiles.segment.com", description="Its Profile API; in the EU https://profiles.euw1.segment.com."
    )
    segment_tracking_url: WebAddress = Field(
        "https://api.segment.io", description="Its Tracking API; in the EU https://events.eu1.segmentapis.com."
    )
    segment_accounts: Names = Field((), description="Accounts whose customers these are. Unset: every account.")

    vault_addr: WebAddress | None = Field(
        None,
        description="Address of a HashiCorp Vault, for values written vault:path#key (extra: hookflash[vault]).",
    )
    vault_token: Secret | None = Field(None, description="Token that may read there.")
    vault_path: str = Field("secret", description="Where Vault's key-value engine (version 2) is mounted.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important level that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="For people, or one JSON object a line.")

    @classmethod
    def load(cls, env: Mapping[str, str], toml_path: Path | None = None) -> "Settings":
        """Read the settings. `toml_path` None: the file that HOOKFLASH_CONFIG names, else ./hookflash.toml, if any.

        Raises Misconfigured with a plain sentence for each thing that is wrong, one a line.
        """
        path = toml_path or _file_named(env)
        table = _read_toml(path) if path else {}
        wrong = [*_unknown(env, table, path)]
        given, origins = _gather(env, table, path, wrong)
        if wrong:
            raise Misconfigured("\n".join(wrong))
        given.setdefault("data_dir", _data_home(env))
        _resolve(given, origins)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            sentences = [
                _sentence(dict(problem), origins) for problem in error.errors(include_input=False, include_url=False)
            ]
            raise Misconfigured("\n".join(dict.fromkeys(sentences))) from None

    @property
    def embedded(self) -> bool:
        """Whether the program runs a PostgreSQL of its own."""
        return self.database_url is None

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models to try, in order; never empty."""
        has_openai = self.openai_api_key or self.openai_base_url
        vendors = (("openai", has_openai), ("anthropic", self.anthropic_api_key))
        return self.models or tuple(name for name, key in vendors if key) or ("extractive",)

    @property
    def stt_names(self) -> tuple[str, ...]:
        """The transcribers to try, in order; empty when none is set and no key tells."""
        vendors = (("deepgram", self.deepgram_api_key), ("openai", self.openai_api_key))
        return self.stt or tuple(name for name, key in vendors if key)

    @property
    def tts_names(self) -> tuple[str, ...]:
        """The voices to try, in order; empty when none is set and no key tells."""
        vendors = (
            ("elevenlabs", self.elevenlabs_api_key),
            ("cartesia", self.cartesia_api_key),
            ("openai", self.openai_api_key),
        )
        return self.tts or tuple(name for name, key in vendors if key)

    @property
    def provider_options(self) -> dict[str, str | Secret | None]:
        """What vendors are given, by the customary names of environment variables."""
        return {name.upper(): getattr(self, name) for name in _OF_VENDORS}

    def sealing_key(self) -> Secret:
        """The key that seals stored credentials; with our own database it is made at first and kept with the data.

        Raises Misconfigured when it is missing for a database that is not ours.
        """
        if self.secret_key:
            return self.secret_key
        if not self.embedded:
            raise Misconfigured(
                "HOOKFLASH_SECRET_KEY is missing: every process that uses this database needs the same one.",
                hint="make one with: hookflash init --print-key",
            )
        path = self.data_dir / "secret.key"
        if not path.exists():
            _write_once(path, Sealer.new_key())
        return Secret(path.read_text().strip())


_VENDORS = ("openai_", "anthropic_", "deepgram_", "elevenlabs_", "cartesia_")
# Fields that other programs read too, from a variable without our prefix.
_CUSTOMARY = frozenset(
    name
    for name in Settings.model_fields
    if name.startswith((*_VENDORS, "aws_"))
    or name in {"twilio_account_sid", "twilio_auth_token", "vault_addr", "vault_token"}
)
_OF_VENDORS = tuple(name for name in Settings.model_fields if name.startswith((*_VENDORS, "aws_", "reranker_")))
_SECRETS = frozenset(
    name for name, field in Settings.model_fields.items() if Secret in getattr(field.annotation, "__args__", ())
)
# The first field of each section, and how the documentation calls the section.
_SECTIONS = {
    "database_url": "Data",
    "host": "Web",
    "twilio_api_url": "Twilio",
    "models": "Answers",
    "stt": "Speech",
    "worker_concurrency": "Work",
    "tools_per_assistant": "Tools",
    "allowed_hosts": "Outside addresses",
    "media_bucket": "Media",
    "segment_space": "Customer profiles",
    "vault_addr": "Vault",
    "log_level": "Log",
}


def describe() -> list[Setting]:
    """Every setting, in the order and the sections of the documentation."""
    section, rows = (
        "",
        [
            Setting(
                "File",
                _CONFIG,
                "",
                FILE_NAME,
                "The settings file; by default the one in the working directory, if any.",
                False,
            )
        ],
    )
    for name, field in Settings.model_fields.items():
        section = _SECTIONS.get(name, section)
        default = (
            "~/.local/share/hookflash" if name == "data_dir" else "" if field.default is None else _toml(field.default)
        )
        rows.append(Setting(section, _env_name(name), name, default, field.description or "", name in _SECRETS))
    return rows


def template() -> str:
    """A settings file in which everything is explained and nothing is set."""
    lines = [
        "# Settings of Hookflash. Each can also be given by the environment variable in brackets, which wins.",
        '# A secret can also be read from a file: write KEY_file = "/run/secrets/...", or set VARIABLE_FILE.',
    ]
    section = "File"
    for row in describe():
        if row.section != section:
            section = row.section
            lines += ["", f"# --- {section} ---"]
        if row.key:
            value = row.default if row.key != "data_dir" else f'"{row.default}"'
            lines += ["", f"# {row.meaning} [{row.env}]", f"# {row.key} = {value or chr(34) * 2}"]
    return "\n".join(lines) + "\n"


def _env_name(field: str) -> str:
    return field.upper() if field in _CUSTOMARY else f"{_PREFIX}{field.upper()}"


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _data_home(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_DATA_HOME") or Path(env.get("HOME") or Path.home()) / ".local" / "share"
    return Path(home) / "hookflash"


def _file_named(env: Mapping[str, str]) -> Path | None:
    if named := env.get(_CONFIG):
        return Path(named)
    return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misconfigured(f"There is no settings file {path}.", hint="hookflash init writes one") from None
    except OSError as error:
        raise Misconfigured(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"The settings file {path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"The settings file {path} is not TOML: {error}.") from None


def _unknown(env: Mapping[str, str], table: Mapping[str, object], path: Path | None) -> Iterator[str]:
    variables = {_CONFIG, *map(_env_name, Settings.model_fields), *(f"{_env_name(name)}_FILE" for name in _SECRETS)}
    for name in sorted(env):
        if name.startswith(_PREFIX) and name not in variables:
            yield f"There is no setting {name}.{_did_you_mean(name, variables)}"
    keys = {*Settings.model_fields, *(f"{name}_file" for name in _SECRETS)}
    for key in table:
        if key not in keys:
            yield f"There is no setting {key} (in {path}).{_did_you_mean(key, keys)}"


def _did_you_mean(name: str, known: set[str]) -> str:
    bare = {candidate.removeprefix(_PREFIX): candidate for candidate in sorted(known)}
    close = get_close_matches(name.removeprefix(_PREFIX), bare, n=1)
    return f" Did you mean {bare[close[0]]}?" if close else ""


def _gather(
    env: Mapping[str, str], table: Mapping[str, object], path: Path | None, wrong: list[str]
) -> tuple[dict[str, object], dict[str, str]]:
    """The values that were given and where each came from, by field; adds a sentence to `wrong` for each bad file."""
    given: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = _env_name(name)
        for value, file, origin in (
            (env.get(variable), env.get(f"{variable}_FILE"), variable),
            (table.get(name), table.get(f"{name}_file"), f"{name} in {path}"),
        ):
            if name in _SECRETS and file and value:
                wrong.append(f"{origin} is given twice, directly and as a file; remove one.")
            elif name in _SECRETS and file:
                try:
                    value = Path(str(file)).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError):
                    wrong.append(f"The file {file}, which is to hold {origin}, cannot be read.")
            if name not in given and value is not None and (not isinstance(value, str) or value.strip()):
                given[name] = value.strip() if isinstance(value, str) else value
                origins[name] = origin
    return given, origins


def _resolve(given: dict[str, object], origins: Mapping[str, str]) -> None:
    """Put what Vault holds in the place of each value that refers to it."""
    references = {
        name: value for name, value in given.items() if isinstance(value, str) and value.startswith(VAULT_PREFIX)
    }
    if not references:
        return
    address, token = given.get("vault_addr"), given.get("vault_token")
    if not address or not token:
        raise Misconfigured(f"{origins[next(iter(references))]} refers to Vault: set VAULT_ADDR and VAULT_TOKEN too.")
    vault = Vault(
        str(address), Secret(str(token)), str(given.get("vault_path", Settings.model_fields["vault_path"].default))
    )
    for name, reference in references.items():
        try:
            given[name] = vault.get(reference)
        except Misconfigured as error:
            raise Misconfigured(f"{origins[name]}: {error.message}") from None


def _sentence(problem: dict[str, Any], origins: Mapping[str, str]) -> str:
    field = str(problem["loc"][0])
    if field == "twilio_account_sid":
        reason = "an account SID is AC and 32 hexadecimal digits"
    else:
        reason = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "it should").rstrip(".")
    return f"{origins.get(field, _env_name(field))} is not acceptable: {reason}."


def _write_once(path: Path, text: str) -> None:
    """Write a file that only we may read, unless another process was quicker: what is there is never replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret-") as draft:
        draft.write(text + "\n")
        draft.flush()
        os.fsync(draft.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)
