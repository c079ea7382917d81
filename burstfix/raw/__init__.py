"""Arithmetic on mosaics: packing, levels, reading, demosaicking, opcodes, repair of defects."""
