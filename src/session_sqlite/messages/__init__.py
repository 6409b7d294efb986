"""How a message of a framework is kept in an event, and comes back exactly; LangChain's is the first."""
