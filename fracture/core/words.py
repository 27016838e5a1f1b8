"""Words around numbers."""


def counted(number: object, one: str, several: str = "") -> str:
    """Give a number with its noun: 1 film, 2 films; ``several`` is the plural where an s does not make it."""
    return f"{number} {one if number == 1 else several or one + 's'}"
