"""A chat model that says what it is told to, and remembers what it was asked: for tests of agents and runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from provider_rules import assert_accepted

Reply = AIMessage | Exception | Callable[[list[BaseMessage]], AIMessage]


class ScriptedModel(BaseChatModel):
    """Gives its replies one after the other; a function makes one of the prompt, an exception is raised.

    It refuses what providers refuse.
    """

    replies: list[Any]
    is_strict: bool = True
    seen: list[list[BaseMessage]] = []  # noqa: RUF012 - pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        return self

    def next_reply(self, messages: list[BaseMessage]) -> AIMessage:
        self.seen.append(list(messages))
        if self.is_strict:
            assert_accepted(messages)
        reply: Reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply(messages) if callable(reply) else reply

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.next_reply(messages))])


class StreamingModel(ScriptedModel):
    """The same, word by word."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        words = str(self.next_reply(messages).content).split(" ")
        for index, word in enumerate(words):
            text = word if index == 0 else f" {word}"
            if word == "BREAK":
                raise ConnectionError("the line is dead")
            if run_manager:
                run_manager.on_llm_new_token(text)
            yield ChatGenerationChunk(message=AIMessageChunk(text))


def calls(*made: tuple[str, dict[str, Any], str], text: str = "") -> AIMessage:
    """A reply that calls tools, each given as name, arguments and id."""
    return AIMessage(
        text, tool_calls=[{"name": name, "args": args, "id": id, "type": "tool_call"} for name, args, id in made]
    )


class StoppedModel(StreamingModel):
    """A streaming model that goes on for ever after the word WAIT; `reached` is called when it gets there."""

    reached: Callable[[], Any] = print

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self.next_reply(messages)
        if isinstance(reply.content, list):
            for block in reply.content:
                yield ChatGenerationChunk(message=AIMessageChunk([block]))
            self.reached()
            await asyncio.sleep(3600)
        for index, word in enumerate(str(reply.content).split(" ")):
            if word == "BREAK":
                raise ConnectionError("the line is dead")
            if word == "WAIT":
                self.reached()
                await asyncio.sleep(3600)
            yield ChatGenerationChunk(message=AIMessageChunk(word if index == 0 else f" {word}"))
        for position, call in enumerate(reply.tool_calls):
            chunk = {"name": call["name"], "args": '{"a": 1, ', "id": call["id"], "index": position}
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[chunk]))
            self.reached()
            await asyncio.sleep(3600)
