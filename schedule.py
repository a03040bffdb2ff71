"""The export timer's schedule, which the platform is told before anything else runs."""

import os

DEFAULT_SCHEDULE = "0 0 2 * * *"


def export_schedule() -> str:
    """Give the NCRONTAB expression of the export timer, UTC (design §4)."""
    return "%TRAINING_EXPORT_SCHEDULE%" if os.environ.get("TRAINING_EXPORT_SCHEDULE") else DEFAULT_SCHEDULE
