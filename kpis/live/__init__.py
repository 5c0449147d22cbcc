"""What happens now: counts of the last seconds, told to every open page at once."""
