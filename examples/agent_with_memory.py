"""An agent that remembers, in both modes of `SessionHistoryMiddleware`, with a stand-in for the model.

Run ``python examples/agent_with_memory.py [FILE]``, twice: the second process goes on where the first stopped.

Mode "memory": the session is the agent's memory; nothing else is needed. Mode "record": a LangGraph checkpointer is the
memory, and the session is the copy that people read, search and count. The checkpointer here forgets with its process;
the new one gets the thread back from the session, which does not take what it knows for new.
"""

import re
import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from session_sqlite import SessionHistoryMiddleware, SQLiteChatMessageHistory, SQLiteSessionService, database_file

PRICES = {"sencha": 12, "oolong": 15}


@tool
def price_of(tea: str) -> str:
    """The price of 100 g of a tea."""
    return f"{tea}: {PRICES[tea]} €" if tea in PRICES else f"We have no {tea}."


class ShopModel(BaseChatModel):
    """Knows what its messages say, and asks its tool for prices. A real chat model takes its place as it is."""

    @property
    def _llm_type(self) -> str:
        return "shop-example"

    def bind_tools(self, *_: Sequence[Any], **__: Any) -> Runnable[Any, AIMessage]:
        """It knows its only tool."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        asked = re.findall(r"sencha|oolong|earl grey", last.text)
        if last.type == "tool":
            reply = AIMessage(f"Here you are. {last.text}")
        elif asked:
            call = {"name": "price_of", "args": {"tea": asked[-1]}, "id": f"call-{len(messages)}"}
            reply = AIMessage("Let me look.", tool_calls=[call])
        else:
            before = [message.text for message in messages[:-1] if message.type == "tool"]
            reply = AIMessage(
                f"You asked about: {', '.join(before)}" if before else "You have not asked for any tea yet."
            )
        return ChatResult(generations=[ChatGeneration(message=reply)])


def main(path: str | None = None) -> None:
    """Two conversations, one in each mode."""
    with SQLiteSessionService(path or database_file(app_name="agent-example"), app_name="agent-example") as service:
        memory = create_agent(ShopModel(), [price_of], middleware=[SessionHistoryMiddleware(service)])
        recorder = SessionHistoryMiddleware(service, mode="record")
        record = create_agent(ShopModel(), [price_of], middleware=[recorder], checkpointer=InMemorySaver())
        print(f"The file: {service.path}")
        remembers = False
        for mode, agent in (("memory", memory), ("record", record)):
            config: Any = {"configurable": {"thread_id": f"shop-{mode}"}}
            earlier = SQLiteChatMessageHistory(f"shop-{mode}", service=service).messages
            remembers = remembers or bool(earlier)
            print(f"\nMode {mode!r} remembers {len(earlier) or 'no'} messages from earlier runs.")
            if mode == "record" and earlier:
                agent.update_state(config, {"messages": earlier}, as_node="model")
            for line in ("What did I ask about?", f"How much is the {'oolong' if earlier else 'sencha'}?"):
                state = agent.invoke({"messages": [{"role": "user", "content": line}]}, config)
                print(f"  user      | {line}\n  assistant | {state['messages'][-1].text}")
        print(f"\nAll tool calls so far: {[(call['args']['tea'], call['status']) for call in service.tool_calls()]}")
        print("It knew the first price from the file alone." if remembers else "Run it again: a new process remembers.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
