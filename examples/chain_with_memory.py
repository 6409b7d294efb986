"""A LangChain chain that remembers: a support desk whose model knows only what its prompt says.

Run ``python examples/chain_with_memory.py [FILE]``, twice: the second process remembers what the first was told. The
model is a small stand-in that needs no key and no network; a real chat model takes its place without other changes.
"""

import re
import sys
import warnings

from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from session_sqlite import SQLiteChatMessageHistory, database_file

# Deprecated in favour of LangGraph for agents; for a plain chain it is still what LangChain has, until its release 2.
warnings.filterwarnings("ignore", message=".*RunnableWithMessageHistory.*", category=DeprecationWarning)

FACTS = {
    "name": r"[Mm]y name is ([A-Z]\w+)",
    "order": r"order ([A-Z]-\d+)",
    "damage": r"The ([\w ]+?) when I opened",
}
FIRST_TIME = (
    "Hello, my name is Ada, I am writing about order A-1042.",
    "The blue teapot was cracked when I opened the parcel.",
    "So what happens now?",
)
AGAIN = (
    "Hello, it is me again. Do you still know my name?",
    "Which order did I write about?",
    "And what was wrong with it?",
)


class SupportModel(SimpleChatModel):
    """Answers from its prompt alone: what nobody wrote there it does not know."""

    @property
    def _llm_type(self) -> str:
        return "support-example"

    def _call(self, messages: list[BaseMessage], **kwargs: object) -> str:  # noqa: ARG002 - LangChain passes more
        told = "\n".join(message.text for message in messages if message.type == "human")
        known = {fact: found[-1] for fact, pattern in FACTS.items() if (found := re.findall(pattern, told))}
        asked = messages[-1].text.lower()
        if "my name?" in asked:
            return f"Of course, {known['name']}. How can I help?" if "name" in known else "I am afraid I do not."
        if "which order" in asked:
            return f"About order {known['order']}." if "order" in known else "You have not told me."
        if "what was wrong" in asked:
            return f"The {known['damage']}." if "damage" in known else "You have not told me."
        if "what happens now" in asked and known.keys() == FACTS.keys():
            return (
                f"The {known['damage']}, so I am sending you another one for order {known['order']}, {known['name']}."
            )
        return "I am sorry to hear that." if "damage" in known else f"Welcome, {known.get('name', 'dear customer')}."


def main(path: str | None = None) -> None:
    """Asks first what only an earlier run can have told, then tells it."""
    prompt = ChatPromptTemplate(
        [("system", "You answer customers of a tea shop."), MessagesPlaceholder("history"), ("human", "{input}")]
    )
    chain = RunnableWithMessageHistory(
        prompt | SupportModel(),
        SQLiteChatMessageHistory.factory(path, app_name="chain-example"),
        input_messages_key="input",
        history_messages_key="history",
    )
    config = {"configurable": {"session_id": "support-42"}}
    remembered = SQLiteChatMessageHistory("support-42", path, app_name="chain-example").messages
    print(f"The file: {path or database_file(app_name='chain-example')}")
    print(f"Remembered from earlier runs: {len(remembered) or 'no'} messages.")
    for message in remembered[:6]:
        print(f"  {message.type:>5} | {message.text}")

    print("\nNow:")
    for line in AGAIN if remembered else FIRST_TIME:
        print(f"  human | {line}\n     ai | {chain.invoke({'input': line}, config).text}")
    print("\nIt knew that from the file alone." if remembered else "\nRun it again: a new process will remember.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
