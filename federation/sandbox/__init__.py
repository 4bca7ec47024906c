"""Where foreign code runs, at a node and at the lab: closed off, and within limits that hold as root too."""
