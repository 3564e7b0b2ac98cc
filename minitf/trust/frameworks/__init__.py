"""Attention of other frameworks, asked the same questions."""
