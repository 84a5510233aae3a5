"""A daemon that keeps a live, trustworthy catalog of media libraries."""

__version__ = "0.1.0"
