"""From source tables to a checked items folder: assemble, audit, split, card."""
