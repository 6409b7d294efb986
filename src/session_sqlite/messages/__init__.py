"""How a message of another framework is kept in an event, and comes back exactly; LangChain's is the first."""
