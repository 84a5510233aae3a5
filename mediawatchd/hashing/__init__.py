"""Bytes to values: hashes and what a media file contains."""
