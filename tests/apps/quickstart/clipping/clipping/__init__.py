"""Updates clipped at the clients by Flower's own mods, and measured by another."""
