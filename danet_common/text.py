"""Text in messages: plurals, and escapes for names and files."""


def pluralise(count: int, noun: str) -> str:
    """Return "1 error" or "2 errors"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """Return the text with unprintable letters escaped, but not line breaks."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def in_one_line(text: str) -> str:
    """Return the text with unprintable letters and line breaks escaped."""
    return printable(text).replace("\n", "\\n")
