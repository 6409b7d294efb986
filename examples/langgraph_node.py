"""A LangGraph node that reads and writes a session: for graphs of your own, without an agent or a checkpointer.

Run ``python examples/langgraph_node.py [FILE]``, twice. The graph's state is one question and its answer; the
conversation, and how often each topic came up, are in the session, which other programs read as well.
"""

import sys
from typing import TypedDict

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from session_sqlite import SQLiteChatMessageHistory, SQLiteSessionService, database_file


class Turn(TypedDict, total=False):
    """What the nodes hand on within one turn."""

    question: str
    topic: str
    answer: str


def build(service: SQLiteSessionService) -> StateGraph[Turn]:
    """The graph: find the topic, then answer with the session at hand."""

    def route(turn: Turn) -> Turn:
        return {"topic": "tea" if "tea" in turn["question"].lower() else "weather"}

    def answer(turn: Turn, config: RunnableConfig) -> Turn:
        session = service.create_session(session_id=config["configurable"]["session_id"], exist_ok=True)
        history = SQLiteChatMessageHistory(session.id, service=service, limit=20)
        earlier = [message.text for message in history.messages if message.type == "human"]
        said = f"About {turn['topic']}: yes."
        if earlier:
            said += f" (Before, you asked: {earlier[-1]!r}.)"
        # One transaction for what was said; the count is state, which a rewind of the session would not lose track of.
        history.add_messages([HumanMessage(turn["question"]), AIMessage(said)])
        count = session.state.get(f"user:{turn['topic']}", 0) + 1
        session.state[f"user:{turn['topic']}"] = count
        return {"answer": f"{said} That makes {count} about {turn['topic']}."}

    graph = StateGraph(Turn)
    graph.add_node("route", route)
    graph.add_node("answer", answer)
    graph.add_edge(START, "route")
    graph.add_edge("route", "answer")
    graph.add_edge("answer", END)
    return graph


def main(path: str | None = None) -> None:
    """Two turns of one conversation."""
    with SQLiteSessionService(path or database_file(app_name="graph-example"), app_name="graph-example") as service:
        graph = build(service).compile()
        for question in ("Is tea good for me?", "Will it rain?"):
            turn = graph.invoke({"question": question}, {"configurable": {"session_id": "morning"}})
            print(f"user      | {question}\nassistant | {turn['answer']}")
        session = service.get_session("morning")
        print(f"\n{session.last_seq} events in the session; state: {dict(session.state)}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
