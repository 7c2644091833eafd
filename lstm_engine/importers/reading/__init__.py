"""Bytes of foreign files to names, arrays and configuration as data, for every importer; nothing of what they mean."""
