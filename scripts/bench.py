"""Whole-process measurements for scripts/bench.sh: CPU seconds, wall seconds and peak memory by the operating system's own account."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

RUNS = 7
ROWS = {"A": 2_000_000, "B": 600_532, "C": 34_000}


# The kernel counts as a program's peak memory what its parent had when it was forked, so the parent is as small as Python can be (9 MiB).
MEASURE = """import os, sys, time
began = time.monotonic()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)
"""


def run(command, env=None):
    """One run: (CPU seconds, wall seconds, peak MiB)."""
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", MEASURE, *command], env=env, check=True, capture_output=True)
    code, *figures = ran.stdout.split()
    if int(code) != 0:
        sys.exit(f"{command} failed: {ran.stderr.decode()}")
    return tuple(map(float, figures))


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
            text = status.read()
        resident, own = (int(re.search(rf"{word}:\s+(\d+)", text)[1]) / 1024 for word in ("VmRSS", "RssAnon"))
        child.send_signal(signal.SIGTERM)
        child.wait()
    print(f"idle: pipelines/home.yaml")
    print(f"  start to first reading {statistics.median(starts):.0f} ms ({min(starts):.0f}-{max(starts):.0f}), median of {RUNS}")
    print(f"  resident after {seconds:.0f} s {resident:.1f} MiB, of them {own:.1f} MiB its own and the rest pages of the program")
    print(f"  CPU over {seconds:.0f} s {used:.2f} s = {100 * used / seconds:.2f} % of a core")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Engine:
    """A running engine on a data directory of its own."""

    def __init__(self, programs, folder, pipeline, durability=None, env=None, more=""):
        self.program, self.data = f"{programs}/smollama", f"{folder}/data"
        settings = f"{folder}/config.yaml"
        with open(settings, "w") as out:
            out.write("journal: { durability: %s, size: 1GiB }\n%s" % (durability or "process", more))
        self.child = subprocess.Popen(
            [self.program, "run", "--no-dashboard", "-c", settings, "--data-dir", self.data, pipeline],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def until(self, what, is_so):
        began = time.monotonic()
        while not is_so():
            if self.child.poll() is not None:
                sys.exit(f"the engine ended: {self.child.stderr.read().decode()}")
            if time.monotonic() - began > 60:
                sys.exit(f"in vain: {what}")
            time.sleep(0.002)

    def cpu(self):
        return cpu_seconds(self.child.pid)

    def written(self):
        """Bytes that this process caused to be written to disks."""
        with open(f"/proc/{self.child.pid}/io") as io:
            return int(re.search(r"^write_bytes: (\d+)", io.read(), re.M)[1])

    def status(self):
        asked = subprocess.run([self.program, "status", "--json", "--data-dir", self.data], stdout=subprocess.PIPE)
        return json.loads(asked.stdout) if asked.returncode == 0 else None

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.stderr.read()
        self.child.wait()


def journal(programs):
    """A socket that acknowledges: with nothing kept, and journaled at both durabilities."""
    lines, series = 10_000_000, 1_000
    print(f"journal: {lines:,} acknowledged lines of {series:,} series over one Unix socket; medians of 5 interleaved runs")
    found = {None: [], "process": [], "power": []}
    for _ in range(5):
        for durability, runs in found.items():
            with tempfile.TemporaryDirectory(dir=".") as folder:
                env = dict(os.environ, ACK="true" if durability else "false")
                engine = Engine(programs, folder, "benches/pipelines/journal.yaml", durability, env)
                socket = f"{engine.data}/in.sock"
                engine.until("the socket", lambda: os.path.exists(socket))
                before, disk = engine.cpu(), engine.written()
                sent = subprocess.run([f"{programs}/send", socket, str(lines), str(series)], check=True, stdout=subprocess.PIPE)
                sent = json.loads(sent.stdout)
                cpu = engine.cpu() - before
                status = engine.status()
                dropped = sum(node["dropped"] for node in status["nodes"])
                runs.append((cpu, sent["seconds"], sent["bytes"], status["journal"], engine.written() - disk, dropped))
                engine.stop()
    base = statistics.median(one[0] for one in found[None])
    for durability, runs in found.items():
        cpu, seconds = (statistics.median(one[at] for one in runs) for at in (0, 1))
        name = durability or "nothing kept"
        text = f"  {name:12} {lines / seconds:9,.0f}/s  CPU {1e6 * cpu / lines:.2f} us a reading, x{cpu / base:.2f}"
        # What is dropped costs nothing: only runs that take everything can be compared.
        dropped = max(one[5] for one in runs)
        text += f"  {dropped:,} dropped at most" if dropped else ""
        if durability:
            payload, kept = runs[-1][2], runs[-1][3]
            written = statistics.median(one[4] for one in runs)
            text += f"  journal {kept['written_bytes'] / payload:.2f} of the payload, the kernel wrote {written / payload:.2f}, {kept['syncs']} syncs"
        print(text)
    print(f"  the disk alone: {sync_rate():,.0f} syncs/s of 4 KiB appended")


def sync_rate():
    """How often a second this disk makes an appended page durable."""
    with tempfile.NamedTemporaryFile(dir=".") as file:
        count, began = 0, time.monotonic()
        while time.monotonic() - began < 2:
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.monotonic() - began)


GROUP = """pipeline: g{n}
sources:
  s: {{ as: g{n}, every: {every}, simulate: {{ series: {{ a: {{}}, b: {{}}, c: {{}}, d: {{}} }} }} }}
transforms:
  t: {{ inputs: [s], dedup: {{ deadband: {band}, heartbeat: never }} }}
  f: {{ inputs: [t], filter: {{ value: {{ above: -1000 }} }} }}
sinks:
  out: {{ inputs: [f], {sink} }}
"""


def apply(programs):
    """One of a thousand nodes changed while the others carry 100,000 readings a second."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        graphs = f"{folder}/graphs"
        os.mkdir(graphs)

        def group(n, band, every, sink):
            with open(f"{graphs}/g{n}.yaml", "w") as out:
                out.write(GROUP.format(n=n, band=band, every=every, sink=sink))

        for n in range(249):
            group(n, 0.0, "10ms", "discard: {}")
        # The last one is watched: what it writes arrives every five milliseconds, whatever is applied to another.
        group(249, 0.0, "5ms", "console: { format: json }")
        engine = Engine.__new__(Engine)
        engine.program, engine.data = f"{programs}/smollama", f"{folder}/data"
        engine.child = subprocess.Popen(
            [engine.program, "run", "--no-dashboard", "--data-dir", engine.data, graphs],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        arrivals = []

        def watch():
            while os.read(engine.child.stdout.fileno(), 65536):
                arrivals.append(time.monotonic())

        watcher = threading.Thread(target=watch)
        watcher.start()
        time.sleep(3)
        rate = engine.status()["nodes"]
        rate = sum(node["emitted_per_s"] for node in rate if node["section"] == "source")
        took, synced, walls, pauses, calm = [], [], [], [], []

        def longest(begin, end):
            at = [one for one in arrivals if begin - 0.05 <= one <= end + 0.05]
            return max((b - a for a, b in zip(at, at[1:])), default=0)

        for n in range(50):
            group(7, 0.001 * (n + 1), "10ms", "discard: {}")
            calm.append(longest(time.monotonic() - 0.3, time.monotonic()))
            began = time.monotonic()
            ran = subprocess.run(
                [engine.program, "apply", "-y", "--json", "--data-dir", engine.data, f"{graphs}/g7.yaml"],
                check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            ended = time.monotonic()
            time.sleep(0.4)
            reply = json.loads(ran.stdout)
            walls.append(1000 * (ended - began))
            took.append(reply["took_ms"])
            synced.append(reply["sync_ms"])
            pauses.append(longest(began, ended))
        engine.child.send_signal(signal.SIGTERM)
        engine.child.wait()
        watcher.join()
    without = [a - b for a, b in zip(took, synced)]
    print(f"apply: 1 of 1,000 nodes, 50 times, while the sources give {rate:,.0f} readings/s")
    print(f"  in the engine {statistics.median(took):.0f} ms, of them on the disk {statistics.median(synced):.0f} ms; without it {statistics.median(without):.0f} ms ({min(without):.0f}-{max(without):.0f})")
    print(f"  the command as a whole {statistics.median(walls):.0f} ms")
    print(f"  longest pause of another pipeline that speaks every 5 ms: {1000 * statistics.median(pauses):.0f} ms ({1000 * max(pauses):.0f} at most), without an apply {1000 * statistics.median(calm):.0f} ms ({1000 * max(calm):.0f} at most)")


WEEK = """pipeline: week
sources:
  in: {{ as: week, {source} }}
{rest}
"""
SCORED = """transforms:
  scored: { inputs: [in], novelty: {} }
  news: { inputs: [scored], dedup: { deadband: 0.2, heartbeat: 10m } }
  pace: { inputs: [scored], adaptive_rate: {} }
sinks:
  out: { inputs: [news, pace], file: { path: out.jsonl } }"""


def resident(engine):
    with open(f"/proc/{engine.child.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def fan(programs):
    """Many small pipelines behind one source of as many series: each takes one series, and watches it with an alarm of its own."""
    count, rate, seconds = 8_000, 800, 20
    print(f"fan: {count:,} pipelines behind one source, a filter on one series and an alarm each")
    found = {pipelines: fan_of(programs, pipelines, rate, seconds) for pipelines in (1, count)}
    ready, first, _, _, _, rang = found[count]
    print(f"  ready after {ready:.2f} s; the first reading of each through after {first:.2f} s more; {rang:,} alarms rang")
    one, all_ = found[1][2], found[count][2]
    print(f"  {(all_ - one) / (count - 1):.1f} KiB resident for each ({all_ / 1024:.1f} MiB in all, {one / 1024:.1f} MiB with one)")
    for how, at in (("forty by forty", 3), ("one by one, each acknowledged", 4)):
        print(f"  {rate:,} readings/s {how}: {100 * found[count][at]:.1f} % of a core ({100 * found[1][at]:.1f} % with one)")


def fan_of(programs, pipelines, rate, seconds):
    """Seconds until it is ready, and until each series was seen; KiB resident; shares of a core at that rate; alarms that rang."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        graphs = f"{folder}/graphs"
        os.mkdir(graphs)
        with open(f"{graphs}/shared.yaml", "w") as out:
            inputs = ", ".join(f"p{n}/hot.news" for n in range(pipelines))
            out.write("pipeline: shared\nsources:\n  in: { as: t, socket: { unix: in.sock, ack: true } }\n"
                      f"sinks:\n  news: {{ inputs: [{inputs}], file: {{ path: news.ndjson }} }}\n")
        for n in range(pipelines):
            with open(f"{graphs}/p{n}.yaml", "w") as out:
                out.write(f'pipeline: p{n}\ntransforms:\n  mine: {{ inputs: [shared/in], filter: {{ sources: "t:{n}" }} }}\n'
                          "  hot: { inputs: [mine], alarm: { above: 100, clear_below: 90 } }\n")
        began = time.monotonic()
        engine = Engine(programs, folder, graphs, env=dict(os.environ, MALLOC_ARENA_MAX="2"))
        path = f"{engine.data}/in.sock"
        engine.until("the socket", lambda: os.path.exists(path))
        ready = time.monotonic() - began
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect(path)
            answers, lines = sender.makefile(), 0

            def send(values):
                nonlocal lines
                sender.sendall("".join(f'{{"source":"t:{n}","value":{value}}}\n' for n, value in values).encode())
                lines += len(values)
                while json.loads(answers.readline())["ack"] < lines:
                    pass

            # What is found out about a series when it is seen first is not part of the rate.
            began = time.monotonic()
            send([(n, 20) for n in range(pipelines)])
            first = time.monotonic() - began
            shares = []
            for step in (40, 1):
                before, began = engine.cpu(), time.monotonic()
                for sent in range(0, rate * seconds, step):
                    send([(n % pipelines, 20 + n % 7) for n in range(sent, sent + step)])
                    time.sleep(max(0, began + (sent + step) / rate - time.monotonic()))
                shares.append((engine.cpu() - before) / (time.monotonic() - began))
            memory = resident(engine)
            send([(n, 150) for n in range(pipelines)])
        engine.stop()
        with open(f"{engine.data}/news.ndjson") as news:
            return ready, first, memory, *shares, sum(1 for _ in news)


def backtest(programs):
    """A week of twenty sources every ten seconds out of Parquet."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        count = 7 * 8640 * 20
        values = random.Random(7)
        with open(f"{folder}/week.jsonl", "w") as out:
            now = [20.0] * 20
            for n in range(count):
                at = n % 20
                now[at] += values.gauss(0, 0.05)
                out.write(f'{{"time":{1767225600 + n // 20 * 10},"source":"s{at}","value":{now[at]:.2f}}}\n')
        for name, source, rest in (
            ("record", f"replay: {{ path: {folder}/week.jsonl }}", "sinks: { kept: { inputs: [in], parquet: {} } }"),
            ("candidate", "socket: { unix: in.sock }", SCORED),
        ):
            with open(f"{folder}/{name}.yaml", "w") as out:
                out.write(WEEK.format(source=source.replace(folder, os.path.abspath(folder)), rest=rest))
        smollama, data = f"{programs}/smollama", f"{folder}/data"
        run([smollama, "run", "--once", "--speed", "max", "--data-dir", data, f"{folder}/record.yaml"])
        command = [smollama, "backtest", f"{folder}/candidate.yaml", "--from", f"{data}/history", "--data-dir", f"{folder}/empty"]
        shown = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        if f"{count} readings of 20 series" not in shown:
            sys.exit(f"not all was read:\n{shown}")
        print(f"backtest: {count:,} readings of 20 series, a week, out of Parquet; medians of {RUNS} runs")
        print(f"  {'':22} {'CPU s':>20} {'wall s':>20} {'peak MiB':>22}")
        row("novelty, dedup, pace", [run(command) for _ in range(RUNS)])

# What is given on each day, by pipeline: a source, the rest of its keys, the minutes between two values, and the value by its number.
DAY = {
    "freezer": [("probe", 'source: "cold:freezer/temperature"', 5, lambda at: -12 if 144 <= at % 288 < 168 else -18)],
    "greenhouse": [
        ("air", 'source: "air:north/temperature", unit: "°C", labels: { bed: north }', 10, lambda at: 1 if 12 <= at % 144 < 18 else 10),
        ("air", 'source: "air:north/humidity", unit: "%", labels: { bed: north }', 10, lambda at: 60 + at % 20),
        ("soil", 'source: "soil:north/moisture", unit: "%", labels: { bed: north }', 60, lambda at: 15 if at % 24 > 12 else 40),
    ],
    "office-air": [
        ("desk", 'source: "office:desk/presence"', 60, lambda at: 8 <= at % 24 < 18),
        ("window", 'source: "office:window/contact"', 60, lambda at: True),
        ("air", 'source: "office:air/co2", unit: ppm', 10, lambda at: 1300 if 6 <= at % 144 < 12 or 60 <= at % 144 < 66 else 600),
    ],
    "camera": [("eye", 'source: "eye:person_count", unit: count', 1, lambda at: int(at % 60 in (10, 11, 30)))],
    "zigbee": [
        ("sensors", 'source: "zigbee:bedroom-1/temperature", unit: "°C"', 30, lambda at: 18 + at % 7),
        ("sensors", 'source: "zigbee:bedroom-2/temperature", unit: "°C"', 30, lambda at: 17 + at % 5),
        ("sensors", 'source: "zigbee:bedroom-1/battery", unit: "%"', 60, lambda at: 80 if at % 24 < 10 else 12),
    ],
}
RESTARTS = ("kill", "power_cut", "stop")


def test_of_days(pipeline, name, span, restarts):
    """One test of so many days, with so many restarts."""
    lines = [f"  - name: {name}", "    given:"]
    for node, series, minutes, value in DAY[pipeline]:
        values = ", ".join(str(value(at)).lower() for at in range(span * 1440 // minutes))
        lines.append(f"      - {{ node: {node}, {series}, from: 0m, every: {minutes}m, values: [{values}] }}")
    lines.append("    faults:")
    for at in range(restarts):
        lines.append(f"      - {{ restart: {RESTARTS[at % len(RESTARTS)]}, at: {(at * span * 86_400) // restarts + 7}s }}")
    lines += ["    expect:", "      - { node: history, lost: 0 }", "      - { node: history, doubled: 0 }"]
    return "\n".join(lines) + "\n"


def days(programs):
    """Thirty days of the everyday pipelines on a host that is restarted 31 times, and 1,000 times: a test has 100 faults at most, so that is
    ten tests of three days."""
    print(f"days: `smollama test` on thirty days with restarts; medians of {RUNS} runs")
    print(f"  {'':22} {'CPU s':>20} {'wall s':>20} {'peak MiB':>22}")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("pipelines/examples/zigbee-sensors.csv", folder)
        for pipeline in DAY:
            with open(f"pipelines/examples/{pipeline}.yaml") as shipped:
                nodes = shipped.read().split("\ntests:\n")[0]
            for restarts in (31, 1_000):
                tests = [("thirty days", 30, restarts)] if restarts <= 100 else [(f"part {at}", 3, restarts // 10) for at in range(10)]
                path = f"{folder}/{pipeline}-{restarts}.yaml"
                with open(path, "w") as out:
                    out.write(f"{nodes}\ntests:\n" + "".join(test_of_days(pipeline, *test) for test in tests))
                command = [f"{programs}/smollama", "test", path]
                row(f"{pipeline}, {restarts:,}", [run(command) for _ in range(RUNS)])


def size(programs):
    bytes_ = os.path.getsize(f"{programs}/smollama")
    print(f"size: the binary, stripped: {bytes_ / 1e6:.1f} MB")


if __name__ == "__main__":
    if sys.argv[1] == "digest":
        print(digest(sys.argv[2], sys.argv[3]))
        sys.exit()
    {"jobs": jobs, "idle": idle, "size": size, "journal": journal, "apply": apply, "backtest": backtest, "fan": fan, "days": days}[sys.argv[1]](sys.argv[2])
