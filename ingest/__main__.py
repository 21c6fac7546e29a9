"""``python -m ingest``, the same as ``ingest``."""

import signal

# Until the commands are there to say something better, Ctrl-C ends this at once, rather than with a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from ingest.cli import main

if __name__ == "__main__":
    main()
