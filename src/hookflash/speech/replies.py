"""The replies of a vendor that speaks by itself: the one under way, those of which nothing is wanted any more, the next."""

from hookflash.speech.exchange import NEVER, Exchange
from hookflash.speech.sts import Answer, SayThis

_RETRY = 0.5


class Replies:
    """The vendor makes one reply at a time: what is to be said next waits for its end. Whose a reply is, None: ours alone."""

    def __init__(self) -> None:
        self.active: str | None = None
        self.want: Answer | SayThis | None = None
        self.asked: Answer | SayThis | None = None
        self.retry_at = NEVER
        self._dropped: set[str] = set()
        self._of: dict[str, Exchange | None] = {}

    @property
    def idle(self) -> bool:
        """Whether none is under way or was asked for."""
        return self.active is None and self.asked is None

    @property
    def wanted(self) -> bool:
        """Whether one is under way that is to be heard."""
        return self.active is not None and self.active not in self._dropped

    def begins(self, reply: str, turn: Exchange | None) -> None:
        self.active = reply
        self._of[reply] = turn
        if (turn is None) == isinstance(self.asked, SayThis):
            self.asked = None

    def alive(self, reply: str) -> bool:
        """Whether what it brings is to be heard."""
        return reply in self._of and reply not in self._dropped

    def turn(self, reply: str) -> Exchange | None:
        return self._of.get(reply)

    def drop(self) -> None:
        """Nothing of the one under way is wanted any more."""
        if self.active is not None:
            self._dropped.add(self.active)

    def ends(self, reply: str) -> tuple[Exchange | None, bool]:
        """Whose it was, and whether it was to be heard."""
        turn, heard = self._of.pop(reply, None), reply not in self._dropped
        self._dropped.discard(reply)
        if self.active == reply:
            self.active = None
            self.retry_at = NEVER
        return turn, heard

    def refused(self, now: float) -> None:
        """What was asked for is not begun, because another is under way: it is asked for again."""
        self.want, self.asked = self.want or self.asked, None
        self.retry_at = NEVER if self.active else now + _RETRY

    def next(self, now: float) -> Answer | SayThis | None:
        """What is to be asked for now."""
        if self.want is None or not self.idle or (self.retry_at != NEVER and now < self.retry_at):
            return None
        self.retry_at = NEVER
        self.asked, self.want = self.want, None
        return self.asked

    def lost(self) -> None:
        """The vendor is gone, and all that it was saying with it."""
        self.active = self.want = self.asked = None
        self._of.clear()
