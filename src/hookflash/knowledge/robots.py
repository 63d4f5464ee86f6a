"""robots.txt as RFC 9309 has it: what a site allows us to read, how slowly, and where its map is."""

import re
from dataclasses import dataclass

# What site owners address us by.
NAME = "hookflash"
MAX_BYTES = 500_000
LONGEST_DELAY = 30.0
_NAMED = re.compile(r"[A-Za-z_-]+|\*")


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules that are meant for us: (allowed, pattern). `delay` in seconds, None when nothing is asked."""

    rules: tuple[tuple[bool, str], ...] = ()
    delay: float | None = None
    sitemaps: tuple[str, ...] = ()

    def allow(self, path: str) -> bool:
        """Whether the path (with its query) may be read: the longest pattern that fits decides, in doubt in our favour."""
        if path == "/robots.txt":
            return True
        best, allowed = -1, True
        for permits, pattern in self.rules:
            if (len(pattern) > best or (len(pattern) == best and permits)) and _fits(pattern, path):
                best, allowed = len(pattern), permits
        return allowed


ANYTHING = Robots()


def parse(text: str) -> Robots:
    """The rules of the groups that name us, else of those for everybody. What is not understood is left out."""
    groups: list[tuple[set[str], list[tuple[str, str]]]] = []
    sitemaps: list[str] = []
    naming = False
    for line in text.lstrip("\ufeff").splitlines():
        field, separator, value = line.partition("#")[0].partition(":")
        field, value = field.strip().lower(), value.strip()
        if not separator:
            continue
        if field == "sitemap":
            sitemaps.append(value)
        elif field == "user-agent":
            if not naming:
                groups.append((set(), []))
            named = _NAMED.match(value)
            groups[-1][0].add(named[0].lower() if named else "")
            naming = True
        elif groups and field in {"allow", "disallow", "crawl-delay"}:
            groups[-1][1].append((field, value))
            naming = False
    ours = [lines for names, lines in groups if NAME in names] or [lines for names, lines in groups if "*" in names]
    rules = [(field == "allow", value) for lines in ours for field, value in lines if field != "crawl-delay" and value]
    asked = [_seconds(value) for lines in ours for field, value in lines if field == "crawl-delay"]
    known = [seconds for seconds in asked if seconds is not None]
    return Robots(tuple(rules), min(max(known), LONGEST_DELAY) if known else None, tuple(sitemaps))


def _fits(pattern: str, path: str) -> bool:
    """`*` is anything, `$` at the end is the end. Walks once, so that no pattern can be made to take long."""
    ends = pattern.endswith("$")
    first, *parts = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not parts:
        return at == len(path) or not ends
    for part in parts[:-1]:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if ends:
        return len(path) - len(parts[-1]) >= at and path.endswith(parts[-1])
    return path.find(parts[-1], at) >= 0


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) else None
