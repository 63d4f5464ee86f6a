"""Which sound a speech vendor takes or gives."""

from hookflash.base.errors import Misconfigured

MULAW = (("mulaw", 8000),)


def require(name: str, formats: tuple[tuple[str, int], ...], encoding: str, sample_rate: int) -> None:
    """Raises Misconfigured when the vendor cannot do this format."""
    if (encoding, sample_rate) not in formats:
        known = ", ".join(f"{kind} at {rate} Hz" for kind, rate in formats)
        raise Misconfigured(f"{name} cannot do {encoding} at {sample_rate} Hz; it can do {known}.")
