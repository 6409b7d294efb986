"""Replies that were stopped: what had been streamed of one becomes a message that the next request may have.

A run ends early if its task is cancelled, its client goes away or its model fails. Of the reply only the text can be
kept: providers refuse a call that no tool will answer, a block of reasoning without its signature, and a reply without
text.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from session_sqlite.messages.langchain import message_to_event


def reason_of(error: BaseException) -> str:
    """Returns the name of what ended a run, for the note about it."""
    return type(error).__name__


def partial_reply(streamed: BaseMessage | None, reason: str, id: str | None = None) -> AIMessage | None:
    """Returns what of a reply can be shown again, with a mark in its ``response_metadata``; None if nothing can."""
    if streamed is None:
        return None
    event = message_to_event(streamed)
    if not event.content.strip():
        return None
    model = {name: streamed.response_metadata[name] for name in ("model_name",) if name in streamed.response_metadata}
    return AIMessage(
        event.content,
        id=id,
        additional_kwargs={"reasoning_content": event.reasoning} if event.reasoning else {},
        response_metadata={**model, "interrupted": reason},
        usage_metadata=getattr(streamed, "usage_metadata", None),
    )


def is_partial(message: BaseMessage) -> bool:
    """Returns whether a message is a reply that `partial_reply` made."""
    return isinstance(message, AIMessage) and bool(message.response_metadata.get("interrupted"))


class Streamed(BaseCallbackHandler):
    """A listener to the model call of an agent, which keeps what has come of the reply so far."""

    run_inline = True  # otherwise an async run would wait for a worker thread at each token

    def __init__(self) -> None:
        super().__init__()
        self._parent: UUID | None = None
        self._run: UUID | None = None
        self._chunks: list[AIMessageChunk] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears of the model calls that are made inside of the block, but not of those of other runs inside of it."""
        config = ensure_config()
        callbacks = config.get("callbacks")
        if isinstance(callbacks, BaseCallbackManager):
            self._parent = callbacks.parent_run_id
            callbacks = callbacks.copy()
            callbacks.add_handler(self)
        else:
            callbacks = [*(callbacks or ()), self]
        token = var_child_runnable_config.set({**config, "callbacks": callbacks})
        try:
            yield
        finally:
            var_child_runnable_config.reset(token)

    def so_far(self) -> BaseMessage | None:
        """Returns what has been streamed of the latest reply."""
        return functools.reduce(operator.add, self._chunks) if self._chunks else None

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **about: Any) -> None:
        """Begins anew: a call that is tried again says everything again."""
        if about.get("parent_run_id") == self._parent:
            self._run, self._chunks = run_id, []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Keeps a piece of the reply."""
        if run_id == self._run:
            message = getattr(chunk, "message", None)
            self._chunks.append(message if isinstance(message, AIMessageChunk) else AIMessageChunk(content=token))

    def on_stream_event(self, event: Mapping[str, Any], *, run_id: UUID, **_: Any) -> None:
        """Keeps a piece of a reply that is streamed as typed events."""
        delta = event.get("delta") if run_id == self._run and event.get("event") == "content-block-delta" else None
        if isinstance(delta, Mapping):
            if isinstance(text := delta.get("text"), str):
                self._chunks.append(AIMessageChunk(content=text))
            elif isinstance(reasoning := delta.get("reasoning"), str):
                self._chunks.append(AIMessageChunk(content="", additional_kwargs={"reasoning_content": reasoning}))
