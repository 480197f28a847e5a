#!/usr/bin/env python3
"""Runs the reconciler's unit tests and ends with the line `N passed, N failed`."""

import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    tests = unittest.defaultTestLoader.discover(str(ROOT / "tools" / "reconcile"))
    result = unittest.TextTestRunner(stream=sys.stdout).run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    # No test found is a failure too: it would mean that nothing was judged.
    return 1 if failed or result.testsRun == 0 else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
