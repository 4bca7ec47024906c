"""Settings of every type, nested ones too, and those that a run gives in their place."""
