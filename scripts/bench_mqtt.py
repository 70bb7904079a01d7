"""MQTT to dedup to MQTT, for scripts/bench.sh: beside a relay written by hand on the same client crate, over one mosquitto."""

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from bench import Engine, cpu_seconds, sync_rate

READINGS = 100_000
RUNS = 5
# What both sides ask the broker for; the relay has the same numbers in its source.
RECEIVE_MAXIMUM = 1000
# The broker holds nothing back and drops nothing.
BROKER = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages {inflight}
max_queued_messages 0
"""
PIPELINE = """pipeline: p{n}
sources:
  in: {{ as: bench{n}, mqtt: {{ topic: bench/in/{n}, qos: 0, whole_sources: true }} }}
transforms:
  some: {{ inputs: [in], filter: {{ value: {{ above: 0 }} }} }}
sinks:
  out: {{ inputs: [some], mqtt: {{ topic: bench/out/{n}, qos: 0 }} }}
"""


@contextlib.contextmanager
def mosquitto():
    """A broker on a free port of this machine, with a folder beside it."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not program:
        sys.exit("bench.sh: mqtt needs mosquitto: apt-get install mosquitto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        with open(f"{folder}/mosquitto.conf", "w") as out:
            out.write(BROKER.format(port=port, inflight=RECEIVE_MAXIMUM))
        child = subprocess.Popen([program, "-c", f"{folder}/mosquitto.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(500):
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.01)
            else:
                sys.exit("mosquitto does not listen")
            yield port, folder
        finally:
            child.kill()
            child.wait()


@contextlib.contextmanager
def engine(programs, folder, port, pipeline, durability="process", qos=1, **environment):
    settings = f"mqtt: {{ broker: 127.0.0.1, port: {port}, receive_maximum: {RECEIVE_MAXIMUM} }}\n"
    running = Engine(programs, folder, pipeline, durability, dict(os.environ, QOS=str(qos), **environment), settings)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(running.data)


def load(programs, port, qos, readings, rate=0, topics=0):
    """One load: what came out was what was expected, or this ends."""
    arguments = [port, qos, readings, rate, topics, "bench/in", "bench/out"]
    ran = subprocess.run([f"{programs}/mqtt", *map(str, arguments)], capture_output=True)
    if ran.returncode != 0:
        sys.exit(f"the load of qos {qos} failed: {ran.stderr.decode()}")
    return json.loads(ran.stdout)


def measure(programs, side, qos, readings, rate=0, durability="process"):
    """One load on one of the two sides, with the CPU seconds it took in all."""
    with mosquitto() as (port, folder):
        if side == "relay":
            child = subprocess.Popen([f"{programs}/relay", str(port), str(qos), "bench/in", "bench/out"], stderr=subprocess.DEVNULL)
            try:
                found = load(programs, port, qos, readings, rate)
                return found | {"cpu": cpu_seconds(child.pid)}
            finally:
                child.kill()
                child.wait()
        with engine(programs, folder, port, "benches/pipelines/mqtt.yaml", durability, qos) as running:
            before = running.cpu()
            found = load(programs, port, qos, readings, rate)
            found["cpu"] = running.cpu() - before
            dropped = sum(node["dropped"] for node in running.status()["nodes"])
            if dropped:
                sys.exit(f"{dropped} readings were dropped")
            return found


def throughput(programs):
    print(f"mqtt: {READINGS:,} readings of 1,000 series to dedup to MQTT, half of them news; medians of {RUNS} interleaved runs (least-most)")
    print(f"  receive maximum {RECEIVE_MAXIMUM:,}, 1,024 under way, two connections, TCP_NODELAY; 8,192 readings between the sender and the last one out")
    for qos, sides in ((0, ("relay", "process")), (1, ("relay", "process", "power"))):
        rates, cpu = {side: [] for side in sides}, {side: [] for side in sides}
        for _ in range(RUNS):
            for side, found in rates.items():
                ran = measure(programs, side, qos, READINGS, durability=side)
                found.append(ran["readings"] / ran["seconds"])
                cpu[side].append(1e6 * ran["cpu"] / ran["readings"])
        for side, found in rates.items():
            ratio = statistics.median(one / relay for one, relay in zip(found, rates["relay"]))
            name = "relay by hand" if side == "relay" else f"smollama, {side}"
            against = "" if side == "relay" else f"  x{ratio:.2f}"
            print(f"  qos {qos}  {name:18} {statistics.median(found):9,.0f}/s ({min(found):,.0f}-{max(found):,.0f})  CPU {statistics.median(cpu[side]):.1f} us a reading{against}")
    syncs = sync_rate()
    print(f"  the disk alone: {syncs:,.0f} syncs/s of 4 KiB appended; 20 times that: {20 * syncs:,.0f}/s")


def latency(programs):
    print(f"  microseconds from sender to receiver, 10 s each, qos 1; medians of {RUNS} interleaved runs")
    for rate in (1_000, 5_000):
        runs = {"relay": [], "process": []}
        for _ in range(RUNS):
            for side, found in runs.items():
                found.append(measure(programs, side, 1, 10 * rate, rate))
        middle = {side: {key: statistics.median(one[key] for one in found) for key in ("p50", "p99", "max")} for side, found in runs.items()}
        ratio = statistics.median(one["p50"] / relay["p50"] for one, relay in zip(runs["process"], runs["relay"]))
        for side, name in (("relay", "relay by hand"), ("process", "smollama, process")):
            one = middle[side]
            against = "" if side == "relay" else f"  median x{ratio:.2f}"
            print(f"  {rate:5,}/s  {name:18} median {one['p50']:7,.0f}  p99 {one['p99']:7,.0f}  max {one['max']:7,.0f}{against}")


def resident(running):
    with open(f"/proc/{running.child.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def many(programs):
    """A thousand pipelines, each with a subscription, a filter and a sink of its own: in a shell, and as the unit in the README runs it."""
    thousand(programs, "in a shell")
    thousand(programs, "as a service", MALLOC_ARENA_MAX="2")


def thousand(programs, name, **environment):
    count, rate, seconds = 1_000, 12_000, 10
    used = {}
    for pipelines in (1, count):
        with mosquitto() as (port, folder):
            graphs = f"{folder}/graphs"
            os.mkdir(graphs)
            for n in range(pipelines):
                with open(f"{graphs}/p{n}.yaml", "w") as out:
                    out.write(PIPELINE.format(n=n))
            began = time.monotonic()
            with engine(programs, folder, port, graphs, **environment) as running:
                # One of them has as much to do as each of the thousand.
                found = load(programs, port, 0, rate * seconds * pipelines // count, rate * pipelines // count, pipelines)
                ready = time.monotonic() - began - seconds
                used[pipelines] = resident(running)
                nodes = running.status()["nodes"]
                dropped = sum(node["dropped"] for node in nodes)
    each = (used[count] - used[1]) / (count - 1)
    print(f"  {count:,} pipelines {name}: {each:.1f} KiB resident for each ({used[count] / 1024:.1f} MiB in all, {used[1] / 1024:.1f} MiB with one), first message through all after {ready:.1f} s")
    print(f"  {rate:,}/s through them for {seconds} s: {dropped} dropped; median {found['p50_first']:,} us in the first fifth, {found['p50_last']:,} us in the last; p99 {found['p99']:,}, max {found['max']:,}")


if __name__ == "__main__":
    for part in sys.argv[2:] or ("throughput", "latency", "many"):
        {"throughput": throughput, "latency": latency, "many": many}[part](sys.argv[1])
