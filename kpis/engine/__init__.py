"""How a batch becomes partials, and partials results."""
