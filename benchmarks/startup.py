"""How long `dfar --help` and `import dfar_toolkit` take, as a ratio to `import polars` in the same run.

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "import polars": [sys.executable, "-c", "import polars"],
    "import dfar_toolkit": [sys.executable, "-c", "import dfar_toolkit"],
    "dfar --help": [str(Path(sys.executable).with_name("dfar")), "--help"],
}
RUNS = 15


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    for command in COMMANDS.values():
        seconds(command)  # fills the disk cache
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):  # in turn, so that a busy moment falls on all
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    median = {name: statistics.median(found) for name, found in times.items()}
    rows = [
        {"command": name, "median_s": round(median[name], 3), "ratio": round(median[name] / median["import polars"], 2)}
        for name in COMMANDS
    ]
    for row in rows:
        print(f"{row['command']:22} {row['median_s']:.3f} s   {row['ratio']:.2f} x import polars")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    RESULTS.write_text(json.dumps({"machine": machine, "runs": RUNS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
