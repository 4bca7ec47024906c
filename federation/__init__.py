"""How models are trained where the data is: identity, wire, gateway, runner, node."""
