"""What the tokens of an input have to do with what a local model makes of it."""
