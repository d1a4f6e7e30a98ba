"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`; the noun is one whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
