"""No model: a mean by two kinds of queries, pushed and pulled."""
