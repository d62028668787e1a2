"""A self-contained HTML page about a study: it needs no network, and nothing but a browser."""

from gpbo.report.page import page, write

__all__ = ["page", "write"]
