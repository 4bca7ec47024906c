"""Identity in a federation: X.509 certificates from its own authority, and the register of its members."""
