"""Is a model consistent with its own free-text reasons? Every number is arithmetic on the rows of a run."""
