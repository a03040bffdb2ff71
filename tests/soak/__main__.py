"""`make soak`: run it, print the account; 1 where the books do not balance."""

import argparse
import random
import sys
import time

from tests.soak.books import told
from tests.soak.run import soak


def main() -> int:
    """Run a soak of so many minutes."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=None, help="to see the same faults again")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"A soak of {given.minutes:g} minutes; seed {seed}.", flush=True)  # noqa: T201  # a command's output
    began = time.monotonic()
    books = soak(given.minutes * 60, seed, say=lambda line: print(line, flush=True))  # noqa: T201  # likewise
    print(told(books, seed=seed, seconds=time.monotonic() - began))  # noqa: T201  # likewise
    return 1 if books.close() else 0


if __name__ == "__main__":
    sys.exit(main())
