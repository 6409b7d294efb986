"""Strict JSON: what would not come back equal is refused, with the path of the value."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from session_sqlite.errors import InvalidInputError, NotSerializableError

MAX_DEPTH: Final = 100
MAX_DIGITS: Final = 4300  # Python refuses to read longer integers back from text


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError("not a finite number")
    return number


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
_HALF_PAIR_ESCAPED: Final = re.compile(r"\\u[dD][89a-fA-F]")


def decode_json(text: str, max_depth: int = MAX_DEPTH) -> Any:
    """Returns the value of a column's JSON. Raises `ValueError` for JSON that this package would not have written.

    ``raw_decode`` takes half the time of ``decode``, but skips no white space around the value. `plain_json` writes
    none, so the slow way is taken only for text that another program has written.
    """
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        value, end = _decoder.decode(text), len(text)
    if end != len(text):
        value = _decoder.decode(text)
    if "\\u" in text and _HALF_PAIR_ESCAPED.search(text) and not is_unicode(plain_json(value)):
        raise ValueError("half of a surrogate pair")
    if len(text) > max_depth and text.count("{") + text.count("[") > max_depth and _is_deeper(value, max_depth):
        raise ValueError("nested too deep")
    return value


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return depth == 0 or any(_is_deeper(item, depth - 1) for item in items)
    return False


def _made_once(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """Returns the ``encode`` of an encoder, in half the time.

    ``JSONEncoder.encode`` makes Python's C encoder anew at each call, which takes longer than to encode a small value.
    Cycles are not looked for: values are tested before, or end with a `RecursionError`.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without it
        return encoder.encode
    quoted, separators = json.encoder.encode_basestring, (encoder.key_separator, encoder.item_separator)
    chunks = make(None, encoder.default, quoted, None, *separators, encoder.sort_keys, encoder.skipkeys, False)

    def encode(value: Any) -> str:
        return "".join(chunks(value, 0))

    return encode


# Without spaces, as SQLite's own json functions write JSON; Unicode is not escaped, so that the file is readable.
plain_json = _made_once(json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")))
_LARGE = 10**MAX_DIGITS
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def check_json(value: object, path: str, depth: int, max_depth: int) -> None:
    """Raises `NotSerializableError` for what would not come back equal from JSON."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if isinstance(value, enum.Enum):
        raise NotSerializableError(f"{path} is an enum member, which JSON cannot hold: store its value")
    if isinstance(value, str):
        return
    if isinstance(value, int):
        if value.bit_length() > 14_000 and not -_LARGE < value < _LARGE:
            raise NotSerializableError(f"{path} is a whole number of more than {MAX_DIGITS} digits")
        return
    if isinstance(value, float):
        if value - value != 0:  # true for NaN and the infinities only
            raise NotSerializableError(f"{path} is not a finite number, which JSON cannot hold")
        return
    if isinstance(value, (dict, list)):
        if depth >= max_depth:
            raise NotSerializableError(f"{_short(path)} is nested more than {max_depth} levels deep")
        if isinstance(value, list):
            for index, item in enumerate(value):
                if type(item) is not str:
                    check_json(item, f"{path}[{index}]", depth + 1, max_depth)
            return
        for key, item in value.items():
            if not isinstance(key, str) or isinstance(key, enum.Enum):
                raise NotSerializableError(
                    f"{path} has a key of type {type(key).__name__}: JSON keys are text, another kind would come back"
                    " as text"
                )
            if type(item) not in _PLAIN or type(item) is int:
                check_json(item, f"{path}[{key!r}]", depth + 1, max_depth)
        return
    raise NotSerializableError(f"{path} is of type {kind.__name__}, which JSON cannot hold")


def _short(path: str) -> str:
    return path if len(path) <= 120 else f"{path[:80]}…{path[-20:]}"


def encode_json(value: object, path: str, *, max_depth: int = MAX_DEPTH) -> str:
    """Returns JSON text that will come back equal. Raises `NotSerializableError`, which names the path of the value."""
    check_json(value, path, 0, max_depth)
    encoded = plain_json(value)
    if not is_unicode(encoded):
        raise half_pair(half_pair_path(value, path) or path)
    return encoded


def is_unicode(value: str) -> bool:
    """Returns True for text without lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def half_pair(path: str) -> NotSerializableError:
    """Returns the error for text with a lone surrogate at a path."""
    return NotSerializableError(f"{path} has half of a surrogate pair: it is not valid Unicode text")


def half_pair_path(value: object, path: str) -> str:
    """Returns the path of the first text, or object with a key, that has a lone surrogate; empty if there is none."""
    if isinstance(value, str):
        return "" if is_unicode(value) else path
    if isinstance(value, dict):
        if not all(map(is_unicode, value)):
            return path
        inside = ((f"{path}[{name!r}]", item) for name, item in value.items())
    elif isinstance(value, list):
        inside = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        return ""
    return next(filter(None, (half_pair_path(item, place) for place, item in inside)), "")


def encode_object(value: object, path: str) -> str:
    """Returns the JSON text of a mapping. Raises `InvalidInputError` for anything else."""
    if type(value) is dict and not value:
        return "{}"
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{path} must be a mapping, not {type(value).__name__}")
    return encode_json(value if isinstance(value, dict) else dict(value), path)


def decode_object(value: object, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Returns the JSON object in a column. Raises `ValueError` for anything else."""
    if value == "{}":
        return {}
    decoded = decode_json(value, max_depth)  # type: ignore[arg-type]  # what is no text raises TypeError, which the callers expect
    if type(decoded) is not dict:
        raise ValueError("not a JSON object")
    return decoded


def same_json(left: object, right: object) -> bool:
    """Returns True if two JSON values are equal: like Python's ``==``, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right
