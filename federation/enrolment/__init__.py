"""How a new member of a federation gets its certificate."""
