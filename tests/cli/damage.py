"""Damaging the files of a run folder: every key by values of other types, and bytes at random."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEEP = "DEEP"  # stands for a list in a list, 100,000 times
LONG = "LONG"  # stands for a whole number of 5,000 digits
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    float("nan"),
    1e300,
    float("-inf"),
    "",
    "text",
    "\x1b[2J\n\ud800\u202e",
    [],
    [None],
    {},
    {"": []},
    DEEP,
    LONG,
)

Place = tuple[str | int, ...]


def places(document: Any, place: Place = ()) -> Iterator[Place]:
    """Every key and index in a document, and its root."""
    yield place
    entries = document.items() if isinstance(document, dict) else ()
    entries = enumerate(document) if isinstance(document, list) else entries
    for key, entry in entries:
        yield from places(entry, (*place, key))


def changed(document: Any, place: Place, value: Any) -> str:
    """The document as JSON with another value in one place."""
    if not place:
        return json_of(value)
    new = copy.deepcopy(document)
    content = new
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] = value
    return json_of(new)


def without(document: Any, place: Place) -> str:
    """The document as JSON without one key or item."""
    new = copy.deepcopy(document)
    content = new
    for key in place[:-1]:
        content = content[key]
    del content[place[-1]]
    return json_of(new)


def json_of(value: Any) -> str:
    text = json.dumps(value)
    return text.replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000).replace(
        f'"{LONG}"', "1" + "0" * 5000
    )


def damaged_json(text: str, chance: random.Random) -> str:
    """A JSON text with one value replaced by an odd one, or gone."""
    document = json.loads(text)
    place = chance.choice(list(places(document)))
    if place and chance.random() < 0.1:
        return without(document, place)
    return changed(document, place, chance.choice(ODD_VALUES))


def damaged_lines(text: str, chance: random.Random) -> str:
    """A journal with one line damaged so."""
    lines = text.splitlines()
    number = chance.randrange(len(lines))
    lines[number] = damaged_json(lines[number], chance)
    return "\n".join(lines) + "\n"


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Some bits flipped, a piece cut out, the end cut off, or bytes that are no UTF-8 put in."""
    place = chance.randrange(len(content) or 1)
    match chance.randrange(4):
        case 0:
            flipped = bytearray(content or b"\0")
            for _ in range(chance.randint(1, 3)):
                flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            return bytes(flipped)
        case 1:
            return content[:place] + content[place + chance.randint(1, 40) :]
        case 2:
            return content[:place]
        case _:
            odd = chance.choice([b"\xff\xfe", b"\0", b"\x1b[2J", b"\n", b"\r", b";", b'"'])
            return content[:place] + odd + content[place:]


def damage(file: Path, chance: random.Random) -> None:
    """Damage a file in one of these ways."""
    is_json = file.suffix in (".json", ".journal")
    if is_json and chance.random() < 0.6:
        damaged = damaged_lines if file.suffix == ".journal" else damaged_json
        file.write_text(damaged(file.read_text(encoding="utf-8"), chance), encoding="utf-8")
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), chance))
