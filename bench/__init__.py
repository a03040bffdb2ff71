"""Speed, measured side by side in one run and told as ratios, because machines are noisy (issue 8).

One module a measure; `python -m bench` runs them and writes docs/benchmarks.md.
"""
