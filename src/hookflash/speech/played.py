"""How far a vendor's speech was heard: sound leaves as it comes, marks tell what was played of it, words follow the sound."""

from collections import deque
from dataclasses import dataclass

BYTES_PER_SECOND = 8000
# Twilio and the telephone network stand between our clock and the ear.
LATENCY = 0.15
# What a voice says in a second where its sound is not whole yet.
CHARACTERS_PER_SECOND = 15.0
# Less sound than this gets no mark of its own.
_SPACING = 800
# A mark may never come: so much later everything counts as played.
GIVE_UP = 2.0


@dataclass(slots=True)
class Item:
    """One utterance: its words so far, where its sound lies in all that was sent, and whether all of it has come."""

    id: str
    begins: int
    text: str = ""
    size: int = 0
    whole: bool = False

    def heard_bytes(self, played: int) -> int:
        return max(0, min(self.size, played - self.begins))

    def heard_ms(self, played: int) -> int:
        return self.heard_bytes(played) * 1000 // BYTES_PER_SECOND

    def heard(self, played: int) -> str:
        """The words that were played, a word only when all of it was."""
        heard = self.heard_bytes(played)
        if self.whole and heard == self.size:
            return self.text.strip()
        seconds = self.size / BYTES_PER_SECOND
        if not self.whole:
            seconds = max(seconds, len(self.text) / CHARACTERS_PER_SECOND)
        if not heard or not seconds:
            return ""
        position = int(len(self.text) * min(1.0, heard / BYTES_PER_SECOND / seconds))
        if position < len(self.text) and not self.text[position].isspace():
            position = self.text.rfind(" ", 0, position) + 1
        return self.text[:position].strip()


class Played:
    """Sound sent to Twilio since the last `forget`, by item, in order."""

    def __init__(self) -> None:
        self.generation = 0
        self.items: dict[str, Item] = {}
        self._sent = 0
        self._marked = 0
        # Marks that are out, as positions; the last one that came back, and when.
        self._out: deque[int] = deque()
        self._position = 0
        self._at = 0.0
        self._until = 0.0

    @property
    def until(self) -> float:
        """When everything sent so far will have been played."""
        return self._until

    @property
    def empty(self) -> bool:
        return self._sent == 0

    def words(self, item: str, text: str) -> None:
        self._item(item).text += text

    def sent(self, item: str, audio: bytes, now: float) -> str | None:
        """Sound has left; the name of the mark to set behind it, if one is due."""
        if self._sent == 0:
            self._at = now + LATENCY
        elif now > self._until:
            # The line was silent for a while: what comes now begins now.
            self._position, self._at = self._sent, now + LATENCY
            self._out.clear()
        self._item(item).size += len(audio)
        self._sent += len(audio)
        self._until = max(self._until, now + LATENCY) + len(audio) / BYTES_PER_SECOND
        return self.mark() if self._sent - self._marked >= _SPACING else None

    def mark(self) -> str | None:
        """A mark behind everything that was sent; None when there is one."""
        if self._marked == self._sent:
            return None
        self._marked = self._sent
        self._out.append(self._sent)
        return f"{self.generation}.{self._sent}"

    @property
    def position(self) -> int:
        """Where the next sound will lie, in bytes."""
        return self._sent

    def marked(self, name: str, now: float) -> int | None:
        """The position that was played when this mark came back; None for one that says nothing any more."""
        generation, _, position = name.partition(".")
        if generation != str(self.generation) or not position.isdecimal() or int(position) not in self._out:
            return None
        while self._out and self._out[0] <= int(position):
            self._out.popleft()
        self._position, self._at = int(position), now
        self._until = now + (self._sent - self._position) / BYTES_PER_SECOND
        return self._position

    def played(self, now: float) -> int:
        """How much was heard, in bytes: up to the last mark surely, beyond it by the clock, never past a mark that is out."""
        if now >= self._until + GIVE_UP:
            return self._sent
        since = max(0, int((now - self._at) * BYTES_PER_SECOND))
        return min(self._position + since, self._out[0] if self._out else self._sent)

    def all_played(self, now: float) -> bool:
        """Whether nothing is left to be heard."""
        return self._position == self._sent or now >= self._until + GIVE_UP

    def whole(self) -> None:
        """No more will come of what was begun."""
        for item in self.items.values():
            item.whole = True

    def text(self) -> str:
        """All that was to be said."""
        return " ".join(filter(None, (item.text.strip() for item in self.items.values())))

    def heard(self, now: float) -> str:
        """All that was heard."""
        played = self.played(now)
        return " ".join(filter(None, (item.heard(played) for item in self.items.values())))

    def unheard(self, now: float) -> list[tuple[str, int]]:
        """The items that were not heard to their end, each with the milliseconds that were."""
        played = self.played(now)
        return [
            (item.id, item.heard_ms(played))
            for item in self.items.values()
            if not item.whole or item.heard_bytes(played) < item.size
        ]

    def forget(self) -> None:
        """What was sent is history, or was taken back: marks of it say nothing any more."""
        self.generation += 1
        self.items = {}
        self._sent = self._marked = self._position = 0
        self._out.clear()
        self._until = 0.0

    def _item(self, item: str) -> Item:
        found = self.items.get(item)
        if found is None:
            found = self.items[item] = Item(item, self._sent)
        return found
