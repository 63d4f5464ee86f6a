"""Writes the pages of the documentation that are made from the code: `make reference`."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from hookflash.base.errors import HookflashError
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
        lines += ["", f"## {section}", "", "| Variable | Key | Default | Meaning |", "|---|---|---|---|"]
        for setting in settings:
            key = f"`{setting.key}`" if setting.key else ""
            default = f"`{setting.default}`" if setting.default else "unset"
            mark = " (secret)" if setting.secret else ""
            lines.append(f"| `{setting.env}`{mark} | {key} | {default} | {setting.meaning} |")
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


PAGES = {"settings.md": settings_page, "errors.md": errors_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
