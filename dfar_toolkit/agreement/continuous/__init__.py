"""Ratings that are numbers or ranks: intraclass correlation, concordance, limits of agreement, Kendall's W."""
