"""Arithmetic on mosaics: packing, levels, reading, demosaicing, opcodes, repair of defects."""
