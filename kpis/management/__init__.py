"""The commands, and what they share: arguments, output, signals."""
