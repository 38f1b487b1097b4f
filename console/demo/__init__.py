"""The demonstration: the whole domain on one machine, with made-up people."""
