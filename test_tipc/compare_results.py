"""Compare the numbers of a TIPC run with recorded ones; exit 1 and name the lines that differ.

    python test_tipc/compare_results.py --gt_file test_tipc/results/MODEL_MODE.txt \\
        --log_file "test_tipc/output/MODEL/MODE/*.log" [--atol 1e-3] [--rtol 1e-3] [--record]

Numbers are the losses of each logged iteration, the metrics of each evaluation and of each restored
picture, and how many of AutoLog's sections a log has. A line of the recorded file is a log, a place in
it and its numbers. Two processes or two nodes on a CPU have to give what one process gave, and are
compared with its record. Logs of which nothing is recorded (runs on a GPU, say) are named, not compared.
`--record` writes the file instead.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import sys
from pathlib import Path

_NUMBER = re.compile(r"([a-z]\w*): (-?(?:\d[\d.]*(?:e[+-]?\d+)?|inf|nan))(?=,|\s|$)")
_TRAIN = re.compile(r"^\[train\] epoch: \S+, iter: (\d+)/\d+, lr: [\d.e-]+, (.*?), avg_reader_cost: ")
_EVAL = re.compile(r"^\[eval\] (?:epoch: \d+, iter: (\d+), )?(.*)$")
_PICTURE = re.compile(r"^image_name: (.+?), ((?:ratio|psnr|ssim)\w*: .*?)(?: -> .*)?$")
# In a log's name: the second process, the second node.
_SEVERAL = re.compile(r"(?<=_gpus_-1),-1|(?<=_autocast_null)_nodes_2")
SECTIONS = tuple(f"{name} info" for name in ("Env", "Paddle", "Conf", "Model", "Data", "Perf"))

Place = tuple[str, str]  # log, line within it
Numbers = dict[str, float]


def read_log(path: Path) -> dict[Place, Numbers]:
    """Return the numbers of a log by place; the log has the name that it has with one process."""
    log = _SEVERAL.sub("", path.stem)
    found: dict[Place, Numbers] = {}
    sections = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        sections += any(f"- {title} -" in line for title in SECTIONS)
        for pattern, title in ((_TRAIN, "train iter"), (_EVAL, "eval"), (_PICTURE, "picture")):
            match = pattern.match(line)
            if match:
                place = f"{title} {os.path.basename(match[1] or 'mean')}"
                found[log, place] = {name: float(v) for name, v in _NUMBER.findall(match[2])}
    if sections:
        found[log, "AutoLog"] = {"sections": float(sections)}
    return found


def read_record(path: Path) -> dict[Place, Numbers]:
    """Read a file that `write_record` wrote."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        log, place, numbers = line.split("\t")
        found[log, place] = {name: float(value) for name, value in _NUMBER.findall(numbers)}
    return found


def write_record(path: Path, found: dict[Place, Numbers]) -> None:
    lines = [f"{log}\t{place}\t{_shown(numbers)}\n" for (log, place), numbers in sorted(found.items())]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(lines), encoding="utf-8")
    os.replace(temporary, path)


def differences(
    expected: dict[Place, Numbers], got: dict[Place, Numbers], atol: float, rtol: float
) -> list[str]:
    """Return a line for every place that differs, is missing, or is new in a recorded log."""
    logs = {log for log, _ in expected}
    lines = []
    for place in sorted({*expected, *(place for place in got if place[0] in logs)}):
        old, new = expected.get(place), got.get(place)
        if old is None or new is None or not _close(old, new, atol, rtol):
            shown = [_shown(numbers) if numbers else "nothing" for numbers in (new, old)]
            lines.append(f"{' | '.join(place)}: {shown[0]}; recorded: {shown[1]}")
    return lines


def _close(old: Numbers, new: Numbers, atol: float, rtol: float) -> bool:
    # NaN is close to no number, which is intended.
    return old.keys() == new.keys() and all(
        new[name] == value or abs(new[name] - value) <= atol + rtol * abs(value)
        for name, value in old.items()
    )


def _shown(numbers: Numbers) -> str:
    return ", ".join(f"{name}: {value:g}" for name, value in numbers.items())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gt_file", type=Path, required=True, help="recorded numbers")
    parser.add_argument("--log_file", required=True, help="logs of the run, a pattern in quotes")
    parser.add_argument("--atol", type=float, default=1e-3)
    parser.add_argument("--rtol", type=float, default=1e-3)
    parser.add_argument("--record", action="store_true", help="write --gt_file from the logs")
    args = parser.parse_args()
    got: dict[Place, Numbers] = {}
    for path in sorted(glob.glob(args.log_file)):
        got.update(read_log(Path(path)))
    if not got:
        print(f"error: {args.log_file}: no numbers in such logs; run the chain first", file=sys.stderr)
        return 2
    if args.record:
        write_record(args.gt_file, got)
        print(f"recorded {len(got)} lines in {args.gt_file}")
        return 0
    try:
        expected = read_record(args.gt_file)
    except (OSError, ValueError) as error:
        print(f"error: {args.gt_file}: {error}; --record writes it", file=sys.stderr)
        return 2
    for log in sorted({log for log, _ in got} - {log for log, _ in expected}):
        print(f"not compared, nothing is recorded of it: {log}")
    lines = differences(expected, got, args.atol, args.rtol)
    for line in lines:
        print(f"differs: {line}")
    print(f"{args.gt_file}: {len(expected)} lines recorded, {len(lines)} differ")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
