"""What the best possible predictor, and people themselves, would score on these votes."""
