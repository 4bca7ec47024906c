"""From the wish to use data to the permit: projects, access requests, decisions, and the public register."""
