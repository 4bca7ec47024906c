"""What lasts as long as a message or a run: lifespans around both apps, and a state of arrays."""
