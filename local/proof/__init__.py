"""Proofs at full size, for `make proof`: figures that the tests show only in small."""
