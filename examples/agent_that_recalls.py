"""An agent that answers from an older conversation: `history_tools`, with a stand-in for the model.

Run ``python examples/agent_that_recalls.py [FILE]``. Last month somebody decided what happens with a teapot; today
they ask about it in a new session. The agent looks it up, and says where it was said.
"""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from session_sqlite import Event, SessionHistoryMiddleware, SQLiteSessionService, database_file, history_tools

QUESTION = "What did we decide about the blue teapot last month?"


class AssistantModel(BaseChatModel):
    """Asks its tool first, and repeats the last thing that was said there. A real chat model takes its place."""

    @property
    def _llm_type(self) -> str:
        return "recall-example"

    def bind_tools(self, *_: Sequence[Any], **__: Any) -> Runnable[Any, AIMessage]:
        """It knows its tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        if last.type != "tool":
            call = {"name": "search_history", "args": {"question": last.text, "limit": 1}, "id": "call-1"}
            reply = AIMessage("", tool_calls=[call])
        elif found := re.search(r'session ("[^"]*"), events? .*?, ([\d-]+)', last.text):
            said = re.findall(r"(?m)^> (.*)", last.text)
            reply = AIMessage(f"{said[-1]} You decided that on {found[2]}, in session {found[1]}.")
        else:
            reply = AIMessage("I found nothing about that.")
        return ChatResult(generations=[ChatGeneration(message=reply)])


def remember(service: SQLiteSessionService) -> None:
    """Stores what was said last month, in two sessions; nothing if they are there already."""
    then = datetime.now(UTC).replace(day=1) - timedelta(days=5)
    said = {
        "catalogue": ["Which teapots stay in the catalogue?", "The red one sells well. And the blue teapot?",
                      "It leaves at Christmas.", "Noted: the blue teapot leaves at Christmas."],
        "shelves": ["How long are the shelves?", "Two metres each."],
    }  # fmt: skip
    for session_id, texts in said.items():
        session = service.create_session(session_id=session_id, title=f"The {session_id}", exist_ok=True)
        if not session.last_seq:
            authors = ("user", "assistant") * len(texts)
            session.add_events([Event(*each, created_at=then) for each in zip(authors, texts, strict=False)])


def main(path: str | None = None) -> None:
    """Asks in a new session for what an older one has."""
    with SQLiteSessionService(path or database_file(app_name="recall-example"), app_name="recall-example") as service:
        remember(service)
        agent = create_agent(AssistantModel(), history_tools(service), middleware=[SessionHistoryMiddleware(service)])
        config: Any = {"configurable": {"thread_id": "today"}}
        service.delete_session("today")  # what an earlier run of this example asked would be found, too
        state = agent.invoke({"messages": [{"role": "user", "content": QUESTION}]}, config)
        asked, call, found, answer = state["messages"]
        print(f"user: {asked.text}\n\ncalls {call.tool_calls[0]['name']} with {call.tool_calls[0]['args']}\n")
        print(f"{found.text}\n\nassistant: {answer.text}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
