"""`make package`: the app as it is deployed, one zip of what `.funcignore` leaves (docs/deploy.md).

`func azure functionapp publish` and `azd deploy` pack the same files by the same rules, those of
`.gitignore`: this zip shows what they send, and the tests run it. The same files always give the same bytes.
"""

import argparse
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from local.bootstrap import ROOT

# As early as a zip can tell; the files' own times would make every build another one.
LONG_AGO = (1980, 1, 1, 0, 0, 0)
READABLE = 0o644 << 16


def packed(root: Path = ROOT) -> list[str]:
    """List the files that are deployed, by their paths below the root."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text().splitlines())
    return sorted(_left(root, root, ignored))


def build(to: Path, root: Path = ROOT) -> Path:
    """Write the zip, and give its path."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in packed(root):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = READABLE
            archive.writestr(entry, (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return to


def _left(folder: Path, root: Path, ignored: GitIgnoreSpec) -> Iterator[str]:
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if path.is_dir() and not ignored.match_file(f"{name}/"):
            yield from _left(path, root, ignored)
        elif path.is_file() and not ignored.match_file(name):
            yield name


def main() -> int:
    """Build the package and say what is in it."""
    parser = argparse.ArgumentParser(prog="make package")
    parser.add_argument("--to", type=Path, default=ROOT / ".build" / "app.zip")
    to = build(parser.parse_args().to)
    print(f"{to}: {len(packed())} files, {to.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
