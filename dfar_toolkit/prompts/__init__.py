"""What is asked of a model, and what its answer says: rendering and parsing as inverses."""
