"""Run one command and write its wall and CPU time (s) and the peak memory (bytes, resident) of its largest process.

Usage: python -I -S measured.py FIGURES OUTPUT COMMAND...

It is a process of its own because Linux counts the parent's memory at the start into a new process's peak: this parent
has little.
"""

import json
import os
import sys
import time

figures, output, *command = sys.argv[1:]
started = time.perf_counter()
process = os.posix_spawn(
    command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT, 0o600)]
)
status, usage = os.wait4(process, 0)[1:]
wall = time.perf_counter() - started
with open(figures, "w") as file:
    json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}, file)
sys.exit(os.waitstatus_to_exitcode(status))
