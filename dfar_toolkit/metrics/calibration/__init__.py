"""Whether probabilities mean what they say: against people's distribution first, against one label by its name."""
