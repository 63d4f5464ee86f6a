"""Writes the pages of the documentation that are made from the code: `make reference`."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.templates import TEXTS
from hookflash.base.errors import HookflashError
from hookflash.channels.integration import IntegrationSettings
from hookflash.settings import describe

DOCS = Path(__file__).parents[1] / "docs"
_MADE = "<!-- Made from the code by `make reference`: change it there. -->\n"


def settings_page() -> str:
    """docs/settings.md"""
    lines = [
        "# Settings",
        "",
        _MADE,
        "Settings come from environment variables and from a TOML file: `hookflash.toml` in the working directory, or the",
        "file that `HOOKFLASH_CONFIG` names. The environment wins; a blank value is no value; a setting that does not exist",
        "is an error. `hookflash init` writes a commented file. In a variable, a list is separated by commas.",
        "",
        "What is marked as a secret can also be read from a file, as Docker and Kubernetes give them: set the",
        "variable or key with `_FILE` or `_file` added, for example `TWILIO_AUTH_TOKEN_FILE=/run/secrets/token`.",
        "",
        "With the extra `hookflash[vault]` any value can name a key in HashiCorp Vault: `vault:path#key`.",
    ]
    for section, settings in groupby(describe(), key=lambda setting: setting.section):
        lines += ["", f"## {section}", "", "| Variable and key | Default | Meaning |", "|---|---|---|"]
        for setting in settings:
            key = f"<br>`{setting.key}`" if setting.key else ""
            default = f"`{setting.default}`" if setting.default else "unset"
            mark = " (secret)" if setting.secret else ""
            lines.append(f"| `{setting.env}`{mark}{key} | {default} | {setting.meaning} |")
    return "\n".join(lines) + "\n"


def errors() -> Iterator[type[HookflashError]]:
    """Every error of the tree, parents first."""

    def below(error: type[HookflashError]) -> Iterator[type[HookflashError]]:
        for child in error.__subclasses__():
            if child.__module__ == HookflashError.__module__:
                yield child
                yield from below(child)

    yield from below(HookflashError)


def errors_page() -> str:
    """docs/errors.md"""
    lines = [
        "# Errors",
        "",
        _MADE,
        "The API tells an error as `application/problem+json` (RFC 9457): `type` names the kind, `detail` says what went",
        "wrong this time, `hint` how to mend it, `errors` which parts of the request are not acceptable, and",
        "`request_id` finds the request in the log. Whoever gets a 429 or a 503 finds in `Retry-After` how many seconds",
        "to wait. What only the operator can mend is told as a plain 500, and in full in the log, by `hookflash doctor`",
        "and in the terminal.",
        "",
        "| Error | Status | `type` | Trying again may help | Meaning |",
        "|---|---|---|---|---|",
    ]
    for error in errors():
        kind = "".join(f"-{c.lower()}" if c.isupper() else c for c in error.__name__).strip("-")
        meaning = (error.__doc__ or "").partition("\n")[0]
        shown = f"`urn:hookflash:error:{kind}`" if error.status != 500 else ""
        lines.append(
            f"| {error.__name__} | {error.status} | {shown} | {'yes' if error.retryable else 'no'} | {meaning} |"
        )
    return "\n".join(lines) + "\n"


def texts_page() -> str:
    """docs/texts.md"""
    lines = [
        "# Texts",
        "",
        _MADE,
        f"What no model writes is a text of ours, in {len(TEXTS)} languages ({', '.join(f'`{each}`' for each in TEXTS)}); any other",
        "language hears English. Your own go into the assistant's `templates`, by language and key:",
        "",
        "```json",
        '{"templates": {"en": {"greeting": "Welcome to {company}! What can I do for you?"}}}',
        "```",
        "",
        "What stands in braces is filled in: `{company}` in every text, any other one where it stands below.",
        "",
        "| Key | In English |",
        "|---|---|",
        *(f"| `{key}` | {words} |" for key, words in TEXTS["en"].items()),
    ]
    return "\n".join(lines) + "\n"


def fields(model: type[BaseModel], of: str = "") -> Iterator[tuple[str, Any, str]]:
    """Name, default and meaning of every field that can be set; those of inner objects follow theirs."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields(inner, f"{of}{name}.")
        else:
            yield f"{of}{name}", field.get_default(call_default_factory=True), field.description or ""


def configuration_page() -> str:
    """docs/configuration.md"""
    lines = [
        "# Configuration",
        "",
        _MADE,
        "What is set of an assistant and of a number, over the API; a dot stands for an object within an object:",
        '`voice.way` is `{"voice": {"way": "stream"}}`. `/openapi.json` has the bounds of each.',
        "An assistant that is made without `models` is given those of the [settings](settings.md).",
    ]
    for title, how, model in (
        (
            "Assistants",
            "`POST /v1/assistants`; `PATCH /v1/assistants/{id}`, then [publish](learning.md).",
            AssistantConfig,
        ),
        (
            "Integrations",
            "`settings` of `POST /v1/integrations` and `PATCH /v1/integrations/{id}`.",
            IntegrationSettings,
        ),
    ):
        lines += ["", f"## {title}", "", how, "", "| Field | Default | Meaning |", "|---|---|---|"]
        for name, default, meaning in fields(model):
            lines.append(f"| `{name}` | `{msgspec.json.encode(default).decode()}` | {meaning} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "configuration.md": configuration_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "texts.md": texts_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
