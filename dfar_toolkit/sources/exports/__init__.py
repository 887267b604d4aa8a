"""Exports of annotation tools, one file per tool, each from its files to our tables.

Every tool's module has ``INFO`` and ``read(raw, *, set_name="", settings=None)``; what the files themselves do not
say stands in :class:`ExportSettings`.
"""

from __future__ import annotations

from dfar_toolkit.sources.exports.settings import ExportSettings

__all__ = ["ExportSettings"]
