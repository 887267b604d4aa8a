"""How a model's reasons compare with people's, with its own label, and with the statement."""
