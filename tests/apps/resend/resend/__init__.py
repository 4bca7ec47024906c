"""A Flower app that does not give up: the same model, again and again, until every node has returned it."""
