"""Too slow for every change: builds killed at any moment, many at once, coverage of the default intervals."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.estimate import proportion
from dfar_toolkit.files.items import read_items

pytestmark = pytest.mark.slow


def build(demo: Path, out: Path, seed: int) -> subprocess.Popen[bytes]:
    dfar = str(Path(sys.executable).with_name("dfar"))
    words = ["build", "table", "--raw", str(demo / "raw"), "--mapping", str(demo / "raw" / "mapping.yaml")]
    return subprocess.Popen(
        [dfar, *words, "--out", str(out), "--seed", str(seed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_build_killed_at_any_moment_leaves_a_whole_folder(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert build(demo, out, 0).wait() == 0
    start = time.perf_counter()
    assert build(demo, out, 1).wait() == 0
    whole = time.perf_counter() - start
    moments = random.Random(0)
    for seed in range(2, 22):
        running = build(demo, out, seed)
        time.sleep(moments.uniform(0, 1.1 * whole))
        running.send_signal(moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        running.wait()
        assert read_items(out).items.height == 80
    assert build(demo, out, 99).wait() == 0
    assert read_items(out).manifest["seed"] == 99
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_builds_at_the_same_time_do_not_spoil_each_other(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(3):
        running = [build(demo, out, seed) for seed in range(4)]
        assert all(process.wait() in (0, 1) for process in running)
        assert read_items(out).items.height == 80
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("share", "n"), [(0.7, 200), (0.95, 100)])
def test_wilson_covers(share: float, n: int) -> None:
    rng = np.random.default_rng(0)
    found = [proportion("share", rng.random(n) < share) for _ in range(1000)]
    assert np.mean([e.low <= share <= e.high for e in found]) >= 0.93


def test_wilson_on_the_effective_n_covers_where_items_come_in_groups() -> None:
    """Fifty groups of four with an intra-class correlation of 1/3: beta-binomial shares with a + b = 2."""
    rng = np.random.default_rng(0)
    groups, covered = np.repeat(np.arange(50), 4), []
    for _ in range(600):
        hits = rng.random(200) < np.repeat(rng.beta(1.4, 0.6, 50), 4)
        found = proportion("share", hits, groups=groups)
        covered.append(found.low <= 0.7 <= found.high)
    assert np.mean(covered) >= 0.93


def test_the_bootstrap_of_alpha_covers() -> None:
    """Four raters who say the item's value with probability .8: alpha's limit is taken from a very large sample."""
    rng = np.random.default_rng(0)

    def ratings(n: int) -> list[tuple[int, int, int]]:
        value = rng.integers(0, 3, n)
        said = np.where(rng.random((n, 4)) < 0.8, value[:, None], rng.integers(0, 3, (n, 4)))
        return [(i, r, int(said[i, r])) for i in range(n) for r in range(4)]

    limit = krippendorff_alpha(ratings(100_000), ci=None).value
    found = [krippendorff_alpha(ratings(200), n_boot=500, seed=s) for s in range(300)]
    assert np.mean([e.low <= limit <= e.high for e in found]) >= 0.92  # 300 studies: standard error .013
