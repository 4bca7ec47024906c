"""Arrays of every type and shape, and a configuration of every type, there and back."""
