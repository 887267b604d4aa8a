"""Read and write items folders, runs and judgements; the manifest last, the whole folder swapped in."""
