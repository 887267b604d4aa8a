"""The card's prose, with a slot for every number."""
