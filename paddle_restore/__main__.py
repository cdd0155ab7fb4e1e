"""`python -m paddle_restore` is `paddle-restore`."""

import os
import signal


def main() -> None:
    """Run the command of the command line, and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)  # while the command is imported, which takes a moment
    from paddle_restore.cli.main import main

    main()


def _end_at_once(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
