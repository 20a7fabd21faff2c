"""What of the documentation is made from the code: a page per family of transforms, and the reference."""
