"""The management commands, and the code that they share: arguments, output, signals."""
