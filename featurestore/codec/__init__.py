"""The bytes of online keys, values and pointer records: one owner for writers and readers (``docs/formats.md``)."""
