"""A line fitted by FedAvg, with a rate that falls from round to round and an evaluation at the server."""
