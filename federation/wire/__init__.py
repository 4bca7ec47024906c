"""The wire that gateway, nodes, runners and workers share; free of Flower and numpy."""
