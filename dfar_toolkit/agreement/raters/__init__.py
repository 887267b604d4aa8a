"""Who differs, and where: each rater, each pair, groups of raters, time."""
