"""The timer side: a Sesam pipe's published CSV becomes an immutable, verified version in Blob storage."""
