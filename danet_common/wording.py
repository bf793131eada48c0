"""Numbers in messages."""


def counted(count: int, noun: str) -> str:
    """1 fault, 2 faults."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
