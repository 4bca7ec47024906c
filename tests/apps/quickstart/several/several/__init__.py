"""Two models in one message, sent and received without a strategy."""
