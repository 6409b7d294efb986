"""LangChain on top of the store: messages as events, and the history that chains remember with.

Only this package and `session_sqlite.messages.langchain` import langchain_core.
"""
