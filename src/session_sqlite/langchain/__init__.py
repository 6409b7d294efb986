"""LangChain on top of the store: messages as events, and the history that chains remember with.

The only place that imports langchain_core.
"""
