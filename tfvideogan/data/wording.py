"""Numbers with their nouns, and names of any length, for messages."""


def counted(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`; the noun is one whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shown(name: str) -> str:
    """A name as a message has it: of one that no file system would take, both ends."""
    return name if len(name) <= 500 else f"{name[:250]} ... {name[-250:]}"
