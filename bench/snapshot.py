"""3. Snapshot: node → Azurite, checked, typed and profiled, beside a plain copy of the same bytes.

It is local/proof/snapshot.py that copies and exports, each in a process of its own.
"""

import os
from collections.abc import Callable, Sequence
from statistics import median

from bench.tables import Table
from local.azurite import running_azurite
from local.proof.snapshot import SnapshotProof, prove

_CPU_SECONDS: Sequence[Callable[[SnapshotProof], float]] = (
    lambda proof: proof.copied.busy,
    lambda proof: proof.copied.cpu,
    lambda proof: proof.exported.busy,
    lambda proof: proof.exported.cpu,
)


def run(megabytes: Sequence[float] = (200, 200, 200, 2000)) -> Table:
    """Copy and export each size as often as it stands there; medians of each."""
    proofs: dict[float, list[SnapshotProof]] = {}
    for size in megabytes:
        with running_azurite() as azurite:
            proofs.setdefault(size, []).append(prove(azurite.connection_string, size))
    cores = os.cpu_count() or 1
    return Table(
        "3. Snapshot",
        "Node → Azurite, every row checked, every column typed and profiled; beside it a plain copy of the "
        "same bytes. MB/s of wall time, and MiB above the idle process. CPU in ms a MB: of all cores, node, "
        f"storage and all else in it, and of the app alone. {cores} cores have {cores * 1000:,} ms a second.",
        (
            *("MB", "copy", "snapshot", "×", "copy, MiB", "snapshot, MiB"),
            *("copy, CPU", "of it app", "snapshot, CPU", "of it app", "byte-identical"),
        ),
        [_row(some) for some in proofs.values()],
        "at least 0.6 of the plain copy and 50 MB/s, at most 60 MiB, the same at both sizes.",
    )


def _row(proofs: Sequence[SnapshotProof]) -> Sequence[str]:
    return (
        f"{proofs[0].megabytes:,.0f}",
        f"{median(p.copy_mb_s for p in proofs):.0f}",
        f"{median(p.export_mb_s for p in proofs):.0f}",
        f"**{median(p.export_mb_s / p.copy_mb_s for p in proofs):.2f}**",
        f"{median(p.copied.mib for p in proofs):.0f}",
        f"{median(p.exported.mib for p in proofs):.0f}",
        *(f"{median(cost(p) / p.megabytes * 1000 for p in proofs):.1f}" for cost in _CPU_SECONDS),
        "yes" if all(p.identical for p in proofs) else "NO",
    )
