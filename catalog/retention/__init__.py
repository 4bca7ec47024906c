"""How long things are kept, carried out."""
