"""Writes, seen whole: what was asked, what became of it, and what may truthfully be said of it."""
