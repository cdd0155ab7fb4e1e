"""`python -m paddle_restore` is `paddle-restore`."""

from paddle_restore.cli.main import main

if __name__ == "__main__":
    main()
