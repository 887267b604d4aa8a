"""One table of numbers with intervals for outputs and items, and for judgements where there are any."""

from dfar_toolkit.metrics.comparison import compare
from dfar_toolkit.scoring.confusions import confusions
from dfar_toolkit.scoring.json_rows import scores_json
from dfar_toolkit.scoring.score import score
from dfar_toolkit.scoring.score_columns import COLUMNS, PARTS

__all__ = ["COLUMNS", "PARTS", "compare", "confusions", "score", "scores_json"]
