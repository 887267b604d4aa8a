"""How many items and raters the next study needs, and how far its labels would stay the same."""
