"""`python -m secure_fl`: the same command as `secure-fl`."""

from secure_fl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
