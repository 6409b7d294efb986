"""The tokens of a reply, in the words of any provider.

A count's name says by its words what it counts: tokens read from a cache, tokens written to it, tokens of reasoning.
The words around them say of which part: a *share* (how long a cache keeps them, text or audio) is a part of the count
that has the same name without it; any other word (``priority``, ``flex``, ``over_200k``) is a *tier*, whose tokens are
counted beside those of the others. A count that is there is believed: only where it is missing or 0 its shares are
added up.

The functions are pure and work on JSON. They do not import LangChain, so that a migration can use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from session_sqlite.codec import is_plain_text
from session_sqlite.models import Usage

Kind = Literal["read", "write", "reasoning"]

MAX_LEVELS: Final = 4  # of mappings inside each other that are searched for counts

_INPUT: Final = ("input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count", "promptTokenCount",
                 "prompt_eval_count")  # fmt: skip
_OUTPUT: Final = ("output_tokens", "completion_tokens", "outputTokens", "candidates_token_count",
                  "candidatesTokenCount", "eval_count")  # fmt: skip
# Names of Anthropic and Bedrock. Where they stand, the count of the input leaves out the tokens of the cache.
_BESIDE_INPUT: Final = frozenset({
    "cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens",
})  # fmt: skip

_CACHE: Final = frozenset({"cache", "cached", "caching", "ephemeral"})
_WRITE: Final = frozenset({"creation", "create", "created", "write", "writes", "written", "ephemeral"})
_READ: Final = frozenset({"read", "reads", "hit", "hits", "cached"})
_MISSED: Final = frozenset({"miss", "misses", "missed", "non", "not", "uncached"})
_REASONING: Final = frozenset({"reasoning", "thinking", "thought", "thoughts"})
_SHARES: Final = frozenset({
    "ephemeral", "minute", "minutes", "hour", "hours", "day", "days", "audio", "text", "image", "images", "video",
    "document", "documents",
})  # fmt: skip
_LIFETIME: Final = re.compile(r"\d+(s|m|min|h|hr|d)?")
_FILLING: Final = frozenset({
    "input", "output", "prompt", "completion", "candidates", "token", "tokens", "count", "counts", "detail", "details",
    "content", "num", "number", "of", "total", "usage",
    "metadata",
})  # fmt: skip
_ALL: Final[frozenset[str]] = frozenset()
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


class Meaning(NamedTuple):
    """A count's meaning: which kind of tokens it counts, of which part of them."""

    kind: Kind
    tier: frozenset[str]
    share: frozenset[str]


def usage_of(counts: object, model: str = "") -> Usage | None:
    """Returns the usage in a mapping of counts, also in mappings inside; None if it is no mapping.

    Example:
        >>> details = {"cache_creation": 0, "ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2}
        >>> usage_of({"input_tokens": 50, "output_tokens": 1, "input_token_details": details}).cache_write_tokens
        42
    """
    if not isinstance(counts, Mapping):
        return None
    shares: dict[tuple[Kind, frozenset[str]], dict[frozenset[str], int]] = {}
    for name, number in _named(counts, "", 0):
        if (meaning := meaning_of(name)) is not None:
            what = meaning.kind, meaning.tier
            of_what = shares.setdefault(what, {})
            # A count may be there under two names, or inside and outside of the details.
            of_what[meaning.share] = max(number, of_what.get(meaning.share, 0))
    found: dict[Kind, int] = {"read": 0, "write": 0, "reasoning": 0}
    for (kind, _), of_what in shares.items():
        found[kind] += of_what.get(_ALL) or sum(of_what.values())
    return Usage(model, _first(counts, _INPUT), _first(counts, _OUTPUT), *map(_fitting, found.values()))


def usage_of_provider(counts: object, model: str = "") -> Usage | None:
    """Returns the usage in what a provider itself sends; its count of the input may leave out the cache's tokens."""
    usage = usage_of(counts, model)
    if usage is None or not isinstance(counts, Mapping) or counts.keys().isdisjoint(_BESIDE_INPUT):
        return usage
    whole = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return Usage(model, _fitting(whole), *(getattr(usage, name) for name in _AFTER_INPUT))


_AFTER_INPUT: Final = ("output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def usage_of_message(usage_metadata: object, response_metadata: object) -> Usage | None:
    """Returns the usage of a reply, from these two fields of its message or from their stored form."""
    about = response_metadata if isinstance(response_metadata, Mapping) else {}
    names = (about.get("model_name"), about.get("model"))
    return usage_of(usage_metadata, next((name for name in names if is_plain_text(name) and name), ""))


def derived_anew(usage: Usage, message: Mapping[str, Any]) -> Usage:
    """Returns the usage that is derived from a stored message now; the usage given if it was not derived from it.

    Earlier releases knew fewer names of counts.
    """
    derived = usage_of_message(message.get("usage_metadata"), message.get("response_metadata"))
    if derived is None:
        return usage
    is_derived = (usage.model, usage.input_tokens, usage.output_tokens) == (
        derived.model, derived.input_tokens, derived.output_tokens,
    )  # fmt: skip
    return derived if is_derived else usage


@lru_cache(maxsize=1024)
def meaning_of(name: str) -> Meaning | None:
    """Returns what a count of this name counts; None if it is none of the kinds that a `Usage` has."""
    words = frozenset(_BETWEEN.split(_CAPITAL.sub("_", name).lower())) - {""}
    if words & _MISSED:
        return None
    kind: Kind
    known = _FILLING | _SHARES
    if words & _CACHE and words & _WRITE:
        kind, known = "write", known | _CACHE | _WRITE
    elif words & _CACHE and words & _READ:
        kind, known = "read", known | _CACHE | _READ
    elif words & _REASONING:
        kind, known = "reasoning", known | _REASONING
    else:
        return None
    share = words & _SHARES | {word for word in words if _LIFETIME.fullmatch(word)}
    return Meaning(kind, words - known - share, share)


def _named(counts: Mapping[Any, Any], inside: str, level: int) -> Iterator[tuple[str, int]]:
    """Yields each count but 0 with its name, which the names of the mappings around it precede."""
    for name, value in counts.items():
        if not isinstance(name, str):
            continue
        if type(value) is not int and isinstance(value, Mapping):
            if level < MAX_LEVELS:
                yield from _named(value, f"{inside}{name}_", level + 1)
        elif number := _count(value):
            yield f"{inside}{name}", number


def _first(counts: Mapping[Any, Any], names: Sequence[str]) -> int:
    for name in names:
        if number := _count(counts.get(name)):
            return number
    return 0


def _count(value: object) -> int:
    if type(value) is int:
        return value if 0 <= value < 2**63 else 0  # `_fitting` in place: calls cost time at each append
    return _fitting(int(value)) if isinstance(value, int) and not isinstance(value, bool) else 0


def _fitting(number: int) -> int:
    """Returns the number if a `Usage` takes it, otherwise 0."""
    return number if 0 <= number < 2**63 else 0
