"""Spoil bytes, JSON and text by a generator: the same generator spoils the same way."""

import json
import re
import struct
from typing import Any

from numpy.random import Generator

HEAD = 4096  # where headers are: half of the strikes fall there
NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
FORMS = ("<H", ">H", "<I", ">I", "<Q", ">Q", "<f", "<d")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-300, 1e9, 1e308, -1e308, 10**9, 2**31, 2**63, 10**30),
    *("", "x", "x" * 5000, "\0", "../x", "/", "\ud800", "é" * 300, "1", "nan", "%s{}", "<script>"),
    *([], {}, [[]], [0], [1, 1], [1e9, 1e9], ["x"] * 1000, {"": 0}, [None]),
)
WORDS = (
    *("0", "-1", "1e999", "nan", "inf", "99999999999", "1,5", "true", '""', "[]", "{}", "''", "\0", "\ufeff", "&", "<"),
    *("]]>", "<!--", "&x;", "\\", "\n", "=", "#", "0x10", "µm", "\u202e", "x" * 3000, "[[", "]", "%"),
)


def spoil(data: bytes, dice: Generator) -> bytes:
    """One to four strikes: bits, runs, numbers, what is cut off, inserted or doubled."""
    spoilt = bytearray(data)
    for _ in range(int(dice.integers(1, 5))):
        _strike(spoilt, dice)
    return bytes(spoilt)


def _strike(data: bytearray, dice: Generator) -> None:
    size = len(data)
    if not size:
        data += dice.bytes(8)
        return
    at = int(dice.integers(0, min(size, HEAD) if dice.random() < 0.5 else size))
    if dice.random() < 0.2:  # the end, where a zip has its directory
        at = size - 1 - at % min(size, HEAD)
    run = int(min(size - at, 2 ** dice.integers(0, 11)))
    match int(dice.integers(0, 10)):
        case 0 | 1:
            data[at] ^= 1 << int(dice.integers(0, 8))
        case 2:
            data[at] = int(dice.integers(0, 256))
        case 3:
            data[at : at + run] = dice.bytes(run)
        case 4:
            data[at : at + run] = bytes(run) if dice.random() < 0.7 else b"\xff" * run
        case 5:
            del data[at : at + run]
        case 6:
            data[at:at] = data[at : at + run] if dice.random() < 0.5 else dice.bytes(run)
        case 7:
            del data[at:]
        case _:
            form = FORMS[int(dice.integers(0, len(FORMS)))]
            value = NUMBERS[int(dice.integers(0, len(NUMBERS)))]
            if form[1] in "HIQ":
                packed = struct.pack(form, value & (256 ** struct.calcsize(form) - 1))
            else:
                packed = struct.pack(form, (float("nan"), float("inf"), -1.0, 1e38)[value % 4])
            data[at : at + len(packed)] = packed


def spoil_json(text: str, dice: Generator) -> str:
    """One to three fields changed, removed, added or doubled; now and then the text itself is spoilt."""
    if dice.random() < 0.15:
        return spoil(text.encode(), dice).decode("utf-8", "replace")
    value = json.loads(text)
    for _ in range(int(dice.integers(1, 4))):
        _change(value, dice)
    spoilt = json.dumps(value, ensure_ascii=bool(dice.random() < 0.9))
    if dice.random() < 0.05:  # a field twice
        spoilt = re.sub(r'("\w+": )', r"\g<1>0, \g<1>", spoilt, count=1)
    return spoilt.encode("utf-8", "replace").decode()


def _change(value: Any, dice: Generator) -> None:
    place = _place(value, dice)
    if place is None:
        return
    holder, key = place
    match int(dice.integers(0, 10)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = odd(dice)
        case 2:
            other, name = _place(value, dice) or place
            holder[key] = json.loads(json.dumps(other[name]))
        case 3 | 4 if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            number = holder[key] * float(dice.choice([-1, 0.5, 2, 1.01, 1e6])) + float(dice.choice([0, 1]))
            holder[key] = int(number) if dice.random() < 0.5 and abs(number) < 2**53 else number
        case _:
            holder[key] = odd(dice)


def _place(value: Any, dice: Generator) -> tuple[Any, Any] | None:
    """A field, found from the top down: those of small objects are as likely as those of large ones."""
    place = None
    while isinstance(value, (dict, list)) and value and not (place and dice.random() < 0.2):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[int(dice.integers(0, len(keys)))]
        place, value = (value, key), value[key]
    return place


def odd(dice: Generator) -> Any:
    """A value that is seldom right."""
    value = VALUES[int(dice.integers(0, len(VALUES)))]
    return list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def spoil_text(text: str, dice: Generator) -> str:
    """Numbers, words and lines changed, removed, doubled or put elsewhere."""
    for _ in range(int(dice.integers(1, 4))):
        tokens = re.findall(r"\w+|\s+|[^\w\s]", text) or [""]
        at, other = (int(dice.integers(0, len(tokens))) for _ in range(2))
        match int(dice.integers(0, 6)):
            case 0:
                del tokens[at : at + int(dice.integers(1, 6))]
            case 1:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 2:
                tokens[at:at] = tokens[min(at, other) : min(at, other) + 30]
            case 3:
                return spoil(text.encode(), dice).decode("utf-8", "replace")
            case _:
                numbers = [k for k, token in enumerate(tokens) if token.isdigit()]
                if numbers and dice.random() < 0.6:
                    at = numbers[int(dice.integers(0, len(numbers)))]
                tokens[at] = WORDS[int(dice.integers(0, len(WORDS)))]
        text = "".join(tokens)
    return text
