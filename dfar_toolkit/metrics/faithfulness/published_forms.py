"""ERASER's and Carton et al.'s own forms of the faithfulness metrics: for readers of their published numbers.

Theirs are of the label predicted on the whole input. ERASER's comprehensiveness and sufficiency of a rationale are
those of this room at the rationale's own words, its AOPC those of this room over its five shares of words; a run that
was not asked at these has none, for an average over other sizes is another number.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.faithfulness.aopc import ERASER_SHARES, KINDS, aopc_rows
from dfar_toolkit.metrics.faithfulness.comprehensiveness import comprehensiveness_rows
from dfar_toolkit.metrics.faithfulness.drops import VARIANTS
from dfar_toolkit.metrics.faithfulness.item_means import mean_over_items
from dfar_toolkit.metrics.faithfulness.normalised_fidelity import normalised_rows
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Step
from dfar_toolkit.metrics.faithfulness.row_values import row_values
from dfar_toolkit.metrics.faithfulness.sufficiency import sufficiency_rows

ERASER: Final = "eraser_"  # what the names of its forms begin with; the rest is the name of ours

_SAME: Final = 1e-9
_NOT_ASKED: Final = "the run was not asked at ERASER's sizes: 1, 5, 10, 20 and 50 % of the words"


def published_fidelity(at: Perturbed) -> list[Additive]:
    """Comprehensiveness and sufficiency of a rationale's own words as ERASER and Carton et al. compute them.

    Args:
        at: The rows of one method and operator at the rationale's own words.

    Returns:
        ``eraser_comprehensiveness``, ``eraser_sufficiency``, the same with ``_entropy`` and ``_kl``,
        ``carton_comprehensiveness``, ``carton_sufficiency``.

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.2; rationale_benchmark/metrics.py, score_classifications. Carton,
        Rathore and Tan (2020), Evaluating and characterizing human rationales, EMNLP.
    """
    found = [_of_eraser(rows(at, variant=v)) for v in VARIANTS for rows in (comprehensiveness_rows, sufficiency_rows)]
    carton = [normalised_rows(at, metric=metric) for metric in ("carton_comprehensiveness", "carton_sufficiency")]
    return found + carton


def eraser_aopc(block: Perturbed) -> list[Additive]:
    """AOPC of one method and operator over ERASER's shares; undefined where the run was asked at others.

    Args:
        block: The rows of one method and operator.

    Returns:
        ``eraser_aopc_comprehensiveness``, ``eraser_aopc_sufficiency``.

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.2; its code divides by the number of sizes.
    """
    asked = block.shares or ERASER_SHARES  # a file that names no shares is looked through by numbers of words
    if all(any(abs(share - wanted) < _SAME for share in asked) for wanted in ERASER_SHARES):
        steps = [Step(share=share) for share in ERASER_SHARES]
        return [_of_eraser(aopc_rows(block, row_values(block, kind), kind=kind, steps=steps)) for kind in KINDS]
    nothing = np.full(len(block.items), np.nan)
    blank = [mean_over_items(f"aopc_{kind}", f"AOPC {kind}", nothing) for kind in KINDS]
    return [_of_eraser(score._replace(undefined=_NOT_ASKED)) for score in blank]


def _of_eraser(score: Additive) -> Additive:
    """The score by ERASER's name; infinite rows, which have no mean, are ``nan``: draws are ordered by finite ones."""
    rows = np.where(np.isfinite(score.rows), score.rows, np.nan)
    return score._replace(metric=ERASER + score.metric, name=f"ERASER {score.name}", rows=rows)
