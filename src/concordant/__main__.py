"""`python -m concordant`: the command line, as `concordant` runs it."""

from concordant.cli.start import run

if __name__ == "__main__":
    raise SystemExit(run())
