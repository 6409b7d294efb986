"""A chain with a tool, written down as it runs: `SessionRecorder` needs nothing but langchain-core.

Run ``python examples/record_a_run.py [FILE]``; without a file everything stays in memory. A parrot stands in for the
model; the recorder takes any Runnable, chain, agent or graph.
"""

import sys

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from session_sqlite import SessionRecorder, SQLiteSessionService


@tool
def divide(a: float, b: float) -> float:
    """Divides a by b."""
    return a / b


def main(path: str = ":memory:") -> None:
    """Records a run that works and one that does not, and looks at both."""
    replies = [
        AIMessage(
            "I divide.",
            tool_calls=[{"name": "divide", "args": {"a": 84, "b": divisor}, "id": f"call-{divisor}"}],
            usage_metadata={"input_tokens": 20, "output_tokens": 9, "total_tokens": 29},
        )
        for divisor in (2, 0)
    ]
    chain = (
        ChatPromptTemplate([("system", "You calculate."), ("human", "{question}")])
        | GenericFakeChatModel(messages=iter(replies))
        | RunnableLambda(lambda message: divide.invoke(message.tool_calls[0]), name="run the tool")
    )
    with SQLiteSessionService(path, app_name="recorder-example") as service:
        for question in ("What is 84 / 2?", "And 84 / 0?"):
            recorder = SessionRecorder(service, "calculations")
            try:
                print(question, "→", chain.invoke({"question": question}, {"callbacks": [recorder]}).content)
            except ZeroDivisionError as error:
                print(question, "→", error)

        print("\nWhat was recorded:")
        for event in service.list_events("calculations"):
            took = f"{event.metadata['duration_ms']:.1f} ms" if "duration_ms" in event.metadata else ""
            print(f"  {event.seq}  {event.author:<10} {event.content or event.actions[0].error!s:<55} {took}")

        print("\nTool calls:")
        for call in service.tool_calls():
            print(f"  {call['name']}({call['args']}) {call['status']}: {call['output'] or call['error']}")
        print("\nTokens:", [(row["input_tokens"], row["output_tokens"]) for row in service.usage(by="day")])


if __name__ == "__main__":
    main(*sys.argv[1:2])
