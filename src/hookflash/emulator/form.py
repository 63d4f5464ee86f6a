"""Form parameters as Twilio reads them: names may repeat, an empty value counts as not given."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from hookflash.emulator.refusal import Refusal


class Form:
    """The parameters of one request, from its body or its query."""

    def __init__(self, encoded: str) -> None:
        self._values = parse_qs(encoded, keep_blank_values=True)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str) -> str:
        """The last value, or the empty string."""
        return self._values[name][-1] if name in self._values else ""

    def all(self, name: str) -> list[str]:
        """Every value that is not empty."""
        return [v for v in self._values.get(name, ()) if v]

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def number(self, name: str) -> int:
        """Raises Refusal 20001 when it is not a whole number."""
        try:
            return int(self.get(name))
        except ValueError:
            raise Refusal(20001, f"{name} must be an integer") from None


def is_web_address(url: str) -> bool:
    """Whether Twilio would take this as the address of a webhook or a media file."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def snake(name: str) -> str:
    """`SmsFallbackUrl` as the answers spell it: `sms_fallback_url`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def instant(text: str) -> datetime:
    """An ISO 8601 date or instant, GMT when it names no zone; raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
