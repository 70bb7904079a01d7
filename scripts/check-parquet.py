#!/usr/bin/env python3
"""Checks the history's Parquet files with readers that are not ours, and our reader with files that are not ours.

Makes a virtual environment in target/parquet-check with pyarrow and duckdb from PyPI, unless it is there. Prints one line a check;
exits 1 at the first that fails.
"""

import csv
import datetime
import decimal
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "target" / "parquet-check"
PYTHON = HOME / "venv" / "bin" / "python"
PACKAGES = ["pyarrow==26.0.1", "duckdb==2.0.0"]
RECORDINGS = ["office_temperature", "road_occupancy", "server_cpu"]


def example(*arguments):
    command = ["cargo", "run", "-q", "-p", "smollama-store", "--example", "history", "--"]
    done = subprocess.run(command + [str(a) for a in arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"history {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def check(name, found, expected):
    if found != expected:
        sys.exit(f"{name}: found {found!r}, expected {expected!r}")
    print(f"ok {name}")


def recorded():
    rows = []
    for name in RECORDINGS:
        with open(ROOT / "data" / "recordings" / f"{name}.csv") as file:
            for row in csv.DictReader(file):
                time = datetime.datetime.fromisoformat(row["timestamp"] + "+00:00")
                rows.append((f"csv:{name}", time.timestamp(), float(row["value"]).hex()))
    return sorted(rows)


def check_ours(folder):
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((folder / "readings").glob("*.parquet"))
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        check(f"{file.name} says its format", metadata.metadata[b"smollama.format"], b"1")
    tables = [pq.read_table(file) for file in files]
    rows = pa.concat_tables(tables, promote_options="default")
    check("times are UTC, to the microsecond", rows.schema.field("time").type, pa.timestamp("us", "UTC"))
    read = sorted(
        (row["source"], row["time"].timestamp(), row["value"].hex())
        for row in rows.to_pylist()
        if row["source"].startswith("csv:")
    )
    check("pyarrow reads the recordings bit for bit", read, recorded())
    kinds = [row for row in rows.to_pylist() if row["source"] == "kinds:all"]
    check("-0.0 stays -0.0", kinds[0]["value"].hex(), "-0x0.0p+0")
    check("integers, switches, texts, JSON",
          (kinds[1]["value_int"], kinds[2]["value_bool"], kinds[3]["value_text"], kinds[4]["value_json"]),
          (2**63 - 1, True, "ü", '{"a":[1,null]}'))
    check("unit, labels, counter, score, count",
          [kinds[0][name] for name in ["unit", "labels", "monotonic", "score", "count"]],
          ["°C", '{"room":"kitchen"}', True, 1.5, 3])
    check("an integer that no double holds is no double", kinds[1]["value"], None)
    check("a score and a count that say nothing are absent", (kinds[1]["score"], kinds[1]["count"]), (None, None))

    every = f"read_parquet('{folder}/readings/*.parquet', union_by_name = true)"
    read = duckdb.sql(f"select source, epoch_us(time) / 1e6, value from {every} where source like 'csv:%'")
    read = sorted((source, time, value.hex()) for source, time, value in read.fetchall())
    check("DuckDB reads the recordings bit for bit", read, recorded())
    whole = duckdb.sql(f"select avg(value), max(value_int) from {every} where source = 'kinds:whole'")
    check("DuckDB averages integers", whole.fetchall(), [(2**52 + 1.0, 2**53)])
    room = duckdb.sql(f"select distinct labels->>'room' from {every} where labels is not null")
    check("DuckDB looks into labels", room.fetchall(), [("kitchen",)])
    window = duckdb.sql(f"select cause, source, \"count\", first from '{folder}/windows/*.parquet'")
    check("DuckDB reads windows", window.fetchall(), [("time", "kinds:all", 3, -0.0)])
    text = duckdb.sql(f"select kind, text, sources->>0 from '{folder}/observations/*.parquet'")
    check("DuckDB reads observations", text.fetchall(), [("anomaly", "it is cold", "kinds:all")])
    size = sum(file.stat().st_size for file in files)
    print(f"   {len(files)} files of readings, {size} bytes")


def check_theirs(folder):
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = datetime.datetime(2026, 11, 21, 1, 2, 3)
    micros = int(at.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000
    cells = {
        "s": (pa.array([at], pa.timestamp("s")), f"Time({micros})"),
        "ms": (pa.array([at], pa.timestamp("ms", "Europe/Berlin")), f"Time({micros})"),
        "ns": (pa.array([at], pa.timestamp("ns")), f"Time({micros})"),
        "day": (pa.array([at.date()]), f"Time({micros // 86_400_000_000 * 86_400_000_000})"),
        "half": (pa.array([1.5], pa.float16()), "Float(1.5)"),
        "price": (pa.array([decimal.Decimal("19.99")]), "Float(19.99)"),
        "large": (pa.array(["ü"], pa.large_string()), 'Text("ü")'),
        "view": (pa.array(["x"], pa.string_view()), 'Text("x")'),
        "code": (pa.array(["x"]).dictionary_encode(), 'Text("x")'),
        "bytes": (pa.array([b"abc"], pa.binary(3)), 'Text("abc")'),
        "tiny": (pa.array([200], pa.uint8()), "Int(200)"),
        "none": (pa.nulls(1), "Absent"),
    }
    table = pa.table({name: array for name, (array, _) in cells.items()})
    expected = [f"{name} {cell}" for name, (_, cell) in cells.items()]
    ways = [(codec, {"compression": codec}) for codec in ["none", "snappy", "gzip", "zstd"]]
    ways.append(("INT96", {"use_deprecated_int96_timestamps": True}))
    ways.append(("pages of version 2", {"data_page_version": "2.0", "version": "2.4"}))
    for name, options in ways:
        file = folder / "theirs.parquet"
        pq.write_table(table, file, **options)
        check(f"pyarrow's file, {name}", example("cells", file, *cells).splitlines(), expected)
    file = folder / "duckdb.parquet"
    duckdb.sql(f"copy (select timestamptz '2026-11-21 01:02:03+00' as t, 0.1::double as v, 'x' as s, 7::hugeint as h) "
               f"to '{file}' (format parquet)")
    check("DuckDB's file", example("cells", file, "t", "v", "s", "h").splitlines(),
          [f"t Time({micros})", "v Float(0.1)", 's Text("x")', "h Float(7.0)"])


def main():
    if pathlib.Path(sys.prefix) != HOME / "venv":
        if not PYTHON.exists():
            subprocess.run([sys.executable, "-m", "venv", HOME / "venv"], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
        sys.exit(subprocess.run([PYTHON, __file__]).returncode)
    folder = HOME / "data"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    example("write", folder / "history")
    check_ours(folder / "history")
    check_theirs(folder)


main()
