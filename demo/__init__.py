"""One command that shows the whole: real studies, real processes, one table at the end."""
