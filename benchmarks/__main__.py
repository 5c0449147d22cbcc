"""``make bench``: run the named benchmarks, or all of them, and report the results."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import imports, report
from benchmarks.bench import FULL, SHORT, Bench, Outcome
from benchmarks.contest import ROOT, ContestError
from benchmarks.place import PYTHON
from benchmarks.suite import BENCHMARKS
from benchmarks.suite.tick import first_ticked, ticks


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)}, imports")
    parser.add_argument("--runs", type=int, default=5, help="of each contestant, besides a first one (default: 5)")
    parser.add_argument("--short", action="store_true", help="small files, one run, answers compared and nothing else")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "bench", help="keeps what is made, and results")
    parser.add_argument("--docs", action="store_true", help="also write the tables into docs/explanation/benchmarks.md")
    options = parser.parse_args()
    names = options.benchmarks or [*BENCHMARKS, "imports"]
    unknown = set(names) - {*BENCHMARKS, "imports"}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    if not PYTHON.exists():
        parser.error("the product is not installed: make setup")
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    facts, outcomes = report.about(), {}
    if not options.short:
        print(report.facts_text(facts))
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=folder) as scratch:
        bench = Bench(folder, Path(scratch), SHORT if options.short else FULL, 0 if options.short else options.runs)
        try:
            for name in BENCHMARKS:
                if name in names:
                    outcomes[name] = BENCHMARKS[name](bench)
                    if not options.short:
                        print(f"\n{report.table(outcomes[name])}", flush=True)
        except ContestError as error:
            print(error, file=sys.stderr)
            return 1
        profile = (
            imports.profile(first_ticked(bench), ticks(bench)[1]) if "imports" in names and not options.short else ""
        )
    if options.short:
        print(f"The answers are the same, row by row: {', '.join(outcomes)}.")
        return 0
    print(f"\nImports of a tick\n{profile}" if profile else "")
    keep(outcomes, facts, profile, folder, options.docs)
    failed = [name for name, outcome in outcomes.items() if not all(check.passed for check in outcome.checks)]
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return int(bool(failed))


def keep(outcomes: dict[str, Outcome], facts: dict[str, str], profile: str, folder: Path, in_docs: bool) -> None:
    """Write the results into the folder, and into the documentation."""
    tables = {name: report.table(outcome) for name, outcome in outcomes.items()}
    if outcomes:
        (folder / "results.txt").write_text("\n\n".join([report.facts_text(facts), *tables.values()]) + "\n")
        (folder / "results.json").write_text(report.document(outcomes, facts) + "\n")
        report.chart(outcomes, folder / "results.svg")
        print(f"{folder}/results.txt, .json and .svg have it all.")
    if in_docs:
        report.write_into_page("machine", report.facts_text(facts))
        for name, table in tables.items():
            report.write_into_page(name, table)
        if profile:
            report.write_into_page("imports", profile)


if __name__ == "__main__":
    sys.exit(main())
