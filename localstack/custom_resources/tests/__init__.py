"""Stacks in a really running LocalStack, answered by a small worker."""
