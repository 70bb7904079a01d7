"""Whole-process measurements for scripts/bench.sh: CPU seconds, wall seconds and peak memory by the operating system's own account."""

import hashlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 7
ROWS = {"A": 2_000_000, "B": 600_532, "C": 34_000}


def run(command, env=None):
    """One run: (CPU seconds, wall seconds, peak MiB)."""
    began = time.monotonic()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    text = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command} failed: {text.decode()}")
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def row(name, runs, base=None):
    """One line of a table: medians with their spread, and the ratio to `base`, run by run."""
    cells = []
    for figure in range(3):
        values = sorted(one[figure] for one in runs)
        cells.append(f"{statistics.median(values):7.2f} ({values[0]:.2f}-{values[-1]:.2f})")
    ratio = ""
    if base:
        ratios = [one[0] / other[0] for one, other in zip(runs, base)]
        walls = [one[1] / other[1] for one, other in zip(runs, base)]
        ratio = f"  CPU x{statistics.median(ratios):.2f}  wall x{statistics.median(walls):.2f}"
    print(f"  {name:22} {cells[0]:>20} {cells[1]:>20} {cells[2]:>22}{ratio}")


def digest(path, job):
    """How many rows an output has, and a digest of them in one order."""
    with open(path, "rb") as lines:
        rows = lines.readlines()
    if job == "C":
        key = lambda one: (one["window_start"], one["source"], one["metric"])
        rows = [repr(one).encode() for one in sorted(map(json.loads, rows), key=key)]
    return f"{len(rows)} {hashlib.sha256(b''.join(rows)).hexdigest()}"


def rows_of(path, job):
    """The same, by a process of its own: what this one holds would count as the peak memory of what it starts."""
    ran = subprocess.run([sys.executable, __file__, "digest", path, job], check=True, stdout=subprocess.PIPE)
    return ran.stdout.decode().split()


def jobs(programs):
    smollama, limit, gen = (f"{programs}/{name}" for name in ("smollama", "limit", "gen"))
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in.jsonl"
        subprocess.run([gen, "2000000", "1000", "42", source], check=True, stderr=subprocess.DEVNULL)
        print(f"jobs: 2,000,000 lines of 1,000 series; medians of {RUNS} interleaved runs (least-most)")
        print(f"  {'':22} {'CPU s':>20} {'wall s':>20} {'peak MiB':>22}  against the typed serde loop")
        for job, expected in ROWS.items():
            out = {name: f"{folder}/{job}-{name}" for name in ("serde", "smollama", "hand", "2t-serde")}
            env = dict(os.environ, BENCH_IN=source, BENCH_OUT=out["smollama"])
            pipeline = f"benches/pipelines/{job.lower()}.yaml"
            command = {
                "serde": [limit, job, "serde", source, out["serde"]],
                "smollama": [smollama, "run", "--once", "--speed", "max", "--data-dir", f"{folder}/data", pipeline],
                "hand": [limit, job, "hand", source, out["hand"]],
                "2t-serde": [limit, job, "2t-serde", source, out["2t-serde"]],
            }

            def once(name):
                # The file sink appends; every run begins with no file.
                if os.path.exists(out[name]):
                    os.remove(out[name])
                return run(command[name], env)

            for name in command:
                once(name)
            wanted = rows_of(out["serde"], job)
            if rows_of(out["smollama"], job) != wanted:
                sys.exit(f"job {job}: Smollama's output is not the loop's")
            count = int(wanted[0])
            if count != expected:
                sys.exit(f"job {job}: {count} rows, expected {expected}")
            print(f" {job}: equal output, {count:,} rows")
            runs = {name: [] for name in command}
            for _ in range(RUNS):
                for name in command:
                    runs[name].append(once(name))
            row("typed serde loop", runs["serde"])
            row("smollama", runs["smollama"], runs["serde"])
            row("scanner by hand", runs["hand"], runs["serde"])
            row("serde, two threads", runs["2t-serde"], runs["serde"])


def idle(programs):
    """home.yaml: start to first reading, then a minute of nothing much."""
    seconds = float(os.environ.get("BENCH_IDLE_SECONDS", "60"))
    with tempfile.TemporaryDirectory() as folder:
        # A console sink right behind the source says when the first reading is through.
        first = f"{folder}/first.yaml"
        with open(first, "w") as out:
            out.write("pipeline: first\nsources:\n  board: { system: {} }\nsinks:\n  out: { inputs: [board], console: { format: json } }\n")
        starts = []
        for _ in range(RUNS):
            began = time.monotonic()
            child = subprocess.Popen(
                [f"{programs}/smollama", "run", "--data-dir", f"{folder}/first", first],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            child.stdout.readline()
            starts.append((time.monotonic() - began) * 1000)
            child.send_signal(signal.SIGTERM)
            child.wait()
        child = subprocess.Popen(
            [f"{programs}/smollama", "run", "--data-dir", f"{folder}/home", "pipelines/home.yaml"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2)
        spent = cpu_seconds(child.pid)
        time.sleep(seconds)
        used = cpu_seconds(child.pid) - spent
        with open(f"/proc/{child.pid}/status") as status:
            resident = int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024
        child.send_signal(signal.SIGTERM)
        child.wait()
    print(f"idle: pipelines/home.yaml")
    print(f"  start to first reading {statistics.median(starts):.0f} ms ({min(starts):.0f}-{max(starts):.0f}), median of {RUNS}")
    print(f"  resident after {seconds:.0f} s {resident:.1f} MiB")
    print(f"  CPU over {seconds:.0f} s {used:.2f} s = {100 * used / seconds:.2f} % of a core")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def size(programs):
    bytes_ = os.path.getsize(f"{programs}/smollama")
    print(f"size: the binary, stripped: {bytes_ / 1e6:.1f} MB")


if __name__ == "__main__":
    if sys.argv[1] == "digest":
        print(digest(sys.argv[2], sys.argv[3]))
        sys.exit()
    {"jobs": jobs, "idle": idle, "size": size}[sys.argv[1]](sys.argv[2])
