"""The cheap classifier of texts: TF-IDF of words and pairs of words, logistic regression, cross-validated by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.errors import TableError

_INSTALL: Final = "the classifier needs scikit-learn; install it with: pip install 'dfar-toolkit[models]'"
_MOST_FEATURES: Final = 100_000


def cross_validated_probs(
    texts: Sequence[str],
    labels: Sequence[int] | npt.NDArray[np.int64],
    groups: Sequence[Any],
    *,
    folds: int = 5,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    r"""Probability of each label for each text, by a classifier that saw no text of its group.

    Whole groups are dealt at random into folds. For each fold, TF-IDF (words and pairs of words, logarithmic counts,
    at most the 100,000 commonest features) and a logistic regression (L2, C = 1) are fitted on the other folds.

    Args:
        texts: The texts (n,).
        labels: Their labels as codes 0 to K - 1 (n,).
        groups: Their groups (n,): texts of one group are never on both sides.
        folds: How many, from 2; no more than there are groups.
        seed: Of the folds; the same input and seed give the same numbers.

    Returns:
        Probabilities (n, K), K the largest code plus 1; a label that the other folds lack gets 0 there.

    Undefined:
        A row is ``nan`` where the other folds hold a single label, or no word.

    Raises:
        TableError: scikit-learn is not installed; there are fewer groups than folds.
        ValueError: The lengths differ, or a code is negative.

    Example:
        >>> texts = ["a kind deed", "a cruel deed"] * 10
        >>> probs = cross_validated_probs(texts, [0, 1] * 10, range(20))
        >>> probs.argmax(axis=1).tolist() == [0, 1] * 10
        True
    """
    try:
        import sklearn  # noqa: F401 - asked for here, so that its absence is one clear line
    except ImportError:
        raise TableError(_INSTALL) from None
    code = np.asarray(labels, dtype=np.int64).ravel()
    listed = list(texts)
    if not len(listed) == len(code) == len(groups):
        raise ValueError(
            f"cross_validated_probs: wanted one label and group per text, found {len(listed)} texts, "
            f"{len(code)} labels, {len(groups)} groups"
        )
    if len(code) and int(code.min()) < 0:
        raise ValueError("cross_validated_probs: labels must be codes from 0")
    fold = dealt_folds(groups, folds=folds, seed=seed)
    out = np.full((len(code), int(code.max()) + 1), np.nan)
    for k in range(folds):
        test, train = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        _predict(listed, code, train, test, out)
    return out


def dealt_folds(groups: Sequence[Any], *, folds: int = 5, seed: int = 0) -> npt.NDArray[np.int64]:
    """Whole groups dealt at random into folds of equally many groups: the fold of each row (n,), from 0.

    Raises:
        TableError: There are fewer groups than folds, or fewer than two folds.

    Example:
        >>> sorted(dealt_folds(["a", "a", "b"], folds=2).tolist()) in ([0, 0, 1], [0, 1, 1])
        True
    """
    unit = np.unique(np.asarray([str(g) for g in groups], dtype=np.str_), return_inverse=True)[1].ravel()
    n_units = int(unit.max()) + 1 if len(unit) else 0
    if not 2 <= folds <= n_units:
        raise TableError(
            f"the classifier is tried on groups that it has not seen: wanted 2 or more folds and as many groups, found "
            f"{folds} folds and {n_units} groups."
        )
    return np.asarray((np.random.default_rng(seed).permutation(n_units) % folds)[unit], dtype=np.int64)


def _predict(
    texts: list[str],
    code: npt.NDArray[np.int64],
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    out: npt.NDArray[np.float64],
) -> None:
    """Fit on ``train``, write the probabilities of ``test`` into ``out``."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(code[train])) < 2:
        return
    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=_MOST_FEATURES, token_pattern=r"(?u)\b\w+\b",
        dtype=np.float64,
    )  # fmt: skip
    try:
        seen = words.fit_transform([texts[i] for i in train])
    except ValueError:  # no text of the other folds has a word
        return
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(seen, code[train])
    out[test] = 0.0
    out[np.ix_(test, model.classes_)] = model.predict_proba(words.transform([texts[i] for i in test]))
