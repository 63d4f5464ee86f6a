"""What the customer reads: the answer cleaned of our notation, within its length, with its citation and required ending."""

import re
from collections.abc import Sequence

from hookflash.conversation.turn import Source
from hookflash.knowledge.passage import Passage
from hookflash.knowledge.sentences import split_sentences

_MARKS = re.compile(r"(?:(?<!\s)\s+)?[\[【](?:\d{1,2}(?:\s*,\s*\d{1,2})*)[\]】]")
_LABEL = 48


def without_marks(text: str) -> str:
    """The text without passage numbers such as [1] or [1, 3]."""
    return _MARKS.sub("", text).strip()


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters: whole sentences if one fits, else whole words and an ellipsis; never a cut word."""
    if len(text) <= limit:
        return text
    kept = 0
    for sentence in split_sentences(text):
        if sentence.end > limit:
            break
        kept = sentence.end
    if kept:
        return text[:kept].rstrip()
    words = text[: max(0, limit - 2)].rsplit(None, 1)
    start = words[0].rstrip(" ,;:-") if len(words) > 1 else ""
    return f"{start} …" if start else ""


def composed(answer: str, limit: int, *, citation: str = "", required: str = "") -> str:
    """The answer with its endings. What must be there stays: first the answer gives way, then the citation."""
    answer = without_marks(answer)
    required = "" if required and required in answer else required
    if citation and len(citation) + len(required) > limit // 2:
        citation = ""
    endings = "".join(f"\n{ending}" for ending in (citation, required) if ending)
    return shortened(answer, limit - len(endings)) + endings


def citation(sources: Sequence[Source], label: str) -> str:
    """One line that names up to two documents, such as `Source: Returns policy https://acme.example/returns`."""
    named: dict[str, str] = {}
    for source in sources:
        if source.cited and source.title.strip():
            named.setdefault(source.title.strip(), source.url or "")
    if not named:
        return ""
    return f"{label}: " + ", ".join(f"{title} {url}".rstrip() for title, url in list(named.items())[:2])


def choices(passages: Sequence[Passage]) -> tuple[str, str] | None:
    """Short names of the two best passages' subjects, to ask which is meant; None when there are no two.

    Two documents are told apart by their titles, two passages of one document by their headings.
    """
    if not passages:
        return None
    first = passages[0]
    for other in passages[1:]:
        apart = first.document_id != other.document_id
        pairs = [(first.title, other.title)] if apart else []
        pairs.append((_heading(first), _heading(other)))
        for pair in pairs:
            one, two = (label.strip().rstrip("?.:") for label in pair)
            if one and two and max(len(one), len(two)) <= _LABEL and one.casefold() != two.casefold():
                return one, two
    return None


def _heading(passage: Passage) -> str:
    return passage.headings[-1] if passage.headings else passage.title
