#!/usr/bin/env python
"""The project's command line."""

from network_analysis.__main__ import main

if __name__ == "__main__":
    main()
