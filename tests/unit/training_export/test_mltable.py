"""The MLTable of a manifest, without the engine; tests/integration/training_export has that."""

import msgspec

from tests.exports import Bench, rows
from training_export.mltable import mltable


def test_a_manifest_of_a_newer_app_with_words_that_are_not_known_is_written_alike() -> None:
    bench = Bench()
    manifest = bench.versions.manifest(str(bench.run(rows(10)).version))
    newer = msgspec.structs.replace(manifest, dialect=manifest.dialect | {"quoting": "all"})
    assert mltable(newer) == mltable(manifest) is not None


def test_a_manifest_from_before_the_dialect_was_told_has_sesams_defaults() -> None:
    bench = Bench()
    manifest = bench.versions.manifest(str(bench.run(rows(10)).version))
    assert mltable(msgspec.structs.replace(manifest, dialect={})) == mltable(manifest) is not None
