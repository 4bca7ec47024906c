"""Finding datasets: words, filters, facets with counts, in English, German and French."""
