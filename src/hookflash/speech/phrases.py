"""Words as they are written, cut into what a voice can begin to say: sentences, or long clauses."""

import re

# An end of sentence that is followed by something; not after a digit and point (1. or 9.5), not after short titles.
_END = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!\bNo)(?<!\bvs)([.!?…]+[\"')\]]*|[।॥。！？])\s+|\n+")
_CLAUSE = re.compile(r"[,;:—–]\s+")
CLAUSE_FROM = 60
LONGEST = 240


class Phrases:
    """Collects text and gives each phrase as soon as it is whole; no text is lost."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def push(self, text: str, *, last: bool = False) -> list[str]:
        """The phrases that are complete now; with `last` everything that is left."""
        self._text += text
        out: list[str] = []
        while True:
            end = self._cut()
            if end is None:
                break
            out.append(self._text[:end].strip())
            self._text = self._text[end:]
            self._first = False
        if last and self._text.strip():
            out.append(self._text.strip())
            self._text = ""
        return [phrase for phrase in out if phrase]

    def _cut(self) -> int | None:
        for found in _END.finditer(self._text):
            before = self._text[: found.start()]
            if found.group(1) == "." and re.search(r"\d$", before) and re.match(r"\d", self._text[found.end() :]):
                continue
            if len(before.strip()) >= 2:
                return found.end()
        least = CLAUSE_FROM // 2 if self._first else CLAUSE_FROM
        for found in _CLAUSE.finditer(self._text):
            if found.start() >= least and len(self._text) - found.end() >= 8:
                return found.end()
        if len(self._text) > LONGEST:
            space = self._text.rfind(" ", 0, LONGEST)
            return space + 1 if space > 0 else LONGEST
        return None
