"""Spectrogram transforms: fields, draw and apply; the maths is in speechaug.functional."""
