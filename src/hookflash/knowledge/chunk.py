"""How a document is cut into pieces that are small enough to embed and still make sense alone."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hookflash.knowledge.document import Block, Extracted, Kind, Place, joined
from hookflash.knowledge.sentences import split_sentences

CountTokens = Callable[[str], int]

MIN_TOKENS = 16
# A tokenizer may see one token in a thousand characters that it does not know; a reader and a prompt do not.
_CHARACTERS_PER_TOKEN = 12
_WINDOW = 4_000
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. `headings` lead to it from the title, `ordinal` counts from 0.

    `indexed_text` is what is embedded and searched: title and headings (shortened if they are long), then the text.
    `digest` depends on title, headings and text only, not on where the chunk stands: equal digests, equal vectors. Chunks
    of one document that are equal have equal digests.
    """

    title: str
    headings: tuple[str, ...]
    text: str
    indexed_text: str
    ordinal: int
    place: Place | None
    digest: str


@dataclass(slots=True)
class _Section:
    headings: tuple[str, ...]
    place: Place | None = None
    blocks: list[Block] = field(default_factory=list)


def chunk(
    document: Extracted,
    *,
    count_tokens: CountTokens,
    max_tokens: int = 180,
    small_tokens: int = 40,
    overlap_tokens: int = 24,
) -> list[Chunk]:
    """Cuts a document; no `indexed_text` has more than `max_tokens` (at least 16) by `count_tokens`.

    A section is a chunk, unless it is too long, or smaller than `small_tokens`: neighbours of that size under the same
    heading share one. Rows, list items and sentences stay whole if they fit in at all. Only where a paragraph is cut,
    the next chunk repeats its last sentences, up to `overlap_tokens`. Records are always alone.
    """
    if max_tokens < MIN_TOKENS:
        raise ValueError(f"max_tokens is {max_tokens}, the least is {MIN_TOKENS}")
    cutter = _Cutter(document.title, count_tokens, max_tokens, overlap_tokens)
    group: list[_Section] = []
    used = 0
    for section in _sections(document):
        size = cutter.size_of(section, small_tokens)
        small = size < small_tokens
        if group and not (
            small and used + size <= cutter.room(_shared([*group, section])) and _neighbours([*group, section])
        ):
            cutter.add(group)
            group, used = [], 0
        group.append(section)
        used += size if small else max_tokens  # nothing joins a section that is not small
    if group:
        cutter.add(group)
    return cutter.chunks


def _sections(document: Extracted) -> Iterator[_Section]:
    """Runs of blocks below the same headings. A heading with nothing below it counts as text of the section above."""
    path: list[tuple[int, str]] = []
    section = _Section(())
    begun = False
    for block in document.blocks:
        if block.kind is not Kind.HEADING:
            section.blocks.append(block)
            begun = True
            continue
        if section.blocks or (begun and path and block.level <= path[-1][0]):
            yield _with_text(section)
        if not begun and not path and block.text.replace("\n", " ") == document.title:
            section, begun = _Section(()), False
            continue
        while path and path[-1][0] >= block.level:
            path.pop()
        path.append((block.level, block.text))
        section, begun = _Section(tuple(text for _, text in path), block.place), True
    if section.blocks or path:
        yield _with_text(section)
    elif document.blocks:  # nothing but its title
        yield _with_text(_Section((document.title,), document.blocks[0].place))


def _with_text(section: _Section) -> _Section:
    if section.blocks:
        return section
    heading = Block(Kind.HEADING, section.headings[-1], place=section.place)
    return _Section(section.headings[:-1], section.place, [heading])


def _shared(sections: list[_Section]) -> tuple[str, ...]:
    """The headings that lead to all of them."""
    if len(sections) == 1:
        return sections[0].headings
    shared = []
    for texts in zip(*(section.headings for section in sections), strict=False):
        if len(set(texts)) > 1:
            break
        shared.append(texts[0])
    return tuple(shared)


def _neighbours(sections: list[_Section]) -> bool:
    depth = len(_shared(sections))
    return all(len(section.headings) <= depth + 1 for section in sections)


class _Cutter:
    """Collects the chunks of one document."""

    def __init__(self, title: str, count_tokens: CountTokens, max_tokens: int, overlap_tokens: int) -> None:
        self.chunks: list[Chunk] = []
        self._title = title
        self._count_tokens = count_tokens
        # Tokens that the model puts around every text count once in a chunk, not once in each of its parts.
        self._around = count_tokens("")
        self._max = max_tokens - self._around
        self._overlap = overlap_tokens
        self._labels: dict[tuple[str, ...], tuple[str, int]] = {}
        self._sizes: dict[str, int] = {}

    def size(self, text: str) -> int:
        """Tokens; some number over the limit for a text that is far too long to count. Counting is what cutting costs."""
        least = -(-len(text) // _CHARACTERS_PER_TOKEN)
        if least > self._max:
            return least
        if text not in self._sizes:
            if len(self._sizes) >= _REMEMBERED:
                self._sizes.clear()
            self._sizes[text] = max(least, self._count_tokens(text) - self._around)
        return self._sizes[text]

    def size_of(self, section: _Section, enough: int) -> int:
        """Its tokens with its own heading, or some number from `enough` when it has more, or holds a record."""
        size = sum(map(self.size, section.headings[-1:]))
        for block in section.blocks:
            size += enough if block.kind is Kind.RECORD else self.size(block.text)
            if size >= enough:
                break
        return size

    def room(self, headings: tuple[str, ...]) -> int:
        """Tokens that are left for the text below these headings."""
        return self._max - self._label(headings)[1]

    def add(self, group: list[_Section]) -> None:
        headings = _shared(group)
        lines: list[Block] = []
        for section in group:
            if len(section.headings) > len(headings):
                lines.append(Block(Kind.HEADING, section.headings[-1], place=section.place))
            lines += section.blocks
        self._pack(headings, lines)

    def _pack(self, headings: tuple[str, ...], blocks: Iterable[Block]) -> None:
        room = self.room(headings)
        batch: list[Block] = []
        used = 0
        for block in blocks:
            size = self.size(block.text)
            if batch and (block.kind is Kind.RECORD or used + size > room):
                self._emit(headings, batch, room)
                batch, used = [], 0
            if size > room:
                *whole, block = (Block(block.kind, text, place=block.place) for text in self._cut(block, room))
                for piece in whole:
                    self._emit(headings, [piece], room)
                size = self.size(block.text)
            batch.append(block)
            used += size
            if block.kind is Kind.RECORD:
                self._emit(headings, batch, room)
                batch, used = [], 0
        if batch:
            self._emit(headings, batch, room)

    def _emit(self, headings: tuple[str, ...], batch: list[Block], room: int) -> None:
        text = "\n".join(block.text for block in batch)
        indexed = f"{self._label(headings)[0]}\n{text}".lstrip()
        if self.size(indexed) > self._max and (len(batch) > 1 or len(text) > 1):
            # The whole has more tokens than its parts: some tokenizers join over borders, or count line ends.
            if len(batch) > 1:
                self._emit(headings, batch[: len(batch) // 2], room)
                self._emit(headings, batch[len(batch) // 2 :], room)
                return
            room = max(1, min(room, self.size(text)) - 1)
            pieces = self._cut(batch[0], room)
            if len(pieces) == 1:
                pieces = [text[: len(text) // 2], text[len(text) // 2 :]]
            for piece in pieces:
                self._emit(headings, [Block(batch[0].kind, piece, place=batch[0].place)], room)
            return
        place = batch[0].place
        for block in batch[1:]:
            place = joined(place, block.place)
        digest = hashlib.sha256("\x1f".join((self._title, *headings, "", text)).encode()).hexdigest()
        self.chunks.append(Chunk(self._title, headings, text, indexed, len(self.chunks), place, digest))

    def _label(self, headings: tuple[str, ...]) -> tuple[str, int]:
        """Title and headings in at most half of the tokens, and how many those are."""
        if headings not in self._labels:
            path = [part for part in (self._title, *headings) if part]
            label = " > ".join(path)
            while (size := self.size(label)) > self._max // 2:
                # The title and the nearest headings say most.
                path = [path[0], *path[2:]] if len(path) > 2 else [part[: len(part) * 3 // 4] for part in path]
                label = " > ".join(filter(None, path))
            self._labels[headings] = (label, size)
        return self._labels[headings]

    def _cut(self, block: Block, room: int) -> list[str]:
        """At line ends for code, between sentences otherwise; what is still too long between words, then anywhere."""
        if block.kind in {Kind.CODE, Kind.RECORD}:
            parts = block.text.splitlines()
            overlap = 0
        else:
            parts = [sentence.text for part in _windows(block.text) for sentence in split_sentences(part)]
            overlap = min(self._overlap, room // 4) if block.kind is Kind.PARAGRAPH else 0
        return self._fill(parts, room, overlap, "\n" if block.kind in {Kind.CODE, Kind.RECORD} else " ")

    def _fill(self, parts: list[str], room: int, overlap: int, between: str) -> list[str]:
        pieces: list[str] = []
        piece: list[tuple[str, int]] = []
        used = 0
        for part in parts:
            size = self.size(part)
            if piece and used + size > room:
                pieces.append(between.join(text for text, _ in piece))
                piece = _tail(piece[1:], min(overlap, room - size))
                used = sum(size for _, size in piece)
            if size > room:
                smaller = self._smaller(part, room)
                pieces += smaller[:-1]
                part, size = smaller[-1], self.size(smaller[-1])
            piece.append((part, size))
            used += size
        if piece:
            pieces.append(between.join(text for text, _ in piece))
        return pieces

    def _smaller(self, text: str, room: int) -> list[str]:
        words = text.split()
        if len(words) > 1:
            sentences = [sentence.text for part in _windows(text) for sentence in split_sentences(part)]
            return self._fill(sentences if len(sentences) > 1 else words, room, 0, " ")
        pieces = []
        while len(text) > 1 and self.size(text) > room:
            low, high = 1, min(len(text), room * _CHARACTERS_PER_TOKEN)
            while low < high:  # the longest beginning that fits
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self.size(text[:middle]) <= room else (low, middle - 1)
            pieces.append(text[:low])
            text = text[low:]
        return [*pieces, text] if text else pieces


def _tail(piece: list[tuple[str, int]], room: int) -> list[tuple[str, int]]:
    """The last parts that fit into the room."""
    kept: list[tuple[str, int]] = []
    for part in reversed(piece):
        room -= part[1]
        if room < 0:
            break
        kept.insert(0, part)
    return kept


def _windows(text: str) -> Iterator[str]:
    """A text without end in parts that are quick to split into sentences, cut where one probably ends."""
    while len(text) > _WINDOW:
        at = max(text.rfind(end, _WINDOW // 2, _WINDOW) for end in (". ", "\n")) + 1
        at = at or text.rfind(" ", _WINDOW // 2, _WINDOW) + 1 or _WINDOW
        yield text[:at]
        text = text[at:]
    yield text
