"""Numbers, and text from names and files, in messages."""


def pluralise(count: int, noun: str) -> str:
    """1 fault, 2 faults."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """The text with every letter escaped that no terminal should be given; lines stay lines."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def in_one_line(text: str) -> str:
    """The same with line breaks escaped too: a name is one line, whatever is in it."""
    return printable(text).replace("\n", "\\n")
