"""The embedded default: everything that the app meets in the world, small enough to run on one machine."""
